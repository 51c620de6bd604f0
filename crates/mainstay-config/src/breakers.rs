//! What the file and the variables say of breakers, as settings of breakers.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_breaker::{HalfOpen, OpenFor, Settings, Trip, Window};
use mainstay_core::{ConfigError, Name};

use crate::Origin;
use crate::check::duration;
use crate::error::{Errors, SettingError};
use crate::keys::{BREAKER, SEED_WORDS};
use crate::merge::merge;
use crate::node::{Node, Value};
use crate::path::join;
use crate::shape::Shape;
use crate::variables::{ROWS, enforce_row, row};

/// What the settings say of one breaker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// For [`BreakerBuilder::settings`](mainstay_breaker::BreakerBuilder::settings), or for
    /// [`Breaker::reconfigure`](mainstay_breaker::Breaker::reconfigure).
    pub settings: Settings,
    /// Whether it ever rejects. If not, it shall only observe. Default: true.
    pub enabled: bool,
    /// Whether the program's hook shall be told of state changes. Default: true.
    pub on_state_change: bool,
}

/// The breakers, and what one gets that is not among them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Breakers {
    pub(crate) named: BTreeMap<Name, BreakerSettings>,
    pub(crate) rows: BTreeMap<&'static str, BreakerSettings>,
    pub(crate) other: BreakerSettings,
}

/// The kinds of rules.
const KINDS: [&str; 4] = ["consecutive_failures", "failure_rate", "slow_rate", "failures"];

static SHAPE: Shape = Shape::Map(&BREAKER);

/// Reads the merged layers, and completes them: what is effective, each value with its origin; and the same of breakers that
/// are not named.
pub(crate) fn read(said: Option<&Node>, errors: &mut Errors) -> (Breakers, Node, Node) {
    const PATH: &str = "circuit_breakers";
    let mut effective = Node::map(Origin::Default);
    let default = said.and_then(|said| said.get("default"));
    let inherit = |name: &str| {
        let mut given = row(name).unwrap_or_else(|| Node::map(Origin::Default));
        if let Some(default) = default {
            merge(&mut given, default, Some(&SHAPE));
        }
        given
    };
    // What is wrong with what all inherit is told by its own path.
    let mut of = |name: &str, given: &Node| {
        let complete = complete(given);
        (settings(&complete, &join(PATH, name), errors), complete)
    };
    let mut inherited = Node::map(Origin::Default);
    let (other, complete) = of("default", &inherit("default"));
    inherited.set("default", complete);
    if let Some(default) = default.filter(|default| !default.entries().is_empty()) {
        effective.set("default", default.clone());
    }
    let rows = ROWS.map(|name| {
        let (row, complete) = of(name, &inherit(name));
        inherited.set(name, complete);
        (name, row)
    });
    let mut named = BTreeMap::new();
    let entries = said.map_or(&[][..], Node::entries).iter().filter(|entry| entry.key != "default");
    for entry in entries {
        let mut given = inherit(&entry.key);
        merge(&mut given, &entry.node, Some(&SHAPE));
        let (breaker, complete) = of(&entry.key, &given);
        if let Ok(name) = Name::new(&entry.key) {
            named.insert(name, breaker);
        }
        effective.set(&entry.key, complete);
    }
    (Breakers { named, rows: rows.into(), other }, effective, inherited)
}

/// All of a breaker, in our words alone.
fn complete(given: &Node) -> Node {
    let seed = SEED_WORDS.iter().any(|word| given.get(word).is_some());
    let library = library();
    let or = |path: &str, other: Node| given.at(path).cloned().unwrap_or(other);
    let ours = |path: &str| or(path, library.at(path).cloned().unwrap_or_else(none));
    let or_word = |path: &str, word: &str| given.get(word).cloned().unwrap_or_else(|| ours(path));

    let mut breaker = Node::map(Origin::Default);
    breaker.set("enabled", or("enabled", Node::bool(true, Origin::Default)));
    breaker.set("on_state_change", or("on_state_change", Node::bool(true, Origin::Default)));
    breaker.set("trip", with_defaults(trip(given, seed).unwrap_or_else(|| ours("trip"))));
    breaker.set("open_for", open_for(given, seed, library.get("open_for").cloned().unwrap_or_else(none)));
    let mut half_open = Node::map(Origin::Default);
    half_open.set("max_in_flight", or_word("half_open.max_in_flight", "max_requests"));
    half_open.set("close_after", or_word("half_open.close_after", "success_threshold"));
    half_open.set("reopen_after", ours("half_open.reopen_after"));
    half_open.set("probe_timeout", ours("half_open.probe_timeout"));
    breaker.set("half_open", half_open);
    for key in ["ramp", "call_timeout", "retry_after_cap", "count_dropped_as_failure"] {
        breaker.set(key, ours(key));
    }
    breaker
}

