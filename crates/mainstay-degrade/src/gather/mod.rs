//! Scatter, gather, decide.

mod aggregate;
mod part;
mod result;
mod run;
mod tally;
mod timestamp;

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use mainstay_core::{Clock, ConfigError, MAX_DURATION, Name, NoRuntime, check_duration};
use tokio::runtime::Handle;

pub use self::aggregate::{Aggregate, DegradationInfo, PartialResult};
pub use self::part::{Part, PartValue};
pub use self::result::{End, Gathered, Outcome, PartResult};
use self::run::{Run, Spawn};
use crate::Partial;
use crate::partial::check_weight;

/// Runs the parts of an answer side by side and decides, as early as can be, whether those that succeed are enough.
///
/// - The level is that of the moment when [`DegradationManager::partial`](crate::DegradationManager::partial) was asked: what changes
///   while the parts run does not change the decision.
/// - It accepts once the answer would be accepted if all pending parts failed, and [`after_quorum`](Self::after_quorum) has passed
///   since, for the sake of the others.
/// - It rejects as soon as the answer would not be accepted if all pending parts succeeded; so at once when a required part fails.
/// - After [`max_wait`](Self::max_wait) the pending parts are failures.
/// - What is left is cancelled. What has arrived is kept, also what is ready at the very moment of the decision.
/// - A part that panics has failed; one that panics after its answer, when its future is dropped, has given its answer.
/// - Who drops the future of [`run`](Self::run) cancels all parts.
///
/// ```
/// use std::time::Duration;
/// use mainstay_degrade::{DegradationManager, Gather, Outcome};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let degrade = DegradationManager::builder().build()?;
/// let gathered = Gather::new(degrade.partial("agent_dag"))
///     .after_quorum(Duration::ZERO)
///     .required("plan", async { Ok::<_, &str>(1) })
///     .part("agent-1", async { Ok(2) })
///     .part("agent-2", std::future::pending())
///     .run()
///     .await?;
/// assert!(gathered.accepted() && gathered.is_degraded());
/// assert_eq!(gathered.parts[2].outcome, Outcome::Cancelled);
///
/// let answer = gathered.aggregate(|values| values.iter().map(|(_, value)| **value).sum::<i32>());
/// assert_eq!(answer.result, Some(3));
/// assert_eq!(answer.warning.as_deref(), Some("2 of 3 parts: agent-2 was cancelled"));
/// # Ok(())
/// # }
/// ```
#[must_use = "a gather does nothing until it runs"]
pub struct Gather<'a, T, E> {
    partial: Partial,
    clock: Clock,
    max_wait: Duration,
    after_quorum: Duration,
    part_deadline: Option<Duration>,
    concurrency: usize,
    parts: Vec<Part<'a, T, E>>,
    spawn: Option<Spawn<'a, T, E>>,
}

