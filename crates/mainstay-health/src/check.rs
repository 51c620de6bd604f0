use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{ConfigError, Name, StateSource};

use crate::probe::Blocking;
use crate::settings::Defaults;
use crate::{
    CheckSettings, ErrorClass, Exclusive, FleetGuard, Internal, IntoOutcome, IntoProbe, Probe, Rule, Scope,
    Shared,
};

/// One question about the service's health, with a schedule of its own.
///
/// Its scope, which decides what its failure may do, is chosen by the constructor: [`internal`](Check::internal),
/// [`exclusive`](Check::exclusive) or [`shared`](Check::shared); see [`Scope`]. What is refused is refused by the manager
/// that it is given to.
///
/// ```
/// use std::time::Duration;
/// use mainstay_health::{Check, Rule};
///
/// # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
/// let check = Check::shared("redis", || async { ping().await })
///     .critical()
///     .interval(Duration::from_secs(10))
///     .timeout(Duration::from_secs(2))
///     .rule(Rule::latency_above(Duration::from_millis(100), Duration::from_millis(80)));
/// ```
#[must_use = "a check does nothing until a manager has it"]
pub struct Check<S> {
    draft: Draft,
    scope: PhantomData<S>,
}

/// A check of any scope, as a manager takes it. Every [`Check`] is one.
pub struct AnyCheck(pub(crate) Draft);

pub(crate) type Classifier = Arc<dyn Fn(&(dyn Error + 'static)) -> ErrorClass + Send + Sync>;

pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) scope: Scope,
    pub(crate) probe: Probe,
    pub(crate) settings: CheckSettings,
    /// Names as they were given; checked when it is registered.
    pub(crate) depends_on: Vec<String>,
    pub(crate) classify: Option<Classifier>,
}

impl Check<Internal> {
    /// A check of our own insides.
    pub fn internal(name: impl Into<String>, probe: impl IntoProbe) -> Self {
        Self::new(name.into(), Scope::Internal, probe.into_probe())
    }

    /// When it is unhealthy, fail liveness, so that the process is restarted. For what a restart mends and nothing else
    /// does; the check must be critical. Default: off.
    pub fn restart_on_failure(mut self) -> Self {
        self.draft.settings.restart_on_failure = true;
        self
    }

    /// The same as the function [`blocking`](crate::blocking): a closure that blocks its thread, for checks of any scope.
    pub fn blocking<F, T>(run: F) -> Blocking<F>
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: IntoOutcome,
    {
        crate::blocking(run)
    }

    /// The same as the function [`source`](crate::source): a breaker, or any other [`StateSource`], to watch, for checks of
    /// any scope.
    pub fn source<Src: StateSource + 'static>(source: Src) -> crate::Source<Src> {
        crate::source(source)
    }
}

impl Check<Exclusive> {
    /// A check of a dependency that is ours alone.
    pub fn exclusive(name: impl Into<String>, probe: impl IntoProbe) -> Self {
        Self::new(name.into(), Scope::Exclusive, probe.into_probe())
    }
}

impl Check<Shared> {
    /// A check of a dependency that every replica uses.
    pub fn shared(name: impl Into<String>, probe: impl IntoProbe) -> Self {
        Self::new(name.into(), Scope::Shared, probe.into_probe())
    }

    /// How long readiness waits for its first success; after that it only degrades, so that replicas that restart
    /// during an outage become ready. The check must be critical. Default: without end.
    pub fn first_success_within(mut self, within: Duration) -> Self {
        self.draft.settings.first_success_within = Some(within);
        self
    }

    /// Let its failure fail readiness after all, a share of the replicas at a time. The check must be critical. Default:
    /// its failure only degrades.
    pub fn fleet_guard(mut self, guard: FleetGuard) -> Self {
        self.draft.settings.fleet_guard = Some(guard);
        self
    }
}

impl<S> Check<S> {
    fn new(name: String, scope: Scope, probe: Probe) -> Self {
        let defaults = Defaults::of(&probe);
        let rules = probe.rules().to_vec();
        let settings = CheckSettings { defaults, rules, ..CheckSettings::default() };
        let draft = Draft { name, scope, probe, settings, depends_on: Vec::new(), classify: None };
        Self { draft, scope: PhantomData }
    }

    /// Its failure fails what the table at [`Scope`] says. Default: it only degrades.
    pub fn critical(mut self) -> Self {
        self.draft.settings.critical = true;
        self
    }

