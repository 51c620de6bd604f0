//! Calls counted by route and phase. The gateway counts what it sends, the upstream what arrives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::lab::phase::{Phase, Route};

/// Says which route of the gateway a call took; set by the gateway.
pub(crate) const ROUTE: &str = "x-drill-route";
/// Says in which phase of the drill a call was meant to be sent; set by the load generator.
pub(crate) const PHASE: &str = "x-drill-phase";

/// Counters that all clones share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(Arc<Mutex<BTreeMap<(Route, Phase), u64>>>);

/// One counter, as it is sent over the wire.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) route: Route,
    pub(crate) phase: Phase,
    pub(crate) calls: u64,
}

fn word<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

// === impl Counts ===

impl Counts {
    /// Counts a call that the gateway forwards, whose headers these are.
    pub(crate) fn forwarded(&self, headers: &HeaderMap) {
        if let Some(route) = word(headers, ROUTE).and_then(Route::from_name) {
            self.call(route, headers);
        }
    }

    /// Counts a call that took a route. One that is not part of a drill is not counted.
    pub(crate) fn call(&self, route: Route, headers: &HeaderMap) {
        if let Some(phase) = word(headers, PHASE).and_then(Phase::from_name) {
            self.add(Count { route, phase, calls: 1 });
        }
    }

    pub(crate) fn add(&self, count: Count) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counters.entry((count.route, count.phase)).or_default() += count.calls;
    }

    pub(crate) fn get(&self, route: Route, phase: Phase) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(route, phase)).copied().unwrap_or(0)
    }

    /// All counters that are not zero.
    pub(crate) fn rows(&self) -> Vec<Count> {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.iter().map(|(&(route, phase), &calls)| Count { route, phase, calls }).collect()
    }
}
