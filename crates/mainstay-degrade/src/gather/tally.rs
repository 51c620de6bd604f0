use crate::{Partial, PartialDecision};

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
    /// A weight that was accepted by `check_weight`.
    pub(crate) fn new(weight: f64, required: bool) -> Self {
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

    /// The decision, once nothing is pending.
    pub(crate) fn decision(
        &self,
        partial: Partial,
        stakes: &[Stake],
        missing: Vec<String>,
    ) -> PartialDecision {
        PartialDecision {
            accept: self.accepts(),
            share: self.part_of(self.succeeded),
            required: self.fewest(stakes),
            level: partial.level,
            reason: partial.reason,
            missing,
        }
    }

    /// How many successes it takes at least: those of the heaviest parts.
    fn fewest(&self, stakes: &[Stake]) -> u32 {
        let mut weights: Vec<u64> = stakes.iter().map(|stake| stake.weight).collect();
        weights.sort_unstable_by(|one, other| other.cmp(one));
        let mut count = Count::default();
        for weight in weights {
            if self.reaches(count) {
                break;
            }
            count.add(weight);
        }
        count.parts.max(self.minimum)
    }
}
