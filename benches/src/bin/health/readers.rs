use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use mainstay_benches::budget::Budget;
use mainstay_benches::call::{Call, Failure, Loop, again};
use mainstay_benches::calls::health::{self, READY, REPORT, manager};
use mainstay_benches::table::{self, Effort};
use mainstay_health::{Clock, Report};

/// What each reader is compared with.
const FLOOR: [Call; 3] = [
    Call { name: "an atomic load and the coarse clock", make: clock },
    Call { name: LOAD, make: || swap(|swap| swap.load().epoch()) },
    Call { name: LOAD_FULL, make: || swap(|swap| swap.load_full()) },
];

const LOAD: &str = "`ArcSwap::load`";
const LOAD_FULL: &str = "`ArcSwap::load_full`";

/// All of them.
pub(crate) fn calls() -> Vec<Call> {
    [FLOOR.as_slice(), &health::CALLS].concat()
}

fn clock() -> Result<Loop, Failure> {
    let (number, clock) = (AtomicU64::new(u64::MAX), Clock::monotonic());
    again(move || clock.coarse_nanos() < number.load(Ordering::Acquire))
}

fn swap<T>(read: impl Fn(&ArcSwap<Arc<Report>>) -> T + 'static) -> Result<Loop, Failure> {
    let (_runtime, health) = manager()?;
    let swap = ArcSwap::from_pointee(health.report());
    again(move || read(&swap))
}

pub(crate) fn measure(page: &mut String, effort: Effort) -> Result<Vec<Budget>, Failure> {
    let figures = table::measure(&calls(), "health", effort)?;
    *page += &table::rows("reader", &figures);
    let nanos = |name| table::find(&figures, name).nanos;
    let (ready, report, load, load_full) = (nanos(READY), nanos(REPORT), nanos(LOAD), nanos(LOAD_FULL));
    let most = figures.iter().filter_map(|call| call.allocations).fold(0.0, f64::max);
    Ok(vec![
        Budget::new("`is_ready()` ≤ 8 ns", format!("{ready:.1} ns"), ready <= 8.0),
        Budget::new(
            "`report()` ≤ 2 × an `ArcSwap` load (`load_full`: both give an `Arc` to keep)",
            format!("{:.2} × `load_full`, {:.2} × `load`", report / load_full, report / load),
            report <= 2.0 * load_full,
        ),
        Budget::new("no reader allocates", format!("{most} at most"), most == 0.0),
    ])
}
