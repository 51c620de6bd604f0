//! How soon a dependency that was dead is used again, when all of its traffic asks `behavior()` first.

use std::time::Duration;

use mainstay_breaker::{Breaker, HalfOpen, State};
use mainstay_core::{OpenFor, StateSource};
use mainstay_degrade::{Behavior, Clock, DegradationManager};

use crate::Failure;

/// How long it is dead.
const DEAD: Duration = Duration::from_secs(600);
/// The time between two requests.
const EVERY: Duration = Duration::from_millis(100);

/// What came of one dependency.
pub(crate) struct Recovery {
    /// How long the breaker opens at most.
    pub(crate) open_for: Duration,
    pub(crate) close_after: u32,
    /// Requests that were answered from the cache while it was dead, and calls of it.
    pub(crate) cached: u64,
    pub(crate) calls_while_dead: u64,
    /// The open time that was running when it was well again: how long it went on.
    pub(crate) open_left: Duration,
    /// When the breaker was closed, since it was well again; and how many calls that took.
    pub(crate) closed: Duration,
    pub(crate) calls: u64,
}

impl Recovery {
    /// Closed again after the open time and so many calls, which come one by one.
    pub(crate) fn held(&self) -> bool {
        let calls = u64::from(self.close_after);
        let limit = self.open_left + EVERY * (self.close_after + 1);
        self.open_left <= self.open_for && self.calls == calls && self.closed <= limit
    }
}

/// By a manual clock, so that ten minutes are over at once; the manager is told to look at each request.
pub(crate) fn measure(open_for: OpenFor, half_open: HalfOpen) -> Result<Recovery, Failure> {
    let (clock, time) = Clock::manual();
    let llm = Breaker::builder("llm_service").clock(clock.clone());
    let llm = llm.open_for(open_for).half_open(half_open).build()?;
    let degrade = DegradationManager::builder().clock(clock).watch(&llm).build()?;
    let (open_for, close_after) = (open_for.cap(), half_open.close_after);
    let none = Duration::ZERO;
    let mut recovery = Recovery {
        open_for,
        close_after,
        cached: 0,
        calls_while_dead: 0,
        open_left: none,
        closed: none,
        calls: 0,
    };
    let begun = time.now();
    loop {
        let gone = time.now().saturating_sub(begun);
        let dead = gone < DEAD;
        degrade.refresh();
        if !dead && recovery.calls == 0 && llm.state() == State::Open {
            let left = llm.next_change().unwrap_or_default().saturating_sub(time.now());
            recovery.open_left = recovery.open_left.max(left);
        }
        match degrade.behavior("llm_generation").behavior {
            Behavior::UseCache => recovery.cached += u64::from(dead),
            _ => {
                let _ = llm.call(|| if dead { Err("dead") } else { Ok(()) });
                *if dead { &mut recovery.calls_while_dead } else { &mut recovery.calls } += 1;
            }
        }
        if !dead && llm.state() == State::Closed {
            recovery.closed = gone.saturating_sub(DEAD);
            return Ok(recovery);
        }
        if gone > DEAD * 2 {
            return Err("the breaker never closed again".into());
        }
        time.advance(EVERY);
    }
}
