use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::{Clock, ConfigError, Name};
use serde::{Deserialize, Serialize};

use crate::books::PartialBook;
use crate::{Assessment, Cause, Level, exact};

/// How much of a workflow's parts must have succeeded for its answer to be given.
///
/// With a share of s: all is well, s; at minor, the smaller of s and a half; at moderate, the smaller of s and a quarter; at severe,
/// one success. So never more is asked for as things get worse. Parts that are required by name stay required at every level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartialPolicy {
    /// The share of the parts when all is well: more than 0, at most 1.
    pub share: f64,
    /// And at least so many, when all is well and at minor. Default: 1. A [`Gather`](crate::Gather) of fewer parts (those that weigh
    /// nothing are not counted) is refused at every level.
    #[serde(default = "one")]
    pub minimum: u32,
    /// The parts without which there is no answer, by name, at every level. Default: none. A [`Gather`](crate::Gather) asks for them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub required: BTreeSet<String>,
    /// What a part counts for in the share, by name: 0 to a million, to a millionth. Default: 1. A [`Gather`](crate::Gather)
    /// weighs by them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
}

fn one() -> u32 {
    1
}

/// The policies of a service's workflows.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialPolicies {
    workflows: BTreeMap<Name, PartialPolicy>,
    other: PartialPolicy,
}

/// A policy at a level: what decides whether so many successes are enough.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Partial {
    /// The policy.
    pub policy: PartialPolicy,
    /// The level that it is applied at.
    pub level: Level,
    /// The number of the assessment that it was made by; 0 without one.
    pub epoch: u64,
    /// The worst cause of the level.
    pub reason: Option<Cause>,
    /// Each dependency that is down, in the order of their names.
    pub down: Vec<Name>,
    pub(crate) origin: Origin,
}

/// What a [`Partial`] has from the manager that made it. It decides nothing, so that those with and without one are equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The manager's clock.
    pub(crate) clock: Option<Clock>,
    /// Where the manager counts.
    pub(crate) book: Option<PartialBook>,
}

impl Origin {
    /// The decision is made.
    pub(crate) fn note(&self, decision: &PartialDecision) {
        if let Some(book) = &self.book {
            book.note(decision);
        }
    }
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Whether an answer made of so many parts is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartialDecision {
    /// Whether it is.
    pub accept: bool,
    /// Which share of the parts succeeded, by weight: 0 to 1, to nine digits. The decision itself is exact.
    pub share: f64,
    /// The least number of successful parts with which the answer is given: of a [`Gather`](crate::Gather) all that are required by
    /// name, also those that weigh nothing, and of the others as many of the heaviest as it takes.
    pub required: u32,
    /// How many parts did not succeed, also those that weigh nothing, and those that are required by name and not there.
    #[serde(default)]
    pub failed: u32,
    /// The level that it was decided at.
    pub level: Level,
    /// The number of the assessment that it was decided by; 0 without one.
    pub epoch: u64,
    /// The worst cause of the level.
    pub reason: Option<Cause>,
    /// The parts that are required by name and did not succeed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl PartialPolicy {
    /// A share of the parts, and at least one.
    pub const fn share(share: f64) -> Self {
        Self { share, minimum: 1, required: BTreeSet::new(), weights: BTreeMap::new() }
    }

    /// And at least so many.
    #[must_use]
    pub const fn at_least(mut self, minimum: u32) -> Self {
        self.minimum = minimum;
        self
    }

    /// And this part, whatever else succeeds.
    #[must_use]
    pub fn require(mut self, part: impl Into<String>) -> Self {
        self.required.insert(part.into());
        self
    }

    /// And this part counts for so much in the share: 0 to a million, to a millionth.
    #[must_use]
    pub fn weigh(mut self, part: impl Into<String>, weight: f64) -> Self {
        self.weights.insert(part.into(), weight);
        self
    }

    /// The policy as it is to be applied at a level, without an assessment.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a policy that breaks its documented rules.
    pub fn at(self, level: Level) -> Result<Partial, ConfigError> {
        self.validate("partial")?;
        Ok(Partial {
            policy: self,
            level,
            epoch: 0,
            reason: None,
            down: Vec::new(),
            origin: Origin::default(),
        })
    }

    /// How many of so many parts must succeed at a level: at least one. With parts that are required by name all of them must: by
    /// count alone nobody can tell whether one of these is among those that failed.
    pub fn required(&self, level: Level, total: u32) -> u32 {
        let (share, minimum) = self.bar(level);
        let named = u32::try_from(self.required.len()).unwrap_or(u32::MAX);
        let at_least = if named == 0 { minimum } else { named.max(total).max(minimum) };
        by_share(share, total).max(at_least)
    }

    /// Which share of the parts must succeed at a level, and how many at least.
    pub(crate) fn bar(&self, level: Level) -> (f64, u32) {
        let (share, minimum) = match level {
            Level::None => (self.share, self.minimum),
            Level::Minor => (self.share.min(0.5), self.minimum),
            Level::Moderate => (self.share.min(0.25), 1),
            Level::Severe => (0.0, 1),
        };
        (share, minimum.max(1))
    }

    /// What a part counts for in the share.
    pub(crate) fn weight_of(&self, part: &str) -> f64 {
        self.weights.get(part).copied().unwrap_or(1.0)
    }

    pub(crate) fn validate(&self, field: &str) -> Result<(), ConfigError> {
        if !(self.share > 0.0 && self.share <= 1.0) {
            let rule = "must be more than 0 and at most 1";
            return Err(ConfigError::new(format!("{field}.share"), self.share, rule));
        }
        if self.minimum == 0 {
            return Err(ConfigError::new(format!("{field}.minimum"), 0, "must be at least 1"));
        }
        for (part, weight) in &self.weights {
            check_weight(&format!("{field}.weights.{part}"), *weight)?;
        }
        Ok(())
    }
}

/// The heaviest that a part can be.
const MAX_WEIGHT: f64 = 1e6;

/// Accepts what a part may weigh: 0 to a million.
pub(crate) fn check_weight(field: &str, weight: f64) -> Result<(), ConfigError> {
    if (0.0..=MAX_WEIGHT).contains(&weight) {
        return Ok(());
    }
    Err(ConfigError::new(field, weight, "must be at least 0 and at most 1000000"))
}

/// The least number of parts whose share of the total reaches `share`, by division, so that 7 of 100 reaches 0.07.
fn by_share(share: f64, total: u32) -> u32 {
    let reaches = |count: u32| f64::from(count) / f64::from(total) >= share;
    let guess = (share * f64::from(total)).ceil() as u32;
    let least = guess.saturating_sub(1);
    (least..=guess.saturating_add(1)).find(|count| total > 0 && reaches(*count)).unwrap_or(guess)
}

impl PartialPolicies {
    /// One policy for every workflow.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a policy that breaks its documented rules.
    pub fn new(other: PartialPolicy) -> Result<Self, ConfigError> {
        other.validate("partial.other")?;
        Ok(Self { workflows: BTreeMap::new(), other })
    }

