//! What the file and the variables say of health, as settings of the manager and of checks.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::Name;
use mainstay_health::{CheckSettings, FleetGuard, HealthManagerBuilder, Rule, Scope};

use crate::Origin;
use crate::breakers::number;
use crate::check::duration;
use crate::error::{Errors, SettingError};
use crate::keys::CHECK;
use crate::merge::merge;
use crate::node::{Node, Value};
use crate::path::{item, join};
use crate::shape::Shape;

/// What the settings say of the health manager.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HealthSettings {
    /// The name of the service; the program's own if nothing is said.
    pub service: Option<Name>,
    /// From failing readiness to accepting no more work. Default: 5 s.
    pub drain_delay: Duration,
    /// How long work under way is waited for after that. Default: 55 s.
    pub drain_limit: Duration,
    /// How many blocking checks may run, or hang, at once. Default: 64.
    pub blocking_threads: usize,
    /// How old a result must be to be asked for again at once. Default: 1 s.
    pub check_now_gap: Duration,
    /// What jitter is made from; random if nothing is said.
    pub seed: Option<u64>,
    /// What the program opens by name before it has started.
    pub startup_latches: Vec<Name>,
    /// The checks that are named in the settings.
    pub checks: BTreeMap<Name, CheckOverrides>,
    /// What a check gets that is not named.
    pub default: CheckOverrides,
}

/// What the settings say of one check. Where they say nothing, the program's own word holds.
///
/// A check that is named in the settings by the original's keys alone (`critical`, `interval`, `timeout`, and perhaps `enabled`) begins as
/// the original's did: with an interval of 30 s and a time-out of 5 s (half of the interval, if that is not longer). Any other key, such
/// as `scope`, leaves what is not said to the program.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CheckOverrides {
    /// Whether it is run at all.
    pub enabled: Option<bool>,
    /// Whether its failure fails a probe.
    pub critical: Option<bool>,
    /// Whose the checked thing is. It is the program that decides: this is for it to compare.
    pub scope: Option<Scope>,
    /// From the start of one run to the start of the next.
    pub interval: Option<Duration>,
    /// After which time a run is dropped.
    pub timeout: Option<Duration>,
    /// By which share of itself each wait is shortened or lengthened.
    pub jitter: Option<f64>,
    /// How many results in a row make it worse.
    pub failure_threshold: Option<u32>,
    /// How many results in a row make it better.
    pub success_threshold: Option<u32>,
    /// How soon a result that disagrees with the status is confirmed.
    pub confirmation: Option<Duration>,
    /// How long it must have been unhealthy until it is asked less often.
    pub back_off_after: Option<Duration>,
    /// The longest wait while it is unhealthy for long.
    pub back_off_to: Option<Duration>,
    /// Checks without which this one makes no sense.
    pub depends_on: Option<Vec<Name>>,
    /// Whether its failure fails liveness.
    pub restart_on_failure: Option<bool>,
    /// How long readiness waits for its first success; `Some(None)` for without end.
    pub first_success_within: Option<Option<Duration>>,
    /// Lets its failure fail readiness for a share of the replicas at a time.
    pub fleet_guard: Option<FleetGuard>,
    /// When a result that passed is degraded all the same.
    pub rules: Option<Vec<Rule>>,
}

impl HealthSettings {
    /// What the settings say of a check, also of one that is not named.
    pub fn check(&self, name: &str) -> &CheckOverrides {
        self.checks.get(name).unwrap_or(&self.default)
    }

    /// Gives a builder everything but the checks.
    pub fn apply(&self, builder: HealthManagerBuilder) -> HealthManagerBuilder {
        let builder = builder
            .drain_delay(self.drain_delay)
            .drain_limit(self.drain_limit)
            .blocking_threads(self.blocking_threads)
            .check_now_gap(self.check_now_gap);
        let builder =
            self.startup_latches.iter().fold(builder, |builder, latch| builder.startup_latch(latch.as_str()));
        match self.seed {
            Some(seed) => builder.seed(seed),
            None => builder,
        }
    }
}

