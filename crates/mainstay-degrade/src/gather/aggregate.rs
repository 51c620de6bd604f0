use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use mainstay_core::Name;
use serde::{Deserialize, Serialize};

use super::result::{Gathered, Outcome, PartResult};
use crate::{Cause, Level};

/// How many parts a warning names that did not succeed or are degraded.
const NAMED: usize = 5;

/// The answer of a [`Gather`](super::Gather) as it is sent to whoever asked: what was combined, of what, and what is missing.
///
/// It holds no error's text unless [`aggregate_with`](Gathered::aggregate_with) is told how to say it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Aggregate<R, T> {
    /// Whether enough parts succeeded.
    pub success: bool,
    /// What the values were combined to, of a success.
    pub result: Option<R>,
    /// Each part, in the order in which the parts were given.
    pub partial_results: Vec<PartialResult<T>>,
    /// How many parts there were.
    pub total_components: usize,
    /// How many succeeded.
    pub success_count: usize,
    /// How many did not.
    pub failure_count: usize,
    /// Whether the answer is less than a full one.
    pub degraded: bool,
    /// What was wrong.
    pub degradation_info: DegradationInfo,
    /// What whoever asked should know, if it is not a full answer.
    pub warning: Option<String>,
    /// When it was decided. Written in RFC 3339, in UTC.
    #[serde(with = "super::timestamp")]
    pub timestamp: SystemTime,
}

/// A part of an [`Aggregate`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartialResult<T> {
    /// The part's name.
    pub source: String,
    /// Whether it succeeded.
    pub success: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Its value, of a success.
    pub result: Option<T>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// From its start to its end.
    pub latency: Duration,
    /// When it ended. Written in RFC 3339, in UTC.
    #[serde(with = "super::timestamp")]
    pub timestamp: SystemTime,
    /// How sure its source is of the value: 0 to 1; 0 without a value.
    pub confidence: f64,
    /// Whether the value is less than what was asked for.
    pub degraded: bool,
    /// What else its source says about the value.
    pub metadata: BTreeMap<String, String>,
}

/// What was wrong when an [`Aggregate`] was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DegradationInfo {
    /// The level.
    pub level: Level,
    /// The name of each part that did not succeed, in the order in which the parts were given.
    pub failed_dependencies: Vec<String>,
    /// Each dependency that was down, in the order of their names.
    pub down: Vec<Name>,
    /// The worst cause of the level.
    pub reason: Option<Cause>,
    /// What an operator should do, if anything.
    pub recommended_action: Option<String>,
}

impl<T, E> Gathered<T, E> {
    /// The answer to send, with the values combined to one if they are enough. What went wrong with a part is said by its outcome
    /// alone, so that no driver's text is sent.
    pub fn aggregate<R>(self, combine: impl FnOnce(&[(&str, &T)]) -> R) -> Aggregate<R, T> {
        self.aggregate_with(combine, |_| Outcome::Failure.as_words().to_owned())
    }

    /// The same, with each error in the words of `describe`.
    pub fn aggregate_with<R>(
        self,
        combine: impl FnOnce(&[(&str, &T)]) -> R,
        describe: impl Fn(&E) -> String,
    ) -> Aggregate<R, T> {
        let (success, degraded) = (self.accepted(), self.is_degraded());
        let result = success.then(|| combine(&self.values().collect::<Vec<_>>()));
        let success_count = self.values().count();
        let warning = self.warning(success_count);
        let level = self.decision.level;
        let total_components = self.parts.len();
        Aggregate {
            success,
            result,
            total_components,
            success_count,
            failure_count: total_components.saturating_sub(success_count),
            degraded,
            degradation_info: DegradationInfo {
                level,
                failed_dependencies: self.failed().map(|part| part.source.clone()).collect(),
                down: self.partial.down,
                reason: self.decision.reason,
                recommended_action: level.recommended_action().map(str::to_owned),
            },
            warning,
            timestamp: self.at_wall,
            partial_results: self.parts.into_iter().map(|part| part.partial(&describe)).collect(),
        }
    }

    /// `3 of 4 parts: b failed, c is degraded`.
    fn warning(&self, successes: usize) -> Option<String> {
        if !self.is_degraded() {
            return None;
        }
        let mut warning = format!("{successes} of {} parts", self.parts.len());
        let less = || self.parts.iter().filter(|part| !part.is_success() || part.degraded);
        for (index, part) in less().take(NAMED).enumerate() {
            let before = if index == 0 { ": " } else { ", " };
            let how = if part.is_success() { "is degraded" } else { part.outcome.as_words() };
            warning.push_str(&format!("{before}{} {how}", part.source));
        }
        let more = less().skip(NAMED).count();
        if more > 0 {
            warning.push_str(&format!(", and {more} more"));
        }
        if let Some(reason) = &self.decision.reason {
            warning.push_str(&format!("; {reason}"));
        }
        Some(warning)
    }
}

impl<T, E> PartResult<T, E> {
    fn partial(self, describe: impl Fn(&E) -> String) -> PartialResult<T> {
        let success = self.is_success();
        let error = match &self.error {
            Some(error) => Some(describe(error)),
            None => (!success).then(|| self.outcome.as_words().to_owned()),
        };
        PartialResult {
            source: self.source,
            success,
            outcome: self.outcome,
            result: self.value,
            error,
            latency: self.latency,
            timestamp: self.at_wall,
            confidence: self.confidence,
            degraded: self.degraded,
            metadata: self.metadata,
        }
    }
}
