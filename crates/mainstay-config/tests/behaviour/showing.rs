//! What is in force, as text and as data.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics fails, as it should"
)]

use mainstay_config::{Environment, Loaded, Loader};
use proptest::prelude::*;
use serde_json::{Value, json};

fn load(text: &str, variables: &[(&str, &str)]) -> Loaded {
    let environment = Environment::from_iter(variables.iter().copied());
    let loader = Loader::new().text("f.yaml", text).environment(environment);
    loader.load().unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// Texts that some reader of YAML takes for something else, and texts that are only odd.
const ODD: [&str; 48] = [
    "0x10",
    "0X1F",
    "1_000",
    "_1",
    "0o7",
    "0b1",
    "017",
    "1e400",
    "1e3",
    "-1",
    "+1",
    ".5",
    "1.",
    "1.5",
    "1:30",
    "190:20:30",
    "2001-12-14",
    "yes",
    "Yes",
    "NO",
    "on",
    "Off",
    "y",
    "N",
    "true",
    "False",
    "null",
    "NULL",
    "~",
    ".inf",
    "-.INF",
    ".nan",
    "NaN",
    "Infinity",
    "none",
    "30s",
    "1h30m",
    "1m",
    "<<",
    "=",
    "a",
    "${x}",
    "$${x}",
    "a # b",
    "a: b",
    "- a",
    "\u{7f}\u{9b}x",
    "a\u{2028}\u{202e}é",
];

fn odd() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(ODD.to_vec()).prop_map(str::to_owned),
        "[0-9xobe_.:+-]{1,8}",
        "[yYnNoOfFtTrRuUeEsSaAlL]{1,5}",
        "[a-z0-9 #:{}\\[\\],&*!|>'\"%@`$~-]{1,12}",
        "\\PC{1,12}",
    ]
}

/// A file that says this text wherever any text may stand; JSON is YAML.
fn saying(text: &str) -> String {
    let literal = text.replace("${", "$${");
    json!({
        "circuit_breakers": { text: { "max_requests": 7 } },
        "health": {
            "service": literal,
            "startup_latches": [literal],
            "checks": { text: { "depends_on": [literal], "rules": [{ "detail": literal, "above": 1 }] } },
        },
        "degradation": {
            "fallback_behaviors": { text: { "when_down": { text: "skip" } } },
            "partial_results": { "success_thresholds": { text: { "required": [literal], "weights": { text: 2 } } } },
        },
    })
    .to_string()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_name_and_any_text_is_shown_so_that_this_and_other_readers_take_it_for_a_text(text in odd()) {
        // Names are refused for reasons of their own.
        let file = saying(&text);
        let Ok(loaded) = Loader::new().text("f.yaml", &file).load() else { return Ok(()) };
        let shown = loaded.show();
        let again = load(&shown, &[]);
        prop_assert_eq!(again.fingerprint(), loaded.fingerprint(), "{}", shown);
        prop_assert_eq!(again.settings().health.service.unwrap(), text.as_str());
        prop_assert_eq!(load(&loaded.to_json().to_string(), &[]).fingerprint(), loaded.fingerprint());
        let other: Value = serde_saphyr::from_str(&shown).unwrap();
        prop_assert_eq!(&other, &loaded.to_json(), "{}", shown);
    }
}

#[test]
fn the_odd_texts_that_can_be_names_are_among_those_that_are_tried() {
    let refused: Vec<&&str> =
        ODD.iter().filter(|text| Loader::new().text("f", saying(text)).load().is_err()).collect();
    assert_eq!(refused, [&"\u{7f}\u{9b}x"], "they have control characters");
}

#[test]
fn only_words_and_durations_are_without_quotes() {
    for (text, plain) in [
        ("order-service.v2", true),
        ("_a/b", true),
        ("none", true),
        ("1h30m", true),
        ("0x10", false),
        ("1_000", false),
        ("1e400", false),
        ("on", false),
        ("2001-12-14", false),
        ("1.2.3", false),
        ("90m", false),
    ] {
        let shown = load(&saying(text), &[]).show();
        let expected = if plain { format!("service: {text} #") } else { format!("service: \"{text}\" #") };
        assert!(shown.contains(&expected), "{text}: {shown}");
    }
}

#[test]
fn each_setting_is_a_value_with_its_path_and_its_origin() {
    let text = "
circuit_breakers:
  redis: { timeout: 60s }
  'a.b': { trip: [{ failures: 3 }] }
health: { startup_latches: [db], service: '${NAME}' }
";
    let variables = [("NAME", "hidden"), ("CB_REDIS_MAX_REQUESTS", "9")];
    let loaded = load(text, &variables);
    let values = loaded.values();
    let said = |path: &str| {
        let value = values.iter().find(|value| value.path == path).unwrap_or_else(|| panic!("no {path}"));
        (value.value.clone(), value.origin.to_string())
    };
    let redis = |key: &str| said(&format!("circuit_breakers.redis.{key}"));
    assert_eq!(redis("open_for.fixed"), (json!("1m"), "f.yaml:3:21".to_owned()));
    assert_eq!(redis("half_open.max_in_flight"), (json!(9), "CB_REDIS_MAX_REQUESTS".to_owned()));
    assert_eq!(redis("half_open.close_after"), (json!(2), "default of CB_REDIS_*".to_owned()));
    assert_eq!(redis("enabled"), (json!(true), "default".to_owned()));
    assert_eq!(said("circuit_breakers.\"a.b\".trip[0].failures"), (json!(3), "f.yaml:4:31".to_owned()));
    assert_eq!(said("health.startup_latches[0]").0, json!("db"));
    assert_eq!(said("health.service").0, json!("${NAME}"));
    // Each line of the list is one, in its order.
    let lines: Vec<String> =
        loaded.show().lines().filter_map(|line| Some(line.split_once(" # ")?.1.to_owned())).collect();
    assert_eq!(lines.len(), values.len());
    for value in &values {
        assert_eq!(loaded.origin(&value.path), Some(&value.origin), "{}", value.path);
    }
}

#[test]
fn as_json_it_loads_again_and_its_origins_have_the_same_shape() {
    for text in
        ["", include_str!("../full.yaml"), include_str!("../../../../examples/settings/mainstay.yaml")]
    {
        let loaded = load(text, &[]);
        let (json, origins) = (loaded.to_json(), loaded.origins_to_json());
        assert_eq!(load(&json.to_string(), &[]).fingerprint(), loaded.fingerprint());
        fn same_shape(json: &Value, origins: &Value) -> bool {
            match (json, origins) {
                (Value::Object(json), Value::Object(origins)) => {
                    json.len() == origins.len()
                        && json.iter().all(|(key, json)| same_shape(json, &origins[key]))
                }
                (Value::Array(json), Value::Array(origins)) => {
                    json.len() == origins.len()
                        && json.iter().zip(origins).all(|(json, origins)| same_shape(json, origins))
                }
                (_, origin) => origin.is_string(),
            }
        }
        assert!(same_shape(&json, &origins), "{json}\n{origins}");
    }
}

#[test]
fn a_change_is_told_on_one_line() {
    let one = load("degradation: { partial_results: { success_thresholds: { a: { required: [x] } } } }", &[]);
    let other =
        "degradation: { partial_results: { success_thresholds: { a: { required: [\"x\\n\\e[1m\"] } } } }";
    let changes: Vec<String> = one.diff(&load(other, &[])).iter().map(ToString::to_string).collect();
    let path = "degradation.partial_results.success_thresholds.a.required[0]";
    assert_eq!(changes, [format!("{path}: x -> x\\n\\u{{1b}}[1m")]);
}
