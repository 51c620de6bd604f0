use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
#[cfg(feature = "metrics")]
use mainstay_core::Weight;
use mainstay_core::{Clock, ConfigError, Name, NoRuntime, Registry, Verdict, Watch, check_duration};
use tokio::runtime::Handle;

use crate::board::Board;
use crate::books::Books;
use crate::partial::Origin;
use crate::{
    Assessment, BehaviorDecision, DegradationManagerBuilder, DegradationStats, ExecutionMode, Level, Mode,
    ModeDecision, Observer, Partial, Settings,
};

/// Knows how much less than usual the service does, why, and what each piece of work gets because of that.
///
/// Cheap to clone; all clones are the same manager, which ends with the last of them.
///
/// ```
/// use mainstay_breaker::Breaker;
/// use mainstay_degrade::{DegradationManager, ExecutionMode, Level};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = Breaker::new("redis")?;
/// let degrade = DegradationManager::builder().watch(&redis).build()?;
/// degrade.start()?;
/// assert_eq!(degrade.level(), Level::None);
///
/// let mut changes = degrade.subscribe();
/// # tokio::task::yield_now().await;
/// redis.trip();
/// let assessment = changes.changed().await;
/// println!("{}", assessment.worst().unwrap());        // minor: 1 breaker open (limit 1): redis
/// assert_eq!(degrade.mode(ExecutionMode::Complex).granted, ExecutionMode::Standard);
/// # Ok(())
/// # }
/// ```
pub struct DegradationManager<M: Mode = ExecutionMode> {
    pub(crate) owner: Arc<Owner<M>>,
}

pub(crate) struct Owner<M: Mode> {
    pub(crate) board: Arc<Board>,
    pub(crate) runtime: Option<Handle>,
    pub(crate) settings: ArcSwap<Settings<M>>,
    /// Held by who changes the settings.
    pub(crate) turn: Mutex<()>,
    pub(crate) books: Books,
}

/// Waits for the next assessment. Changes between two waits are one.
pub struct Assessments {
    board: Arc<Board>,
    watch: Watch,
}

// === impl DegradationManager ===

impl DegradationManager {
    /// Begins to build a manager with the defaults of the system that this one re-creates.
    pub fn builder() -> DegradationManagerBuilder {
        DegradationManagerBuilder::new()
    }
}

impl Assessment {
    /// The assessment of every manager that is listed in a registry, with the manager's name, in the order in which they were built.
    pub fn all(registry: &Registry) -> Vec<(Name, Arc<Self>)> {
        let boards =
            registry.list().into_iter().filter_map(|entry| entry.into_any().downcast::<Board>().ok());
        boards.map(|board| (board.name, board.assessment())).collect()
    }
}

impl<M: Mode> DegradationManager<M> {
    /// Watches the inputs from now on. Does nothing if it does already.
    ///
    /// # Errors
    ///
    /// [`NoRuntime`] outside of a tokio runtime, if the builder was not given one.
    pub fn start(&self) -> Result<(), NoRuntime> {
        let runtime = self.owner.runtime.clone().or_else(|| Handle::try_current().ok());
        self.owner.board.start(&runtime.ok_or_else(NoRuntime::new)?);
        // What is down already counts before anybody asks.
        self.owner.board.look();
        Ok(())
    }

    /// Watches nothing any more; the assessment stays what it was.
    pub fn stop(&self) {
        self.owner.board.stop();
    }

    /// The level: one load.
    #[inline]
    pub fn level(&self) -> Level {
        self.owner.board.level()
    }

    /// The level with its causes.
    pub fn assessment(&self) -> Arc<Assessment> {
        self.owner.board.assessment()
    }

    /// What it is called.
    pub fn name(&self) -> Name {
        self.owner.board.name
    }

    /// The clock that assessments take their times from.
    pub fn clock(&self) -> &Clock {
        &self.owner.board.clock
    }

    /// Reports every change of the level, of its causes and of what is down. Newer figures of the same causes, and what comes back little by
    /// little, are in the assessment and wake nobody.
    pub fn subscribe(&self) -> Assessments {
        Assessments { board: self.owner.board.clone(), watch: self.owner.board.changes.watch() }
    }

    /// Looks at every input now: for what cannot be watched, and for tests.
    pub fn refresh(&self) {
        self.owner.board.look();
    }

    /// Takes notice of one of the service's own requests: see [`Observer::observe`].
    pub fn observe(&self, verdict: Verdict, latency: Duration) {
        self.owner.board.traffic.observe(verdict, latency);
    }

