//! What the rules are judged by: run, windows, and the calls that were counted under the lock.

use crate::phase::nanos;
use crate::tally::{LANES, LaneKey, Tally};
use crate::trip::Kind;
use crate::window::{Marks, Slices, slice_width};
use crate::{Cause, RuleSnapshot, Settings, Trip, Window};

/// Settings, made ready for judging.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) seed: u64,
    rules: Vec<Rule>,
    /// From which duration on a verdict is slow for any rule; `u64::MAX` for never.
    pub(crate) slow_limit: u64,
}

struct Rule {
    trip: Trip,
    window: Option<Window>,
    minimum: u64,
    /// From which duration on a verdict is slow for this rule's snapshot: its own limit, or the lowest of any rule.
    slow_limit: u64,
}

/// All of it belongs to one epoch, and is empty at its beginning.
pub(crate) struct Books {
    /// Failures in a row, if the word says that there is a run.
    run: u32,
    /// When the last of them was.
    run_at: u64,
    /// Verdicts that were counted here and not in a thread's row.
    calls: u64,
    lanes: Vec<Lane>,
    windows: Vec<Ledger>,
    next_term: u32,
}

struct Lane {
    key: LaneKey,
    window: Window,
    /// Verdicts per slice that were counted here.
    calls: Slices,
}

/// The failures and slow calls in a rule's window.
enum Ledger {
    None,
    Calls {
        size: u64,
        /// The position in the epoch's sequence of verdicts at which the window began to fill.
        base: u64,
        failures: Marks,
        slow: Marks,
    },
    Time {
        lane: usize,
        failures: Slices,
        slow: Slices,
    },
}

/// One verdict, as the windows see it.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) failure: bool,
    /// How long it took; 0 when nobody measured.
    pub(crate) took: u64,
}

/// Where and when: what is needed beside the books to count.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) tally: &'a Tally,
    pub(crate) epoch: u32,
    pub(crate) now: u64,
}

// === impl Plan ===

impl Plan {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        let trips = settings.rules();
        let own_limit = |trip: &Trip| match trip.kind {
            Kind::SlowRate(_, limit) => Some(nanos(limit)),
            _ => None,
        };
        let slow_limit = trips.iter().filter_map(own_limit).min().unwrap_or(u64::MAX);
        let rules = trips.iter().map(|trip| Rule {
            trip: *trip,
            window: trip.window(),
            minimum: u64::from(trip.minimum()),
            slow_limit: own_limit(trip).unwrap_or(slow_limit),
        });
        Self { rules: rules.collect(), settings, seed, slow_limit }
    }

    pub(crate) fn phase_rules(&self) -> crate::phase::Rules<'_> {
        crate::phase::Rules { settings: &self.settings, seed: self.seed }
    }

    /// The distinct windows of time.
    fn times(&self) -> Vec<Window> {
        let mut times: Vec<Window> = Vec::new();
        for window in self.rules.iter().filter_map(|rule| rule.window) {
            if matches!(window, Window::Time(_)) && !times.contains(&window) {
                times.push(window);
            }
        }
        times
    }
}

impl Rule {
    /// Whether its threshold is reached.
    fn judge(&self, rule: u8, seen: &RuleSnapshot) -> Option<Cause> {
        let (failures, calls) = (seen.failures, seen.calls);
        if calls < self.minimum {
            return None;
        }
        // By division: 0.07 * 100 is more than 7, but 7 / 100 is not less than 0.07.
        let reaches = |part: u64, threshold: f64| calls > 0 && part as f64 / calls as f64 >= threshold;
        match self.trip.kind {
            Kind::ConsecutiveFailures(limit) => (failures >= u64::from(limit)).then_some({
                Cause::ConsecutiveFailures { rule, failures: u32::try_from(failures).unwrap_or(u32::MAX), limit }
            }),
            Kind::FailureRate(threshold) => {
                reaches(failures, threshold).then_some(Cause::FailureRate { rule, failures, calls, threshold })
            }
            Kind::SlowRate(threshold, slower_than) => reaches(seen.slow, threshold).then_some(Cause::SlowRate {
                rule,
                slow: seen.slow,
                calls,
                threshold,
                slower_than,
            }),
            Kind::Failures(limit) => {
                (failures >= u64::from(limit)).then_some(Cause::Failures { rule, failures, calls, limit })
            }
        }
    }

