//! What the rules are judged by: run, windows, and the calls that were counted under the lock.

use std::ops::Deref;
use std::sync::Arc;

use crate::lazily::{Blank, Lazily};
use crate::ledger::Ledger;
use crate::phase::nanos;
use crate::tally::{LANES, LaneKey, Tally};
use crate::trip::Kind;
use crate::window::{Slices, slice_width};
use crate::{Cause, RuleSnapshot, Settings, Trip, Window};

/// Settings, made ready for judging, and a seed for the jitter. Many breakers may share the settings.
#[derive(Clone)]
pub(crate) struct Plan {
    shared: Arc<Shared>,
    pub(crate) seed: u64,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    rules: Box<[Rule]>,
    /// The distinct windows of time.
    times: Box<[Time]>,
    /// From which duration on a verdict is slow for any rule; `u64::MAX` for never.
    pub(crate) slow_limit: u64,
    /// The longest time between two failures of a run.
    within: u64,
}

struct Time {
    window: Window,
    /// The width of its slices, in nanoseconds.
    width: u64,
}

struct Rule {
    kind: Kind,
    window: Option<Window>,
    /// Which of the windows of time it is.
    lane: u32,
    minimum: u32,
    /// From which duration on a verdict is slow for this rule's snapshot: its own limit, or the lowest of any rule.
    slow_limit: u64,
}

/// All of it but the total belongs to one epoch, and is empty at its beginning.
pub(crate) struct Books {
    /// Verdicts that were counted here and not in a thread's row.
    calls: u64,
    /// The same per slice, for the first of the plan's windows of time. Those of the others are in `more`.
    slices: Option<Box<Slices>>,
    more: Lazily<More>,
}

/// What a compact breaker without failures and slow calls does without.
#[derive(Default)]
struct More {
    /// What is to be added to `calls`, round the end of the numbers, to have the successes of all epochs that were counted here: those of the
    /// epochs before this one, less this one's failures.
    to_successes: u64,
    /// Failures in a row, if the word says that there is a run.
    run: u32,
    /// When the last of them was.
    run_at: u64,
    /// As in [`Books`], for the plan's windows of time after the first.
    slices: Vec<Slices>,
    /// For each rule; none before the first failure or slow call.
    ledgers: Vec<Ledger>,
    /// The tally's lanes for each of the plan's windows of time; none in the compact form.
    keys: Vec<LaneKey>,
    last_term: u32,
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
    pub(crate) fn new(mut settings: Settings, seed: u64) -> Self {
        // It stays as long as the breaker.
        if let Some(trips) = &mut settings.trip {
            trips.shrink_to_fit();
        }
        let trips = settings.rules();
        let own_limit = |trip: &Trip| match trip.kind {
            Kind::SlowRate(_, limit) => Some(nanos(limit)),
            _ => None,
        };
        let slow_limit = trips.iter().filter_map(own_limit).min().unwrap_or(u64::MAX);
        let mut times: Vec<Time> = Vec::new();
        for window in trips.iter().filter_map(Trip::window) {
            if let Window::Time(duration) = window
                && !times.iter().any(|time| time.window == window)
            {
                times.push(Time { window, width: slice_width(duration) });
            }
        }
        let lane = |window| times.iter().position(|time| Some(time.window) == window);
        let rules = trips.iter().map(|trip| Rule {
            kind: trip.kind,
            window: trip.window(),
            lane: lane(trip.window()).and_then(|lane| u32::try_from(lane).ok()).unwrap_or(u32::MAX),
            minimum: trip.minimum(),
            slow_limit: own_limit(trip).unwrap_or(slow_limit),
        });
        let rules = rules.collect();
        let within = trips.iter().find_map(|trip| trip.within).map_or(u64::MAX, nanos);
        Self { shared: Arc::new(Shared { rules, times: times.into(), settings, slow_limit, within }), seed }
    }

