//! Settings, snapshots and transitions as data.
#![cfg(feature = "serde")]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mainstay_breaker::{Breaker, Clock, Control, HalfOpen, OpenFor, Settings, Trip, Window};
use proptest::prelude::*;
use serde_json::{Value, from_value, json, to_value};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn read(value: Value) -> Settings {
    from_value(value).unwrap()
}

fn refused(value: Value) -> String {
    from_value::<Settings>(value).unwrap_err().to_string()
}

#[test]
fn settings_read_as_a_person_writes_them() {
    let settings = read(json!({
        "trip": [
            { "consecutive_failures": 5, "within": "1m" },
            { "failure_rate": 0.5, "over": { "time": "30s" }, "min_calls": 20 },
            { "slow_rate": 0.8, "slower_than": "500ms", "over": { "calls": 100 } },
            { "failures": 50, "over": { "time": "10s" } },
        ],
        "open_for": { "first": "5s", "cap": "1m", "jitter": 0.1 },
        "half_open": { "max_in_flight": 4, "close_after": 3, "reopen_after": 2, "probe_timeout": "1m30s" },
        "ramp": "1h30m",
        "timeout": "250ms",
        "retry_after_cap": "10m",
        "count_dropped_as_failure": true,
    }));
    let expected = Settings::new()
        .trip(Trip::consecutive_failures(5).within(secs(60)))
        .trip(Trip::failure_rate(0.5).over(Window::time(secs(30))).min_calls(20))
        .trip(Trip::slow_rate(0.8, Duration::from_millis(500)).over(Window::calls(100)))
        .trip(Trip::failures(50).over(Window::time(secs(10))))
        .open_for(OpenFor::exponential(secs(5), secs(60)).jitter(0.1))
        .half_open(HalfOpen { max_in_flight: 4, close_after: 3, reopen_after: 2, probe_timeout: secs(90) })
        .ramp(secs(5400))
        .timeout(Duration::from_millis(250))
        .retry_after_cap(secs(600))
        .count_dropped_as_failure(true);
    assert_eq!(settings, expected);
}

#[test]
fn every_key_may_be_left_out() {
    assert_eq!(read(json!({})), Settings::default());
    let half_open = HalfOpen { close_after: 7, ..HalfOpen::default() };
    assert_eq!(read(json!({ "half_open": { "close_after": 7 } })), Settings::new().half_open(half_open));
}

#[test]
fn a_fixed_open_time_is_one_key() {
    let settings = Settings::new().open_for(OpenFor::fixed(secs(15)));
    assert_eq!(read(json!({ "open_for": { "fixed": "15s" } })), settings);
    assert_eq!(to_value(settings).unwrap()["open_for"], json!({ "fixed": "15s" }));
}

#[test]
fn durations_are_written_as_a_person_would() {
    let value = to_value(Settings::new().ramp(secs(5400)).timeout(Duration::from_millis(250))).unwrap();
    assert_eq!((&value["ramp"], &value["timeout"]), (&json!("1h30m"), &json!("250ms")));
    assert_eq!(value["half_open"]["probe_timeout"], json!("10s"));
}

#[test]
fn a_duration_without_a_unit_is_refused() {
    for ramp in [json!(30), json!("30"), json!(30.5), json!("soon"), json!("-3s"), json!("")] {
        let error = refused(json!({ "ramp": ramp }));
        assert!(error.contains("a duration with a unit"), "{error}");
    }
}

