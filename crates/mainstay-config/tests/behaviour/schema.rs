//! The JSON Schema accepts what the reader accepts, and refuses what an editor should underline.
#![allow(clippy::unwrap_used, reason = "a test that panics fails, as it should")]

use mainstay_config::{Loader, Settings};
use serde_json::Value;

fn accepts(text: &str) -> bool {
    let schema = jsonschema::validator_for(&Settings::schema()).unwrap();
    let document: Value = serde_saphyr::from_str(text).unwrap();
    schema.is_valid(&document)
}

#[test]
fn the_schema_is_one() {
    assert!(jsonschema::meta::is_valid(&Settings::schema()));
}

#[test]
fn what_the_reader_accepts_the_schema_accepts() {
    let full = include_str!("../full.yaml");
    let shown = Loader::new().text("f", full).load().unwrap().show();
    for text in [
        full,
        &shown,
        include_str!("../../../../examples/settings/mainstay.yaml"),
        "circuit_breakers: { redis: , a: { interval: 0, timeout: 1h 30m, max_requests: '${N}' } }",
        "degradation: { relax_after: { minor: 1.5s }, thresholds: { minor: { latency: 0 } } }",
    ] {
        assert!(accepts(text), "{text}");
    }
}

#[test]
fn what_an_editor_can_see_to_be_wrong_the_schema_refuses() {
    for text in [
        "circuit_breaker: {}",
        "circuit_breakers: { redis: { open_fro: 1s } }",
        "circuit_breakers: { redis: { timeout: 10 parsecs } }",
        "circuit_breakers: { redis: { timeout: 10 } }",
        "circuit_breakers: { redis: { max_requests: 0 } }",
        "circuit_breakers: { redis: { max_requests: '5' } }",
        "circuit_breakers: { redis: { timeout: 1s, open_for: { fixed: 1s } } }",
        "circuit_breakers: { redis: { max_requests: 1, half_open: { max_in_flight: 1 } } }",
        "circuit_breakers: { redis: { trip: [] } }",
        "degradation: { fallback_behaviors: { a: { at: { severe: skp } } } }",
        "degradation: { partial_results: { success_thresholds: { a: 1.5 } } }",
        "health: { checks: { a: { rules: [{ above: many }] } } }",
    ] {
        assert!(!accepts(text), "{text}");
        assert!(Loader::new().text("f", text).load().is_err(), "{text}");
    }
}