    /// The same settings with another seed.
    pub(crate) fn seeded(&self, seed: u64) -> Self {
        Self { shared: self.shared.clone(), seed }
    }

    pub(crate) fn phase_rules(&self) -> crate::phase::Rules<'_> {
        crate::phase::Rules { settings: &self.settings, seed: self.seed }
    }
}

impl Shared {
    pub(crate) fn is_timed(&self) -> bool {
        !self.times.is_empty()
    }

    fn has_window(&self, window: Option<Window>) -> bool {
        self.rules.iter().any(|rule| rule.window == window)
    }
}

impl Deref for Plan {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Rule {
    /// Whether its threshold is reached.
    fn judge(&self, rule: u8, seen: &RuleSnapshot) -> Option<Cause> {
        let (failures, calls) = (seen.failures, seen.calls);
        if calls < u64::from(self.minimum) {
            return None;
        }
        // By division: 0.07 * 100 is more than 7, but 7 / 100 is not less than 0.07.
        let reaches = |part: u64, threshold: f64| calls > 0 && part as f64 / calls as f64 >= threshold;
        match self.kind {
            Kind::ConsecutiveFailures(limit) => (failures >= u64::from(limit)).then_some({
                Cause::ConsecutiveFailures {
                    rule,
                    failures: u32::try_from(failures).unwrap_or(u32::MAX),
                    limit,
                }
            }),
            Kind::FailureRate(threshold) => reaches(failures, threshold).then_some(Cause::FailureRate {
                rule,
                failures,
                calls,
                threshold,
            }),
            Kind::SlowRate(threshold, slower_than) => reaches(seen.slow, threshold)
                .then_some(Cause::SlowRate { rule, slow: seen.slow, calls, threshold, slower_than }),
            Kind::Failures(limit) => {
                (failures >= u64::from(limit)).then_some(Cause::Failures { rule, failures, calls, limit })
            }
        }
    }

    /// A failure rule is judged when a failure is recorded, a slow rule when a slow verdict is.
    fn concerns(&self, entry: Entry) -> bool {
        match self.kind {
            Kind::SlowRate(..) => entry.took >= self.slow_limit,
            _ => entry.failure,
        }
    }

