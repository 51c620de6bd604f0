use std::any::Any;
use std::fmt;
#[cfg(feature = "metrics")]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
#[cfg(feature = "metrics")]
use mainstay_core::Condition;
use mainstay_core::{Bell, Clock, Kind, Name, Registered, StateSource, Weight, panics};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::books::column;
use crate::easing::Eases;
use crate::inputs::{Listened, Watched};
use crate::judge::{Figures, Judge, Judgement};
use crate::stats::Counts;
use crate::{Assessment, Cause, DownDependency, Level, Observer, Reason, Signal, Thresholds, What};

/// Where all inputs meet: the judge behind one lock, and what is published of it.
pub(crate) struct Board {
    pub(crate) name: Name,
    pub(crate) clock: Clock,
    sources: Vec<Watched>,
    /// How many looks were begun.
    looks: AtomicU64,
    pub(crate) signals: Vec<Listened>,
    pub(crate) traffic: Observer,
    /// The assessment's number and level in one: one load for who needs no more.
    word: AtomicU64,
    assessment: ArcSwap<Assessment>,
    /// How often each level was reached, by reason.
    pub(crate) events: Counts,
    pub(crate) changes: Arc<Bell>,
    /// Wakes the keeper, when something will change by time before it wanted to look.
    pub(crate) keeper: Notify,
    state: Mutex<State>,
}

/// How many names are remembered for metrics: a source of the user's may make them up.
#[cfg(feature = "metrics")]
const MOST_SEEN: usize = 1_000;

struct State {
    /// The longest time between two looks at what cannot be watched.
    check_interval: Duration,
    judge: Judge,
    /// The next assessment is another one, whatever the inputs say.
    is_new: bool,
    eases: Eases,
    /// Which look was the latest to be judged by.
    look: u64,
    /// Since when each dependency is down.
    down: Vec<DownDependency>,
    /// What was ever down.
    #[cfg(feature = "metrics")]
    seen: std::collections::BTreeSet<(Name, Weight)>,
    pin: Option<Pin>,
    next_look: Duration,
    tasks: Vec<AbortHandle>,
}

/// The operator's hand.
#[derive(Clone, Copy, Debug)]
struct Pin {
    level: Level,
    since: Duration,
    until: Duration,
}

impl Board {
    pub(crate) fn new(
        name: Name,
        clock: Clock,
        sources: Vec<Arc<dyn StateSource>>,
        signals: Vec<(Name, Signal)>,
        judge: Judge,
        check_interval: Duration,
    ) -> Arc<Self> {
        let now = clock.now();
        let first = Assessment {
            level: Level::None,
            since: now,
            since_wall: clock.wall(now),
            epoch: 0,
            causes: Vec::new(),
            down: Vec::new(),
            easing: None,
        };
        let state = State {
            check_interval,
            judge,
            is_new: false,
            eases: Eases::default(),
            look: 0,
            down: Vec::new(),
            #[cfg(feature = "metrics")]
            seen: Default::default(),
            pin: None,
            next_look: Duration::MAX,
            tasks: Vec::new(),
        };
        Arc::new(Self {
            name,
            traffic: Observer::new(clock.clone(), &state.judge.thresholds),
            clock,
            sources: sources.into_iter().map(Watched::new).collect(),
            looks: AtomicU64::new(0),
            signals: signals.into_iter().map(Listened::new).collect(),
            word: AtomicU64::new(0),
            events: Counts::new(Level::ALL.len(), Reason::ALL.len()),
            assessment: ArcSwap::from_pointee(first),
            changes: Bell::new(),
            keeper: Notify::new(),
            state: Mutex::new(state),
        })
    }

    #[inline]
    pub(crate) fn level(&self) -> Level {
        Level::from_number((self.word.load(Ordering::Acquire) & 3) as u8)
    }

    /// The number of the assessment, if nothing is wrong by it.
    #[inline]
    pub(crate) fn well(&self) -> Option<u64> {
        let word = self.word.load(Ordering::Acquire);
        (word & 3 == 0).then_some(word >> 2)
    }

    /// The assessment, for as long as a decision takes.
    #[inline]
    pub(crate) fn peek(&self) -> Guard<Arc<Assessment>> {
        self.assessment.load()
    }

