//! The same effective settings are the same, however they are said; and what a variable brings in stays hidden.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics fails, as it should")]

use std::time::Duration;

use mainstay_breaker::OpenFor;
use mainstay_config::{Environment, Loaded, Loader, Section};

fn load(text: &str, variables: &[(&str, &str)]) -> Loaded {
    let environment = Environment::from_iter(variables.iter().copied());
    let loader = Loader::new().text("f.yaml", text).environment(environment);
    loader.load().unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

fn refused(text: &str, variables: &[(&str, &str)]) -> String {
    let environment = Environment::from_iter(variables.iter().copied());
    Loader::new().text("f.yaml", text).environment(environment).load().unwrap_err().to_string()
}

fn open_for(text: &str) -> OpenFor {
    load(&format!("circuit_breakers: {{ {text} }}"), &[]).settings().breaker("x").settings.open_for
}

#[test]
fn what_is_said_with_its_defaults_has_the_same_fingerprint() {
    let policy = |rest: &str| {
        format!("degradation: {{ partial_results: {{ success_thresholds: {{ w: {{ {rest} }} }} }} }}")
    };
    let operation = |rest: &str| format!("degradation: {{ fallback_behaviors: {{ o: {rest} }} }}");
    let breaker = |rest: &str| format!("circuit_breakers: {{ x: {{ {rest} }} }}");
    for (one, other) in [
        (breaker("open_for: { fixed: 5s }"), breaker("open_for: { fixed: 5s, jitter: 0 }")),
        (
            breaker("open_for: { fixed: 5s }"),
            breaker("timeout: 5s, trip: [{ consecutive_failures: 5 }, { failure_rate: 0.5 }]"),
        ),
        (
            breaker("open_for: { first: 1s, cap: 9s }"),
            breaker("open_for: { first: 1s, cap: 9s, factor: 2, jitter: 0.0 }"),
        ),
        (
            breaker("trip: [{ failure_rate: 0.5 }]"),
            breaker("trip: [{ failure_rate: 0.5, over: { time: 30s }, min_calls: 20 }]"),
        ),
        (
            breaker("trip: [{ failure_rate: 0.5, over: { calls: 9 } }]"),
            breaker("trip: [{ failure_rate: 0.5, over: { calls: 9 }, min_calls: 9 }]"),
        ),
        (breaker("trip: [{ failures: 5 }]"), breaker("trip: [{ failures: 5, over: { time: 30s } }]")),
        (policy("required: [a, b]"), policy("required: [b, a, a]")),
        (policy("required: [], weights: {}"), policy("minimum: 1")),
        (policy("weights: { a: 1 }"), policy("minimum: 1")),
        (operation("proceed_silently"), operation("{}")),
        (operation("proceed_silently"), operation("{ when_down: {}, at: {} }")),
    ] {
        let (one, other) = (load(&one, &[]), load(&other, &[]));
        assert_eq!(one.fingerprint(), other.fingerprint(), "{}\n{}", one.show(), other.show());
        assert_eq!(one.diff(&other), []);
    }
}

#[test]
fn a_part_of_the_open_time_is_filled_up() {
    let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
    let library = OpenFor::exponential(10 * second, minute);
    for (text, expected) in [
        ("x: { open_for: { jitter: 0.2 } }", library.jitter(0.2)),
        ("x: { open_for: { cap: 2m } }", OpenFor::exponential(10 * second, 2 * minute)),
        ("x: { open_for: { cap: 5s } }", OpenFor::exponential(5 * second, 5 * second)),
        ("x: { open_for: { first: 1s } }", OpenFor::exponential(second, minute)),
        ("x: { open_for: { factor: 3 } }", library.factor(3.0)),
        ("x: { open_for: {} }", library.jitter(0.1)),
        ("x: { timeout: 7s, open_for: { jitter: 0.2 } }", OpenFor::fixed(7 * second).jitter(0.2)),
        ("default: { timeout: 7s }, x: { open_for: {} }", OpenFor::fixed(7 * second)),
        (
            "default: { timeout: 7s }, x: { open_for: { jitter: 0.2 } }",
            OpenFor::fixed(7 * second).jitter(0.2),
        ),
        ("default: { timeout: 7s }, x: { open_for: { first: 1s } }", OpenFor::exponential(second, minute)),
        (
            "default: { open_for: { jitter: 0.3 } }, x: { timeout: 5s }",
            OpenFor::fixed(5 * second).jitter(0.3),
        ),
        (
            "default: { open_for: { first: 1s, cap: 9s } }, x: { open_for: { cap: 8s } }",
            OpenFor::exponential(second, 8 * second),
        ),
    ] {
        assert_eq!(open_for(text), expected, "{text}");
        let loaded = load(&format!("circuit_breakers: {{ {text} }}"), &[]);
        let again = load(&loaded.show(), &[]);
        assert_eq!(again.fingerprint(), loaded.fingerprint(), "{}", loaded.show());
    }
}

#[test]
fn what_is_shown_is_the_same_below_the_variables_that_it_was_shown_with() {
    for file in [
        "",
        "circuit_breakers: { database: { max_failures: 7 } }",
        "circuit_breakers: { database: { trip: [{ consecutive_failures: 9 }] } }",
    ] {
        for variables in [
            &[("CB_DB_INTERVAL", "10s")][..],
            &[("CB_DB_FAILURE_THRESHOLD", "4")],
            &[("MAINSTAY__CIRCUIT_BREAKERS__DATABASE__INTERVAL", "0"), ("CB_DB_TIMEOUT", "3s")],
        ] {
            let loaded = load(file, variables);
            let again = load(&loaded.show(), variables);
            assert_eq!(
                again.fingerprint(),
                loaded.fingerprint(),
                "{}\n{:?}",
                loaded.show(),
                loaded.diff(&again)
            );
        }
    }
}

#[test]
fn what_a_variable_brings_in_is_hidden_also_where_it_is_converted_or_quoted() {
    let variables = [("P", "7"), ("MS", "1234"), ("T", "19s"), ("N", "13")];
    let fine = "
degradation: { thresholds: { minor: { error_rate_percentage: '${P}', latency_threshold_ms: '${MS}' } } }
health: { checks: { a: { interval: '${S}', critical: true } } }
circuit_breakers: { x: { trip: [{ failure_rate: 0.5, over: { calls: '${N}' } }] } }
";
    let all = [&variables[..], &[("S", "3s")]].concat();
    let loaded = load(fine, &all);
    assert_eq!(loaded.settings().degradation.thresholds.minor.error_rate, 0.07);
    let shown = loaded.show();
    assert!(
        !["0.07", "1.234", "234ms", "1s500ms", "1500", ": 13"].iter().any(|value| shown.contains(value)),
        "{shown}"
    );
    assert_eq!(load(&shown, &all).fingerprint(), loaded.fingerprint());
    let changes = format!("{:?}", load("", &[]).diff(&loaded));
    assert!(!changes.contains("0.07") && !changes.contains("234ms"), "{changes}");

    let wrong = "
health: { checks: { a: { interval: '${T}', timeout: 20s, confirmation: 21s, fleet_guard: { spread_over: '${T}', fail_open_after: 1h } } } }
degradation:
  relax_after: { minor: '${T}', severe: 1h }
circuit_breakers: { x: { trip: [{ failure_rate: 0.5, over: { calls: '${N}' }, min_calls: 20 }] } }
";
    let told = refused(wrong, &variables);
    assert_eq!(told.lines().count(), 5, "{told}");
    assert!(!["19s", "13 ", "6s333"].iter().any(|value| told.contains(value)), "{told}");
    assert!(told.contains("less than the interval of ***"), "{told}");
}

#[test]
fn everything_that_is_missing_is_told_and_where() {
    let check = |gateway: &mut Section| {
        let _ = gateway.text("issuer").required();
        let _ = gateway.text("audience").required();
    };
    let errors =
        Loader::new().text("g.yaml", "health: {}").check_section("gateway", check).load().unwrap_err();
    let expected = "\
g.yaml: gateway.issuer: found nothing, expected text
g.yaml: gateway.audience: found nothing, expected text";
    assert_eq!(errors.to_string(), expected);
    let errors = Loader::new().check_section("gateway", check).load().unwrap_err().to_string();
    assert!(errors.starts_with("the settings: gateway.issuer: found nothing"), "{errors}");
    let errors = Loader::new().check_section("health", check).load().unwrap_err().to_string();
    assert_eq!(
        errors,
        "the settings: health: found a check of the section `health`, expected one of a section of the program's own"
    );
}

#[test]
fn two_names_that_a_variable_cannot_tell_apart_are_told() {
    for (one, other, segment) in [("my-db", "my_db", "MY_DB"), ("Redis", "redis", "REDIS")] {
        let text = format!("circuit_breakers: {{ {one}: {{}}, {other}: {{}} }}");
        let name = format!("MAINSTAY__CIRCUIT_BREAKERS__{segment}__RAMP");
        let told = refused(&text, &[(&name, "1s")]);
        assert!(
            told.contains(&format!(
                "circuit_breakers: found a name for `{one}`, `{other}`, expected names that differ"
            )),
            "{told}"
        );
        load(&text, &[]);
    }
}

#[test]
fn own_sections_that_differ_are_told_without_values() {
    let load = |text: &str| Loader::new().text("f", text).allow_section("own").load().unwrap();
    let one = load("own: { port: 1, secret: a, list: [1] }");
    assert_eq!(
        one.sections_differ(&load("own: { port: 1, secret: b, list: [1, 2] }")),
        ["own.list[1]", "own.secret"]
    );
    assert!(one.sections_differ(&one).is_empty());
    assert_eq!(one.fingerprint(), load("").fingerprint());
}

#[test]
fn files_that_say_nothing_at_all_are_known() {
    for (texts, empty) in [
        (&[""][..], true),
        (&["# soon\n", ""], true),
        (&["{}"], false),
        (&["", "health: {}"], false),
        (&[], false),
    ] {
        let loader = texts.iter().fold(Loader::new(), |loader, text| loader.text("f", text));
        assert_eq!(loader.load().unwrap().files_are_empty(), empty, "{texts:?}");
    }
}

#[test]
fn variables_that_are_empty_or_a_wrong_number_or_endpoint_say_so() {
    let told = refused("health: { seed: '${E}' }", &[("E", "")]);
    assert!(told.contains("health.seed: found an empty variable"), "{told}");
    let environment =
        Environment::from_iter([("E", ""), ("N", "inf"), ("U", "http://h:99999"), ("V", "http://h:80/x")]);
    let mut section = Section::of_environment(&environment);
    let _ = section.text("E").required();
    assert_eq!(section.text("E").or("else".to_owned()), "else");
    let _ = section.number::<f64>("N").optional();
    let _ = section.endpoint("U", &["http"]).optional();
    assert_eq!(section.endpoint("V", &["http"]).required(), "http://h:80/x");
    section.refuse("V", "another one");
    let expected = "\
E: found an empty variable, expected text
N: found ***, expected a number (f64)
U: found ***, expected a URI with a host that begins with `http`
V: found ***, expected another one";
    assert_eq!(section.finish().unwrap_err().to_string(), expected);
}

#[test]
fn long_times_are_shown_in_units_that_can_be_read() {
    let loaded = load("health: { drain_limit: 45days, checks: { a: { back_off_to: 300d 5s } } }", &[]);
    assert_eq!(load(&loaded.show(), &[]).fingerprint(), loaded.fingerprint());
    assert!(loaded.show().contains("drain_limit: 45days #"), "{}", loaded.show());
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_no_regular_file_is_not_waited_for() {
    for path in ["/dev/null", "/dev"] {
        let told = Loader::new().file(path).load().unwrap_err().to_string();
        assert!(told.starts_with(&format!("{path}: found what is no regular file, expected")), "{told}");
    }
}