/// The defaults of the library, as it has them.
fn library() -> Node {
    let mut settings = Settings::default();
    settings.trip = Some(settings.rules());
    let json = serde_json::to_value(&settings).unwrap_or_default();
    Node::of_json(&json, &Origin::Default)
}

fn none() -> Node {
    Node::text("none", Origin::Default)
}

/// The rules, if anything is said of them.
fn trip(given: &Node, seed: bool) -> Option<Node> {
    let rule = |keys: &[(&str, Node)]| {
        let origin = keys.iter().map(|(_, node)| &node.origin).max().cloned().unwrap_or(Origin::Default);
        let mut rule = Node::map(origin.clone());
        keys.iter().for_each(|(key, node)| rule.set(key, node.clone()));
        Some(Node::new(Value::List(vec![rule]), origin))
    };
    if let Some(trip) = given.get("trip") {
        return Some(trip.clone());
    }
    if ["error_threshold", "window_seconds", "min_requests"].iter().any(|word| given.get(word).is_some()) {
        let row = enforce_row();
        let word = |word: &str| given.get(word).or_else(|| row.get(word)).cloned().unwrap_or_else(none);
        let seconds = word("window_seconds");
        let time =
            seconds.scalar().and_then(|text| text.parse().ok()).map(Duration::from_secs).unwrap_or_default();
        let mut over = Node::map(seconds.origin.clone());
        over.set("time", Node::text(crate::check::format(time), seconds.origin));
        let rate = word("error_threshold");
        return rule(&[("failure_rate", rate), ("over", over), ("min_calls", word("min_requests"))]);
    }
    if !seed {
        return None;
    }
    let failures = given.get("failure_threshold").or_else(|| given.get("max_failures"));
    let failures = failures.cloned().unwrap_or_else(|| Node::number(5, Origin::Default));
    let within = given.get("interval").cloned().unwrap_or_else(|| Node::text("1m", Origin::Default));
    if duration(&within).is_some_and(|within| within.is_zero()) {
        return rule(&[("consecutive_failures", failures)]);
    }
    rule(&[("consecutive_failures", failures), ("within", within)])
}

/// The rules, each with what it has if nothing is said of it.
fn with_defaults(mut trip: Node) -> Node {
    const MIN_CALLS: u32 = 20;
    let Value::List(rules) = &mut trip.value else { return trip };
    for rule in rules {
        let kinds = KINDS.iter().filter(|kind| rule.get(kind).is_some()).count();
        let rate = ["failure_rate", "slow_rate"].iter().any(|kind| rule.get(kind).is_some());
        if kinds != 1 || rule.get("consecutive_failures").is_some() {
            continue;
        }
        if rule.get("over").is_none() {
            let mut over = Node::map(Origin::Default);
            over.set("time", Node::text("30s", Origin::Default));
            rule.set("over", over);
        }
        if rate && rule.get("min_calls").is_none() {
            let calls = rule
                .at("over.calls")
                .filter(|calls| number(calls).is_some_and(|calls: u32| calls < MIN_CALLS));
            // The window is as much of a secret here as there.
            let calls = calls.map(unsaid);
            rule.set("min_calls", calls.unwrap_or_else(|| Node::number(MIN_CALLS, Origin::Default)));
        }
    }
    trip
}

/// One rule of consecutive failures in the original's words, so that another one of them changes its part and not the whole.
pub(crate) fn in_words(breaker: &mut Node) {
    let [rule] = breaker.get("trip").map_or(&[][..], Node::items) else { return };
    let Some(failures) = rule.get("consecutive_failures").cloned() else { return };
    let within = rule.get("within").cloned();
    let within = within.unwrap_or_else(|| Node::text("0s", rule.origin.clone()));
    breaker.remove("trip");
    breaker.set("failure_threshold", failures);
    breaker.set("interval", within);
}

