use std::cmp::Reverse;

use crate::{Partial, PartialDecision, PartialPolicy, exact};

/// What a part counts for.
pub(crate) struct Stake {
    /// In the share, in millionths, so that sums are exact and in any order the same. A part of none counts for nothing.
    pub(crate) weight: u64,
    /// Whether there is no answer without it.
    pub(crate) required: bool,
}

/// What is known of a gather's parts, and what follows from it whatever the pending ones do.
pub(crate) struct Tally {
    share: f64,
    minimum: u32,
    all: Count,
    succeeded: Count,
    failed: Count,
    /// Required parts that have not succeeded.
    wanting: usize,
    /// A required part failed.
    lost: bool,
}

#[derive(Clone, Copy, Default)]
struct Count {
    parts: u32,
    weight: u128,
}

impl Stake {
    /// What a policy says of a part.
    pub(crate) fn of(policy: &PartialPolicy, source: &str) -> Self {
        Self::new(policy.weight_of(source), policy.required.contains(source))
    }

    /// A weight that was accepted by `check_weight`.
    fn new(weight: f64, required: bool) -> Self {
        let millionths = (weight * 1e6).round() as u64;
        let weight = if weight > 0.0 { millionths.max(1) } else { 0 };
        Self { weight, required }
    }
}

impl Count {
    fn add(&mut self, weight: u64) {
        if weight > 0 {
            self.parts = self.parts.saturating_add(1);
            self.weight = self.weight.saturating_add(u128::from(weight));
        }
    }

    fn without(self, other: Self) -> Self {
        Self {
            parts: self.parts.saturating_sub(other.parts),
            weight: self.weight.saturating_sub(other.weight),
        }
    }
}

impl Tally {
    pub(crate) fn new<'a>(partial: &Partial, stakes: impl IntoIterator<Item = &'a Stake>) -> Self {
        let (share, minimum) = partial.policy.bar(partial.level);
        let (mut all, mut wanting) = (Count::default(), 0);
        for stake in stakes {
            all.add(stake.weight);
            wanting += usize::from(stake.required);
        }
        let none = Count::default();
        Self { share, minimum, all, succeeded: none, failed: none, wanting, lost: false }
    }

    pub(crate) fn succeeds(&mut self, stake: &Stake) {
        self.succeeded.add(stake.weight);
        self.wanting = self.wanting.saturating_sub(usize::from(stake.required));
    }

    pub(crate) fn fails(&mut self, stake: &Stake) {
        self.failed.add(stake.weight);
        self.lost |= stake.required;
    }

    /// Whether the answer would be given if all pending parts failed.
    pub(crate) fn accepts(&self) -> bool {
        self.wanting == 0 && self.reaches(self.succeeded)
    }

    /// Whether the answer would not be given if all pending parts succeeded.
    pub(crate) fn rejects(&self) -> bool {
        self.lost || !self.reaches(self.all.without(self.failed))
    }

    fn reaches(&self, count: Count) -> bool {
        count.parts >= self.minimum && self.part_of(count) >= self.share
    }

    /// By division of exact sums, so that 7 of 100 is 0.07.
    fn part_of(&self, count: Count) -> f64 {
        if self.all.weight == 0 { 0.0 } else { count.weight as f64 / self.all.weight as f64 }
    }

    /// How many successes it takes at least: all that are required, and of the others those that weigh most.
    fn fewest(&self, stakes: &[Stake]) -> usize {
        let (required, mut others): (Vec<&Stake>, Vec<&Stake>) =
            stakes.iter().partition(|stake| stake.required);
        others.sort_unstable_by_key(|stake| Reverse(stake.weight));
        let mut count = Count::default();
        required.iter().for_each(|stake| count.add(stake.weight));
        let mut fewest = required.len();
        for stake in others {
            if self.reaches(count) {
                break;
            }
            count.add(stake.weight);
            fewest = fewest.saturating_add(1);
        }
        // More than there are, if it can not be met.
        fewest.saturating_add(self.minimum.saturating_sub(count.parts) as usize)
    }
}

impl Partial {
    /// Whether the parts that succeeded are enough, by their names: as a [`Gather`](crate::Gather) decides, so with the policy's
    /// weights and required parts. Of no parts none is; one that is required and not there is missing.
    ///
    /// Each part stands with whether it succeeded, and only once. The same parts in any order give the same decision, but for the order
    /// of those that are missing. The manager that this came from counts it as a decision of its own; what a
    /// [`Gathered`](crate::Gathered) keeps was counted, and is not again.
    pub fn decide_parts<'p>(&self, parts: impl IntoIterator<Item = (&'p str, bool)>) -> PartialDecision {
        let parts: Vec<(&str, bool)> = parts.into_iter().collect();
        let stakes: Vec<Stake> = parts.iter().map(|(source, _)| Stake::of(&self.policy, source)).collect();
        let mut tally = Tally::new(self, &stakes);
        let mut missing = Vec::new();
        let mut absent = self.policy.required.clone();
        for ((source, success), stake) in parts.iter().zip(&stakes) {
            absent.remove(*source);
            match success {
                true => tally.succeeds(stake),
                false => tally.fails(stake),
            }
            if stake.required && !success {
                missing.push((*source).to_owned());
            }
        }
        let least = tally.fewest(&stakes).saturating_add(absent.len());
        let failed = parts.iter().filter(|(_, success)| !success).count().saturating_add(absent.len());
        missing.extend(absent);
        let decision = PartialDecision {
            accept: missing.is_empty() && tally.accepts(),
            share: exact::round(tally.part_of(tally.succeeded)),
            required: u32::try_from(least).unwrap_or(u32::MAX),
            failed: u32::try_from(failed).unwrap_or(u32::MAX),
            level: self.level,
            epoch: self.epoch,
            reason: self.reason.clone(),
            missing,
        };
        self.origin.note(&decision);
        decision
    }
}