    fn rate(&self, failures: u64, slow: u64, calls: u64) -> Option<f64> {
        let part = match self.kind {
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
        let mut books = Self { calls: 0, slices: None, more: Lazily::default() };
        books.set_slices(plan.times.iter().map(|_| Slices::new()));
        books.open_lanes(None, plan, tally);
        books
    }

    /// A new epoch: everything starts empty.
    pub(crate) fn clear(&mut self) {
        if self.calls > 0 {
            self.more.to_successes = self.more.to_successes.wrapping_add(self.calls);
            self.calls = 0;
        }
        self.slices_mut().for_each(Slices::clear);
        let Some(more) = self.more.written() else { return };
        more.run = 0;
        more.ledgers.iter_mut().for_each(Ledger::clear);
    }

    /// Another plan: a rule takes over the window of the first old rule that has the same one. Slow marks stay only
    /// if they mean the same.
    pub(crate) fn replan(&mut self, old: &Plan, new: &Plan, at: At<'_>) {
        let position = self.position(at);
        self.open_lanes(Some(old), new, at.tally);
        let kept: Vec<_> = self.slices_mut().map(|slices| slices.clone()).collect();
        self.set_slices(new.times.iter().map(|time| {
            let place = old.times.iter().position(|old| old.window == time.window);
            place.and_then(|place| kept.get(place)).cloned().unwrap_or_else(Slices::new)
        }));
        // Ledgers that are made later begin with the epoch; a window of calls that is new must begin here.
        let begins =
            |rule: &Rule| matches!(rule.window, Some(Window::Calls(_))) && !old.has_window(rule.window);
        if self.more.ledgers.is_empty() {
            if position == 0 || !new.rules.iter().any(begins) {
                return;
            }
            self.more.ledgers = old.rules.iter().map(|rule| Ledger::new(rule.window, 0)).collect();
        }
        let ledgers = new.rules.iter().map(|rule| {
            match old.rules.iter().zip(&self.more.ledgers).find(|(old, _)| old.window == rule.window) {
                Some((old, ledger)) => ledger.inherited(old.slow_limit == rule.slow_limit),
                None => Ledger::new(rule.window, position),
            }
        });
        self.more.ledgers = ledgers.collect();
    }

    /// One lane of the tally for each window of time; those that stay keep their contents.
    fn open_lanes(&mut self, old: Option<&Plan>, new: &Plan, tally: &Tally) {
        let windows = old.map_or(0, |old| old.times.len()) + new.times.len();
        if tally.is_compact() || windows == 0 {
            return;
        }
        let More { keys, last_term, .. } = &mut *self.more;
        let mut kept: Vec<(Window, LaneKey)> = Vec::new();
        for (time, key) in old.into_iter().flat_map(|old| old.times.iter()).zip(keys.iter()) {
            if new.has_window(Some(time.window)) {
                kept.push((time.window, *key));
            } else {
                tally.close_lane(key.index);
            }
        }
        keys.clear();
        for time in &new.times {
            let key = match kept.iter().find(|(window, _)| *window == time.window) {
                Some((_, key)) => *key,
                None => {
                    let taken = |index: &usize| kept.iter().any(|(_, key)| key.index == *index);
                    let Some(index) = (0..LANES).find(|index| !taken(index)) else { continue };
                    // Terms never repeat in practice (2^32 reconfigurations); 0 means out of use.
                    *last_term = last_term.checked_add(1).unwrap_or(1);
                    let key = LaneKey { index, term: *last_term, width: time.width };
                    tally.open_lane(key);
                    kept.push((time.window, key));
                    key
                }
            };
            keys.push(key);
        }
    }

    pub(crate) fn lane_keys(&self) -> impl Iterator<Item = LaneKey> {
        self.more.keys.iter().copied()
    }

    /// One for each of the plan's windows of time, in their order.
    fn slices_mut(&mut self) -> impl Iterator<Item = &mut Slices> {
        let others = self.more.written().into_iter().flat_map(|more| &mut more.slices);
        self.slices.as_deref_mut().into_iter().chain(others)
    }

    fn set_slices(&mut self, mut all: impl Iterator<Item = Slices>) {
        self.slices = all.next().map(Box::new);
        let others: Vec<_> = all.collect();
        if !others.is_empty() || !self.more.slices.is_empty() {
            self.more.slices = others;
        }
    }

    /// Successes that were counted here, of all epochs.
    pub(crate) fn successes(&self) -> u64 {
        self.calls.wrapping_add(self.more.to_successes)
    }

    /// A plain success that no thread's row could take.
    pub(crate) fn count_call(&mut self, now: u64, plan: &Plan) {
        self.calls += 1;
        for (calls, time) in self.slices_mut().zip(&plan.times) {
            calls.add_at(now, time.width);
        }
    }

    /// Plain successes of the slices that were current at the last [`slice_end`](Self::slice_end).
    pub(crate) fn gather(&mut self, successes: u64) {
        self.calls += successes;
        self.slices_mut().for_each(|calls| calls.gather(successes));
    }

    /// When the first of the current slices ends; `u64::MAX` without a window of time.
    pub(crate) fn slice_end(&mut self, now: u64, plan: &Plan) -> u64 {
        let slices = self.slices_mut().zip(&plan.times);
        slices.map(|(calls, time)| calls.end_at(now, time.width)).min().unwrap_or(u64::MAX)
    }

    /// A failure after the others of a run, or the first of a new one.
    pub(crate) fn count_run(&mut self, goes_on: bool, now: u64, plan: &Plan) {
        let young = now.saturating_sub(self.more.run_at) <= plan.within;
        let more = &mut *self.more;
        more.run = if goes_on && young { more.run.saturating_add(1) } else { 1 };
        more.run_at = now;
    }

    pub(crate) fn run(&self) -> u32 {
        self.more.run
    }

    /// Counts a failure or a slow success, and judges the rules that it concerns.
    pub(crate) fn enter(&mut self, entry: Entry, plan: &Plan, at: At<'_>) -> Option<Cause> {
        self.count_call(at.now, plan);
        if entry.failure {
            self.more.to_successes = self.more.to_successes.wrapping_sub(1);
        }
        let position = self.position(at);
        if self.more.ledgers.is_empty() {
            self.more.ledgers = plan.rules.iter().map(|rule| Ledger::new(rule.window, 0)).collect();
        }
        for (ledger, rule) in self.more.ledgers.iter_mut().zip(&plan.rules) {
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
                Ledger::Time { failures, slow } => {
                    let Some(time) = plan.times.get(rule.lane as usize) else { continue };
                    let slice = at.now / time.width;
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
            let seen = self.rule(index, rule, plan, at, self.run());
            rule.judge(u8::try_from(index).unwrap_or(u8::MAX), &seen)
        })
    }

    /// What a rule sees now.
    fn rule(&mut self, index: usize, rule: &Rule, plan: &Plan, at: At<'_>, run: u32) -> RuleSnapshot {
        let position = self.position(at);
        let (calls, failures, slow) = match rule.window {
            None => (0, u64::from(run), 0),
            Some(Window::Calls(n)) => {
                let (base, failures, slow) = match self.ledger(index) {
                    Some(Ledger::Calls { base, failures, slow }) => {
                        failures.advance(position);
                        slow.advance(position);
                        (*base, failures.count(), slow.count())
                    }
                    _ => (0, 0, 0),
                };
                (position.saturating_sub(base).min(u64::from(n)), failures, slow)
            }
            Some(Window::Time(_)) => {
                let lane = rule.lane as usize;
                let slice = plan.times.get(lane).map_or(0, |time| at.now / time.width);
                let (failures, slow) = match self.ledger(index) {
                    Some(Ledger::Time { failures, slow }) => (failures.sum(slice), slow.sum(slice)),
                    _ => (0, 0),
                };
                let here = self.slices_mut().nth(lane).map_or(0, |calls| calls.sum(slice));
                let rows =
                    self.more.keys.get(lane).map_or(0, |key| at.tally.judged_in(*key, at.epoch, at.now));
                (here + rows, failures, slow)
            }
        };
        RuleSnapshot { calls, failures, slow, rate: rule.rate(failures, slow, calls) }
    }

    /// Makes nothing.
    fn ledger(&mut self, index: usize) -> Option<&mut Ledger> {
        if self.more.ledgers.is_empty() { None } else { self.more.ledgers.get_mut(index) }
    }

    /// What the rules see now; all zeros when the windows are of no account (`live` is false).
    pub(crate) fn snapshot(&mut self, plan: &Plan, at: At<'_>, run: u32, live: bool) -> Vec<RuleSnapshot> {
        let none = RuleSnapshot { calls: 0, failures: 0, slow: 0, rate: None };
        let rules = plan.rules.iter().enumerate();
        rules
            .map(|(index, rule)| if live { self.rule(index, rule, plan, at, run) } else { none.clone() })
            .collect()
    }

    /// How many verdicts this epoch has had.
    fn position(&self, at: At<'_>) -> u64 {
        at.tally.judged(at.epoch) + self.calls
    }
}

// === impl More ===

impl Blank for More {
    fn blank() -> &'static Self {
        static BLANK: More = More {
            to_successes: 0,
            run: 0,
            run_at: 0,
            slices: Vec::new(),
            ledgers: Vec::new(),
            keys: Vec::new(),
            last_term: 0,
        };
        &BLANK
    }
}