    /// A failure rule is judged when a failure is recorded, a slow rule when a slow verdict is.
    fn concerns(&self, entry: Entry) -> bool {
        match self.trip.kind {
            Kind::SlowRate(..) => entry.took >= self.slow_limit,
            _ => entry.failure,
        }
    }

    fn rate(&self, failures: u64, slow: u64, calls: u64) -> Option<f64> {
        let part = match self.trip.kind {
            Kind::FailureRate(_) => failures,
            Kind::SlowRate(..) => slow,
            Kind::ConsecutiveFailures(_) | Kind::Failures(_) => return None,
        };
        (calls > 0).then(|| part as f64 / calls as f64)
    }
}

// === impl Books ===

impl Books {
    pub(crate) fn new(plan: &Plan, tally: &Tally) -> Self {
        let mut books =
            Self { run: 0, run_at: 0, calls: 0, lanes: Vec::new(), windows: Vec::new(), next_term: 1 };
        books.open_lanes(plan, tally);
        books.windows = plan.rules.iter().map(|rule| books.fresh(rule, 0)).collect();
        books
    }

    /// A new epoch: everything starts empty.
    pub(crate) fn clear(&mut self) {
        self.run = 0;
        self.calls = 0;
        self.lanes.iter_mut().for_each(|lane| lane.calls.clear());
        for ledger in &mut self.windows {
            match ledger {
                Ledger::None => {}
                Ledger::Calls { base, failures, slow, .. } => {
                    *base = 0;
                    failures.clear(0);
                    slow.clear(0);
                }
                Ledger::Time { failures, slow, .. } => {
                    failures.clear();
                    slow.clear();
                }
            }
        }
    }

    /// Another plan: a rule takes over the window of the first old rule that has the same one. Slow marks stay only
    /// if they mean the same.
    pub(crate) fn replan(&mut self, old: &Plan, new: &Plan, at: At<'_>) {
        let position = self.position(at);
        self.open_lanes(new, at.tally);
        let windows = new.rules.iter().map(|rule| {
            let heir = old.rules.iter().zip(&self.windows).find(|(old, _)| old.window == rule.window);
            match heir {
                Some((old, ledger)) => self.inherit(ledger, rule, old.slow_limit == rule.slow_limit),
                None => self.fresh(rule, position),
            }
        });
        self.windows = windows.collect();
    }

    fn inherit(&self, ledger: &Ledger, rule: &Rule, same_limit: bool) -> Ledger {
        match ledger {
            Ledger::None => Ledger::None,
            Ledger::Calls { size, base, failures, slow } => {
                let mut slow = slow.clone();
                if !same_limit {
                    slow.clear(0);
                }
                Ledger::Calls { size: *size, base: *base, failures: failures.clone(), slow }
            }
            Ledger::Time { failures, slow, .. } => {
                let slow = if same_limit { slow.clone() } else { Slices::new() };
                Ledger::Time { lane: self.lane_of(rule), failures: failures.clone(), slow }
            }
        }
    }

    fn fresh(&self, rule: &Rule, position: u64) -> Ledger {
        match rule.window {
            None => Ledger::None,
            Some(Window::Calls(n)) => Ledger::Calls {
                size: u64::from(n),
                base: position,
                failures: Marks::new(n, position),
                slow: Marks::new(n, position),
            },
            Some(Window::Time(_)) => {
                Ledger::Time { lane: self.lane_of(rule), failures: Slices::new(), slow: Slices::new() }
            }
        }
    }

    fn lane_of(&self, rule: &Rule) -> usize {
        self.lanes.iter().position(|lane| Some(lane.window) == rule.window).unwrap_or(usize::MAX)
    }

    /// One lane for each distinct window of time; those that stay keep their contents.
    fn open_lanes(&mut self, plan: &Plan, tally: &Tally) {
        let times = plan.times();
        let gone = self.lanes.extract_if(.., |lane| !times.contains(&lane.window));
        gone.for_each(|lane| tally.close_lane(lane.key.index));
        for window in times {
            let Window::Time(duration) = window else { continue };
            if self.lanes.iter().any(|lane| lane.window == window) {
                continue;
            }
            let taken = |index: &usize| self.lanes.iter().any(|lane| lane.key.index == *index);
            let Some(index) = (0..LANES).find(|index| !taken(index)) else { continue };
            let key = LaneKey { index, term: self.next_term, width: slice_width(duration) };
            // Terms never repeat in practice (2^32 reconfigurations); 0 means out of use.
            self.next_term = self.next_term.checked_add(1).unwrap_or(1);
            tally.open_lane(key);
            self.lanes.push(Lane { key, window, calls: Slices::new() });
        }
    }

