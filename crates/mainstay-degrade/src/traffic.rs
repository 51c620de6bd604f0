use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use mainstay_core::{Bell, Clock, Verdict, Watch};

use crate::{Level, Thresholds};

/// How many slices the window has; the current, partial one is one of them.
const SLICES: u64 = 10;
/// How long a slice is: ten of them are the 30 s of the window.
const SLICE: Duration = Duration::from_secs(3);
/// From how many requests on the traffic counts.
const LEAST: u64 = 20;
/// How many moments of a quarter of a second are remembered.
const MOMENTS: u64 = 8;
/// By how many standard deviations of chance a moment must be worse than a threshold.
const SURE: f64 = 3.0;
/// How many threads have a place of their own; more than these share places.
const PLACES: usize = 16;
/// Latency is that of all but this share.
const SLOW: f64 = 0.05;
/// The longest latency that is told apart from longer ones.
pub(crate) const LONGEST: Duration = Duration::from_secs(60 * 60);
/// The same in microseconds.
const LONGEST_US: u64 = 3_600_000_000;
/// How often failures wake who looks at most.
pub(crate) const LEAST_WAIT: Duration = Duration::from_millis(100);

/// Takes notice of the service's own requests: how many fail, and how long they take. Cheap to clone, cheap for every request:
/// a reading of the coarse clock and a lock that hardly anybody else wants.
///
/// The window is the last 30 s, in ten slices of which the current, partial one is one; it counts from 20 requests on. Latency is the
/// 95th percentile, to two digits.
#[derive(Clone)]
pub struct Observer {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    limits: Limits,
    places: Vec<Mutex<Place>>,
    /// When failures may wake who looks again.
    quiet_until: AtomicU64,
    bell: Arc<Bell>,
}

/// What one thread, or a few, have seen.
#[derive(Default)]
struct Place {
    slices: Vec<Slice>,
    moments: [Moment; MOMENTS as usize],
}

/// What a quarter of a second was like, to see at once whether what was shed comes back too fast.
#[derive(Clone, Copy, Default)]
struct Moment {
    /// Which moment of the clock's time it is.
    number: u64,
    requests: u64,
    failures: u64,
    /// Those that took as long as each level's latency.
    slow: [u64; 3],
}

/// From which figures on the traffic is evidence for each level, from minor to severe.
#[derive(Debug, Default)]
struct Limits([Limit; 3]);

/// Relaxed: a request that is judged by a limit that has just changed is one of many.
#[derive(Debug, Default)]
struct Limit {
    /// The bits of the share; zero if it is not used.
    error_rate: AtomicU64,
    /// In nanoseconds; zero if it is not used.
    latency: AtomicU64,
}

impl Limit {
    fn is_slow(&self, latency: Duration) -> bool {
        let limit = self.latency.load(Ordering::Relaxed);
        limit > 0 && nanos(latency) >= limit
    }

    fn error_rate(&self) -> Option<f64> {
        Some(f64::from_bits(self.error_rate.load(Ordering::Relaxed))).filter(|limit| *limit > 0.0)
    }
}

impl Moment {
    fn level(&self, limits: &Limits) -> Level {
        if self.requests < LEAST {
            return Level::None;
        }
        // Few requests reach a share by chance now and then; it is asked many times.
        let reaches = |count: u64, share: f64| {
            let (requests, count) = (self.requests as f64, count as f64);
            count >= requests * share + SURE * (requests * share * (1.0 - share)).sqrt()
        };
        let levels = Level::DEGRADED.into_iter().zip(&limits.0).zip(self.slow);
        let reached = levels.filter(|((_, limit), slow)| {
            limit.error_rate().is_some_and(|share| reaches(self.failures, share)) || reaches(*slow, SLOW)
        });
        reached.map(|((level, _), _)| level).max().unwrap_or_default()
    }
}

struct Slice {
    /// Which slice of the clock's time it is; nothing if it is not used yet.
    number: Option<u64>,
    failures: u64,
    /// Of successes and failures, in microseconds.
    latencies: Histogram<u32>,
}

/// What the traffic of the window was like, if there was enough of it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrafficFigures {
    /// How many requests were successes or failures.
    pub requests: u64,
    /// The share of failures: 0 to 1.
    pub error_rate: f64,
    /// How long 95 of 100 of them took at most.
    pub p95: Duration,
}

impl Observer {
    pub(crate) fn new(clock: Clock, thresholds: &Thresholds) -> Self {
        let places = (0..PLACES).map(|_| Mutex::default()).collect();
        let (limits, quiet_until) = (Limits::default(), AtomicU64::new(0));
        let observer =
            Self { shared: Arc::new(Shared { clock, limits, places, quiet_until, bell: Bell::new() }) };
        observer.limit(thresholds);
        observer
    }

    /// Judges the last moments by these thresholds from now on.
    pub(crate) fn limit(&self, thresholds: &Thresholds) {
        for (level, limit) in Level::DEGRADED.into_iter().zip(&self.shared.limits.0) {
            let Some(figures) = thresholds.of(level) else { continue };
            limit.error_rate.store(figures.error_rate.to_bits(), Ordering::Relaxed);
            limit.latency.store(nanos(figures.latency), Ordering::Relaxed);
        }
    }

    /// Takes notice of a request. One to ignore is not counted: a rejection by a breaker, an answer that says that it is
    /// degraded, a request that was shed. Their breaker counts already, and what the level itself does is no evidence for it.
    pub fn observe(&self, verdict: Verdict, latency: Duration) {
        if verdict == Verdict::Ignore {
            return;
        }
        let shared = &self.shared;
        let now = shared.clock.coarse();
        let failure = verdict == Verdict::Failure;
        if let Some(place) = shared.places.get(place_of_thread()) {
            let slow = shared.limits.0.each_ref().map(|limit| limit.is_slow(latency));
            let mut place = lock(place);
            place.record(slice_of(now), failure, latency);
            place.remember(moment_of(now), failure, slow);
        }
        if failure {
            self.ring(now);
        }
    }

