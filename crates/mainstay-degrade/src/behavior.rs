use std::collections::BTreeMap;
use std::fmt;

use mainstay_core::{ConfigError, Name, NotAsked, Weight};
use serde::{Deserialize, Serialize};

use crate::{Assessment, Cause, DownDependency, Level, Reason};

/// What an operation does now, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Behavior {
    /// As usual.
    #[default]
    Proceed,
    /// In a simpler way.
    Degrade,
    /// With what was answered before.
    #[serde(rename = "cache")]
    UseCache,
    /// Not at all, and nobody minds.
    Skip,
    /// Not at all, with an error.
    Fail,
}

/// What the operations of a service do when something is down.
///
/// ```
/// use mainstay_degrade::{Behavior, BehaviorRules, Level};
///
/// let rules = BehaviorRules::new()
///     .when_down("llm_generation", "llm", Behavior::UseCache)?
///     .at("non_essential_logging", Level::Severe, Behavior::Skip)?;
/// # Ok::<(), mainstay_degrade::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct BehaviorRules {
    operations: BTreeMap<Name, Operation>,
}

#[derive(Clone, Debug, Default)]
struct Operation {
    rules: Vec<Rule>,
    /// Said to proceed, and whether it says so when something is wrong.
    proceeds: Option<Warns>,
}

type Warns = bool;

#[derive(Clone, Copy, Debug)]
struct Rule {
    when: When,
    behavior: Behavior,
}

#[derive(Clone, Copy, Debug)]
enum When {
    Down(Name),
    At(Level),
}

/// What an operation does now, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BehaviorDecision {
    /// Which operation; nothing if it has no rules, so that names from requests make no labels.
    pub operation: Option<Name>,
    /// What it does.
    pub behavior: Behavior,
    /// The level that it was decided at.
    pub level: Level,
    /// The number of the assessment that it was decided by.
    pub epoch: u64,
    /// Why it is not to proceed; or, of an operation that [warns](BehaviorRules::proceeds_with_warning), what is wrong.
    pub reason: Option<BehaviorReason>,
}

/// Why an operation does not simply proceed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BehaviorReason {
    /// A dependency of it is down: which, what says so, and since when.
    DependencyDown(DownDependency),
    /// The level is at least as bad as its rule says, or as it is if the operation only warns; with the worst cause of the level.
    Level(Level, Option<Cause>),
}

/// An operation that shall not run now. It says that [nobody was asked](NotAsked), so that it is no evidence for the level.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused(pub BehaviorDecision);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        NotAsked::say();
        let operation = self.0.operation.map_or("the operation", |name| name.as_str());
        write!(f, "{operation} is not run now ({}): {}", self.0.behavior, self.0.why())
    }
}

impl std::error::Error for Refused {}

impl Behavior {
    /// As it is written on the wire: `proceed`, `degrade`, `cache`, `skip`, `fail`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Behavior::Proceed => "proceed",
            Behavior::Degrade => "degrade",
            Behavior::UseCache => "cache",
            Behavior::Skip => "skip",
            Behavior::Fail => "fail",
        }
    }

    /// Whether the operation runs at all: it does unless it is to skip or to fail.
    pub const fn is_allowed(self) -> bool {
        matches!(self, Behavior::Proceed | Behavior::Degrade | Behavior::UseCache)
    }
}

impl fmt::Display for Behavior {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl BehaviorRules {
    /// No rules: every operation proceeds.
    pub fn new() -> Self {
        Self::default()
    }

    /// While a dependency is down, the operation does this. Of several rules the strongest that applies decides.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for names that are no names, for a rule that does nothing, and for one that contradicts another: a second one for the
    /// same dependency, or an operation that always proceeds.
    pub fn when_down(
        self,
        operation: &str,
        dependency: &str,
        behavior: Behavior,
    ) -> Result<Self, ConfigError> {
        let field = format!("behaviors.{operation}.when_down");
        let dependency = Name::new(dependency).map_err(|error| error.within(&field))?;
        self.rule(operation, &field, When::Down(dependency), behavior)
    }

    /// From this level on, the operation does this.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a name that is none, for the level none, for a rule that does nothing, and for one that contradicts another: a
    /// second one for the same level, a weaker one at a worse level, or an operation that always proceeds.
    pub fn at(self, operation: &str, level: Level, behavior: Behavior) -> Result<Self, ConfigError> {
        let field = format!("behaviors.{operation}.at");
        if level == Level::None {
            return Err(ConfigError::new(field, level, "must be a level at which something is wrong"));
        }
        self.rule(operation, &field, When::At(level), behavior)
    }

    /// An operation that is known and always proceeds.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a name that is none, and for an operation that has rules.
    pub fn proceeds(self, operation: &str) -> Result<Self, ConfigError> {
        self.always(operation, false)
    }

    /// An operation that always proceeds, and whose decision says so while something is wrong: see
    /// [`BehaviorDecision::warning`].
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a name that is none, and for an operation that has rules.
    pub fn proceeds_with_warning(self, operation: &str) -> Result<Self, ConfigError> {
        self.always(operation, true)
    }

    fn always(mut self, operation: &str, warns: Warns) -> Result<Self, ConfigError> {
        let name = Name::new(operation).map_err(|error| error.within("behaviors"))?;
        let operation = self.operations.entry(name).or_default();
        if !operation.rules.is_empty() {
            let rule = "must not be said of an operation that has rules";
            return Err(ConfigError::new(format!("behaviors.{name}"), Behavior::Proceed, rule));
        }
        operation.proceeds = Some(warns);
        Ok(self)
    }