impl CheckOverrides {
    /// The program's own settings of the check, with what is said here in their place.
    #[must_use]
    pub fn apply(&self, mut settings: CheckSettings) -> CheckSettings {
        fn put<T: Clone>(field: &mut T, said: &Option<T>) {
            if let Some(said) = said {
                field.clone_from(said);
            }
        }
        put(&mut settings.enabled, &self.enabled);
        put(&mut settings.critical, &self.critical);
        put(&mut settings.interval, &self.interval);
        put(&mut settings.jitter, &self.jitter);
        put(&mut settings.back_off_after, &self.back_off_after);
        put(&mut settings.back_off_to, &self.back_off_to);
        put(&mut settings.depends_on, &self.depends_on);
        put(&mut settings.restart_on_failure, &self.restart_on_failure);
        put(&mut settings.first_success_within, &self.first_success_within);
        put(&mut settings.rules, &self.rules);
        settings.timeout = self.timeout.or(settings.timeout);
        settings.failure_threshold = self.failure_threshold.or(settings.failure_threshold);
        settings.success_threshold = self.success_threshold.or(settings.success_threshold);
        settings.confirmation = self.confirmation.or(settings.confirmation);
        settings.fleet_guard = self.fleet_guard.or(settings.fleet_guard);
        settings
    }
}

static CHECK_SHAPE: Shape = Shape::Map(&CHECK);

/// Reads the merged layers, and completes them.
pub(crate) fn read(said: Option<&Node>, errors: &mut Errors) -> (HealthSettings, Node) {
    let mut effective = Node::map(Origin::Default);
    let mut or = |key: &str, default: Option<Node>| {
        let node = said.and_then(|said| said.get(key)).cloned().or(default);
        if let Some(node) = &node {
            effective.set(key, node.clone());
        }
        node
    };
    type Builder = HealthManagerBuilder;
    let span = |default: Duration| Some(time_node(default, Origin::Default));
    let service = or("service", None);
    let drain_delay = or("drain_delay", span(Builder::DRAIN_DELAY));
    let drain_limit = or("drain_limit", span(Builder::DRAIN_LIMIT));
    let threads = Node::number(Builder::BLOCKING_THREADS, Origin::Default);
    let blocking_threads = or("blocking_threads", Some(threads));
    let check_now_gap = or("check_now_gap", span(Builder::CHECK_NOW_GAP));
    let seed = or("seed", None);
    let latches = or("startup_latches", Some(Node::new(Value::List(Vec::new()), Origin::Default)));
    unique(latches.as_ref(), "health.startup_latches", errors);

    let default = said.and_then(|said| said.get("default"));
    let none = Node::map(Origin::Default);
    let default_overrides = overrides(default.unwrap_or(&none), "health.default", errors);
    if let Some(default) = default.filter(|default| !default.entries().is_empty()) {
        effective.set("default", default.clone());
    }
    let mut checks = BTreeMap::new();
    let mut all = Node::map(Origin::Default);
    for entry in said.and_then(|said| said.get("checks")).map_or(&[][..], Node::entries) {
        let mut given = default.cloned().unwrap_or_else(|| none.clone());
        merge(&mut given, &entry.node, Some(&CHECK_SHAPE));
        let half = begin_as_the_original_s(&mut given);
        let read = overrides(&given, &join("health.checks", &entry.key), errors);
        if let Ok(name) = Name::new(&entry.key) {
            checks.insert(name, read);
        }
        // What is half of what must not be told is not told either: it is made again of the same interval.
        if half {
            given.remove("timeout");
        }
        all.set(&entry.key, given);
    }
    effective.set("checks", all);

    let time = |node: &Option<Node>| node.as_ref().and_then(duration).unwrap_or_default();
    let settings = HealthSettings {
        service: service.and_then(|node| Name::new(node.as_text()?).ok()),
        drain_delay: time(&drain_delay),
        drain_limit: time(&drain_limit),
        blocking_threads: blocking_threads.as_ref().and_then(number).unwrap_or(Builder::BLOCKING_THREADS),
        check_now_gap: time(&check_now_gap),
        seed: seed.as_ref().and_then(number),
        startup_latches: latches.as_ref().map(names).unwrap_or_default(),
        checks,
        default: default_overrides,
    };
    (settings, effective)
}

