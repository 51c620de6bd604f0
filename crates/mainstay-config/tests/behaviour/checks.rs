//! Checks in the original's words, and in ours.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics fails, as it should"
)]

use std::time::Duration;

use mainstay_config::{Environment, Loaded, Loader};
use mainstay_health::CheckSettings;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn load(checks: &str) -> Loaded {
    let text = format!("health: {{ checks: {{ {checks} }} }}");
    Loader::new().text("f.yaml", text).load().unwrap_or_else(|errors| panic!("{errors}"))
}

/// Interval and time-out of a check of which code says 20 s and 3 s.
fn schedule(loaded: &Loaded) -> (Duration, Duration) {
    let mut code = CheckSettings::default();
    (code.interval, code.timeout) = (secs(20), Some(secs(3)));
    let check = loaded.settings().health.check("a").apply(code);
    (check.interval, check.timeout())
}

#[test]
fn a_check_in_the_original_s_words_alone_begins_with_the_original_s_interval_and_time_out() {
    for (said, interval, timeout) in [
        ("a: { critical: true }", secs(30), secs(5)),
        ("a: { critical: false, enabled: true }", secs(30), secs(5)),
        ("a: { interval: 60s }", secs(60), secs(5)),
        ("a: { timeout: 1s }", secs(30), secs(1)),
        ("a: { interval: 4s }", secs(4), secs(2)),
    ] {
        assert_eq!(schedule(&load(said)), (interval, timeout), "{said}");
    }
    let loaded = load("a: { critical: true }");
    let origin = loaded.origin("health.checks.a.interval").unwrap().to_string();
    assert_eq!(origin, "default of the original's checks");
}

#[test]
fn a_check_with_a_word_of_ours_or_with_none_leaves_the_rest_to_code() {
    for said in [
        "a: { critical: true, scope: shared }",
        "a: { critical: true, jitter: 0.2 }",
        "a: { failure_threshold: 2 }",
        "a: { enabled: false }",
        "a: {}",
        "a: ",
        "b: { critical: true }",
    ] {
        assert_eq!(schedule(&load(said)), (secs(20), secs(3)), "{said}");
    }
}

#[test]
fn what_all_checks_inherit_counts_as_said_of_each() {
    let load = |text: &str, variables: &[(&str, &str)]| {
        let environment = Environment::from_iter(variables.iter().copied());
        Loader::new().text("f.yaml", text).environment(environment).load().unwrap()
    };
    let ours = load("health: { default: { scope: shared }, checks: { a: { critical: true } } }", &[]);
    assert_eq!(schedule(&ours), (secs(20), secs(3)));
    let seeds = load("health: { default: { interval: 9s }, checks: { a: {} } }", &[]);
    assert_eq!(schedule(&seeds), (secs(9), secs(5)));
    let variable = [("MAINSTAY__HEALTH__CHECKS__A__INTERVAL", "50s")];
    assert_eq!(
        schedule(&load("health: { checks: { a: { critical: true } } }", &variable)),
        (secs(50), secs(5))
    );
}

#[test]
fn a_time_out_that_is_not_shorter_than_the_original_s_interval_is_told() {
    let text = "health: { checks: { a: { timeout: 30s } } }";
    let errors = Loader::new().text("f.yaml", text).load().unwrap_err().to_string();
    assert_eq!(
        errors,
        "f.yaml:1:35: health.checks.a.timeout: found \"30s\", expected less than the interval of 30s"
    );
}

#[test]
fn a_critical_check_that_does_not_say_whose_it_is_is_a_warning_also_beside_mistakes() {
    let text = "
health:
  checks:
    redis: { critical: true, interval: soon }
    'a.b': { critical: true }
    queue: { critical: true, scope: internal }
    llm: { critical: false }
";
    let errors = Loader::new().text("f.yaml", text).load().unwrap_err();
    assert_eq!(errors.iter().count(), 1);
    let mended = Loader::new().text("f.yaml", text.replace("soon", "9s")).load().unwrap();
    assert_eq!(errors.warnings(), mended.warnings());
    let warning = &mended.warnings()[1];
    assert_eq!(
        (warning.origin.to_string().as_str(), warning.path.as_str()),
        ("f.yaml:5:24", "health.checks.\"a.b\"")
    );
    assert_eq!(
        mended.warnings()[0].to_string(),
        "f.yaml:4:24: health.checks.redis: critical without a `scope`; if every replica uses it, say `scope: shared`"
    );
    assert_eq!(mended.warnings().len(), 2);
}