    /// Its failure only degrades. The default.
    pub fn non_critical(mut self) -> Self {
        self.draft.settings.critical = false;
        self
    }

    /// From the start of one run to the start of the next. Default: 10 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.draft.settings.interval = interval;
        self
    }

    /// By which share each wait is shortened or lengthened: 0 to 0.5. Default: 0.1.
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.draft.settings.jitter = jitter;
        self
    }

    /// After which time a run is dropped, and is a failure. Less than the interval. Default: 2 s, or half of the interval if
    /// that is less.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.draft.settings.timeout = Some(timeout);
        self
    }

    /// How many results in a row make it worse: 1 to 1000. Default: 3; 1 for what is watched.
    pub fn failure_threshold(mut self, results: u32) -> Self {
        self.draft.settings.failure_threshold = Some(results);
        self
    }

    /// How many results in a row make it better: 1 to 1000. Default: 2; 1 for what is watched.
    pub fn success_threshold(mut self, results: u32) -> Self {
        self.draft.settings.success_threshold = Some(results);
        self
    }

    /// How soon a result that disagrees with the status is confirmed. At most the interval. Default: 2 s, or the interval
    /// if that is less.
    pub fn confirmation(mut self, confirmation: Duration) -> Self {
        self.draft.settings.confirmation = Some(confirmation);
        self
    }

    /// Ask less often once it has been unhealthy for `after`: a tenth of that time, at least the interval and at most
    /// `to`. Default: after 5 min, to 60 s.
    pub fn back_off(mut self, after: Duration, to: Duration) -> Self {
        self.draft.settings.back_off_after = after;
        self.draft.settings.back_off_to = to;
        self
    }

    /// Adds a rule by which a result that passed is degraded all the same. At most 8. Default: those of the [`Probe`].
    pub fn rule(mut self, rule: Rule) -> Self {
        self.draft.settings.rules.push(rule);
        self
    }

    /// Puts these rules in the place of all it has, those of the [`Probe`] too.
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.draft.settings.rules = rules.into_iter().collect();
        self
    }

    /// Adds a check without which this one makes no sense: while that one is unhealthy this one is blocked. At most 8.
    pub fn depends_on(mut self, name: impl Into<String>) -> Self {
        self.draft.depends_on.push(name.into());
        self
    }

    /// Finds the class of the errors that this check returns. Default: [`ErrorClass::of`]. A
    /// [`CheckError`](crate::CheckError), such as ready-made checks return, has its class already.
    pub fn classify(
        mut self,
        classify: impl Fn(&(dyn Error + 'static)) -> ErrorClass + Send + Sync + 'static,
    ) -> Self {
        self.draft.classify = Some(Arc::new(classify));
        self
    }

    /// Does not run it until it is enabled by name.
    pub fn disabled(mut self) -> Self {
        self.draft.settings.enabled = false;
        self
    }

    /// The settings so far. Names that it [`depends_on`](Self::depends_on) are not among them before it is registered.
    pub fn settings(&self) -> &CheckSettings {
        &self.draft.settings
    }
}

impl<S> From<Check<S>> for AnyCheck {
    fn from(check: Check<S>) -> Self {
        Self(check.draft)
    }
}

impl<S> fmt::Debug for Check<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.draft.fmt(f)
    }
}

impl fmt::Debug for AnyCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("scope", &self.scope)
            .field("probe", &self.probe)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Draft {
    /// Checks it, and completes its settings.
    pub(crate) fn validate(&mut self) -> Result<Name, ConfigError> {
        let name = Name::new(&self.name).map_err(|error| error.within("check"))?;
        let path = format!("check[{name}]");
        for parent in std::mem::take(&mut self.depends_on) {
            let parent =
                Name::new(&parent).map_err(|error| ConfigError { field: "depends_on".into(), ..error });
            self.settings.depends_on.push(parent.map_err(|error| error.within(&path))?);
        }
        self.settings.validate(self.scope).map_err(|error| error.within(&path))?;
        Ok(name)
    }
}

/// The class of an error, also when the classifier, which is the user's code, panics.
pub(crate) fn class_of(classify: Option<&Classifier>, error: &(dyn Error + 'static)) -> ErrorClass {
    match classify {
        Some(classify) => catch_unwind(AssertUnwindSafe(|| classify(error))).unwrap_or(ErrorClass::Other),
        None => ErrorClass::of(error),
    }
}