    /// A failure is felt at once; many of them are felt ten times a second.
    fn ring(&self, now: Duration) {
        let quiet_until = self.shared.quiet_until.load(Ordering::Relaxed);
        let next = nanos(now.saturating_add(LEAST_WAIT));
        let order = Ordering::Relaxed;
        if nanos(now) >= quiet_until
            && self.shared.quiet_until.compare_exchange(quiet_until, next, order, order).is_ok()
        {
            self.shared.bell.ring();
        }
    }

    /// What the last 30 s were like; nothing with fewer than 20 requests.
    pub fn figures(&self) -> Option<TrafficFigures> {
        let newest = slice_of(self.shared.clock.coarse());
        let mut all = latencies()?;
        let mut failures = 0;
        for place in &self.shared.places {
            let place = lock(place);
            for slice in place
                .slices
                .iter()
                .filter(|slice| slice.number.is_some_and(|number| newest.saturating_sub(number) < SLICES))
            {
                failures += slice.failures;
                // They have the same bounds.
                let _ = all.add(&slice.latencies);
            }
        }
        let requests = all.len();
        (requests >= LEAST).then(|| TrafficFigures {
            requests,
            error_rate: failures as f64 / requests as f64,
            p95: Duration::from_micros(all.value_at_quantile(1.0 - SLOW)),
        })
    }

    /// The level that the last second, or the last two, reach by themselves. A few requests that went wrong by chance reach none.
    pub(crate) fn bad_now(&self) -> Level {
        let newest = moment_of(self.shared.clock.coarse());
        let mut all = [Moment::default(); 2];
        for place in &self.shared.places {
            for moment in lock(place).moments {
                let age = newest.saturating_sub(moment.number);
                for (all, moments) in all.iter_mut().zip([MOMENTS / 2, MOMENTS]) {
                    if age < moments {
                        all.requests += moment.requests;
                        all.failures += moment.failures;
                        all.slow.iter_mut().zip(moment.slow).for_each(|(all, slow)| *all += slow);
                    }
                }
            }
        }
        all.iter().map(|moment| moment.level(&self.shared.limits)).max().unwrap_or_default()
    }

    #[cfg(feature = "tower")]
    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(crate) fn watch(&self) -> Watch {
        self.shared.bell.watch()
    }
}

impl Place {
    fn record(&mut self, number: u64, failure: bool, latency: Duration) {
        let known = self.slices.iter().position(|slice| slice.number == Some(number));
        let index = match known {
            Some(index) => index,
            None => match self.begin(number) {
                Some(index) => index,
                None => return,
            },
        };
        if let Some(slice) = self.slices.get_mut(index) {
            slice.failures += u64::from(failure);
            slice.latencies.saturating_record(micros(latency).clamp(1, LONGEST_US));
        }
    }

    fn remember(&mut self, number: u64, failure: bool, slow: [bool; 3]) {
        let Some(moment) = self.moments.get_mut((number % MOMENTS) as usize) else { return };
        match number.cmp(&moment.number) {
            std::cmp::Ordering::Less => return,
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => *moment = Moment { number, ..Moment::default() },
        }
        moment.requests += 1;
        moment.failures += u64::from(failure);
        moment.slow.iter_mut().zip(slow).for_each(|(count, slow)| *count += u64::from(slow));
    }

    /// A slice begins: in the place of the oldest. What was read off the clock before all of them is out of the window.
    fn begin(&mut self, number: u64) -> Option<usize> {
        if self.slices.is_empty() {
            // All at once, so that nothing is allocated later.
            let slices =
                (0..SLICES).map(|_| Some(Slice { number: None, failures: 0, latencies: latencies()? }));
            self.slices = slices.collect::<Option<_>>()?;
        }
        let (index, slice) = self.slices.iter_mut().enumerate().min_by_key(|(_, slice)| slice.number)?;
        if slice.number.is_some_and(|oldest| oldest > number) {
            return None;
        }
        slice.number = Some(number);
        slice.failures = 0;
        slice.latencies.reset();
        Some(index)
    }
}

/// An empty histogram from a microsecond to an hour, to two digits. These bounds are accepted.
fn latencies() -> Option<Histogram<u32>> {
    Histogram::new_with_bounds(1, LONGEST_US, 2).ok()
}

fn slice_of(now: Duration) -> u64 {
    now.as_secs() / SLICE.as_secs()
}

thread_local! {
    static PLACE: usize = NEXT_PLACE.fetch_add(1, Ordering::Relaxed) % PLACES;
}

static NEXT_PLACE: AtomicUsize = AtomicUsize::new(0);

/// Threads get the places in turn. At its end a thread may have none any more.
fn place_of_thread() -> usize {
    PLACE.try_with(|place| *place).unwrap_or_default()
}

fn moment_of(now: Duration) -> u64 {
    // Not by `as_millis`: a division of 128 bits takes longer than all the rest.
    now.as_secs().saturating_mul(4).saturating_add(u64::from(now.subsec_millis() / 250))
}

/// Rounded up.
fn micros(time: Duration) -> u64 {
    let of_second = u64::from(time.subsec_nanos().div_ceil(1_000));
    time.as_secs().saturating_mul(1_000_000).saturating_add(of_second)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn lock(place: &Mutex<Place>) -> MutexGuard<'_, Place> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("figures", &self.figures()).finish()
    }
}
