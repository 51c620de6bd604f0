//! What breakers, levels and checks did, by the services' own logs. Look at [`of_log`].

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::drill::report::model::Change;

/// Something that a service said, at a time since the drill's begin.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    /// `gateway`, `orchestrator 1`
    pub(crate) service: String,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A level, or a breaker by its name, is not what it was.
    Changed { name: Name, from: String, to: String, cause: String },
    /// A check failed, by its name.
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    Level,
    Breaker(String),
}

// === impl Event ===

impl Event {
    /// As the report has it; checks are not in it.
    pub(crate) fn change(&self) -> Option<Change> {
        let What::Changed { name, from, to, cause } = &self.what else { return None };
        Some(Change {
            at_ms: millis(self.at),
            service: self.service.clone(),
            what: match name {
                Name::Level => "level".to_owned(),
                Name::Breaker(breaker) => breaker.clone(),
            },
            from: from.clone(),
            to: to.clone(),
            cause: cause.clone(),
        })
    }

    /// The breaker that opened here, if one did.
    pub(crate) fn opened(&self) -> Option<&str> {
        match &self.what {
            What::Changed { name: Name::Breaker(breaker), to, .. } if to == "open" => Some(breaker),
            _ => None,
        }
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What a service's log says, since a moment. A process that was started again begins with no level and closed breakers.
pub(crate) fn of_log(service: &str, log: &str, zero: SystemTime) -> Vec<Event> {
    let mut events = Vec::new();
    let mut now: BTreeMap<Name, String> = BTreeMap::new();
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let Some(at) = time(&line, zero) else { continue };
        let field = |name: &str| line.pointer(&format!("/fields/{name}")).and_then(Value::as_str);
        let event = |what| Event { at, service: service.to_owned(), what };
        let changed = |name: Name| {
            let word = |of| field(of).map(state).unwrap_or_default().to_owned();
            let to = if field("stage").is_some_and(|stage| stage.contains("Ramping")) {
                "ramping".to_owned()
            } else {
                word("to")
            };
            let cause = field("cause").unwrap_or_default().to_owned();
            What::Changed { name, from: word("from"), to, cause }
        };
        match field("message") {
            Some("breaker changed its state") => {
                let breaker = field("breaker").unwrap_or_default().to_owned();
                events.push(event(changed(Name::Breaker(breaker))));
            }
            Some("the degradation level changed") => events.push(event(changed(Name::Level))),
            Some("a check changed its status") if field("to") == Some("unhealthy") => {
                events.push(event(What::Failed(field("check").unwrap_or_default().to_owned())));
            }
            Some("the manager went on") if field("to") == Some("running") => {
                for (name, from) in std::mem::take(&mut now) {
                    let to = if name == Name::Level { "none" } else { "closed" };
                    if from != to {
                        let cause = "the process was started again".to_owned();
                        events.push(event(What::Changed { name, from, to: to.to_owned(), cause }));
                    }
                }
            }
            _ => {}
        }
        if let Some(Event { what: What::Changed { name, to, .. }, .. }) = events.last() {
            now.insert(name.clone(), to.clone());
        }
    }
    events
}

/// None for what was said before.
fn time(line: &Value, zero: SystemTime) -> Option<Duration> {
    let at = humantime::parse_rfc3339(line.get("timestamp")?.as_str()?).ok()?;
    at.duration_since(zero).ok()
}

/// The report's word for a state.
fn state(said: &str) -> &str {
    match said {
        "Closed" => "closed",
        "Open" => "open",
        "HalfOpen" => "half-open",
        level => level,
    }
}
