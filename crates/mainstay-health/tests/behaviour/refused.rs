//! Settings that are refused, each with the check, the value and the rule.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use crate::scene::{millis, secs};
use mainstay_health::{
    AnyCheck, Check, CheckSettings, ConfigError, Exclusive, FleetGuard, HealthManager, Internal, Rule, Shared,
};

fn refusal(checks: Vec<AnyCheck>) -> ConfigError {
    let builder = HealthManager::builder("orders");
    checks.into_iter().fold(builder, |builder, check| builder.check(check)).build().unwrap_err()
}

fn shared(name: &str) -> Check<Shared> {
    Check::shared(name, || async {})
}

fn exclusive(name: &str) -> Check<Exclusive> {
    Check::exclusive(name, || async {})
}

fn internal(name: &str) -> Check<Internal> {
    Check::internal(name, || async {})
}

fn refused(check: impl Into<AnyCheck>, field: &str, value: &str, rule: &str) {
    let error = refusal(vec![check.into()]);
    assert_eq!((error.field.as_str(), error.value.as_str(), error.rule.as_str()), (field, value, rule));
}

#[test]
fn names_must_be_there_and_unique() {
    refused(shared(""), "check.name", "\"\"", "must not be empty");
    refused(shared(" redis"), "check.name", "\" redis\"", "must not begin or end with white space");
    let error = refusal(vec![shared("redis").into(), exclusive("redis").into()]);
    assert_eq!(error.to_string(), "check.name: \"redis\" is refused: must be unique among the checks");
    let error = HealthManager::builder("").build().unwrap_err();
    assert_eq!((error.field.as_str(), error.rule.as_str()), ("service", "must not be empty"));
}

#[test]
fn times_must_be_possible() {
    refused(
        shared("redis").interval(Duration::ZERO),
        "check[redis].interval",
        "0s",
        "must be longer than zero",
    );
    let hectic = shared("redis").interval(Duration::from_micros(1)).timeout(Duration::from_nanos(900));
    refused(hectic, "check[redis].interval", "1µs", "must be at least 1ms");
    let slow = shared("redis").interval(secs(2)).timeout(secs(2));
    refused(slow, "check[redis].timeout", "2s", "must be less than the interval, 2s");
    refused(
        shared("redis").timeout(Duration::ZERO),
        "check[redis].timeout",
        "0s",
        "must be longer than zero",
    );
    let never = Duration::from_secs(366 * 86_400);
    refused(
        shared("redis").interval(never),
        "check[redis].interval",
        "31622400s",
        "must be at most 365 days",
    );
    let late = shared("redis").interval(secs(5)).confirmation(secs(6));
    refused(late, "check[redis].confirmation", "6s", "must be at most the interval, 5s");
    refused(shared("redis").jitter(0.6), "check[redis].jitter", "0.6", "must be from 0 to 0.5");
    refused(shared("redis").jitter(f64::NAN), "check[redis].jitter", "NaN", "must be from 0 to 0.5");
    let back_off = shared("redis").back_off(Duration::ZERO, secs(60));
    refused(back_off, "check[redis].back_off_after", "0s", "must be longer than zero");
}

#[test]
fn the_defaults_fit_short_intervals() {
    let check = shared("redis").interval(secs(1));
    assert_eq!((check.settings().timeout(), check.settings().confirmation()), (millis(500), secs(1)));
    HealthManager::builder("orders").check(check).build().unwrap();
}

#[test]
fn counts_must_be_in_their_range() {
    for (threshold, value) in [(0, "0"), (1_001, "1001")] {
        let rule = "must be from 1 to 1000";
        refused(shared("redis").failure_threshold(threshold), "check[redis].failure_threshold", value, rule);
        refused(shared("redis").success_threshold(threshold), "check[redis].success_threshold", value, rule);
    }
    let rules = (0..9).fold(shared("redis"), |check, _| check.rule(Rule::above("x", 1.0, 0.0)));
    refused(rules, "check[redis].rules", "9 entries", "must have at most 8 entries");
    let error = HealthManager::builder("orders").blocking_threads(0).build().unwrap_err();
    assert_eq!((error.field.as_str(), error.rule.as_str()), ("blocking_threads", "must be from 1 to 1024"));
}

