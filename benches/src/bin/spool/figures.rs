//! What comes of a run.

use std::time::{Duration, Instant};

use mainstay_benches::rounds;

use crate::disk;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Items a second that were accepted.
    pub(crate) rate: f64,
    /// Microseconds of a push.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Microseconds of processor time for an item, and for its delivery if the sink is up.
    pub(crate) cpu: f64,
    /// The share that was delivered when the last push ended.
    pub(crate) delivered: f64,
}

/// Counts from when it is made.
pub(crate) struct Stopwatch {
    begin: Instant,
    cpu: Duration,
}

/// What the writers saw.
pub(crate) struct Pushes {
    pub(crate) items: u64,
    pub(crate) took: Duration,
    /// Nanoseconds of each.
    pub(crate) nanos: Vec<u64>,
}

// === impl Figures ===

impl Figures {
    /// The median of each figure.
    pub(crate) fn median(runs: &[Self]) -> Self {
        let median =
            |figure: fn(&Self) -> f64| rounds::median(&mut runs.iter().map(figure).collect::<Vec<_>>());
        Self {
            rate: median(|run| run.rate),
            p50: median(|run| run.p50),
            p99: median(|run| run.p99),
            cpu: median(|run| run.cpu),
            delivered: median(|run| run.delivered),
        }
    }
}

// === impl Stopwatch ===

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { begin: Instant::now(), cpu: disk::cpu() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// To be asked when all has been done that shall be counted.
    pub(crate) fn figures(&self, mut pushes: Pushes, delivered: u64) -> Figures {
        let items = pushes.items as f64;
        let cpu = disk::cpu().saturating_sub(self.cpu);
        pushes.nanos.sort_unstable();
        let micros = |share: f64| {
            let index = (pushes.nanos.len() as f64 * share) as usize;
            pushes.nanos.get(index).map_or(f64::NAN, |nanos| *nanos as f64 / 1e3)
        };
        Figures {
            rate: items / pushes.took.as_secs_f64(),
            p50: micros(0.5),
            p99: micros(0.99),
            cpu: cpu.as_secs_f64() * 1e6 / items,
            delivered: delivered as f64 / items,
        }
    }
}
