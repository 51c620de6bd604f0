//! Readers of the health manager.

use mainstay_health::{Check, HealthManager};
use tokio::runtime::Runtime;

use crate::call::{Call, Failure, Loop, again};

/// The manager's own readers.
pub const CALLS: [Call; 4] = [
    Call { name: READY, make: || reader(HealthManager::is_ready) },
    Call { name: "`is_live()`", make: || reader(HealthManager::is_live) },
    Call { name: "`is_started()`", make: || reader(HealthManager::is_started) },
    Call { name: REPORT, make: || reader(HealthManager::report) },
];

/// Has a budget.
pub const READY: &str = "`is_ready()`";

/// Has a budget.
pub const REPORT: &str = "`report()`";

/// A manager with ten checks that have passed, and the runtime that it runs on.
///
/// # Errors
///
/// Those of the runtime.
pub fn manager() -> Result<(Runtime, HealthManager), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut builder = HealthManager::builder("bench").runtime(runtime.handle().clone());
    for index in 0..10 {
        builder = builder.check(Check::exclusive(format!("check-{index}"), || async {}).critical());
    }
    let health = builder.build()?;
    health.start()?;
    runtime.block_on(async {
        let mut changes = health.subscribe();
        while !health.is_ready() {
            changes.changed().await;
        }
    });
    Ok((runtime, health))
}

fn reader<T>(read: impl Fn(&HealthManager) -> T + 'static) -> Result<Loop, Failure> {
    let (runtime, health) = manager()?;
    again(move || {
        let _running = &runtime;
        read(&health)
    })
}