    /// The shares of the system that this one re-creates: simple 1, standard 0.5, complex 0.6, agent_dag 0.4, any other 0.5.
    pub fn seed() -> Self {
        let mut seed = Self { workflows: BTreeMap::new(), other: PartialPolicy::share(0.5) };
        for (workflow, share) in [("simple", 1.0), ("standard", 0.5), ("complex", 0.6), ("agent_dag", 0.4)] {
            if let Ok(workflow) = Name::new(workflow) {
                seed.workflows.insert(workflow, PartialPolicy::share(share));
            }
        }
        seed
    }

    /// Another policy for one workflow.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] for a name that is none, and for a policy that breaks its documented rules.
    pub fn workflow(mut self, workflow: &str, policy: PartialPolicy) -> Result<Self, ConfigError> {
        let name = Name::new(workflow).map_err(|error| error.within("partial"))?;
        policy.validate(&format!("partial.{name}"))?;
        self.workflows.insert(name, policy);
        Ok(self)
    }

    /// The workflows that have a policy of their own.
    pub fn workflows(&self) -> impl Iterator<Item = Name> {
        self.workflows.keys().copied()
    }

    /// The policy of a workflow; one that has none of its own has that of all others.
    pub fn of(&self, workflow: &str) -> PartialPolicy {
        self.workflows.get(workflow).unwrap_or(&self.other).clone()
    }

    /// The policy of a workflow, as it is to be applied by an assessment.
    pub fn at(&self, assessment: &Assessment, workflow: &str) -> Partial {
        let (level, epoch, policy) = (assessment.level, assessment.epoch, self.of(workflow));
        let down = assessment.down.iter().map(|down| down.name).collect();
        Partial { policy, level, epoch, reason: assessment.worst().cloned(), down, origin: Origin::default() }
    }
}

impl Partial {
    pub(crate) fn of(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// How many of so many parts must succeed.
    pub fn required(&self, total: u32) -> u32 {
        self.policy.required(self.level, total)
    }

    /// Whether so many successes of so many parts are enough, by count alone: if the policy requires parts by name, only all of them
    /// are. [`decide_parts`](Self::decide_parts) knows the parts' names, and with them weights. Of no parts none is; more successes
    /// than parts are as many as there are parts.
    pub fn decide(&self, successes: u32, total: u32) -> PartialDecision {
        let required = self.required(total);
        let successes = successes.min(total);
        let share = if total == 0 { 0.0 } else { f64::from(successes) / f64::from(total) };
        let decision = PartialDecision {
            accept: total > 0 && successes >= required,
            share: exact::round(share),
            required,
            failed: total.saturating_sub(successes),
            level: self.level,
            epoch: self.epoch,
            reason: self.reason.clone(),
            missing: Vec::new(),
        };
        self.origin.note(&decision);
        decision
    }
}
