use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::splitmix::random;
use mainstay_core::{
    Classify, Clock, Condition, ConfigError, ErrorsAreFailures, Kind, Name, OpenFor, Registered, Registry,
    StateSource, Watch,
};

use crate::books::Plan;
use crate::machine::{Identity, Machine};
use crate::permit::Held;
use crate::run::Run;
use crate::{
    BreakerError, Control, HalfOpen, Outlook, OwnedPermit, Permit, Rejected, Settings, Snapshot, Stage,
    State, Transition, Transitions, Trip,
};

/// Guards one dependency. Cheap to clone; all clones share one state.
///
/// ```
/// use std::time::Duration;
/// use mainstay_breaker::{Breaker, Clock, OpenFor, State, Trip};
///
/// let (clock, time) = Clock::manual();
/// let breaker = Breaker::builder("redis")
///     .trip(Trip::consecutive_failures(3))
///     .open_for(OpenFor::fixed(Duration::from_secs(15)))
///     .clock(clock)
///     .build()?;
///
/// for _ in 0..3 {
///     let _ = breaker.call(|| Err::<(), _>("connection refused"));
/// }
/// assert_eq!(breaker.state(), State::Open);
///
/// let rejected = breaker.try_acquire().unwrap_err();
/// assert_eq!(rejected.retry_after(), Some(Duration::from_secs(15)));
/// assert_eq!(rejected.cause().unwrap().to_string(), "3 failures in a row (limit 3)");
///
/// time.advance(Duration::from_secs(15));
/// assert_eq!(breaker.state(), State::HalfOpen);
/// # Ok::<(), mainstay_breaker::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Breaker(Handle);

#[derive(Clone)]
enum Handle {
    // First: what is number 0 needs nothing added to its pointer, and what is number 1 the sixteen bytes of its counts.
    /// Never dropped, so never counted: see [`Breaker::leak`].
    Leaked(&'static Machine),
    Shared(Arc<Machine>),
}

/// Builds a [`Breaker`]. The settings and their defaults are those of [`Settings`].
#[derive(Clone, Debug)]
#[must_use]
pub struct BreakerBuilder {
    name: String,
    settings: Settings,
    clock: Clock,
    seed: Option<u64>,
    registry: Option<Registry>,
}

// === impl Breaker ===

impl Breaker {
    /// Begins to build a breaker. The name is 1 to 128 bytes long, without control characters, and without white space
    /// at its ends; it appears in rejections, transitions and snapshots.
    pub fn builder(name: impl Into<String>) -> BreakerBuilder {
        let (clock, settings) = (Clock::default(), Settings::default());
        BreakerBuilder { name: name.into(), settings, clock, seed: None, registry: None }
    }

    /// A breaker with the default settings.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for an invalid name.
    pub fn new(name: impl Into<String>) -> Result<Self, ConfigError> {
        Self::builder(name).build()
    }

    /// Its name.
    pub fn name(&self) -> Name {
        self.machine().identity.name
    }

    /// The clock it was built with.
    pub fn clock(&self) -> &Clock {
        &self.machine().identity.clock
    }

    /// Asks to make one call. The permit tells how the call went.
    ///
    /// # Errors
    ///
    /// [`Rejected`] when the call is not admitted; it says why, and when to try again.
    #[inline(always)]
    pub fn try_acquire(&self) -> Result<Permit<'_>, Rejected> {
        let machine = self.machine();
        match machine.admit() {
            Ok(ticket) => Ok(Permit(Held::new(machine, ticket))),
            Err(word) => machine.permit_slowly(word),
        }
    }

    /// The same, with a permit that owns a handle to the breaker.
    ///
    /// # Errors
    ///
    /// [`Rejected`] when the call is not admitted.
    pub fn try_acquire_owned(&self) -> Result<OwnedPermit, Rejected> {
        let ticket = self.machine().ticket()?;
        Ok(OwnedPermit(Held::new(self.clone(), ticket)))
    }

    /// Makes a call if it is admitted. `Err` is a failure; a panic is one too, and goes on.
    ///
    /// # Errors
    ///
    /// [`BreakerError::Rejected`] when it is not admitted, [`BreakerError::Inner`] with the call's own error.
    #[inline]
    pub fn call<T, E>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, BreakerError<E>> {
        self.call_with(ErrorsAreFailures, work)
    }