    fn rule(
        mut self,
        operation: &str,
        field: &str,
        when: When,
        behavior: Behavior,
    ) -> Result<Self, ConfigError> {
        let operation = Name::new(operation).map_err(|error| error.within("behaviors"))?;
        if behavior == Behavior::Proceed {
            return Err(ConfigError::new(
                field,
                behavior,
                "must be stronger than what it would do without a rule",
            ));
        }
        let known = self.operations.entry(operation).or_default();
        let refuse = |rule: String| Err(ConfigError::new(field, behavior, rule));
        if known.proceeds.is_some() {
            return refuse("must not be said of an operation that always proceeds".to_owned());
        }
        for other in &known.rules {
            match (other.when, when) {
                (When::Down(one), When::Down(other)) if one == other => {
                    return refuse(format!("must be said once for {one}"));
                }
                (When::At(one), When::At(other)) if one == other => {
                    return refuse(format!("must be said once for {one}"));
                }
                (When::At(better), When::At(worse)) if better < worse && behavior < other.behavior => {
                    return refuse(format!("must not be weaker than at level {better}"));
                }
                (When::At(worse), When::At(better)) if better < worse && behavior > other.behavior => {
                    return refuse(format!("must not be stronger than at level {worse}"));
                }
                _ => {}
            }
        }
        known.rules.push(Rule { when, behavior });
        Ok(self)
    }

    /// The rules of the system that this one re-creates. Its dependencies are called `llm_service` and `agent_core`.
    pub fn seed() -> Self {
        let rules = Self::new()
            .when_down("llm_generation", "llm_service", Behavior::UseCache)
            .and_then(|rules| rules.when_down("llm_call", "llm_service", Behavior::UseCache))
            .and_then(|rules| rules.when_down("agent_execution", "agent_core", Behavior::Degrade))
            .and_then(|rules| rules.at("complex_workflow", Level::Moderate, Behavior::Degrade))
            .and_then(|rules| rules.at("non_essential_logging", Level::Severe, Behavior::Skip))
            .and_then(|rules| rules.proceeds_with_warning("vector_search"))
            .and_then(|rules| rules.proceeds_with_warning("result_synthesis"))
            .and_then(|rules| rules.proceeds_with_warning("session_update"))
            .and_then(|rules| rules.proceeds_with_warning("task_persistence"));
        // These are constants, and a test has them built.
        rules.unwrap_or_default()
    }

    /// The operations that have rules or are known.
    pub fn operations(&self) -> impl Iterator<Item = Name> {
        self.operations.keys().copied()
    }

    /// Decides by an assessment: the same one gives the same answer. An unknown operation proceeds.
    pub fn decide(&self, assessment: &Assessment, operation: &str) -> BehaviorDecision {
        let known = self.operations.get_key_value(operation);
        let Assessment { level, epoch, .. } = *assessment;
        let mut decision =
            BehaviorDecision { operation: None, behavior: Behavior::Proceed, level, epoch, reason: None };
        let Some((name, operation)) = known else { return decision };
        decision.operation = Some(*name);
        for rule in &operation.rules {
            // Of two that are as strong the first decides, so that the reason is the same each time.
            if rule.behavior <= decision.behavior {
                continue;
            }
            let reason = match rule.when {
                When::Down(dependency) => {
                    let down = assessment.down.iter().find(|down| down.name == dependency);
                    down.map(|down| BehaviorReason::DependencyDown(*down))
                }
                When::At(from) => {
                    (level >= from).then(|| BehaviorReason::Level(from, assessment.worst().cloned()))
                }
            };
            if reason.is_some() {
                (decision.behavior, decision.reason) = (rule.behavior, reason);
            }
        }
        if decision.reason.is_none() && operation.proceeds == Some(true) && level > Level::None {
            decision.reason = Some(BehaviorReason::Level(level, assessment.worst().cloned()));
        }
        decision
    }
}

impl BehaviorReason {
    /// The same in one word of the fixed vocabulary.
    pub fn reason(&self) -> Reason {
        match self {
            BehaviorReason::DependencyDown(DownDependency { weight: Weight::Breaker, .. }) => {
                Reason::CircuitBreakerOpen
            }
            BehaviorReason::DependencyDown(_) => Reason::DependencyFailure,
            BehaviorReason::Level(..) => Reason::HighDegradationLevel,
        }
    }
}

impl BehaviorDecision {
    /// The behavior, if the operation is to run at all.
    ///
    /// # Errors
    ///
    /// [`Refused`] with this decision, if it is to skip or to fail.
    pub fn allow(self) -> Result<Behavior, Refused> {
        if self.behavior.is_allowed() { Ok(self.behavior) } else { Err(Refused(self)) }
    }

    /// What is wrong while the operation proceeds all the same, if it is one that warns.
    pub fn warning(&self) -> Option<&BehaviorReason> {
        self.reason.as_ref().filter(|_| self.behavior == Behavior::Proceed)
    }

    /// In words.
    pub fn why(&self) -> String {
        match &self.reason {
            None => "nothing is wrong with what it needs".to_owned(),
            Some(BehaviorReason::DependencyDown(down)) => format!("{} is down", down.name),
            Some(BehaviorReason::Level(from, Some(cause))) => format!("from level {from} on; {cause}"),
            Some(BehaviorReason::Level(from, None)) => format!("from level {from} on"),
        }
    }
}