/// The open time, with what it is if nothing is said of it. Where any time or factor is said, jitter is 0 unless that is said, too.
fn open_for(given: &Node, seed: bool, library: Node) -> Node {
    let said = given.get("open_for");
    let part = |key: &str| said.and_then(|said| said.get(key)).cloned();
    let exponential = ["first", "cap", "factor"].iter().any(|key| part(key).is_some());
    let fixed = part("fixed").or_else(|| given.get("timeout").cloned());
    let fixed = fixed.or_else(|| (seed && !exponential).then(|| Node::text("10s", Origin::Default)));
    let jitter = part("jitter");
    if fixed.is_none() && !exponential && jitter.is_none() {
        return with_factor(library);
    }
    let mut open_for = Node::map(fixed.as_ref().or(said).map_or(Origin::Default, |node| node.origin.clone()));
    let none = || Node::number(0, Origin::Default);
    if let Some(fixed) = fixed {
        open_for.set("fixed", fixed);
        open_for.set("jitter", jitter.unwrap_or_else(none));
        return open_for;
    }
    let ours = |key: &str| library.get(key).cloned().unwrap_or_else(none);
    let (first, cap) = match (part("first"), part("cap")) {
        (Some(first), Some(cap)) => (first, cap),
        // What is not said gives way.
        (Some(first), None) => {
            let cap = ours("cap");
            let cap = if duration(&first) > duration(&cap) { unsaid(&first) } else { cap };
            (first, cap)
        }
        (None, Some(cap)) => {
            let first = ours("first");
            (if duration(&first) > duration(&cap) { unsaid(&cap) } else { first }, cap)
        }
        (None, None) => (ours("first"), ours("cap")),
    };
    open_for.set("first", first);
    open_for.set("cap", cap);
    if let Some(factor) = part("factor") {
        open_for.set("factor", factor);
    }
    open_for.set("jitter", jitter.unwrap_or_else(none));
    with_factor(open_for)
}

/// The same value, of which nobody spoke.
fn unsaid(node: &Node) -> Node {
    Node { origin: Origin::Default, ..node.clone() }
}

fn with_factor(mut open_for: Node) -> Node {
    if open_for.get("factor").is_none() {
        open_for.set("factor", Node::number(2, Origin::Default));
    }
    open_for
}

/// The settings of a breaker that is complete. What contradicts itself is told where it stands.
fn settings(breaker: &Node, path: &str, errors: &mut Errors) -> BreakerSettings {
    let time = |key: &str| breaker.at(key).and_then(duration);
    let count = |key: &str| breaker.at(key).and_then(number::<u32>).unwrap_or(1);
    let flag = |key: &str| breaker.get(key).and_then(Node::as_bool).unwrap_or(false);

    let mut settings = Settings::default();
    settings.open_for = read_open_for(breaker, &join(path, "open_for"), errors);
    settings.half_open = HalfOpen {
        max_in_flight: count("half_open.max_in_flight"),
        close_after: count("half_open.close_after"),
        reopen_after: count("half_open.reopen_after"),
        probe_timeout: time("half_open.probe_timeout").unwrap_or(settings.half_open.probe_timeout),
    };
    settings.ramp = time("ramp");
    settings.timeout = time("call_timeout");
    settings.retry_after_cap = time("retry_after_cap").unwrap_or(settings.retry_after_cap);
    settings.count_dropped_as_failure = flag("count_dropped_as_failure");
    if let Some(list) = breaker.get("trip") {
        let known = errors.len();
        let path = join(path, "trip");
        let rules = list.items().iter().enumerate();
        let rules =
            rules.filter_map(|(index, node)| read_rule(node, &crate::path::item(&path, index), errors));
        let rules: Vec<Trip> = rules.collect();
        settings.trip = Some(rules);
        if errors.len() == known
            && let Err(error) = settings.validate()
            && error.field == "trip"
        {
            errors.push(SettingError::new(
                &list.origin,
                path,
                error.value,
                format!("a list that {}", error.rule),
            ));
        }
    }
    BreakerSettings { settings, enabled: flag("enabled"), on_state_change: flag("on_state_change") }
}

/// A number of a tree that has been checked.
pub(crate) fn number<T: std::str::FromStr>(node: &Node) -> Option<T> {
    node.scalar()?.parse().ok()
}

