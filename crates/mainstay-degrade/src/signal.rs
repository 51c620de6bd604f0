use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use mainstay_core::{Bell, ConfigError, Name, Watch};

use crate::judge::SignalFigure;

/// A figure of your own that makes levels: the length of a queue, the age of a replica. Clones set the same.
///
/// ```
/// use mainstay_degrade::Signal;
///
/// let queue = Signal::new("queue_length").minor(1_000.0).severe(10_000.0);
/// queue.set(12.0);
/// ```
#[derive(Clone)]
pub struct Signal {
    name: String,
    thresholds: [Option<f64>; 3],
    shared: Arc<Shared>,
}

/// Far beyond what anybody measures.
const LARGEST: f64 = 1e30;

pub(crate) struct Shared {
    /// The bits of the value.
    value: AtomicU64,
    /// Those who look now and then, and want to know what it was in between.
    peaks: ArcSwap<Vec<Weak<Peak>>>,
    bell: Arc<Bell>,
}

/// The largest value since somebody looked last.
#[derive(Debug)]
pub(crate) struct Peak(AtomicU64);

impl Default for Peak {
    fn default() -> Self {
        Self(AtomicU64::new(f64::NEG_INFINITY.to_bits()))
    }
}

impl Peak {
    fn raise(&self, value: f64) {
        let order = Ordering::AcqRel;
        let larger = |known: u64| (value > f64::from_bits(known)).then_some(value.to_bits());
        // It is refused only where it is not larger.
        let _ = self.0.fetch_update(order, Ordering::Acquire, larger);
    }

    /// The largest value since the last time.
    pub(crate) fn take(&self) -> f64 {
        f64::from_bits(self.0.swap(f64::NEG_INFINITY.to_bits(), Ordering::AcqRel))
    }
}

impl Signal {
    /// A signal of this name, at zero, that makes no level yet.
    pub fn new(name: impl Into<String>) -> Self {
        let shared =
            Shared { value: AtomicU64::new(0.0_f64.to_bits()), peaks: ArcSwap::default(), bell: Bell::new() };
        Self { name: name.into(), thresholds: [None; 3], shared: Arc::new(shared) }
    }

    /// From this value on the level is at least minor.
    #[must_use]
    pub fn minor(mut self, from: f64) -> Self {
        self.thresholds[0] = Some(from);
        self
    }

    /// From this value on the level is at least moderate.
    #[must_use]
    pub fn moderate(mut self, from: f64) -> Self {
        self.thresholds[1] = Some(from);
        self
    }

    /// From this value on the level is severe.
    #[must_use]
    pub fn severe(mut self, from: f64) -> Self {
        self.thresholds[2] = Some(from);
        self
    }

    /// Sets it. The level follows at once. What is not a number counts as zero; what is beyond 1e30 either way as that.
    pub fn set(&self, value: f64) {
        let value = if value.is_nan() { 0.0 } else { value.clamp(-LARGEST, LARGEST) };
        // Before the value, so that whoever sees the value has seen the peak.
        for peak in self.shared.peaks.load().iter().filter_map(Weak::upgrade) {
            peak.raise(value);
        }
        if self.shared.value.swap(value.to_bits(), Ordering::AcqRel) != value.to_bits() {
            self.shared.bell.ring();
        }
    }

    /// What it is set to.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.shared.value.load(Ordering::Acquire))
    }

    pub(crate) fn validate(&self) -> Result<Name, ConfigError> {
        let name = Name::new(&self.name).map_err(|error| error.within("signal"))?;
        let mut least = f64::NEG_INFINITY;
        for (level, from) in crate::Level::DEGRADED.into_iter().zip(self.thresholds) {
            let Some(from) = from else { continue };
            let field = || format!("signal[{name}].{level}");
            if !(-LARGEST..=LARGEST).contains(&from) {
                return Err(ConfigError::new(field(), from, "must be a number from -1e30 to 1e30"));
            }
            if from < least {
                return Err(ConfigError::new(field(), from, "must not be less than that of a better level"));
            }
            least = from;
        }
        Ok(name)
    }

    pub(crate) fn figure(&self, name: Name) -> SignalFigure {
        SignalFigure { name, value: self.get(), thresholds: self.thresholds }
    }

    /// What it is at most between two looks of one who looks.
    pub(crate) fn peak(&self) -> Arc<Peak> {
        let peak = Arc::new(Peak::default());
        self.shared.peaks.rcu(|peaks| {
            let live = peaks.iter().filter(|peak| peak.strong_count() > 0).cloned();
            live.chain([Arc::downgrade(&peak)]).collect::<Vec<_>>()
        });
        peak
    }

    pub(crate) fn watch(&self) -> Watch {
        self.shared.bell.watch()
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("name", &self.name).field("value", &self.get()).finish_non_exhaustive()
    }
}