    /// The same, with a classifier that decides what a result says about the dependency.
    ///
    /// # Errors
    ///
    /// As for [`call`](Self::call).
    #[inline]
    pub fn call_with<T, E>(
        &self,
        classify: impl Classify<T, E>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, BreakerError<E>> {
        let machine = self.machine();
        match machine.admit() {
            Ok(ticket) => admitted(Permit(Held::new(machine, ticket)), classify, work),
            Err(word) => call_slowly(machine, word, classify, work),
        }
    }

    /// Makes an async call if it is admitted when first polled. `Err` is a failure; a panic is one too, and goes on. With
    /// `.timeout(d)` the call is dropped after d and counts as a failure.
    ///
    /// The future's errors are [`BreakerError::Rejected`] when the call is not admitted, [`BreakerError::Inner`] with
    /// the call's own error, [`BreakerError::TimedOut`] after the time-out.
    pub fn run<F, T, E>(&self, work: F) -> Run<'_, F, ErrorsAreFailures>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.run_with(ErrorsAreFailures, work)
    }

    /// The same, with a classifier that decides what a result says about the dependency.
    pub fn run_with<F, C, T, E>(&self, classify: C, work: F) -> Run<'_, F, C>
    where
        F: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        Run::new(self, work, classify, self.machine().timeout())
    }

    /// [`run`](Self::run) with a time-out of its own instead of the breaker's. A call that its caller cuts off says
    /// nothing about the dependency; one that the breaker cuts off is a failure.
    pub fn run_timeout<F, T, E>(&self, timeout: Duration, work: F) -> Run<'_, F, ErrorsAreFailures>
    where
        F: Future<Output = Result<T, E>>,
    {
        Run::new(self, work, ErrorsAreFailures, Some(timeout))
    }

    /// The state effective now, with every transition that is due. Changes nothing.
    pub fn state(&self) -> State {
        self.machine().stand().state()
    }

    /// What to expect of a call, for callers who can do without and should not be those who find out that the dependency is still down.
    /// Changes nothing.
    ///
    /// ```
    /// use mainstay_breaker::{Breaker, Control, Outlook};
    ///
    /// let breaker = Breaker::new("redis")?;
    /// assert_eq!(breaker.outlook(), Outlook::Up);
    /// breaker.trip();
    /// assert_eq!(breaker.outlook(), Outlook::Down);
    /// breaker.set_control(Control::ObserveOnly);
    /// assert_eq!(breaker.outlook(), Outlook::Up, "nothing is rejected");
    /// # Ok::<(), mainstay_breaker::ConfigError>(())
    /// ```
    pub fn outlook(&self) -> Outlook {
        match (self.control(), self.state()) {
            (Control::ForcedOpen, _) | (Control::Automatic, State::Open) => Outlook::Down,
            (Control::Automatic, State::HalfOpen) => {
                let stay = self.snapshot().half_open;
                let is_probing = stay.is_none_or(|stay| stay.stage == Stage::Probing);
                if is_probing { Outlook::InDoubt } else { Outlook::Up }
            }
            _ => Outlook::Up,
        }
    }

    /// Everything about the breaker at one moment. Changes nothing.
    pub fn snapshot(&self) -> Snapshot {
        self.machine().snapshot()
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.machine().settings()
    }

    /// The operator's hand.
    pub fn control(&self) -> Control {
        self.machine().control()
    }

    /// Puts the breaker under the operator's hand, or releases it. The state goes on by itself meanwhile, by time.
    pub fn set_control(&self, control: Control) {
        self.machine().set_control(control);
    }

    /// Closes the breaker and forgets windows, run of failures, back-off and last cause; not the totals, and not the
    /// control. Always begins a new epoch.
    pub fn reset(&self) {
        self.machine().reset();
    }

    /// Opens the breaker as if a rule had tripped. Does nothing while it is open.
    pub fn trip(&self) {
        self.machine().trip();
    }

    /// Changes the settings while the breaker runs. State, run of failures, probes under way and the present open time
    /// stay; so do windows that the new rules have too (same kind and size).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for invalid settings; the running ones stay in force.
    pub fn reconfigure(&self, settings: Settings) -> Result<(), ConfigError> {
        settings.validate()?;
        self.machine().reconfigure(settings);
        Ok(())
    }

    /// Delivers transitions that are due, as the next call would. For timers; nothing depends on it.
    pub fn poll(&self) {
        self.machine().poll();
    }

    /// The transitions from now on, as an async stream.
    pub fn subscribe(&self) -> Transitions {
        self.machine().subscribe()
    }

    /// Calls a closure with every transition from now on, in order, on a thread that belongs to this breaker and is
    /// started with the first closure. A closure that panics is called again for the next transition. One that is slow
    /// delays no call, but the other closures of this breaker; more than 256 transitions behind, it misses the oldest.
    /// Who may be slow subscribes instead, which has a queue of its own and says what it missed.
    ///
    /// A closure that holds a handle to the breaker keeps it, and the thread, alive for ever.
    ///
    /// # Errors
    ///
    /// The system's, if the thread cannot be started.
    pub fn on_transition(
        &self,
        closure: impl Fn(&Transition) + Send + Sync + 'static,
    ) -> std::io::Result<()> {
        self.machine().on_transition(Box::new(closure))
    }

    /// Gives the breaker the life of the process. Its clones and owned permits then cost nothing to make; without this
    /// each costs a count shared by all threads. For breakers that live as long as the program anyway.
    #[must_use = "the returned handle is the leaked one"]
    pub fn leak(self) -> Self {
        match self.0 {
            Handle::Shared(machine) => {
                let kept: &'static Arc<Machine> = Box::leak(Box::new(machine));
                Self(Handle::Leaked(kept))
            }
            leaked => Self(leaked),
        }
    }

    /// Every breaker in a registry.
    pub fn all(registry: &Registry) -> Vec<Self> {
        let entries = registry.list().into_iter();
        let machines = entries.filter_map(|entry| entry.into_any().downcast::<Machine>().ok());
        machines.map(|machine| Self(Handle::Shared(machine))).collect()
    }

    /// A permit that takes this handle with it.
    #[inline]
    pub(crate) fn into_permit(self) -> Result<OwnedPermit, Rejected> {
        let ticket = self.machine().ticket()?;
        Ok(OwnedPermit(Held::new(self, ticket)))
    }

    #[inline]
    pub(crate) fn machine(&self) -> &Machine {
        match &self.0 {
            Handle::Shared(machine) => machine,
            Handle::Leaked(machine) => machine,
        }
    }

    pub(crate) fn from_machine(machine: Arc<Machine>) -> Self {
        Self(Handle::Shared(machine))
    }

    #[cfg(feature = "tower")]
    pub(crate) fn from_leaked(machine: &'static Machine) -> Self {
        Self(Handle::Leaked(machine))
    }

    #[cfg(feature = "tower")]
    pub(crate) fn into_shared(self) -> Result<Arc<Machine>, &'static Machine> {
        match self.0 {
            Handle::Shared(machine) => Ok(machine),
            Handle::Leaked(machine) => Err(machine),
        }
    }

    #[cfg(feature = "tower")]
    pub(crate) fn leaked(&self) -> Option<&'static Machine> {
        match &self.0 {
            Handle::Shared(_) => None,
            Handle::Leaked(machine) => Some(machine),
        }
    }
}

