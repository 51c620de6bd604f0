use std::sync::Arc;
use std::time::Duration;

use mainstay_health::{Check, CheckReport, ErrorClass, HealthManager, Internal, Probe, RunReport};

/// Longer than anything here takes on the slowest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A manager with one check, which is asked when the test says so and whose every result counts.
pub(crate) fn asking(probe: Probe) -> HealthManager {
    asking_check(Check::internal("it", probe))
}

pub(crate) fn asking_check(check: Check<Internal>) -> HealthManager {
    let check = check.failure_threshold(1).success_threshold(1).interval(2 * LIMIT).timeout(LIMIT);
    let gap = Duration::from_nanos(1);
    let health = HealthManager::builder("orders").check(check).check_now_gap(gap).build().unwrap();
    health.start().unwrap();
    health
}

/// The check's report after one more run.
pub(crate) async fn ask(health: &HealthManager) -> Arc<CheckReport> {
    let asked = health.check_now("it");
    tokio::time::timeout(LIMIT, asked).await.expect("it does not answer").unwrap()
}

/// What one run of it finds.
pub(crate) async fn find(probe: Probe) -> RunReport {
    ask(&asking(probe)).await.last.clone().unwrap()
}

pub(crate) fn class(run: &RunReport) -> Option<ErrorClass> {
    run.error.as_ref().map(|error| error.class())
}

/// A figure among the details.
pub(crate) fn figure(run: &RunReport, key: &str) -> f64 {
    run.details.get(key).and_then(|value| value.as_f64()).unwrap_or_else(|| panic!("no {key}: {run:?}"))
}
