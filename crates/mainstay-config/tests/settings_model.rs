//! Settings against a model that is plain: a map of what each layer says. Whatever is valid is the same from the builder, from a file
//! and from variables, is shown so that it is read again as the same, and the highest layer that says a key decides it.
//!
//! `MAINSTAY_MODEL_CASES` and `MAINSTAY_MODEL_SEED` make a long run.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics fails, as it should"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_breaker::{HalfOpen, OpenFor, Settings, Trip, Window};
use mainstay_config::{Environment, Loaded, Loader, Origin};
use mainstay_testkit::models::Cases;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseResult;
use serde_json::{Map, Value, json};

fn load(texts: &[(&str, String)], variables: &[(String, String)]) -> Loaded {
    let environment = Environment::from_iter(variables.iter().cloned());
    let loader = texts.iter().fold(Loader::new(), |loader, (name, text)| loader.text(name, text));
    let loaded = loader.environment(environment).load();
    loaded.unwrap_or_else(|errors| panic!("{errors}\n{texts:#?}\n{variables:#?}"))
}

fn file(text: &Value) -> Loaded {
    load(&[("file", text.to_string())], &[])
}

/// A value at a path of keys, with maps around it.
fn put(map: &mut Map<String, Value>, path: &str, value: &Value) {
    match path.split_once('.') {
        None => drop(map.insert(path.to_owned(), value.clone())),
        Some((key, rest)) => {
            let below = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
            put(below.as_object_mut().unwrap(), rest, value);
        }
    }
}

/// The variable of a path, and what is to be said there.
fn variable(path: &str, value: &Value) -> (String, String) {
    let keys = path.to_ascii_uppercase().replace('-', "_").replace('.', "__");
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    (format!("MAINSTAY__{keys}"), value)
}

// --- the builder, a file, variables

/// Longer than zero, and at most as long as is asked for.
fn time(most: u64) -> impl Strategy<Value = Duration> {
    prop_oneof![1..=most, (1..=most.div_ceil(1_000)).prop_map(move |secs| (secs * 1_000).min(most))]
        .prop_map(Duration::from_millis)
}

const DAY: u64 = 24 * 60 * 60 * 1_000;
const YEAR: u64 = 365 * DAY;

fn said(time: Duration) -> Value {
    let millis = time.as_millis() as u64;
    match millis {
        _ if millis.is_multiple_of(DAY) => json!(format!("{}days", millis / DAY)),
        _ if millis.is_multiple_of(60_000) => json!(format!("{}m", millis / 60_000)),
        _ if millis.is_multiple_of(1_000) => json!(format!("{}s", millis / 1_000)),
        _ => json!(format!("{millis}ms")),
    }
}

fn said_or_none(time: Option<Duration>) -> Value {
    time.map_or(json!("none"), said)
}

fn rate() -> impl Strategy<Value = f64> {
    (1_u32..=1_000).prop_map(|thousandths| f64::from(thousandths) / 1_000.0)
}

fn window() -> impl Strategy<Value = (Window, Value)> {
    prop_oneof![
        (1_u32..=65_536).prop_map(|calls| (Window::calls(calls), json!({ "calls": calls }))),
        time(DAY).prop_map(|time| (Window::time(time), json!({ "time": said(time) }))),
    ]
}

fn rule() -> impl Strategy<Value = (Trip, Value)> {
    let count = 1_u32..100_000;
    prop_oneof![
        (rate(), window(), 1_u32..60_000).prop_filter_map("enough calls", |(rate, (over, text), min_calls)| {
            let rule = Trip::failure_rate(rate).over(over).min_calls(min_calls);
            valid(rule, json!({ "failure_rate": rate, "over": text, "min_calls": min_calls }))
        }),
        (rate(), time(YEAR), window(), 1_u32..60_000).prop_filter_map("enough calls", |(rate, slow, (over, text), min_calls)| {
            let rule = Trip::slow_rate(rate, slow).over(over).min_calls(min_calls);
            let said = json!({ "slow_rate": rate, "slower_than": said(slow), "over": text, "min_calls": min_calls });
            valid(rule, said)
        }),
        (count, window()).prop_filter_map("enough calls", |(failures, (over, text))| {
            valid(Trip::failures(failures).over(over), json!({ "failures": failures, "over": text }))
        }),
    ]
}

fn consecutive() -> impl Strategy<Value = (Trip, Value)> {
    (1_u32..100_000, option::of(time(YEAR))).prop_map(|(failures, within)| match within {
        None => (Trip::consecutive_failures(failures), json!({ "consecutive_failures": failures })),
        Some(within) => (
            Trip::consecutive_failures(failures).within(within),
            json!({ "consecutive_failures": failures, "within": said(within) }),
        ),
    })
}

fn valid(rule: Trip, said: Value) -> Option<(Trip, Value)> {
    Settings::new().trip(rule).validate().is_ok().then_some((rule, said))
}