#[inline(always)]
fn admitted<T, E>(
    permit: Permit<'_>,
    classify: impl Classify<T, E>,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, BreakerError<E>> {
    let result = work();
    permit.record(classify.classify(&result));
    result.map_err(BreakerError::Inner)
}

/// A rejection is written where it is wanted, and the permit of the fast way leaves no registers: neither has to fit into
/// the memory of the other.
#[inline(never)]
fn call_slowly<T, E>(
    machine: &Machine,
    word: u64,
    classify: impl Classify<T, E>,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, BreakerError<E>> {
    machine.turn_away_at_once(
        word,
        |ticket| admitted(Permit(Held::new(machine, ticket)), classify, work),
        |rejected| Err(BreakerError::Rejected(rejected)),
    )
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("name", &self.name())
            .field("state", &self.state())
            .field("control", &self.control())
            .finish_non_exhaustive()
    }
}

impl StateSource for Breaker {
    fn name(&self) -> Name {
        self.machine().identity.name
    }

    fn condition(&self) -> Condition {
        self.machine().condition()
    }

    fn next_change(&self) -> Option<Duration> {
        self.machine().next_change()
    }

    fn watch(&self) -> Watch {
        self.machine().watch()
    }

    fn poll(&self) {
        self.machine().poll();
    }

    fn clock(&self) -> Clock {
        self.machine().identity.clock.clone()
    }
}

impl Machine {
    fn condition(&self) -> Condition {
        match (self.control(), self.stand().state()) {
            (Control::ForcedOpen, _) => Condition::Down,
            (Control::ForcedClosed | Control::ObserveOnly, _) => Condition::Up,
            (Control::Automatic, State::Closed) => Condition::Up,
            (Control::Automatic, State::HalfOpen) => Condition::Recovering,
            (Control::Automatic, State::Open) => Condition::Down,
        }
    }
}

impl StateSource for Machine {
    fn name(&self) -> Name {
        self.identity.name
    }

    fn condition(&self) -> Condition {
        self.condition()
    }

    fn next_change(&self) -> Option<Duration> {
        self.next_change()
    }

    fn watch(&self) -> Watch {
        self.watch()
    }

    fn poll(&self) {
        self.poll();
    }

    fn clock(&self) -> Clock {
        self.identity.clock.clone()
    }
}

impl Registered for Machine {
    fn name(&self) -> Name {
        self.identity.name
    }

    fn kind(&self) -> Kind {
        Kind::Breaker
    }

    fn source(self: Arc<Self>) -> Option<Arc<dyn StateSource>> {
        Some(self)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

// === impl BreakerBuilder ===

impl BreakerBuilder {
    /// Adds a rule that opens the breaker; the first one replaces the default rules (5 failures in a row, or 50 % of at
    /// least 20 calls in 30 s). At most 8, of which at most one is of consecutive failures.
    pub fn trip(mut self, rule: Trip) -> Self {
        self.settings = self.settings.trip(rule);
        self
    }

    /// How long open lasts. Default: 10 s, doubling with every reopening to 60 s, jitter 0.1.
    pub fn open_for(mut self, open_for: OpenFor) -> Self {
        self.settings.open_for = open_for;
        self
    }

    /// How half-open probes. Default: 3 at once, 2 successes close, 1 failure opens, 10 s for each.
    pub fn half_open(mut self, half_open: HalfOpen) -> Self {
        self.settings.half_open = half_open;
        self
    }

    /// After the probes succeeded, let traffic in over this time (up to 365 days), from 5 % to all. Default: at once.
    pub fn ramp(mut self, ramp: Duration) -> Self {
        self.settings.ramp = Some(ramp);
        self
    }

    /// Drop an async call that has not answered after this time (up to 365 days), and count a failure. Default: never.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// The longest open time that a retry-after can ask for, up to 365 days. Default: 5 min.
    pub fn retry_after_cap(mut self, cap: Duration) -> Self {
        self.settings.retry_after_cap = cap;
        self
    }

    /// Whether a permit that is dropped without a verdict is a failure instead of ignored. Default: false.
    pub fn count_dropped_as_failure(mut self, failure: bool) -> Self {
        self.settings.count_dropped_as_failure = failure;
        self
    }

    /// Replaces all settings so far.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Where it has its time from. Default: [`Clock::monotonic`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the jitter repeatable. Default: another seed for every breaker.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Lists the breaker, weakly, under its name.
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Builds the breaker, closed.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first setting that breaks its documented rule, or a name that the registry has already.
    pub fn build(self) -> Result<Breaker, ConfigError> {
        let name = Name::new(&self.name)?;
        self.settings.validate()?;
        let seed = self.seed.unwrap_or_else(random);
        let machine =
            Arc::new(Machine::new(Identity::new(name, self.clock), Plan::new(self.settings, seed), true));
        if let Some(registry) = &self.registry {
            registry.register(&machine)?;
        }
        Ok(Breaker(Handle::Shared(machine)))
    }
}