fn time_node(time: Duration, origin: Origin) -> Node {
    Node::text(crate::check::format(time), origin)
}

/// A check that is given by the original's keys alone begins with the original's interval and time-out, not with code's. Returns
/// whether the time-out is made of an interval that a `${VARIABLE}` brought in.
fn begin_as_the_original_s(check: &mut Node) -> bool {
    const INTERVAL: Duration = Duration::from_secs(30);
    const TIMEOUT: Duration = Duration::from_secs(5);
    const ORIGIN: Origin = Origin::Table("the original's checks");

    let is_seed = |key: &str| ["enabled", "critical", "interval", "timeout"].contains(&key);
    let only = check.entries().iter().all(|entry| is_seed(&entry.key));
    // Whether it is run at all says nothing of how.
    let any = check.entries().iter().any(|entry| entry.key != "enabled");
    if !(only && any) {
        return false;
    }
    if check.get("interval").is_none() {
        check.set("interval", time_node(INTERVAL, ORIGIN));
    }
    if check.get("timeout").is_none() {
        let interval = check.get("interval").and_then(duration).unwrap_or(INTERVAL);
        let timeout = if TIMEOUT < interval { TIMEOUT } else { interval / 2 };
        check.set("timeout", time_node(timeout, ORIGIN));
        return timeout != TIMEOUT && check.get("interval").is_some_and(Node::is_hidden);
    }
    false
}

fn names(list: &Node) -> Vec<Name> {
    list.items().iter().filter_map(|node| Name::new(node.as_text()?).ok()).collect()
}

/// Refuses a list in which something stands twice.
fn unique(list: Option<&Node>, path: &str, errors: &mut Errors) {
    let items = list.map_or(&[][..], Node::items);
    for (index, node) in items.iter().enumerate() {
        if items.iter().take(index).any(|other| other.value == node.value) {
            errors.push(SettingError::at(node, &item(path, index), "each entry once"));
        }
    }
}

fn overrides(check: &Node, path: &str, errors: &mut Errors) -> CheckOverrides {
    let flag = |key: &str| check.get(key).and_then(Node::as_bool);
    let time = |key: &str| check.get(key).and_then(duration);
    let count = |key: &str| check.get(key).and_then(number::<u32>);
    unique(check.get("depends_on"), &join(path, "depends_on"), errors);
    let overrides = CheckOverrides {
        enabled: flag("enabled"),
        critical: flag("critical"),
        scope: check.get("scope").and_then(Node::as_text).and_then(scope),
        interval: time("interval"),
        timeout: time("timeout"),
        jitter: check.get("jitter").and_then(number),
        failure_threshold: count("failure_threshold"),
        success_threshold: count("success_threshold"),
        confirmation: time("confirmation"),
        back_off_after: time("back_off_after"),
        back_off_to: time("back_off_to"),
        depends_on: check.get("depends_on").map(names),
        restart_on_failure: flag("restart_on_failure"),
        first_success_within: check.get("first_success_within").map(duration),
        fleet_guard: check
            .get("fleet_guard")
            .and_then(|node| fleet_guard(node, &join(path, "fleet_guard"), errors)),
        rules: check.get("rules").map(|list| rules(list, &join(path, "rules"), errors)),
    };
    let mut refuse = |key: &str, refused: bool, expected: String| {
        if refused && let Some(node) = check.get(key) {
            errors.push(SettingError::at(node, &join(path, key), expected));
        }
    };
    if let Some(interval) = overrides.interval {
        let written = check.get("interval").map(Node::told).unwrap_or_default();
        let too_long = |time: Option<Duration>, least: bool| {
            time.is_some_and(|time| time > interval || least && time == interval)
        };
        refuse("timeout", too_long(overrides.timeout, true), format!("less than the interval of {written}"));
        refuse(
            "confirmation",
            too_long(overrides.confirmation, false),
            format!("at most the interval of {written}"),
        );
    }
    let (critical, scope) = (overrides.critical, overrides.scope);
    let not = |wanted: Scope| critical == Some(false) || scope.is_some_and(|scope| scope != wanted);
    let restart = overrides.restart_on_failure == Some(true) && not(Scope::Internal);
    refuse("restart_on_failure", restart, "a critical internal check".to_owned());
    let first = overrides.first_success_within.flatten().is_some() && not(Scope::Shared);
    refuse("first_success_within", first, "a critical shared check".to_owned());
    let guard = overrides.fleet_guard.is_some() && not(Scope::Shared);
    refuse("fleet_guard", guard, "a critical shared check".to_owned());
    overrides
}