fn rules() -> impl Strategy<Value = Vec<(Trip, Value)>> {
    (option::of(consecutive()), vec(rule(), 0..7))
        .prop_map(|(consecutive, rules)| consecutive.into_iter().chain(rules).collect::<Vec<_>>())
        .prop_filter("a rule", |rules| !rules.is_empty())
}

fn open_for() -> impl Strategy<Value = (OpenFor, Value)> {
    let share = || (0_u32..=1_000).prop_map(|thousandths| f64::from(thousandths) / 1_000.0);
    prop_oneof![
        (time(YEAR), share()).prop_map(|(fixed, jitter)| (
            OpenFor::fixed(fixed).jitter(jitter),
            json!({ "fixed": said(fixed), "jitter": jitter })
        )),
        (time(YEAR), time(YEAR), 100_u32..=10_000, share()).prop_map(|(one, other, factor, jitter)| {
            let (first, cap, factor) = (one.min(other), one.max(other), f64::from(factor) / 100.0);
            let said = json!({ "first": said(first), "cap": said(cap), "factor": factor, "jitter": jitter });
            (OpenFor::exponential(first, cap).factor(factor).jitter(jitter), said)
        }),
    ]
}

fn half_open() -> impl Strategy<Value = HalfOpen> {
    (1_u32..=1_024, 1_u32..10_000, 1_u32..10_000, time(YEAR)).prop_map(
        |(max_in_flight, close_after, reopen_after, probe_timeout)| HalfOpen {
            max_in_flight,
            close_after,
            reopen_after,
            probe_timeout,
        },
    )
}

/// Settings as the builder has them, and what is said of each key.
fn breaker() -> impl Strategy<Value = (Settings, BTreeMap<String, Value>)> {
    let times = (option::of(time(YEAR)), option::of(time(YEAR)), time(YEAR), any::<bool>());
    (rules(), open_for(), half_open(), times).prop_map(
        |(rules, (open_for, text), half_open, (ramp, timeout, retry_after_cap, dropped))| {
            let (trips, texts): (Vec<Trip>, Vec<Value>) = rules.into_iter().unzip();
            let settings = trips.into_iter().fold(Settings::new(), Settings::trip);
            let mut settings = settings
                .open_for(open_for)
                .half_open(half_open)
                .retry_after_cap(retry_after_cap)
                .count_dropped_as_failure(dropped);
            (settings.ramp, settings.timeout) = (ramp, timeout);
            let mut keys = BTreeMap::from([
                ("trip".to_owned(), json!(texts)),
                ("half_open.max_in_flight".to_owned(), json!(half_open.max_in_flight)),
                ("half_open.close_after".to_owned(), json!(half_open.close_after)),
                ("half_open.reopen_after".to_owned(), json!(half_open.reopen_after)),
                ("half_open.probe_timeout".to_owned(), said(half_open.probe_timeout)),
                ("ramp".to_owned(), said_or_none(ramp)),
                ("call_timeout".to_owned(), said_or_none(timeout)),
                ("retry_after_cap".to_owned(), said(retry_after_cap)),
                ("count_dropped_as_failure".to_owned(), json!(dropped)),
            ]);
            for (key, value) in text.as_object().unwrap() {
                keys.insert(format!("open_for.{key}"), value.clone());
            }
            (settings, keys)
        },
    )
}

/// What is shown is read again as the same, and shown as the same.
fn shown_again(loaded: &Loaded) -> TestCaseResult {
    let shown = loaded.show();
    let again = load(&[("shown", shown.clone())], &[]);
    prop_assert_eq!(again.fingerprint(), loaded.fingerprint(), "{}\n{:?}", shown, loaded.diff(&again));
    prop_assert_eq!(again.to_json(), loaded.to_json());
    Ok(())
}

#[test]
fn valid_settings_are_the_same_from_the_builder_a_file_and_variables_and_as_they_are_shown() {
    // One name that starts from defaults of its own, and one that does not.
    let name = select(vec!["redis", "my-db"]);
    Cases::or(100).check(&(name, breaker()), |(name, (settings, keys))| {
        prop_assert!(settings.validate().is_ok(), "{:?}", settings.validate());
        let paths: Vec<(String, &Value)> =
            keys.iter().map(|(key, value)| (format!("circuit_breakers.{name}.{key}"), value)).collect();
        let mut text = Map::new();
        paths.iter().for_each(|(path, value)| put(&mut text, path, value));
        let of_file = file(&Value::Object(text));
        prop_assert_eq!(&of_file.settings().breaker(name).settings, &settings);
        shown_again(&of_file)?;

        let variables: Vec<_> = paths.iter().map(|(path, value)| variable(path, value)).collect();
        let names = [("names", format!("circuit_breakers: {{ {name}: {{}} }}"))];
        let of_variables = load(&names, &variables);
        prop_assert_eq!(&of_variables.settings().breaker(name).settings, &settings);
        prop_assert_eq!(of_variables.fingerprint(), of_file.fingerprint());

        let written = serde_json::to_string(&settings).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Settings>(&written).unwrap(), &settings);
        Ok(())
    });
}

