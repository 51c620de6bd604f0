use std::collections::BTreeMap;

use mainstay_core::{Name, Weight};
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::{DegradationManager, Mode, TrafficFigures};

const LEVEL: &str = "mainstay_degrade_level";
const DEPENDENCY_UP: &str = "mainstay_degrade_dependency_up";
const EVENTS: &str = "mainstay_degrade_events_total";
const DOWNGRADES: &str = "mainstay_degrade_mode_downgrades_total";
const FALLBACKS: &str = "mainstay_degrade_fallbacks_total";
const UNKNOWN: &str = "mainstay_degrade_unknown_operations_total";
const PARTIAL: &str = "mainstay_degrade_partial_results_total";
const ERROR_RATIO: &str = "mainstay_degrade_traffic_error_ratio";
const LATENCY: &str = "mainstay_degrade_traffic_latency_p95_seconds";

impl<M: Mode> DegradationManager<M> {
    /// Says to the recorder of the [`metrics`] crate how things are. Call it before its figures are read, for instance whenever
    /// `/metrics` is asked for.
    ///
    /// | metric | kind | labels |
    /// | --- | --- | --- |
    /// | `mainstay_degrade_level` | gauge: 0 none, 1 minor, 2 moderate, 3 severe | |
    /// | `mainstay_degrade_dependency_up` | gauge: 1, or 0 while it is down | `dependency`; `type`: `overall`, `circuit_breaker`, `critical_check`, `check` |
    /// | `mainstay_degrade_events_total` | counter: the level rose | `level`, `reason` |
    /// | `mainstay_degrade_mode_downgrades_total` | counter | `from`, `to`, `reason` |
    /// | `mainstay_degrade_fallbacks_total` | counter: an operation did not proceed | `operation`, `behavior` |
    /// | `mainstay_degrade_unknown_operations_total` | counter | |
    /// | `mainstay_degrade_partial_results_total` | counter: not all parts succeeded | `workflow`, `reason`, `outcome`: `accepted`, `rejected` |
    /// | `mainstay_degrade_traffic_error_ratio` | gauge: 0 to 1; 0 with too few requests | |
    /// | `mainstay_degrade_traffic_latency_p95_seconds` | gauge; 0 with too few requests | |
    ///
    /// No label holds what came from a request. A dependency has its `type` from its first outage on.
    pub fn publish(&self) {
        describe();
        gauge!(LEVEL).set(f64::from(self.level().as_number()));
        let traffic = self.observer().figures();
        let figure = |figure: fn(&TrafficFigures) -> f64| traffic.as_ref().map_or(0.0, figure);
        gauge!(ERROR_RATIO).set(figure(|traffic| traffic.error_rate));
        gauge!(LATENCY).set(figure(|traffic| traffic.p95.as_secs_f64()));

        let mut overall: BTreeMap<Name, bool> = BTreeMap::new();
        for (name, kind, is_up) in self.dependencies() {
            *overall.entry(name).or_insert(true) &= is_up;
            if let Some(weight) = kind {
                up(name, kind_of(weight), is_up);
            }
        }
        overall.into_iter().for_each(|(name, is_up)| up(name, "overall", is_up));

        let stats = self.stats();
        for event in &stats.events {
            counter!(EVENTS, "level" => event.level.as_str(), "reason" => event.reason.as_str())
                .absolute(event.count);
        }
        for downgrade in &stats.downgrades {
            let reason = downgrade.reason.as_str();
            counter!(DOWNGRADES, "from" => downgrade.from, "to" => downgrade.to, "reason" => reason)
                .absolute(downgrade.count);
        }
        for fallback in &stats.fallbacks {
            let (operation, behavior) = (fallback.operation.as_str(), fallback.behavior.as_str());
            counter!(FALLBACKS, "operation" => operation, "behavior" => behavior).absolute(fallback.count);
        }
        counter!(UNKNOWN).absolute(stats.unknown_operations);
        for partial in &stats.partial_results {
            let workflow = partial.workflow.map_or("other", |name| name.as_str());
            let outcome = if partial.accepted { "accepted" } else { "rejected" };
            counter!(PARTIAL, "workflow" => workflow, "reason" => partial.reason.as_str(), "outcome" => outcome)
                .absolute(partial.count);
        }
    }
}

fn up(name: Name, kind: &'static str, is_up: bool) {
    gauge!(DEPENDENCY_UP, "dependency" => name.as_str(), "type" => kind).set(if is_up { 1.0 } else { 0.0 });
}

fn kind_of(weight: Weight) -> &'static str {
    match weight {
        Weight::Breaker => "circuit_breaker",
        Weight::Critical => "critical_check",
        _ => "check",
    }
}

fn describe() {
    describe_gauge!(
        LEVEL,
        "How much less than usual the service does: 0 none, 1 minor, 2 moderate, 3 severe"
    );
    describe_gauge!(DEPENDENCY_UP, "1, or 0 while the dependency is down");
    describe_counter!(EVENTS, "How often the level rose to this one");
    describe_counter!(DOWNGRADES, "How often a mode was granted that is less than what was asked for");
    describe_counter!(FALLBACKS, "How often an operation did not simply proceed");
    describe_counter!(UNKNOWN, "How often an operation without rules was asked for");
    describe_counter!(PARTIAL, "How often an answer was made, or not, of some of its parts");
    describe_gauge!(ERROR_RATIO, "The share of the service's own requests that fail");
    describe_gauge!(LATENCY, Unit::Seconds, "How long 95 of 100 of the service's own requests take at most");
}
