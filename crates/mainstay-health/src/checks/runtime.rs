use std::time::Duration;

use mainstay_core::Clock;
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio::time::sleep;

use crate::{CheckError, CheckOutcome, ErrorClass, IntoProbe, Probe, Rule};

/// How many times it looks in one run.
const SAMPLES: u32 = 5;

/// How long each of them sleeps.
const NAP: Duration = Duration::from_millis(10);

/// How late the tokio runtime runs its tasks. A runtime that is late answers everything late, whatever is healthy behind it;
/// mostly somebody blocks its threads.
///
/// It watches the runtime in which this function is called, or else the one that the manager runs its checks on. In a run it
/// spawns five tasks there, one after the other, that sleep for 10 ms each. The detail `lag_ms` is the longest time in
/// milliseconds that one of them waited for its first turn, or was woken too late. Timers are good to a millisecond, so
/// that an idle runtime shows up to 2 ms.
///
/// Its rule: degraded above 50 ms until 25 ms. These figures are our choice: a request that takes a few such turns is then
/// slower than people take for immediate, and a loaded runtime that nobody blocks stays well below. A runtime that stands
/// still for longer than the check's time-out is [`TimedOut`](crate::Reason::TimedOut), if the manager has another one to
/// notice it; see [`runtime`](crate::HealthManagerBuilder::runtime).
pub fn runtime_lag() -> Probe {
    let watched = Handle::try_current().ok();
    let probe = move || {
        let watched = watched.clone();
        async move {
            match worst(&watched.unwrap_or_else(Handle::current)).await {
                Ok(lag) => CheckOutcome::healthy().detail("lag_ms", lag.as_micros() as f64 / 1000.0),
                Err(error) => CheckOutcome::failed(CheckError::from_error(ErrorClass::Other, &error)),
            }
        }
    };
    probe.into_probe().rule(Rule::above("lag_ms", 50.0, 25.0))
}

async fn worst(runtime: &Handle) -> Result<Duration, JoinError> {
    // Real time, also where the runtime's is paused: it is the threads' lateness that is asked for.
    let clock = Clock::monotonic();
    let mut worst = Duration::ZERO;
    for _ in 0..SAMPLES {
        let spawned = clock.now();
        let nap = {
            let clock = clock.clone();
            async move {
                let first = clock.now();
                sleep(NAP).await;
                let late = clock.now().saturating_sub(first).saturating_sub(NAP);
                late.max(first.saturating_sub(spawned))
            }
        };
        worst = worst.max(runtime.spawn(nap).await?);
    }
    Ok(worst)
}
