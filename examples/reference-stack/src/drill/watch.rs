//! Watches a stack that runs elsewhere, by the metrics on its admin ports: what it says there is sampled, so causes are not known and times
//! are as exact as the questions are frequent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::apart::Asker;
use crate::drill::changes::{Event, Name, What, since_begin};

const EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(2);

/// Those who ask, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    events: Arc<Mutex<Vec<(Instant, Event)>>>,
    watchers: Vec<JoinHandle<()>>,
}

// === impl Watch ===

impl Watch {
    /// Asks these admin ports, each with the name of its service.
    pub(crate) fn begin(admins: &[(String, String)]) -> Self {
        let events = Arc::default();
        let watchers = admins.iter().map(|(service, admin)| {
            let url = format!("{}/metrics", admin.trim_end_matches('/'));
            tokio::spawn(watch(service.clone(), url, Arc::clone(&events)))
        });
        let watchers = watchers.collect();
        Self { events, watchers }
    }

    /// What has changed since a moment.
    pub(crate) fn events(&self, zero: Instant) -> Vec<Event> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        since_begin(events.iter().map(|(at, event)| (at.checked_duration_since(zero), event.clone())))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watchers.iter().for_each(JoinHandle::abort);
    }
}

async fn watch(service: String, url: String, events: Arc<Mutex<Vec<(Instant, Event)>>>) {
    let asker = Asker::new();
    let mut turns = interval(EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: BTreeMap<Name, &'static str> = BTreeMap::new();
    loop {
        turns.tick().await;
        let Ok(metrics) = asker.text(&url, PATIENCE).await else { continue };
        let at = Instant::now();
        for (name, to) in states(&metrics) {
            let first = if name == Name::Level { "none" } else { "closed" };
            let from = before.insert(name.clone(), to).unwrap_or(first);
            if from == to {
                continue;
            }
            let (from, to, cause) = (from.to_owned(), to.to_owned(), "seen in its metrics".to_owned());
            let what = What::Changed { name, from, to, cause };
            let event = Event { at: Duration::ZERO, service: service.clone(), what };
            events.lock().unwrap_or_else(PoisonError::into_inner).push((at, event));
        }
    }
}

/// The level and the breakers' states.
pub(crate) fn states(metrics: &str) -> BTreeMap<Name, &'static str> {
    let mut states = BTreeMap::new();
    for line in metrics.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let value: f64 = value.parse().unwrap_or_default();
        let label = |name: &str| {
            let (_, rest) = series.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        match series.split('{').next() {
            Some("mainstay_degrade_level") => {
                let level = if value < 0.5 {
                    "none"
                } else if value < 1.5 {
                    "minor"
                } else if value < 2.5 {
                    "moderate"
                } else {
                    "severe"
                };
                states.insert(Name::Level, level);
            }
            Some("mainstay_breaker_state") => {
                let state = if value < 0.5 {
                    "closed"
                } else if value < 1.5 {
                    "half-open"
                } else {
                    "open"
                };
                states.extend(label("breaker").map(|breaker| (Name::Breaker(breaker), state)));
            }
            _ => {}
        }
    }
    states
}