    pub(crate) fn assessment(&self) -> Arc<Assessment> {
        self.assessment.load_full()
    }

    /// Looks at every input, and publishes what follows. Returns when to look again.
    pub(crate) fn look(&self) -> Duration {
        // Sources are the user's: they are asked while no lock is held.
        // Several may look at once: what one that began earlier found is older, and is not judged by after a later one.
        let look = self.looks.fetch_add(1, Ordering::SeqCst) + 1;
        let mut down: Vec<(Name, Weight)> = self.sources.iter().flat_map(Watched::look).collect();
        down.sort_unstable();
        down.dedup();
        let traffic = self.traffic.figures();
        let bad_now = self.traffic.bad_now();
        self.change(|state, now| {
            if look < state.look {
                return None;
            }
            state.look = look;
            let since = |name: Name, weight: Weight| {
                let known = state.down.iter().find(|known| known.name == name && known.weight == weight);
                known.map_or(now, |known| known.since)
            };
            state.down = down
                .iter()
                .map(|(name, weight)| DownDependency {
                    name: *name,
                    weight: *weight,
                    since: since(*name, *weight),
                })
                .collect();
            #[cfg(feature = "metrics")]
            for seen in &down {
                if state.seen.len() < MOST_SEEN {
                    state.seen.insert(*seen);
                }
            }
            // The peak before the value, because that is how they are set.
            let peaks: Vec<f64> = self.signals.iter().map(|listened| listened.peak.take()).collect();
            let signals: Vec<_> = self.signals.iter().map(Listened::figure).collect();
            let figures = Figures { down: state.down.clone(), traffic, bad_now, signals };
            if peaks.iter().zip(&figures.signals).any(|(peak, signal)| *peak > signal.value) {
                // What came and went between two looks was reached all the same.
                let mut between = figures.clone();
                for (signal, peak) in between.signals.iter_mut().zip(peaks) {
                    signal.value = signal.value.max(peak);
                }
                state.judge.judge(now, &between);
            }
            Some(figures)
        })
    }