fn read_open_for(breaker: &Node, path: &str, errors: &mut Errors) -> OpenFor {
    let Some(node) = breaker.get("open_for") else { return Settings::default().open_for };
    let time = |key: &str| node.get(key).and_then(duration);
    let share = |key: &str| node.get(key).and_then(number::<f64>);
    let open_for = match (time("fixed"), time("first"), time("cap")) {
        (Some(fixed), ..) => OpenFor::fixed(fixed),
        (None, Some(first), Some(cap)) => {
            OpenFor::exponential(first, cap).factor(share("factor").unwrap_or(2.0))
        }
        _ => {
            let keys = node.entries().iter().map(|entry| entry.key.as_str());
            let found = format!("only {}", crate::shape::listed(keys));
            let expected = "either `fixed`, or `first` and `cap`";
            errors.push(SettingError::new(&last(node), path, found, expected));
            return Settings::default().open_for;
        }
    };
    let open_for = open_for.jitter(share("jitter").unwrap_or(0.0));
    if let Err(error) = open_for.validate() {
        refuse(node, path, error, errors);
    }
    open_for
}

/// The place of what was said last within a node.
fn last(node: &Node) -> Origin {
    node.entries().iter().map(|entry| &entry.at).max().unwrap_or(&node.origin).clone()
}

fn read_rule(node: &Node, path: &str, errors: &mut Errors) -> Option<Trip> {
    let count = |key: &str| node.get(key).and_then(number::<u32>);
    let share = |key: &str| node.get(key).and_then(number::<f64>);
    let time = |key: &str| node.get(key).and_then(duration);
    let said: Vec<&str> = KINDS.into_iter().filter(|kind| node.get(kind).is_some()).collect();
    let trip = match (said.as_slice(), node.get("slower_than").is_some()) {
        (["consecutive_failures"], false) => count("consecutive_failures").map(Trip::consecutive_failures),
        (["failure_rate"], false) => share("failure_rate").map(Trip::failure_rate),
        (["slow_rate"], true) => {
            share("slow_rate").zip(time("slower_than")).map(|(rate, limit)| Trip::slow_rate(rate, limit))
        }
        (["failures"], false) => count("failures").map(Trip::failures),
        _ => {
            let keys = node.entries().iter().map(|entry| entry.key.as_str());
            let found =
                if node.entries().is_empty() { "no rule".to_owned() } else { crate::shape::listed(keys) };
            let expected =
                "one of `consecutive_failures`, `failure_rate`, `slow_rate` with `slower_than`, `failures`";
            errors.push(SettingError::new(&node.origin, path, found, expected));
            return None;
        }
    };
    let mut trip = trip?;
    if let Some(over) = node.get("over") {
        trip = match (over.get("calls").and_then(number), over.get("time").and_then(duration)) {
            (Some(calls), _) => trip.over(Window::calls(calls)),
            (None, Some(time)) => trip.over(Window::time(time)),
            (None, None) => {
                let path = join(path, "over");
                errors.push(SettingError::new(&over.origin, path, "neither", "`calls` or `time`"));
                trip
            }
        };
    }
    if let Some(min_calls) = count("min_calls") {
        trip = trip.min_calls(min_calls);
    }
    if let Some(within) = time("within") {
        trip = trip.within(within);
    }
    if let Err(error) = Settings::new().trip(trip).validate() {
        let field = error.field.strip_prefix("trip[0].").unwrap_or(&error.field).to_owned();
        refuse(node, path, ConfigError { field, ..error }, errors);
    }
    Some(trip)
}

/// What the library refuses, at the key that it names.
pub(crate) fn refuse(node: &Node, path: &str, error: ConfigError, errors: &mut Errors) {
    let at = node.at(&error.field);
    let path = error.field.split('.').fold(path.to_owned(), |path, key| join(&path, key));
    let (origin, found) = match at {
        Some(at) => (at.origin.clone(), at.found()),
        None => (last(node), node.or_hidden(error.value)),
    };
    // Rules of the library are in words of their own, and may have another value in them.
    let expected = match error.rule.strip_prefix("must ") {
        _ if node.is_hidden() && error.rule.contains(|char: char| char.is_ascii_digit()) => {
            "a value that goes with those beside it".to_owned()
        }
        Some(_) => format!("a value that {}", error.rule),
        None => format!("something else: {}", error.rule),
    };
    errors.push(SettingError::new(&origin, path, found, expected));
}
