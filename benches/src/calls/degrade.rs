//! Questions to the degradation manager, and what the traffic tells it.

use std::hint::black_box;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use mainstay_core::Verdict;
use mainstay_degrade::{DegradationManager, ExecutionMode, Level};

use crate::call::{Call, Failure, Loop, again};

/// All of them.
pub const CALLS: [Call; 9] = [
    Call { name: "an atomic load", make: load },
    Call { name: LEVEL, make: || well(|degrade| degrade.level()) },
    Call { name: MODE, make: || well(mode) },
    Call { name: "`mode(Complex)`, minor", make: || minor(mode) },
    Call { name: "`behavior(known)`, nothing degraded", make: || well(behavior) },
    Call { name: "`behavior(known)`, minor", make: || minor(behavior) },
    Call { name: "`partial(known).decide(..)`, nothing degraded", make: || well(partial) },
    Call { name: "`partial(known).decide(..)`, minor", make: || minor(partial) },
    Call { name: "`observe(Success, 5 ms)`", make: || well(observe) },
];

/// Has a budget.
pub const LEVEL: &str = "`level()`";

/// Has a budget.
pub const MODE: &str = "`mode(Complex)`, nothing degraded";

fn load() -> Result<Loop, Failure> {
    let load = AtomicU8::new(0);
    again(move || load.load(Ordering::Acquire))
}

fn well<T>(ask: impl Fn(&DegradationManager) -> T + 'static) -> Result<Loop, Failure> {
    let degrade = DegradationManager::builder().build()?;
    again(move || ask(&degrade))
}

fn minor<T>(ask: impl Fn(&DegradationManager) -> T + 'static) -> Result<Loop, Failure> {
    let degrade = DegradationManager::builder().build()?;
    degrade.pin(Level::Minor, Duration::from_secs(3_600))?;
    again(move || ask(&degrade))
}

// Never inlined, as in a program that asks in more than one place; otherwise what the two loops have in common decides it.
#[inline(never)]
fn mode(degrade: &DegradationManager) -> impl Sized + use<> {
    degrade.mode(black_box(ExecutionMode::Complex))
}

#[inline(never)]
fn behavior(degrade: &DegradationManager) -> impl Sized + use<> {
    degrade.behavior(black_box("llm_generation"))
}

#[inline(never)]
fn partial(degrade: &DegradationManager) -> impl Sized + use<> {
    degrade.partial(black_box("agent_dag")).decide(3, 5)
}

fn observe(degrade: &DegradationManager) {
    degrade.observe(Verdict::Success, black_box(Duration::from_millis(5)));
}
