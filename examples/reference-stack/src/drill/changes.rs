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

// === impl Name ===

impl Name {
    /// Whether a state of it is the one in which nothing is wrong.
    pub(crate) fn is_well(&self, state: &str) -> bool {
        match self {
            Self::Level => state == "none",
            Self::Breaker(_) => state == "closed",
        }
    }
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

/// What is to be told since the drill's begin, of events with their times since then; None is before. Of what was before, what is still
/// wrong then counts as if it had come about at the begin.
pub(crate) fn since_begin(all: impl IntoIterator<Item = (Option<Duration>, Event)>) -> Vec<Event> {
    let mut before = BTreeMap::new();
    let mut events = Vec::new();
    for (at, event) in all {
        match (at, &event.what) {
            (Some(at), _) => events.push(Event { at, ..event }),
            (None, What::Changed { name, to, .. }) => {
                let key = (event.service.clone(), name.clone());
                if name.is_well(to) {
                    before.remove(&key);
                } else {
                    before.insert(key, Event { at: Duration::ZERO, ..event });
                }
            }
            (None, What::Failed(_)) => {}
        }
    }
    before.into_values().chain(events).collect()
}

/// What a service's log says, since a moment. A process that was started again begins with no level and closed breakers.
pub(crate) fn of_log(service: &str, log: &str, zero: SystemTime) -> Vec<Event> {
    let mut events = Vec::new();
    let mut now: BTreeMap<Name, String> = BTreeMap::new();
    for line in log.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let Some(at) = time(&line) else { continue };
        let at = at.duration_since(zero).ok();
        let field = |name: &str| line.pointer(&format!("/fields/{name}")).and_then(Value::as_str);
        let event = |what| (at, Event { at: Duration::ZERO, service: service.to_owned(), what });
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
        if let Some((_, Event { what: What::Changed { name, to, .. }, .. })) = events.last() {
            now.insert(name.clone(), to.clone());
        }
    }
    since_begin(events)
}

fn time(line: &Value) -> Option<SystemTime> {
    humantime::parse_rfc3339(line.get("timestamp")?.as_str()?).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wrong_before_the_begin_still_is() {
        let line = |at: &str, breaker: &str, from: &str, to: &str| {
            serde_json::json!({ "timestamp": format!("2026-11-22T10:00:{at}Z"), "fields": {
                "message": "breaker changed its state", "breaker": breaker, "from": from, "to": to, "cause": "it",
            } })
            .to_string()
        };
        let log = [
            line("01", "redis", "Closed", "Open"),
            line("02", "database", "Closed", "Open"),
            line("03", "redis", "Open", "Closed"),
            line("12", "database", "Open", "Closed"),
        ];
        let zero = humantime::parse_rfc3339("2026-11-22T10:00:10Z").unwrap();
        let events = of_log("gateway", &log.join("\n"), zero);
        let changes: Vec<_> = events.iter().filter_map(Event::change).collect();
        let told: Vec<_> = changes.iter().map(|it| (it.at_ms, it.what.as_str(), it.to.as_str())).collect();
        assert_eq!(told, [(0, "database", "open"), (2_000, "database", "closed")]);
    }
}
