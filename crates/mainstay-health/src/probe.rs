use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock, Condition, StateSource, Watch};

use crate::{CheckOutcome, Heartbeat, IntoOutcome, Pushed, Reason, Rule, Status};

pub(crate) type BoxRun = Pin<Box<dyn Future<Output = CheckOutcome> + Send>>;

/// How a check finds out: what [`Check`](crate::Check)'s constructors take.
///
/// It is implemented for async closures (`Fn() -> Future` of anything that is [`IntoOutcome`]), for [`blocking`] closures, for a
/// [`source`] such as a breaker, for [`Pushed`] and for [`Heartbeat`].
pub trait IntoProbe {
    /// As a probe.
    fn into_probe(self) -> Probe;
}

/// A way to find out, of any kind, and the rules that a check begins with that uses it. Made by [`IntoProbe`]; ready-made
/// ones are in [`checks`](crate::checks) and in the crates of the clients.
#[derive(Clone)]
pub struct Probe(pub(crate) Kind, Vec<Rule>);

#[derive(Clone)]
pub(crate) enum Kind {
    /// Asked on the manager's runtime; dropped at its time-out.
    Async(Arc<dyn Fn() -> BoxRun + Send + Sync>),
    /// Asked on a thread of its own; cannot be dropped.
    Blocking(Arc<dyn Fn() -> CheckOutcome + Send + Sync>),
    /// Read, at any time; tells when it changes.
    Watched(Arc<dyn Sensor>),
}

/// Something whose answer is there already.
pub(crate) trait Sensor: Send + Sync {
    /// The clock that `next_change` is told in; nothing before the manager gave it one.
    fn clock(&self) -> Clock;
    /// The manager's clock, for sensors that have none of their own.
    fn set_clock(&self, _clock: &Clock) {}
    fn read(&self) -> CheckOutcome;
    fn next_change(&self) -> Option<Duration>;
    fn watch(&self) -> Watch;
}

/// A closure that blocks its thread. Made by [`blocking`].
#[derive(Clone, Debug)]
pub struct Blocking<F>(F);

/// A source to watch. Made by [`source`].
#[derive(Clone, Debug)]
pub struct Source<S>(S);

/// For a check that blocks its thread: a system call, a client without async. It runs on one of the manager's own threads,
/// at most one at a time for each check. It cannot be cut off: at its time-out it is left alone and the check is unhealthy; it
/// is not started again until it ends. A thread runs in real time: under a paused clock of tokio's its time-out comes at once.
///
/// ```
/// use mainstay_health::{Check, blocking};
///
/// let check = Check::exclusive("wal-disk", blocking(|| std::fs::metadata("/").map(|_| ())));
/// ```
pub fn blocking<F, T>(run: F) -> Blocking<F>
where
    F: Fn() -> T + Send + Sync + 'static,
    T: IntoOutcome,
{
    Blocking(run)
}

/// For a check that watches a breaker, or any other [`StateSource`]: no network, and no wait. Down is unhealthy,
/// recovering is degraded, up is healthy. The check sleeps until the source's next change and delivers it, so that an open
/// breaker becomes half-open, and the check degraded instead of unhealthy, without any traffic.
///
/// ```
/// use mainstay_breaker::Breaker;
/// use mainstay_health::{Check, source};
///
/// let breaker = Breaker::new("redis")?;
/// let check = Check::shared("redis", source(breaker.clone())).critical();
/// # Ok::<(), mainstay_breaker::ConfigError>(())
/// ```
pub fn source<S: StateSource + 'static>(source: S) -> Source<S> {
    Source(source)
}

impl<F, Fut> IntoProbe for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoOutcome,
{
    fn into_probe(self) -> Probe {
        Probe::new(Kind::Async(Arc::new(move || {
            let run = self();
            Box::pin(async move { run.await.into_outcome() })
        })))
    }
}

impl<F, T> IntoProbe for Blocking<F>
where
    F: Fn() -> T + Send + Sync + 'static,
    T: IntoOutcome,
{
    fn into_probe(self) -> Probe {
        Probe::new(Kind::Blocking(Arc::new(move || (self.0)().into_outcome())))
    }
}

impl<S: StateSource + 'static> IntoProbe for Source<S> {
    fn into_probe(self) -> Probe {
        Probe::new(Kind::Watched(Arc::new(self)))
    }
}

impl IntoProbe for &Pushed {
    fn into_probe(self) -> Probe {
        Probe::new(Kind::Watched(self.sensor()))
    }
}

impl IntoProbe for &Heartbeat {
    fn into_probe(self) -> Probe {
        Probe::new(Kind::Watched(self.sensor()))
    }
}

impl IntoProbe for Probe {
    fn into_probe(self) -> Probe {
        self
    }
}

impl Probe {
    fn new(kind: Kind) -> Self {
        Self(kind, Vec::new())
    }

    /// Adds a rule for checks to begin with: recommended by whoever makes the probe, who knows its figures.
    /// [`Check::rules`](crate::Check::rules) puts others in their place.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.1.push(rule);
        self
    }

    /// The rules that a check begins with.
    pub fn rules(&self) -> &[Rule] {
        &self.1
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Async(_) => "Probe(Async)",
            Kind::Blocking(_) => "Probe(Blocking)",
            Kind::Watched(_) => "Probe(Watched)",
        })
    }
}

impl<S: StateSource> Sensor for Source<S> {
    fn clock(&self) -> Clock {
        self.0.clock()
    }

    fn read(&self) -> CheckOutcome {
        self.0.poll();
        match self.0.condition() {
            Condition::Up => CheckOutcome::healthy(),
            Condition::Recovering => CheckOutcome::because(Status::Degraded, Reason::Recovering),
            Condition::Down => CheckOutcome::because(Status::Unhealthy, Reason::Down),
        }
    }

    fn next_change(&self) -> Option<Duration> {
        self.0.next_change()
    }

    fn watch(&self) -> Watch {
        self.0.watch()
    }
}