    /// What takes notice of requests, to keep where they are answered.
    pub fn observer(&self) -> Observer {
        self.owner.board.traffic.clone()
    }

    /// Holds the level for a time, whatever the inputs say: an operator's hand. A later pin replaces it. It ends by itself
    /// while the manager runs; else when somebody calls [`refresh`](Self::refresh).
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a time of zero or of more than 365 days.
    pub fn pin(&self, level: Level, time: Duration) -> Result<(), ConfigError> {
        check_duration("pin", time)?;
        self.owner.board.pin(Some((level, time)));
        Ok(())
    }

    /// Lets a [pinned](Self::pin) level go.
    pub fn unpin(&self) {
        self.owner.board.pin(None);
    }

    /// Which mode a piece of work gets now.
    pub fn mode(&self, requested: M) -> ModeDecision<M> {
        match self.owner.board.well() {
            Some(epoch) => ModeDecision {
                requested,
                granted: requested,
                downgraded: false,
                level: Level::None,
                epoch,
                reason: None,
            },
            None => self.mode_by(&self.owner.board.peek(), requested),
        }
    }

    /// Which mode a piece of work gets by an assessment that was taken before, such as that of its request.
    pub fn mode_by(&self, assessment: &Assessment, requested: M) -> ModeDecision<M> {
        let decision = self.owner.settings.load().modes.decide(assessment, requested);
        self.owner.books.mode(&decision);
        decision
    }

    /// What an operation does now. One that has no rules and is not known proceeds, and is counted without its name.
    pub fn behavior(&self, operation: &str) -> BehaviorDecision {
        self.behavior_by(&self.owner.board.peek(), operation)
    }

    /// What an operation does by an assessment that was taken before.
    pub fn behavior_by(&self, assessment: &Assessment, operation: &str) -> BehaviorDecision {
        let decision = self.owner.settings.load().behaviors.decide(assessment, operation);
        self.owner.books.behavior(&decision);
        decision
    }

    /// How much of a workflow's parts must succeed now.
    pub fn partial(&self, workflow: &str) -> Partial {
        self.partial_by(&self.owner.board.peek(), workflow)
    }

    /// How much of a workflow's parts must succeed by an assessment that was taken before.
    pub fn partial_by(&self, assessment: &Assessment, workflow: &str) -> Partial {
        let book = Some(self.owner.books.partial(workflow));
        let partial = self.owner.settings.load().partial.at(assessment, workflow);
        partial.of(Origin { clock: Some(self.clock().clone()), book })
    }

    /// The settings in force. Their rules decide by kept assessments without counting.
    pub fn settings(&self) -> Arc<Settings<M>> {
        self.owner.settings.load_full()
    }

    /// Other settings from now on; the next assessment has a new number. What is known of the inputs stays: a level that was reached by the old thresholds and is not by the new ones
    /// is held as if its cause were over.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for the first setting that breaks its documented rule; nothing changes then.
    pub fn reconfigure(&self, settings: Settings<M>) -> Result<(), ConfigError> {
        settings.validate()?;
        let _turn = self.owner.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let Settings { thresholds, relax_after, check_interval, .. } = settings;
        self.owner.books.know(&settings);
        self.owner.settings.store(Arc::new(settings));
        self.owner.board.reconfigure(thresholds, relax_after, check_interval);
        Ok(())
    }

    /// Each dependency that is watched or was ever named as down: what says so, if it ever was, and whether it is up.
    #[cfg(feature = "metrics")]
    pub(crate) fn dependencies(&self) -> Vec<(Name, Option<Weight>, bool)> {
        self.owner.board.dependencies()
    }

    /// What was decided so far.
    pub fn stats(&self) -> DegradationStats {
        self.owner.books.read::<M>(&self.owner.board.events)
    }
}

impl<M: Mode> Clone for DegradationManager<M> {
    fn clone(&self) -> Self {
        Self { owner: self.owner.clone() }
    }
}

impl<M: Mode> Drop for Owner<M> {
    fn drop(&mut self) {
        self.board.stop();
    }
}

impl<M: Mode> fmt::Debug for DegradationManager<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DegradationManager").field("assessment", &self.assessment()).finish_non_exhaustive()
    }
}

// === impl Assessments ===

impl Assessments {
    /// Waits for the next change and returns the assessment after it. Cancel safe.
    pub async fn changed(&mut self) -> Arc<Assessment> {
        self.watch.changed().await;
        self.board.assessment()
    }
}

impl fmt::Debug for Assessments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assessments").finish_non_exhaustive()
    }
}