// --- layers

/// Keys, and what may be said of each, whatever is said of the others.
fn keys() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("circuit_breakers.default.ramp", vec![json!("none"), json!("30s")]),
        ("circuit_breakers.default.half_open.close_after", vec![json!(3), json!(4)]),
        ("circuit_breakers.my-db.ramp", vec![json!("none"), json!("1m")]),
        ("circuit_breakers.my-db.enabled", vec![json!(true), json!(false)]),
        ("circuit_breakers.my-db.call_timeout", vec![json!("none"), json!("2s")]),
        ("circuit_breakers.my-db.half_open.close_after", vec![json!(5), json!(6)]),
        ("circuit_breakers.my-db.half_open.probe_timeout", vec![json!("5s"), json!("6s")]),
        (
            "circuit_breakers.my-db.trip",
            vec![json!([{ "failures": 3 }]), json!([{ "consecutive_failures": 9 }])],
        ),
        ("circuit_breakers.redis.half_open.max_in_flight", vec![json!(7), json!(8)]),
        ("circuit_breakers.redis.retry_after_cap", vec![json!("7m"), json!("8m")]),
        ("health.service", vec![json!("orders"), json!("carts")]),
        ("health.drain_delay", vec![json!("3s"), json!("4s")]),
        ("health.seed", vec![json!(1), json!(2)]),
        ("health.checks.redis.critical", vec![json!(true), json!(false)]),
        ("health.checks.redis.interval", vec![json!("20s"), json!("30s")]),
        ("health.checks.redis.timeout", vec![json!("1s"), json!("3s")]),
        ("health.checks.redis.jitter", vec![json!(0), json!(0.25)]),
        ("health.checks.redis.depends_on", vec![json!(["net"]), json!(["net", "dns"])]),
        ("degradation.enabled", vec![json!(true), json!(false)]),
        ("degradation.check_interval", vec![json!("10s"), json!("1m")]),
        ("degradation.thresholds.minor.error_rate", vec![json!(0.01), json!(0.1)]),
        ("degradation.thresholds.severe.breakers_open", vec![json!(4), json!(9)]),
        ("degradation.partial_results.max_wait_time", vec![json!("31s"), json!("32s")]),
        ("degradation.partial_results.success_thresholds.plan.share", vec![json!(0.5), json!(0.75)]),
        ("degradation.partial_results.success_thresholds.plan.minimum", vec![json!(2), json!(3)]),
        ("degradation.fallback_behaviors.audit", vec![json!("proceed_silently"), json!("proceed")]),
    ]
}

type Layer = BTreeMap<usize, usize>;

/// Which keys a layer says, and what.
fn layer() -> impl Strategy<Value = Layer> {
    btree_map(0..keys().len(), 0_usize..2, 0..12)
}

#[test]
fn the_highest_layer_that_says_a_key_decides_it() {
    let keys = keys();
    Cases::or(100).check(&[layer(), layer(), layer()], |layers| {
        let says = |layer: &Layer| {
            let said = layer.iter().map(|(key, value)| (keys[*key].0, keys[*key].1[*value].clone()));
            said.collect::<Vec<(&str, Value)>>()
        };
        let text = |said: &[(&str, Value)]| {
            let mut text = Map::new();
            said.iter().for_each(|(path, value)| put(&mut text, path, value));
            Value::Object(text)
        };
        let [lower, upper, variables] = layers.each_ref().map(says);
        let names: Vec<_> = variables.iter().map(|(path, value)| variable(path, value)).collect();
        // Variables find a name that is written with a dash where a file has it.
        let known = ("names", "circuit_breakers: { my-db: {} }".to_owned());
        let loaded = load(
            &[known.clone(), ("lower", text(&lower).to_string()), ("upper", text(&upper).to_string())],
            &names,
        );

        let mut merged = Layer::new();
        layers.iter().for_each(|layer| merged.extend(layer));
        let at_once = load(&[known, ("file", text(&says(&merged)).to_string())], &[]);
        prop_assert_eq!(loaded.to_json(), at_once.to_json());
        prop_assert_eq!(loaded.fingerprint(), at_once.fingerprint(), "{:?}", loaded.diff(&at_once));
        for key in merged.keys() {
            let Some(origin) = loaded.origin(keys[*key].0) else { continue };
            let expected = match () {
                () if layers[2].contains_key(key) => variable(keys[*key].0, &Value::Null).0,
                () if layers[1].contains_key(key) => "upper".to_owned(),
                () => "lower".to_owned(),
            };
            let told = match origin {
                Origin::Variable(name) => name.to_string(),
                other => other.to_string().split(':').next().unwrap_or_default().to_owned(),
            };
            prop_assert_eq!(told, expected, "{}", keys[*key].0);
        }
        shown_again(&loaded)
    });
}
