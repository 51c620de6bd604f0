//! What a decision takes from the heap while nothing is degraded: nothing.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mainstay_breaker::Breaker;
use mainstay_core::Verdict;
use mainstay_degrade::{Clock, DegradationManager, ExecutionMode, Level};

#[test]
fn nothing_is_allocated_while_nothing_is_degraded() {
    let (clock, time) = Clock::manual();
    time.advance(Duration::from_secs(100));
    let llm = Breaker::builder("llm_service").clock(clock.clone()).build().unwrap();
    let degrade = DegradationManager::builder().clock(clock).watch(&llm).build().unwrap();
    degrade.refresh();
    // A thread that observes for the first time gets a slice of the window.
    degrade.observe(Verdict::Success, Duration::from_millis(5));
    let allocations = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            assert_eq!(degrade.level(), Level::None);
            assert!(!degrade.mode(ExecutionMode::Complex).downgraded);
            assert!(degrade.behavior("llm_generation").allow().is_ok());
            degrade.observe(Verdict::Success, Duration::from_millis(5));
            assert_eq!(degrade.assessment().level, Level::None);
        }
    });
    assert_eq!(allocations.count_total, 0);
}
