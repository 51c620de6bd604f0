use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::Sleep;
use crate::wakers::Wakers;

/// Monotonic time, injected.
///
/// Points in time are durations since the clock's zero. A clock is cheap to clone, and all clones tell the same
/// time. Three kinds exist:
///
/// - [`Clock::monotonic`], the default: the system's monotonic clock. Its zero is the first use in the process.
/// - [`Clock::tokio`] (feature `tokio`): tokio's clock, so that tests with paused time work end to end.
/// - [`Clock::manual`]: stands still until its [`ManualClock`] is advanced; for tests and simulations.
///
/// [`coarse`](Clock::coarse) is the cheap reading: on Linux the kernel's coarse monotonic clock, which lags the
/// precise one by at most one tick (1 to 10 ms, by the kernel's configuration) and never leads it. Deadlines are
/// set from the precise reading, so one that is compared with the coarse reading is never early and late by at
/// most a tick. On other systems, and for the tokio and manual clocks, both readings are the same.
///
/// ```
/// use std::time::Duration;
/// use mainstay_core::Clock;
///
/// let (clock, time) = Clock::manual();
/// assert_eq!(clock.now(), Duration::ZERO);
/// time.advance(Duration::from_millis(250));
/// assert_eq!(clock.now(), Duration::from_millis(250));
/// ```
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    Monotonic {
        zero: u64,
    },
    Manual(Arc<Hands>),
    #[cfg(feature = "tokio")]
    Tokio {
        zero: tokio::time::Instant,
    },
}

/// Moves the time of a manual [`Clock`]. All clones move the same clock.
#[derive(Clone)]
pub struct ManualClock(Arc<Hands>);

pub(crate) struct Hands {
    /// Nanoseconds since zero.
    now: AtomicU64,
    pub(crate) moved: Wakers,
}

// === impl Clock ===

impl Clock {
    /// The system's monotonic clock. All monotonic clocks of a process share one zero.
    pub fn monotonic() -> Self {
        Self(Source::Monotonic { zero: monotonic::zero() })
    }

    /// A clock that stands at zero until it is advanced, and the hand that advances it.
    pub fn manual() -> (Self, ManualClock) {
        let hands = Arc::new(Hands { now: AtomicU64::new(0), moved: Wakers::default() });
        (Self(Source::Manual(hands.clone())), ManualClock(hands))
    }

    /// Tokio's clock: real time, or the paused time of `#[tokio::test(start_paused = true)]`. Its zero is its
    /// creation. Create it inside the runtime whose time it shall follow. Outside a runtime it tells real time.
    #[cfg(feature = "tokio")]
    pub fn tokio() -> Self {
        Self(Source::Tokio { zero: tokio::time::Instant::now() })
    }

    /// The time since the clock's zero, to the nanosecond.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.now_nanos())
    }

    /// The cheap reading: at most one tick behind [`now`](Self::now), never ahead of it.
    pub fn coarse(&self) -> Duration {
        Duration::from_nanos(self.coarse_nanos())
    }

    /// [`now`](Self::now) in nanoseconds; stands at `u64::MAX` after 584 years.
    #[inline]
    pub fn now_nanos(&self) -> u64 {
        match &self.0 {
            Source::Monotonic { zero } => monotonic::precise().saturating_sub(*zero),
            Source::Manual(hands) => hands.now.load(Ordering::SeqCst),
            #[cfg(feature = "tokio")]
            Source::Tokio { zero } => nanos(tokio::time::Instant::now().saturating_duration_since(*zero)),
        }
    }

    /// [`coarse`](Self::coarse) in nanoseconds.
    #[inline]
    pub fn coarse_nanos(&self) -> u64 {
        match &self.0 {
            Source::Monotonic { zero } => monotonic::coarse().saturating_sub(*zero),
            _ => self.now_elsewhere(),
        }
    }

    /// Apart, so that the usual clock is read without making room for these.
    #[inline(never)]
    fn now_elsewhere(&self) -> u64 {
        self.now_nanos()
    }

    /// The wall time of a point of this clock, for display. It is reckoned back from the present, so a stepped
    /// wall clock moves it. A manual clock's zero is the Unix epoch, so that its wall times are repeatable.
    pub fn wall(&self, at: Duration) -> SystemTime {
        match &self.0 {
            Source::Manual(_) => SystemTime::UNIX_EPOCH.checked_add(at).unwrap_or(SystemTime::UNIX_EPOCH),
            _ => {
                let (wall, now) = (SystemTime::now(), self.now());
                let then = if at <= now { wall.checked_sub(now - at) } else { wall.checked_add(at - now) };
                then.unwrap_or(wall)
            }
        }
    }

    /// A future that ends when this clock reaches `at`. It needs no runtime: the monotonic clock has a timer
    /// thread of its own; a manual clock wakes its sleepers when it is advanced; tokio's clock uses tokio's timer
    /// where one runs, else the timer thread.
    pub fn sleep_until(&self, at: Duration) -> Sleep {
        Sleep::new(self.clone(), at)
    }

    /// The time of the system's clock at which this one tells `at`, if both run alike.
    pub(crate) fn system_nanos(&self, at: Duration) -> u64 {
        match &self.0 {
            Source::Monotonic { zero } => zero.saturating_add(nanos(at)),
            _ => monotonic::precise().saturating_add(nanos(at.saturating_sub(self.now()))),
        }
    }

    /// Who must be told when it moves; none for a clock that moves by itself.
    pub(crate) fn hands(&self) -> Option<&Hands> {
        match &self.0 {
            Source::Manual(hands) => Some(hands),
            _ => None,
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn is_tokio(&self) -> bool {
        matches!(self.0, Source::Tokio { .. })
    }
}

impl Default for Clock {
    /// [`Clock::monotonic`].
    fn default() -> Self {
        Self::monotonic()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Source::Monotonic { .. } => "monotonic",
            Source::Manual(_) => "manual",
            #[cfg(feature = "tokio")]
            Source::Tokio { .. } => "tokio",
        };
        f.debug_struct("Clock").field("kind", &kind).field("now", &self.now()).finish()
    }
}

// === impl ManualClock ===

impl ManualClock {
    /// Moves the clock forward and wakes who sleeps until then. It stands still at 584 years instead of
    /// overflowing.
    pub fn advance(&self, by: Duration) {
        let by = nanos(by);
        let _ =
            self.0.now.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(now.saturating_add(by)));
        self.0.moved.wake_all();
    }

    /// The time since the clock's zero.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now.load(Ordering::SeqCst))
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("now", &self.now()).finish()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(target_os = "linux")]
pub(crate) mod monotonic {
    use std::sync::OnceLock;

    use rustix::time::{ClockId, clock_gettime};

    #[inline]
    fn read(id: ClockId) -> u64 {
        let time = clock_gettime(id);
        (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
    }

    #[inline]
    pub(crate) fn precise() -> u64 {
        read(ClockId::Monotonic)
    }

    #[inline]
    pub(crate) fn coarse() -> u64 {
        read(ClockId::MonotonicCoarse)
    }

    pub(crate) fn zero() -> u64 {
        static ZERO: OnceLock<u64> = OnceLock::new();
        *ZERO.get_or_init(precise)
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) mod monotonic {
    use std::sync::OnceLock;
    use std::time::Instant;

    fn start() -> Instant {
        static START: OnceLock<Instant> = OnceLock::new();
        *START.get_or_init(Instant::now)
    }

    pub(crate) fn precise() -> u64 {
        super::nanos(start().elapsed())
    }

    pub(crate) fn coarse() -> u64 {
        precise()
    }

    pub(crate) fn zero() -> u64 {
        start();
        0
    }
}
