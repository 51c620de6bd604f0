//! What a drill found out, as it is printed, written as JSON, and drawn. Times are in milliseconds since the drill's begin, latencies in
//! milliseconds from the moment at which a request was meant to be sent.

use serde::{Deserialize, Serialize};

/// Everything a drill found out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Of the plan that was played.
    pub(crate) name: String,
    /// When it began, in RFC 3339.
    pub(crate) began: String,
    /// What it ran against: `own servers`, `embedded stores`, or the URL of a running stack.
    pub(crate) against: String,
    /// Requests a second, at each of the stacks.
    pub(crate) rate: u32,
    pub(crate) length_ms: u64,
    pub(crate) phases: Vec<Phase>,
    /// The stack with Mainstay's layers, and if it was asked for, the same without them.
    pub(crate) stacks: Vec<Stack>,
    /// What had to hold, and whether it did.
    pub(crate) verdicts: Vec<Verdict>,
    /// Whether all of them hold.
    pub(crate) passed: bool,
}

/// A part of the drill: something broken, or restored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Phase {
    /// `redis killed`
    pub(crate) name: String,
    /// What was done, in a sentence.
    pub(crate) story: String,
    pub(crate) kind: Kind,
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Healthy,
    Outage,
    Recovery,
}

/// One of the stacks under the same load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stack {
    /// `with Mainstay`, `without`
    pub(crate) name: String,
    /// For each phase of the report, in its order.
    pub(crate) phases: Vec<Figures>,
    /// For each second, in order.
    pub(crate) seconds: Vec<Second>,
    /// Changes of levels and of breakers' states, in order.
    pub(crate) changes: Vec<Change>,
    /// `None` where the database could not be asked.
    pub(crate) tasks: Option<Tasks>,
}

/// How a stack did in a phase.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) classes: Vec<Class>,
    /// Since something was broken, until the first breaker or check of the phase's dependency noticed. Of outages only.
    pub(crate) detected_after_ms: Option<u64>,
    /// Since then, until the level was worse than none. Of outages only.
    pub(crate) degraded_after_ms: Option<u64>,
    /// Until the level was none again and all breakers were closed, and stayed so until the phase's end. Of recoveries only, and of stacks
    /// in which anything has ever changed.
    pub(crate) recovered_after_ms: Option<u64>,
}

/// What became of the requests of a class in a phase, by when they were meant to be sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Class {
    /// `chat`, `chat stream`, `submit`, `submit with key`, `get`, `all`
    pub(crate) name: String,
    pub(crate) requests: u64,
    /// Answered well-formed: in full, degraded or in part.
    pub(crate) answered: u64,
    /// Of these, those that said that they are degraded, and those that had only some parts.
    pub(crate) degraded: u64,
    pub(crate) partial: u64,
    /// Of those that were answered, however: within a second.
    #[serde(default)]
    pub(crate) quick: u64,
    /// Clear refusals: 503 with Retry-After.
    pub(crate) refused: u64,
    /// Anything else: other errors, broken answers, no answer in time.
    pub(crate) failed: u64,
    /// Of all, whatever they were answered. `None` where there were none.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) p999_ms: Option<f64>,
    pub(crate) max_ms: Option<f64>,
    /// Of those that were meant to be sent after the breakers had opened. Of outages only.
    pub(crate) p99_open_ms: Option<f64>,
}

/// What was seen within a second: by when requests were meant to be sent.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Second {
    pub(crate) requests: u32,
    pub(crate) answered: u32,
    pub(crate) degraded: u32,
    pub(crate) refused: u32,
    pub(crate) failed: u32,
    pub(crate) p50_ms: Option<f32>,
    pub(crate) p99_ms: Option<f32>,
}

/// A level or a breaker that is not what it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) at_ms: u64,
    /// `gateway` or `orchestrator`
    pub(crate) service: String,
    /// `level`, or the name of a breaker.
    pub(crate) what: String,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Why, in words.
    pub(crate) cause: String,
}

/// What became of the tasks that were accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tasks {
    pub(crate) accepted: u64,
    /// Accepted, and in the database exactly once, ended; or where there is none to look into, found and ended.
    pub(crate) stored: u64,
    /// Those that are not there.
    pub(crate) lost: Ids,
    /// Those that ended more than once by the audit log. `None` where nobody could look into it.
    pub(crate) twice: Option<Ids>,
}

/// How many tasks there are of a kind, and which.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Ids {
    pub(crate) number: u64,
    /// The first twenty.
    pub(crate) first: Vec<String>,
}

/// Something that had to hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// `chat and submit are answered while redis is killed`
    pub(crate) name: String,
    pub(crate) holds: bool,
    /// `99.97 % of 3,412 (at least 99.9 %)`
    pub(crate) figure: String,
}
