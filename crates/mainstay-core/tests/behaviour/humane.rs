//! Durations as people write them.
#![cfg(feature = "serde")]

use std::time::Duration;

use mainstay_core::{MAX_DURATION, OpenFor, Verdict, humane};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Plain {
    #[serde(with = "humane")]
    d: Duration,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Perhaps {
    #[serde(default, with = "humane::option")]
    d: Option<Duration>,
}

fn read(text: &str) -> Result<Duration, String> {
    let json = format!(r#"{{ "d": {text} }}"#);
    serde_json::from_str::<Plain>(&json).map(|Plain { d }| d).map_err(|error| error.to_string())
}

#[test]
fn durations_have_units() {
    for (text, duration) in [
        ("250ms", Duration::from_millis(250)),
        ("30s", Duration::from_secs(30)),
        ("5m", Duration::from_secs(300)),
        ("1h30m", Duration::from_secs(5400)),
        ("1h 30m", Duration::from_secs(5400)),
        ("1s 500ms", Duration::from_millis(1500)),
        ("0s", Duration::ZERO),
    ] {
        assert_eq!(read(&format!("{text:?}")), Ok(duration));
    }
}

#[test]
fn what_has_no_unit_is_refused_and_the_refusal_says_what_is_wanted() {
    for text in ["30", "30.5", "\"30\"", "\"\"", "\"thirty seconds\"", "\"-1s\"", "null", "true", "\"1s1\""] {
        let error = read(text).unwrap_err();
        assert!(error.contains("a duration with a unit"), "{text}: {error}");
    }
}

#[test]
fn a_duration_that_no_clock_can_tell_panics_nothing() {
    assert!(read("\"99999999999999999999999s\"").is_err());
    assert!(read("\"18446744073709551615years\"").is_err());
}

#[test]
fn durations_are_written_without_spaces() {
    assert_eq!(humane::format(Duration::from_secs(5400)), "1h30m");
    assert_eq!(humane::format(Duration::from_millis(1500)), "1s500ms");
    assert_eq!(humane::format(Duration::ZERO), "0s");
}

#[test]
fn an_optional_duration_may_be_missing_or_null() {
    for json in ["{}", r#"{ "d": null }"#] {
        assert_eq!(serde_json::from_str::<Perhaps>(json).unwrap(), Perhaps { d: None });
    }
    let some = Perhaps { d: Some(Duration::from_secs(2)) };
    assert_eq!(serde_json::to_string(&some).unwrap(), r#"{"d":"2s"}"#);
    assert!(serde_json::from_str::<Perhaps>(r#"{ "d": 2 }"#).is_err());
}

#[test]
fn an_open_time_is_read_and_written_as_one_of_two_kinds() {
    for (json, open_for) in [
        (r#"{"fixed":"15s"}"#, OpenFor::fixed(Duration::from_secs(15))),
        (
            r#"{"first":"5s","cap":"1m","factor":3.0,"jitter":0.5}"#,
            OpenFor::exponential(Duration::from_secs(5), Duration::from_secs(60)).factor(3.0).jitter(0.5),
        ),
    ] {
        assert_eq!(serde_json::from_str::<OpenFor>(json).unwrap(), open_for);
        assert_eq!(serde_json::to_string(&open_for).unwrap(), json);
    }
}

#[test]
fn an_open_time_out_of_its_range_is_refused() {
    for (json, told) in [
        (r#"{"fixed":"0s"}"#, "first"),
        (r#"{"first":"5s","cap":"1s"}"#, "cap"),
        (r#"{"first":"5s","cap":"10s","factor":0.5}"#, "factor"),
        (r#"{"fixed":"5s","jitter":1.5}"#, "jitter"),
        (r#"{"fixed":"5s","jiter":0.5}"#, "jiter"),
    ] {
        let error = serde_json::from_str::<OpenFor>(json).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn verdicts_are_written_in_snake_case() {
    assert_eq!(serde_json::to_string(&Verdict::Success).unwrap(), r#""success""#);
    assert_eq!(serde_json::from_str::<Verdict>(r#""ignore""#).unwrap(), Verdict::Ignore);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(nanos in 0..=MAX_DURATION.as_nanos() as u64, seconds in 0..40_000_000_u64) {
        for d in [Duration::from_nanos(nanos), Duration::from_secs(seconds)] {
            let text = serde_json::to_string(&Plain { d }).unwrap();
            prop_assert_eq!(serde_json::from_str::<Plain>(&text).unwrap(), Plain { d }, "{}", text);
        }
    }

    #[test]
    fn no_text_panics_the_reader(text: String) {
        let _ = serde_json::from_value::<Plain>(serde_json::json!({ "d": text }));
    }
}
