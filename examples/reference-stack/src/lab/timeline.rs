//! The timeline: what the breaker did, when, and why.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay::breaker::{Breaker, Stage, State, Transition};
use serde::{Serialize, Serializer};

use crate::lab::report::millis;

const CLOSED: &str = "closed";
const OPEN: &str = "open";

/// The transitions of one breaker, collected as they happen.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// When the timeline began, by the breaker's clock.
    zero: Duration,
    events: Arc<Mutex<Vec<Event>>>,
}

/// One transition, in the words of the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Event {
    /// Since the timeline began.
    #[serde(rename = "at_ms", serialize_with = "as_millis")]
    pub(crate) at: Duration,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) cause: String,
}

// === impl Timeline ===

impl Timeline {
    /// Follows a breaker from now on: each transition is printed to standard error, and kept. Needs a runtime.
    pub(crate) fn follow(breaker: &Breaker) -> Self {
        let timeline = Self { zero: breaker.clock().now(), events: Arc::default() };
        let mut transitions = breaker.subscribe();
        let follower = timeline.clone();
        tokio::spawn(async move {
            while let Some(transition) = transitions.recv().await {
                let event = follower.event(&transition);
                eprintln!("{event}");
                follower.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
        });
        timeline
    }

    /// What happened so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn event(&self, transition: &Transition) -> Event {
        Event {
            at: transition.at.saturating_sub(self.zero),
            from: word(transition.from, None),
            to: word(transition.to, transition.stage),
            cause: transition.cause.to_string(),
        }
    }
}

// === impl Event ===

impl Event {
    pub(crate) fn opens(&self) -> bool {
        self.to == OPEN
    }

    pub(crate) fn closes(&self) -> bool {
        self.to == CLOSED
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, from, to, cause } = self;
        write!(f, "{:>8.3} s    {from:>9} -> {to:<9}  {cause}", at.as_secs_f64())
    }
}

fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(millis(*duration))
}

fn word(state: State, stage: Option<Stage>) -> &'static str {
    match (state, stage) {
        (State::Closed, _) => CLOSED,
        (State::Open, _) => OPEN,
        (State::HalfOpen, Some(Stage::Ramping)) => "ramping",
        (State::HalfOpen, _) => "half-open",
    }
}