#[test]
fn unknown_keys_are_refused_at_every_level() {
    for (settings, key) in [
        (json!({ "time_out": "2s" }), "time_out"),
        (json!({ "half_open": { "max_inflight": 3 } }), "max_inflight"),
        (json!({ "open_for": { "fixed": "15s", "until": "1m" } }), "until"),
        (json!({ "trip": [{ "failures": 3, "minimum": 1 }] }), "minimum"),
        (json!({ "trip": [{ "failures": 3, "over": { "days": 3 } }] }), "days"),
    ] {
        let error = refused(settings);
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn a_rule_is_exactly_one_kind() {
    for rule in [
        json!({}),
        json!({ "min_calls": 20 }),
        json!({ "failures": 3, "failure_rate": 0.5 }),
        json!({ "slow_rate": 0.5 }),
        json!({ "slower_than": "1s" }),
        json!({ "failures": 3, "slower_than": "1s" }),
    ] {
        let error = refused(json!({ "trip": [rule] }));
        assert!(error.contains("a rule has one of"), "{error}");
    }
}

#[test]
fn an_open_time_is_exactly_one_kind() {
    for open_for in [
        json!({}),
        json!({ "first": "1s" }),
        json!({ "cap": "1s" }),
        json!({ "fixed": "1s", "first": "1s", "cap": "1s" }),
        json!({ "fixed": "1s", "factor": 3.0 }),
    ] {
        let error = refused(json!({ "open_for": open_for }));
        assert!(error.contains("either `fixed`, or `first` and `cap`"), "{error}");
    }
}

#[test]
fn what_the_builder_refuses_is_refused_with_field_value_and_rule() {
    for (settings, told) in [
        (json!({ "trip": [{ "failure_rate": 1.5 }] }), ["failure_rate", "1.5", "at most 1"]),
        (json!({ "trip": [{ "failures": 0 }] }), ["failures", "0", "at least 1"]),
        (
            json!({ "trip": [{ "failures": 1, "over": { "time": "2days" } }] }),
            ["over.time", "172800s", "1ms to 24h"],
        ),
        (
            json!({ "trip": [{ "consecutive_failures": 1, "min_calls": 5 }] }),
            ["min_calls", "5", "no minimum"],
        ),
        (json!({ "trip": [] }), ["trip", "0 rules", "1 to 8"]),
        (json!({ "half_open": { "max_in_flight": 1025 } }), ["half_open.max_in_flight", "1025", "1024"]),
        (json!({ "open_for": { "fixed": "0s" } }), ["open_for.first", "0s", "longer than zero"]),
        (json!({ "ramp": "0s" }), ["ramp", "0s", "longer than zero"]),
        (json!({ "timeout": "3years" }), ["timeout", "s", "365 days"]),
    ] {
        let error = refused(settings);
        assert!(told.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn the_refusal_of_a_rule_says_which_rule_it_is() {
    let error = refused(json!({ "trip": [{ "failures": 1 }, { "failure_rate": 1.5 }] }));
    assert!(error.contains("trip[1].failure_rate"), "{error}");
}

#[test]
fn counts_of_the_wrong_type_are_refused() {
    for count in [json!(-1), json!(1.5), json!("3"), json!(5_000_000_000_u64), json!(null)] {
        refused(json!({ "half_open": { "close_after": count } }));
    }
}

#[test]
fn a_snapshot_is_data() {
    let (clock, _) = Clock::manual();
    let breaker = Breaker::builder("data").clock(clock).build().unwrap();
    breaker.trip();
    let value = to_value(breaker.snapshot()).unwrap();
    assert_eq!((&value["name"], &value["state"]), (&json!("data"), &json!("open")));
    assert_eq!((&value["control"], &value["last_trip"]), (&json!("automatic"), &json!("manual")));
    assert_eq!((&value["recent"][0]["to"], &value["epoch"]), (&json!("open"), &json!(1)));
}

#[test]
fn a_rejection_is_data() {
    let breaker = Breaker::new("data").unwrap();
    breaker.set_control(Control::ForcedOpen);
    let value = to_value(breaker.try_acquire().unwrap_err()).unwrap();
    assert_eq!((&value["name"], &value["reason"]), (&json!("data"), &json!("forced")));
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![(1..1_000_000_000_u64).prop_map(Duration::from_nanos), (1..31_536_000_u64).prop_map(secs)]
}

fn window() -> impl Strategy<Value = Window> {
    let time =
        (1_000_000..86_400_000_000_000_u64).prop_map(|nanos| Window::time(Duration::from_nanos(nanos)));
    prop_oneof![(50..=Window::MAX_CALLS).prop_map(Window::calls), time]
}

fn rule() -> impl Strategy<Value = Trip> {
    // Few digits: serde_json reads longer fractions back to within one unit in the last place only.
    let rate = || (1..=1024_u32).prop_map(|part| f64::from(part) / 1024.0);
    prop_oneof![
        (1..50_u32).prop_map(Trip::failures),
        (1..50_u32, window(), 1..50_u32)
            .prop_map(|(k, over, min)| Trip::failures(k).over(over).min_calls(min)),
        (rate(), window()).prop_map(|(rate, over)| Trip::failure_rate(rate).over(over)),
        (rate(), duration(), 1..50_u32)
            .prop_map(|(rate, limit, min)| Trip::slow_rate(rate, limit).min_calls(min)),
    ]
}

prop_compose! {
    fn open_for()(first in duration(), more in duration(), factor in 8..=800_u32, jitter in 0..=8_u32) -> OpenFor {
        let cap = (first + more).min(secs(365 * 24 * 3600));
        OpenFor::exponential(first, cap).factor(f64::from(factor) / 8.0).jitter(f64::from(jitter) / 8.0)
    }
}

prop_compose! {
    fn settings()(
        rules in prop::collection::vec(rule(), 0..8),
        run in prop::option::of((1..=u32::MAX, prop::option::of(duration()))),
        open_for in open_for(),
        probes in (1..=1024_u32, 1..=u32::MAX, 1..=u32::MAX, duration()),
        [ramp, timeout] in [prop::option::of(duration()), prop::option::of(duration())],
        retry_after_cap in duration(),
        dropped in any::<bool>(),
    ) -> Settings {
        let (max_in_flight, close_after, reopen_after, probe_timeout) = probes;
        let run = run.map(|(k, within)| match within {
            Some(within) => Trip::consecutive_failures(k).within(within),
            None => Trip::consecutive_failures(k),
        });
        let half_open = HalfOpen { max_in_flight, close_after, reopen_after, probe_timeout };
        let mut settings = Settings::new().open_for(open_for).half_open(half_open);
        settings = settings.retry_after_cap(retry_after_cap).count_dropped_as_failure(dropped);
        (settings.ramp, settings.timeout) = (ramp, timeout);
        rules.into_iter().chain(run).fold(settings, Settings::trip)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(settings in settings()) {
        let text = serde_json::to_string(&settings).unwrap();
        prop_assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
    }
}