#[test]
fn rules_must_leave_on_the_good_side() {
    let field = "check[redis].rules[0].leave";
    let slow = shared("redis").rule(Rule::latency_above(millis(100), millis(200)));
    refused(slow, field, "0.2", "must be at most the value at which it enters");
    let full = shared("redis").rule(Rule::below("free", 0.1, 0.05));
    refused(full, field, "0.05", "must be at least the value at which it enters");
    let unset = shared("redis").rule(Rule::above("free", f64::NAN, 0.0));
    refused(unset, "check[redis].rules[0].enter", "NaN", "must be a finite number");
}

#[test]
fn what_is_for_one_scope_and_for_critical_checks_is_refused_elsewhere() {
    let field = "check[loop].restart_on_failure";
    refused(internal("loop").restart_on_failure(), field, "true", "needs a critical check");
    let patient = shared("redis").first_success_within(secs(30));
    refused(patient, "check[redis].first_success_within", "30s", "needs a critical check");

    let health = HealthManager::builder("orders").check(exclusive("disk").critical()).build().unwrap();
    let mut settings = CheckSettings::clone(&health.settings("disk").unwrap());
    settings.restart_on_failure = true;
    let error = health.reconfigure("disk", settings.clone()).unwrap_err();
    assert_eq!(error.rule, "is for internal checks only");
    settings.restart_on_failure = false;
    settings.first_success_within = Some(secs(1));
    assert_eq!(health.reconfigure("disk", settings).unwrap_err().rule, "is for shared checks only");
    assert_eq!(health.settings("disk").unwrap().first_success_within, None, "it keeps the settings it had");
}

#[test]
fn a_fleet_guard_that_could_take_half_the_fleet_is_refused() {
    let guard = FleetGuard { spread_over: secs(60), fail_open_after: secs(21) };
    refused(
        shared("redis").critical().fleet_guard(guard),
        "check[redis].fleet_guard.fail_open_after",
        "21s",
        "must be at most a third of spread_over, 20s",
    );
}

#[test]
fn dependencies_must_exist_and_form_no_cycle() {
    refused(
        shared("cache").depends_on("redis"),
        "check[cache].depends_on",
        "redis",
        "must be the name of a registered check",
    );
    refused(shared("a").depends_on("a"), "check[a].depends_on", "a -> a", "must not form a cycle");
    let error = refusal(vec![
        shared("a").depends_on("b").into(),
        shared("b").depends_on("d").depends_on("c").into(),
        shared("c").depends_on("a").into(),
        shared("d").into(),
    ]);
    assert_eq!((error.field.as_str(), error.value.as_str()), ("check[c].depends_on", "a -> b -> c -> a"));

    let health = HealthManager::builder("orders")
        .check(shared("a"))
        .check(shared("b").depends_on("a"))
        .build()
        .unwrap();
    let mut settings = CheckSettings::clone(&health.settings("a").unwrap());
    settings.depends_on = vec![mainstay_health::Name::new("b").unwrap()];
    assert_eq!(health.reconfigure("a", settings).unwrap_err().rule, "must not form a cycle");
    let error = health.register(shared("c").depends_on("nobody")).unwrap_err();
    assert_eq!(error.rule, "must be the name of a registered check");
}

#[test]
fn ten_thousand_checks_in_a_row_are_looked_through_without_recursion() {
    let mut builder = HealthManager::builder("orders").check(shared("0"));
    for index in 1..10_000 {
        builder = builder.check(shared(&index.to_string()).depends_on((index - 1).to_string()));
    }
    builder.build().unwrap();
}