/// Why a [`Gather`] did not run. None of its parts was begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GatherError {
    /// A setting or a part was refused.
    #[error(transparent)]
    Refused(#[from] ConfigError),
    /// Its parts were to be spawned, and there is no tokio runtime here.
    #[error(transparent)]
    NoRuntime(#[from] NoRuntime),
}

impl<'a, T, E> Gather<'a, T, E> {
    /// A gather without parts, that decides by a policy at a level.
    pub fn new(partial: Partial) -> Self {
        Self {
            clock: partial.origin.clock.clone().unwrap_or_default(),
            partial,
            max_wait: Duration::from_secs(30),
            after_quorum: Duration::from_secs(5),
            part_deadline: None,
            concurrency: usize::MAX,
            parts: Vec::new(),
            spawn: None,
        }
    }

    /// The clock of its waits and deadlines. Default: that of the manager that the policy came from, else [`Clock::monotonic`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How long it takes at most: more than zero, at most 365 days. Default: 30 s.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// How long it waits for the others once enough parts succeeded: at most 365 days. Default: 5 s.
    pub fn after_quorum(mut self, grace: Duration) -> Self {
        self.after_quorum = grace;
        self
    }

    /// How long a part may take that has no [deadline](Part::deadline) of its own, from its start: more than zero, at most 365 days.
    /// Default: until the gather ends.
    pub fn part_deadline(mut self, deadline: Duration) -> Self {
        self.part_deadline = Some(deadline);
        self
    }

    /// How many parts run at once: at least 1. The others follow in their order. Default: all of them.
    pub fn concurrency(mut self, parts: usize) -> Self {
        self.concurrency = parts;
        self
    }

    /// Adds a part.
    pub fn part(
        self,
        source: impl Into<String>,
        future: impl Future<Output = Result<T, E>> + Send + 'a,
    ) -> Self
    where
        T: 'a,
        E: 'a,
    {
        self.with(Part::new(source, future))
    }

    /// Adds a part without which there is no answer, whatever else succeeds.
    pub fn required(
        self,
        source: impl Into<String>,
        future: impl Future<Output = Result<T, E>> + Send + 'a,
    ) -> Self
    where
        T: 'a,
        E: 'a,
    {
        self.with(Part::new(source, future).required())
    }

    /// Adds a part with a deadline or a weight of its own, or one that says how good its value is.
    pub fn with(mut self, part: Part<'a, T, E>) -> Self {
        self.parts.push(part);
        self
    }

    /// Refuses what is not as it is documented.
    fn check(&self) -> Result<(), ConfigError> {
        check_duration("max_wait", self.max_wait)?;
        if self.after_quorum > MAX_DURATION {
            let grace = format_args!("{:?}", self.after_quorum).to_string();
            return Err(ConfigError::new("after_quorum", grace, "must be at most 365 days"));
        }
        if let Some(deadline) = self.part_deadline {
            check_duration("part_deadline", deadline)?;
        }
        if self.concurrency == 0 {
            return Err(ConfigError::new("concurrency", 0, "must be at least 1"));
        }
        if self.parts.is_empty() {
            return Err(ConfigError::new("parts", 0, "must be at least 1"));
        }
        self.partial.policy.validate("partial")?;
        let mut sources = HashSet::new();
        for (index, part) in self.parts.iter().enumerate() {
            let source = part.source.as_str();
            if source.is_empty() || source.len() > Name::MAX_LEN || source.chars().any(char::is_control) {
                let rule = "must be 1 to 128 bytes without control characters";
                return Err(ConfigError::new(format!("part[{index}].source"), format!("{source:?}"), rule));
            }
            if !sources.insert(source) {
                let rule = "must be the name of one part only";
                return Err(ConfigError::new(format!("part[{index}].source"), source, rule));
            }
            if let Some(deadline) = part.deadline {
                check_duration(&format!("part.{source}.deadline"), deadline)?;
            }
            if let Some(weight) = part.weight {
                check_weight(&format!("part.{source}.weight"), weight)?;
            }
        }
        if let Some(absent) =
            self.partial.policy.required.iter().find(|part| !sources.contains(part.as_str()))
        {
            let rule = "must be among the parts: the policy requires it";
            return Err(ConfigError::new("required", absent, rule));
        }
        Ok(())
    }

    /// Makes what the parts say of themselves the policy's, so that policy and outcomes alone decide.
    fn resolve(&mut self) -> Result<(), ConfigError> {
        let policy = &mut self.partial.policy;
        for part in &mut self.parts {
            part.deadline = part.deadline.or(self.part_deadline);
            if let Some(weight) = part.weight {
                policy.weights.insert(part.source.clone(), weight);
            }
            if part.required {
                policy.required.insert(part.source.clone());
            }
        }
        let weigh = self.parts.iter().filter(|part| policy.weight_of(&part.source) > 0.0).count();
        if weigh == 0 {
            return Err(ConfigError::new("weights", 0, "must be more than 0 for at least one part"));
        }
        if usize::try_from(policy.minimum).is_ok_and(|minimum| minimum > weigh) {
            let rule = format!("must be at most the number of parts that weigh anything: {weigh}");
            return Err(ConfigError::new("minimum", policy.minimum, rule));
        }
        Ok(())
    }
}

impl<T: Send + 'static, E: Send + 'static> Gather<'static, T, E> {
    /// Each part runs as a task of its own on the tokio runtime that [`run`](Self::run) is called in, so that parts that compute do so
    /// side by side. One that is cancelled ends at its next await. Default: all of them run on the caller's task.
    pub fn spawned(mut self) -> Self {
        self.spawn = Some(run::spawn);
        self
    }
}

impl<'a, T: Send + 'a, E: Send + 'a> Gather<'a, T, E> {
    /// Runs the parts until it is decided. The time begins with the first poll.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for no parts, for parts of the same name, for a part that the policy requires and that is not there, for a
    /// policy whose minimum is more than the parts that weigh anything (at every level, also at one that does not ask for the minimum,
    /// so that it does not depend on the moment), and for weights, durations and numbers that are not as they are documented;
    /// [`NoRuntime`] if the parts are [`spawned`](Gather::spawned) and there is no tokio runtime here.
    pub async fn run(mut self) -> Result<Gathered<T, E>, GatherError> {
        self.check()?;
        self.resolve()?;
        let spawn = match self.spawn {
            Some(spawn) => Some((spawn, Handle::try_current().map_err(|_| NoRuntime::new())?)),
            None => None,
        };
        let Self { partial, clock, max_wait, after_quorum, concurrency, parts, .. } = self;
        Ok(Run::new(partial, clock, parts, spawn).decide(max_wait, after_quorum, concurrency).await)
    }
}

impl<T, E> fmt::Debug for Gather<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather")
            .field("partial", &self.partial)
            .field("max_wait", &self.max_wait)
            .field("after_quorum", &self.after_quorum)
            .field("concurrency", &self.concurrency)
            .field("spawned", &self.spawn.is_some())
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}