    pub(crate) fn is_timed(&self) -> bool {
        !self.lanes.is_empty()
    }

    pub(crate) fn lane_keys(&self) -> impl Iterator<Item = LaneKey> {
        self.lanes.iter().map(|lane| lane.key)
    }

    /// A plain success that no thread's row could take.
    pub(crate) fn count_call(&mut self, now: u64) {
        self.calls += 1;
        for lane in &mut self.lanes {
            lane.calls.add(now / lane.key.width);
        }
    }

    /// A failure after the others of a run, or the first of a new one.
    pub(crate) fn count_run(&mut self, goes_on: bool, now: u64, plan: &Plan) {
        let within = plan.rules.iter().find_map(|rule| rule.trip.within).map_or(u64::MAX, nanos);
        let young = now.saturating_sub(self.run_at) <= within;
        self.run = if goes_on && young { self.run.saturating_add(1) } else { 1 };
        self.run_at = now;
    }

    pub(crate) fn run(&self) -> u32 {
        self.run
    }

    /// Counts a failure or a slow success, and judges the rules that it concerns.
    pub(crate) fn enter(&mut self, entry: Entry, plan: &Plan, at: At<'_>) -> Option<Cause> {
        self.count_call(at.now);
        let position = self.position(at);
        for (ledger, rule) in self.windows.iter_mut().zip(&plan.rules) {
            let is_slow = entry.took >= rule.slow_limit;
            match ledger {
                Ledger::None => {}
                Ledger::Calls { failures, slow, .. } => {
                    if entry.failure {
                        failures.mark(position);
                    }
                    if is_slow {
                        slow.mark(position);
                    }
                }
                Ledger::Time { lane, failures, slow } => {
                    let Some(lane) = self.lanes.get(*lane) else { continue };
                    let slice = at.now / lane.key.width;
                    if entry.failure {
                        failures.add(slice);
                    }
                    if is_slow {
                        slow.add(slice);
                    }
                }
            }
        }
        let concerned = plan.rules.iter().enumerate().filter(|(_, rule)| rule.concerns(entry));
        concerned.into_iter().find_map(|(index, rule)| {
            let (_, seen) = self.rule(index, plan, at, self.run)?;
            rule.judge(u8::try_from(index).unwrap_or(u8::MAX), &seen)
        })
    }

    /// What a rule sees now.
    fn rule<'p>(&mut self, index: usize, plan: &'p Plan, at: At<'_>, run: u32) -> Option<(&'p Rule, RuleSnapshot)> {
        let rule = plan.rules.get(index)?;
        let position = self.position(at);
        let (calls, failures, slow) = match self.windows.get_mut(index)? {
            Ledger::None => (0, u64::from(run), 0),
            Ledger::Calls { size, base, failures, slow } => {
                failures.advance(position);
                slow.advance(position);
                (position.saturating_sub(*base).min(*size), failures.count(), slow.count())
            }
            Ledger::Time { lane, failures, slow } => {
                let lane = self.lanes.get_mut(*lane)?;
                let slice = at.now / lane.key.width;
                let calls = lane.calls.sum(slice) + at.tally.judged_in(lane.key, at.epoch, at.now);
                (calls, failures.sum(slice), slow.sum(slice))
            }
        };
        Some((rule, RuleSnapshot { calls, failures, slow, rate: rule.rate(failures, slow, calls) }))
    }

    /// What the rules see now; all zeros when the windows are of no account (`live` is false).
    pub(crate) fn snapshot(&mut self, plan: &Plan, at: At<'_>, run: u32, live: bool) -> Vec<RuleSnapshot> {
        let none = RuleSnapshot { calls: 0, failures: 0, slow: 0, rate: None };
        let rules = 0..plan.rules.len();
        if !live {
            return rules.map(|_| none.clone()).collect();
        }
        rules.map(|index| self.rule(index, plan, at, run).map_or(none.clone(), |(_, seen)| seen)).collect()
    }

    /// How many verdicts this epoch has had.
    fn position(&self, at: At<'_>) -> u64 {
        at.tally.judged(at.epoch) + self.calls
    }
}
