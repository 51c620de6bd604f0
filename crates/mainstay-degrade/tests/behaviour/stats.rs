//! What was decided so far, in counts whose number does not depend on who asks.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mainstay_breaker::Breaker;
use mainstay_degrade::{Behavior, Clock, DegradationManager, ExecutionMode, Gather, Level, Reason, Signal};

fn manager() -> (DegradationManager, Breaker, Signal) {
    let (clock, _time) = Clock::manual();
    let llm = Breaker::builder("llm_service").clock(clock.clone()).build().unwrap();
    let queue = Signal::new("queue").moderate(1.0);
    let degrade = DegradationManager::builder().clock(clock).watch(&llm).signal(&queue).build().unwrap();
    (degrade, llm, queue)
}

#[test]
fn nothing_is_counted_while_all_is_well() {
    let (degrade, ..) = manager();
    degrade.mode(ExecutionMode::Complex);
    degrade.behavior("llm_generation").allow().unwrap();
    degrade.partial("complex").decide(5, 5);
    let stats = degrade.stats();
    assert!(stats.events.is_empty() && stats.downgrades.is_empty() && stats.fallbacks.is_empty());
    assert!(stats.partial_results.is_empty() && stats.unknown_operations == 0);
}

#[test]
fn what_is_less_than_usual_is_counted_with_its_reason() {
    let (degrade, llm, queue) = manager();
    llm.trip();
    degrade.refresh();
    queue.set(1.0);
    degrade.refresh();
    for _ in 0..3 {
        degrade.mode(ExecutionMode::Complex);
        degrade.mode(ExecutionMode::Simple);
        degrade.behavior("llm_call").allow().unwrap();
    }
    let stats = degrade.stats();
    let events: Vec<_> = stats.events.iter().map(|event| (event.level, event.reason, event.count)).collect();
    assert_eq!(
        events,
        [(Level::Minor, Reason::CircuitBreakerOpen, 1), (Level::Moderate, Reason::ResourceConstraint, 1)]
    );
    let downgrade = stats.downgrades.first().unwrap();
    assert_eq!((downgrade.from, downgrade.to, downgrade.count), ("complex", "standard", 3));
    assert_eq!((downgrade.reason, stats.downgrades.len()), (Reason::ResourceConstraint, 1));
    let fallback = stats.fallbacks.first().unwrap();
    assert_eq!((fallback.operation.as_str(), fallback.behavior), ("llm_call", Behavior::UseCache));
    assert_eq!((fallback.count, stats.fallbacks.len()), (3, 1));
}

#[test]
fn operations_that_nobody_knows_are_one_count() {
    let (degrade, ..) = manager();
    for number in 0..1_000 {
        degrade.behavior(&format!("made up by request {number}")).allow().unwrap();
    }
    assert_eq!(degrade.stats().unknown_operations, 1_000);
}

#[tokio::test(start_paused = true)]
async fn partial_answers_are_counted_by_workflow_whoever_decides() {
    let (degrade, llm, _) = manager();
    degrade.partial("complex").decide(1, 5);
    llm.trip();
    degrade.refresh();
    degrade.partial("complex").decide(4, 5);
    degrade.partial("of the caller's own").decide(3, 5);
    let gathered = Gather::new(degrade.partial("agent_dag"))
        .part("a", async { Ok(1) })
        .part("b", async { Err("down") })
        .run()
        .await
        .unwrap();
    assert!(gathered.accepted());
    let stats = degrade.stats();
    let counts: Vec<_> = stats
        .partial_results
        .iter()
        .map(|partial| {
            (
                partial.workflow.map_or("", |name| name.as_str()),
                partial.reason,
                partial.accepted,
                partial.count,
            )
        })
        .collect();
    assert_eq!(
        counts,
        [
            ("agent_dag", Reason::CircuitBreakerOpen, true, 1),
            ("complex", Reason::CircuitBreakerOpen, true, 1),
            ("complex", Reason::DependencyFailure, false, 1),
            ("", Reason::CircuitBreakerOpen, true, 1),
        ]
    );
}

#[test]
fn every_decision_has_the_number_of_its_assessment_and_can_be_made_again_by_it() {
    let (degrade, llm, queue) = manager();
    llm.trip();
    degrade.refresh();
    let kept = degrade.assessment();
    let mode = degrade.mode(ExecutionMode::Complex);
    let behavior = degrade.behavior("llm_call");
    let partial = degrade.partial("simple").decide(3, 5);
    assert_eq!([mode.epoch, behavior.epoch, partial.epoch], [kept.epoch; 3]);

    queue.set(1.0);
    degrade.refresh();
    assert_ne!(degrade.mode(ExecutionMode::Standard).epoch, kept.epoch);
    assert_eq!(degrade.mode_by(&kept, ExecutionMode::Complex), mode);
    assert_eq!(degrade.behavior_by(&kept, "llm_call"), behavior);
    assert_eq!(degrade.partial_by(&kept, "simple").decide(3, 5), partial);

    let before = degrade.stats();
    assert_eq!(degrade.settings().modes.decide(&kept, ExecutionMode::Complex), mode);
    assert_eq!(degrade.settings().behaviors.decide(&kept, "llm_call"), behavior);
    assert_eq!(degrade.settings().partial.at(&kept, "simple").decide(3, 5), partial);
    assert_eq!(degrade.stats(), before, "the rules alone count nothing");
}

#[test]
fn a_mode_decision_has_the_number_of_the_assessment_also_when_nothing_is_wrong() {
    let (degrade, llm, _) = manager();
    llm.trip();
    degrade.refresh();
    degrade.pin(Level::None, Duration::from_secs(60)).unwrap();
    let decision = degrade.mode(ExecutionMode::Complex);
    assert_eq!((decision.downgraded, decision.epoch), (false, degrade.assessment().epoch));
}