fn scope(word: &str) -> Option<Scope> {
    [Scope::Internal, Scope::Exclusive, Scope::Shared].into_iter().find(|scope| scope.as_str() == word)
}

fn fleet_guard(node: &Node, path: &str, errors: &mut Errors) -> Option<FleetGuard> {
    let time = |key: &str| node.get(key).and_then(duration);
    let (Some(spread_over), Some(fail_open_after)) = (time("spread_over"), time("fail_open_after")) else {
        let expected = "both `spread_over` and `fail_open_after`";
        errors.push(SettingError::new(&node.origin, path, "not both", expected));
        return None;
    };
    if fail_open_after > spread_over / 3
        && let (Some(over), Some(node)) = (node.get("spread_over"), node.get("fail_open_after"))
    {
        let third = over.or_hidden(crate::check::format(spread_over / 3));
        let expected = format!("at most a third of spread_over, {third}");
        errors.push(SettingError::at(node, &join(path, "fail_open_after"), expected));
    }
    Some(FleetGuard { spread_over, fail_open_after })
}

fn rules(list: &Node, path: &str, errors: &mut Errors) -> Vec<Rule> {
    let rules = list.items().iter().enumerate();
    rules.filter_map(|(index, node)| rule(node, &item(path, index), errors)).collect()
}

fn rule(node: &Node, path: &str, errors: &mut Errors) -> Option<Rule> {
    let figure = |key: &str| node.get(key).and_then(number::<f64>);
    let (detail, until) = (node.get("detail").and_then(Node::as_text), node.get("until"));
    let mut refuse = |key: &str, expected: &str| {
        let (origin, found) =
            node.get(key).map_or((&node.origin, "a rule".to_owned()), |node| (&node.origin, node.found()));
        errors.push(SettingError::new(origin, join(path, key), found, expected));
        None
    };
    let rule = match (node.get("latency_above").and_then(duration), detail, figure("above"), figure("below"))
    {
        (Some(enter), None, None, None) => {
            let leave = match until {
                Some(until) => duration(until),
                None => Some(enter),
            };
            match leave {
                Some(leave) if leave <= enter => Rule::latency_above(enter, leave),
                Some(_) => return refuse("until", "at most the time at which it begins"),
                None => return refuse("until", "a duration with a unit"),
            }
        }
        (None, Some(""), ..) => return refuse("detail", "a name that is not empty"),
        (None, Some(detail), above, below) if above.is_some() != below.is_some() => {
            let leave = until.map_or(above.or(below), number::<f64>);
            match (above, below, leave) {
                (_, _, None) => return refuse("until", "a number"),
                (Some(enter), _, Some(leave)) if leave <= enter => Rule::above(detail, enter, leave),
                (_, Some(enter), Some(leave)) if leave >= enter => Rule::below(detail, enter, leave),
                (Some(_), ..) => return refuse("until", "at most the value at which it begins"),
                (None, ..) => return refuse("until", "at least the value at which it begins"),
            }
        }
        _ => {
            let found = node.entries().iter().map(|entry| entry.key.as_str());
            let found =
                if node.entries().is_empty() { "no rule".to_owned() } else { crate::shape::listed(found) };
            let expected = "`latency_above`, or `detail` with `above` or `below`";
            errors.push(SettingError::new(&node.origin, path, found, expected));
            return None;
        }
    };
    let unhealthy = node.get("makes").and_then(Node::as_text) == Some("unhealthy");
    Some(if unhealthy { rule.unhealthy() } else { rule })
}