    /// Judges by other settings from now on.
    pub(crate) fn reconfigure(
        &self,
        thresholds: Thresholds,
        relax_after: [Duration; 3],
        check_interval: Duration,
    ) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.judge.thresholds, state.judge.relax_after) = (thresholds, relax_after);
            state.check_interval = check_interval;
            // Decisions by one number are the same.
            state.is_new = true;
            self.traffic.limit(&thresholds);
        }
        self.look();
    }

    /// Each source, and whatever was ever down, with whether it is up.
    #[cfg(feature = "metrics")]
    pub(crate) fn dependencies(&self) -> Vec<(Name, Option<Weight>, bool)> {
        let asked = self.sources.iter().filter_map(|watched| {
            let source = &watched.source;
            // A source is the user's; one that panics says nothing.
            catch_unwind(AssertUnwindSafe(|| (source.name(), None, source.condition() != Condition::Down)))
                .ok()
        });
        let mut all: Vec<_> = asked.collect();
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_down = |seen: &(Name, Weight)| state.down.iter().any(|down| (down.name, down.weight) == *seen);
        all.extend(state.seen.iter().map(|seen| (seen.0, Some(seen.1), !is_down(seen))));
        all
    }

    /// Pins the level until then, or lets it go.
    pub(crate) fn pin(&self, pin: Option<(Level, Duration)>) {
        self.change(|state, now| {
            state.pin = pin.map(|(level, time)| Pin { level, since: now, until: now.saturating_add(time) });
            None
        });
        self.look();
    }

    /// Changes the state, judges by new figures if there are some, publishes, and then wakes whom it concerns.
    fn change(&self, change: impl FnOnce(&mut State, Duration) -> Option<Figures>) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let Some(figures) = change(&mut state, now) else { return state.next_look };
        let Judgement { level, mut causes, next_change } = state.judge.judge(now, &figures);
        let mut level = level;
        let mut next = now.saturating_add(state.check_interval).min(next_change.unwrap_or(Duration::MAX));
        state.pin = state.pin.filter(|pin| now < pin.until);
        if let Some(pin) = state.pin {
            level = pin.level;
            next = next.min(pin.until);
            causes.insert(0, pin.cause());
        }
        let relax_after = state.judge.relax_after;
        let easing = state.eases.follow(&causes, figures.bad_now, now, relax_after);
        next = next.min(state.eases.next_change(relax_after).unwrap_or(Duration::MAX));
        let before = self.assessment.load();
        let differs = std::mem::take(&mut state.is_new)
            || before.level != level
            || before.causes != causes
            || before.down != state.down
            || before.easing != easing;
        let rises = next < state.next_look;
        state.next_look = next;
        if differs {
            let since = if before.level == level { before.since } else { now };
            let assessment = Assessment {
                level,
                since,
                since_wall: self.clock.wall(since),
                epoch: before.epoch + 1,
                causes,
                down: state.down.clone(),
                easing,
            };
            // Newer figures of the same causes are in the assessment, and wake nobody.
            let rings = before.level != assessment.level
                || before.down != assessment.down
                || !same(&before.causes, &assessment.causes);
            let event = (before.level, assessment.level, assessment.worst().map(ToString::to_string));
            if level > before.level
                && let Some(cause) = assessment.worst()
            {
                self.events.add(usize::from(level.as_number()), column(cause.what.reason()));
            }
            let word = (assessment.epoch << 2) | u64::from(level.as_number());
            drop(before);
            self.assessment.store(Arc::new(assessment));
            self.word.store(word, Ordering::Release);
            drop(state);
            if rings {
                self.changes.ring();
            }
            // Who listens to the log is the user's.
            panics::contain(|| log(event));
        } else {
            drop(before);
            drop(state);
        }
        if rises {
            self.keeper.notify_one();
        }
        next
    }

    /// Watches every input on a runtime.
    pub(crate) fn start(self: &Arc<Self>, runtime: &Handle) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Tasks of a runtime that is gone have finished.
        if state.tasks.iter().any(|task| !task.is_finished()) {
            return;
        }
        state.tasks.clear();
        // What signals were while nobody looked is not dated.
        for listened in &self.signals {
            listened.peak.take();
        }
        let keeper = runtime.spawn(crate::watch::keep(self.clone()));
        state.tasks.push(keeper.abort_handle());
        let traffic = runtime.spawn(crate::watch::traffic(self.clone(), self.traffic.watch()));
        state.tasks.push(traffic.abort_handle());
        for watched in &self.sources {
            let task = runtime.spawn(crate::watch::source(self.clone(), watched.source.clone()));
            state.tasks.push(task.abort_handle());
        }
        for listened in &self.signals {
            let task = runtime.spawn(crate::watch::signal(self.clone(), listened.signal.clone()));
            state.tasks.push(task.abort_handle());
        }
    }

    pub(crate) fn stop(&self) {
        let tasks = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut state.tasks)
        };
        tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Registered for Board {
    fn name(&self) -> Name {
        self.name
    }

    fn kind(&self) -> Kind {
        Kind::Level
    }

    /// None: a level has more to say than up or down.
    fn source(self: Arc<Self>) -> Option<Arc<dyn StateSource>> {
        None
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Pin {
    fn cause(&self) -> Cause {
        let figure = f64::from(self.level.as_number());
        let Self { level, since, .. } = *self;
        Cause {
            level,
            what: What::Pinned,
            figure,
            threshold: figure,
            by: Vec::new(),
            since,
            over_since: None,
        }
    }
}

/// Whether causes are the same but for their figures.
fn same(some: &[Cause], others: &[Cause]) -> bool {
    let key = |cause: &Cause| (cause.what, cause.level, cause.over_since);
    some.len() == others.len()
        && some.iter().zip(others).all(|(one, other)| key(one) == key(other) && one.by == other.by)
}

fn log((from, to, cause): (Level, Level, Option<String>)) {
    #[cfg(feature = "tracing")]
    if from != to {
        let (from, to, cause) = (from.as_str(), to.as_str(), cause.as_deref());
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(
                    name: "degradation_level", target: "mainstay", from, to, cause, "the degradation level changed"
                )
            };
        }
        if to == "none" { event!(info) } else { event!(warn) }
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (from, to, cause);
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("level", &self.level()).finish_non_exhaustive()
    }
}
