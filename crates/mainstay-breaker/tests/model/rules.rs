//! Closed and ramping: what the rules count, and when they trip.

use std::time::Duration;

use mainstay_breaker::Cause;

use super::plan::{Plan, Rule, Span};
use super::{Call, Counts, Model, Outcome};

impl Model {
    pub(crate) fn judge_call(&mut self, outcome: Outcome) {
        self.extend_run(outcome);
        for (rule, window) in self.plan.rules.iter().zip(&mut self.windows) {
            let slow = is_slow(&outcome, self.plan.slow_limit_of(rule));
            window.push(Call { at: self.now, failed: outcome.failed, slow });
        }
        let cause = (0..self.plan.rules.len()).find_map(|index| self.reached(index, &outcome));
        if let Some(cause) = cause {
            self.open(cause, outcome.retry_after);
        }
    }

    /// A success ends the run. A failure too late after the one before begins a new one.
    fn extend_run(&mut self, outcome: Outcome) {
        if !outcome.failed {
            self.run = 0;
            return;
        }
        let within = self.plan.rules.iter().find_map(|rule| match *rule {
            Rule::Consecutive { within, .. } => within,
            _ => None,
        });
        let too_far = match (within, self.last_failure) {
            (Some(within), Some(last)) => self.now - last > within,
            _ => false,
        };
        self.run = if too_far { 1 } else { self.run + 1 };
        self.last_failure = Some(self.now);
    }

    /// The cause to open, if this outcome concerns the rule and its threshold is reached.
    fn reached(&self, index: usize, outcome: &Outcome) -> Option<Cause> {
        let rule = &self.plan.rules[index];
        let Counts { calls, failures, slow, .. } = self.counts(index);
        let judged = calls >= u64::from(rule.min_calls());
        let rule_number = index as _;
        match *rule {
            Rule::Consecutive { limit, .. } => {
                let cause = Cause::ConsecutiveFailures { rule: rule_number, failures: self.run, limit };
                (outcome.failed && self.run >= limit).then_some(cause)
            }
            Rule::FailureRate { threshold, .. } => {
                let cause = Cause::FailureRate { rule: rule_number, failures, calls, threshold };
                (outcome.failed && judged && share(failures, calls) >= threshold).then_some(cause)
            }
            Rule::SlowRate { threshold, slower_than, .. } => {
                let cause = Cause::SlowRate { rule: rule_number, slow, calls, threshold, slower_than };
                let concerns = is_slow(outcome, Some(slower_than));
                (concerns && judged && share(slow, calls) >= threshold).then_some(cause)
            }
            Rule::Failures { limit, .. } => {
                let cause = Cause::Failures { rule: rule_number, failures, calls, limit };
                (outcome.failed && judged && failures >= u64::from(limit)).then_some(cause)
            }
        }
    }

    /// What the rule's window holds now.
    pub(crate) fn counts(&self, index: usize) -> Counts {
        let rule = &self.plan.rules[index];
        let window = &self.windows[index];
        let inside: Vec<Call> = match rule.span() {
            None => {
                return Counts { calls: 0, failures: u64::from(self.run), slow: 0, rate: None };
            }
            Some(Span::Calls(n)) => window.iter().rev().take(n as usize).copied().collect(),
            Some(Span::Time(d)) => {
                let age = |call: &Call| slice(self.now, d) - slice(call.at, d);
                window.iter().filter(|call| age(call) < SLICES).copied().collect()
            }
        };
        let calls = inside.len() as u64;
        let failures = inside.iter().filter(|call| call.failed).count() as u64;
        let slow = inside.iter().filter(|call| call.slow).count() as u64;
        let rate = match rule {
            _ if calls == 0 => None,
            Rule::FailureRate { .. } => Some(share(failures, calls)),
            Rule::SlowRate { .. } => Some(share(slow, calls)),
            Rule::Consecutive { .. } | Rule::Failures { .. } => None,
        };
        Counts { calls, failures, slow, rate }
    }

    /// State, epoch, run, probes, open time and a running ramp stay. A rule takes over the window of the first
    /// old rule with the same one, and its slow marks if they mean the same.
    pub(crate) fn reconfigure(&mut self, plan: Plan) {
        let take_over = |rule: &Rule| -> Vec<Call> {
            let Some(span) = rule.span() else {
                return Vec::new();
            };
            let Some(old) = self.plan.rules.iter().position(|old| old.span() == Some(span)) else {
                return Vec::new();
            };
            let mut calls = self.windows[old].clone();
            if self.plan.slow_limit_of(&self.plan.rules[old]) != plan.slow_limit_of(rule) {
                for call in &mut calls {
                    call.slow = false;
                }
            }
            calls
        };
        self.windows = plan.rules.iter().map(take_over).collect();
        self.plan = plan;
    }
}

/// Time windows have twelve slices, aligned to the clock's zero.
const SLICES: u128 = 12;

/// The number of the slice that a point in time lies in.
pub(crate) fn slice(at: Duration, window: Duration) -> u128 {
    at.as_nanos() / slice_width(window)
}

/// Nanoseconds of one slice.
pub(crate) fn slice_width(window: Duration) -> u128 {
    window.as_nanos() / SLICES
}

fn share(part: u64, all: u64) -> f64 {
    part as f64 / all as f64
}

pub(crate) fn is_slow(outcome: &Outcome, limit: Option<Duration>) -> bool {
    match (outcome.took, limit) {
        (Some(took), Some(limit)) => took >= limit,
        _ => false,
    }
}
