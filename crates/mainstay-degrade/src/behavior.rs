use std::collections::BTreeMap;
use std::fmt;

use mainstay_core::{ConfigError, Name};
use serde::{Deserialize, Serialize};

use crate::{Assessment, Cause, Level};

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
    operations: BTreeMap<Name, Vec<Rule>>,
}

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
    /// Why it is not to proceed.
    pub reason: Option<BehaviorReason>,
}

/// Why an operation does not simply proceed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BehaviorReason {
    /// A dependency of it is down.
    DependencyDown(Name),
    /// The level is at least as bad as its rule says; with the worst cause of the level.
    Level(Level, Option<Cause>),
}

/// An operation that shall not run now.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{} is not run now ({}): {}", .0.operation.map_or("the operation", |name| name.as_str()), .0.behavior, .0.why())]
pub struct Refused(pub BehaviorDecision);

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
    /// A [`ConfigError`] for names that are no names, and for a rule that does nothing.
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
    /// A [`ConfigError`] for a name that is none, for the level none, and for a rule that does nothing.
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
    /// A [`ConfigError`] for a name that is none.
    pub fn proceeds(mut self, operation: &str) -> Result<Self, ConfigError> {
        let operation = Name::new(operation).map_err(|error| error.within("behaviors"))?;
        self.operations.entry(operation).or_default();
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
        self.operations.entry(operation).or_default().push(Rule { when, behavior });
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
            .and_then(|rules| rules.proceeds("vector_search"))
            .and_then(|rules| rules.proceeds("result_synthesis"))
            .and_then(|rules| rules.proceeds("session_update"))
            .and_then(|rules| rules.proceeds("task_persistence"));
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
        let level = assessment.level;
        let Some((operation, rules)) = known else {
            return BehaviorDecision { operation: None, behavior: Behavior::Proceed, level, reason: None };
        };
        let applies = |rule: &&Rule| match rule.when {
            When::Down(dependency) => assessment.is_down(dependency.as_str()),
            When::At(from) => level >= from,
        };
        // Of two that are as strong the first decides, so that the reason is the same each time.
        let strongest = rules.iter().filter(applies).fold(None::<&Rule>, |strongest, rule| match strongest {
            Some(strongest) if strongest.behavior >= rule.behavior => Some(strongest),
            _ => Some(rule),
        });
        let reason = strongest.map(|rule| match rule.when {
            When::Down(dependency) => BehaviorReason::DependencyDown(dependency),
            When::At(from) => BehaviorReason::Level(from, assessment.worst().cloned()),
        });
        let behavior = strongest.map_or(Behavior::Proceed, |rule| rule.behavior);
        BehaviorDecision { operation: Some(*operation), behavior, level, reason }
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

    /// In words.
    pub fn why(&self) -> String {
        match &self.reason {
            None => "nothing is wrong with what it needs".to_owned(),
            Some(BehaviorReason::DependencyDown(name)) => format!("{name} is down"),
            Some(BehaviorReason::Level(from, Some(cause))) => format!("from level {from} on; {cause}"),
            Some(BehaviorReason::Level(from, None)) => format!("from level {from} on"),
        }
    }
}
