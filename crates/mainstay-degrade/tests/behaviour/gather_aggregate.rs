//! What a gather brought, as it is sent to whoever asked.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::future::ready;
use std::time::{Duration, SystemTime};

use mainstay_degrade::{Aggregate, Clock, Gather, Level, Part, PartValue, PartialPolicy};
use serde_json::{Value, json};

fn by<'a>(share: f64, level: Level) -> Gather<'a, u32, &'static str> {
    Gather::new(PartialPolicy::share(share).at(level).unwrap())
}

#[tokio::test]
async fn the_aggregate_says_all_and_comes_back_from_its_json() {
    let gathered = by(0.4, Level::Moderate)
        .part("a", ready(Ok(20)))
        .part("b", ready(Err("secret text")))
        .part("c", ready(Ok(22)))
        .part("d", async { panic!("{}", "secret text") })
        .run()
        .await
        .unwrap();
    let describe = gathered.clone().aggregate_with(|_| (), |error| (*error).to_owned());
    assert_eq!(describe.partial_results[1].error.as_deref(), Some("secret text"));
    let aggregate = gathered.aggregate(|values| values.iter().map(|(_, value)| **value).sum::<u32>());
    assert_eq!((aggregate.success, aggregate.result), (true, Some(42)));
    assert_eq!((aggregate.total_components, aggregate.success_count, aggregate.failure_count), (4, 2, 2));
    assert_eq!(aggregate.degradation_info.level, Level::Moderate);
    assert_eq!(aggregate.warning.as_deref(), Some("2 of 4 parts: b failed, d panicked"));
    assert_eq!(aggregate.partial_results[1].error.as_deref(), Some("failed"));
    assert!(aggregate.degraded && aggregate.timestamp > SystemTime::UNIX_EPOCH);
    let json = serde_json::to_string(&aggregate).unwrap();
    assert!(!json.contains("secret"), "{json}");
    assert_eq!(serde_json::from_str::<Aggregate<u32, u32>>(&json).unwrap(), aggregate);
}

/// The names of an object's fields.
fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn its_json_has_the_names_that_its_readers_know() {
    let (clock, time) = Clock::manual();
    time.advance(Duration::from_millis(1_250));
    let cached = async { Ok(PartValue::new(20).confidence(0.5).degraded().metadata("from", "cache")) };
    let gathered = by(0.4, Level::Moderate)
        .clock(clock)
        .with(Part::rated("a", cached))
        .part("b", ready(Err("secret text")))
        .run()
        .await
        .unwrap();
    let json = serde_json::to_value(gathered.aggregate(|values| values.len())).unwrap();
    let known = [
        "success",
        "result",
        "partial_results",
        "total_components",
        "success_count",
        "failure_count",
        "degradation_info",
        "warning",
        "timestamp",
    ];
    assert!(names(&json).is_superset(&known.into()), "{json}");
    let known = ["source", "success", "result", "error", "timestamp", "confidence", "degraded", "metadata"];
    assert!(names(&json["partial_results"][0]).is_superset(&known.into()), "{json}");
    let info = &json["degradation_info"];
    let known = ["level", "failed_dependencies", "reason", "recommended_action"];
    assert!(names(info).is_superset(&known.into()), "{json}");

    assert_eq!(info["level"], "moderate");
    assert_eq!(info["failed_dependencies"], json!(["b"]), "the parts that did not succeed");
    assert_eq!(info["recommended_action"], "check the failed dependencies, consider cached results");
    assert_eq!(json["failure_count"], 1);
    assert_eq!(json["warning"], "1 of 2 parts: a is degraded, b failed");
    assert_eq!(json["timestamp"], "1970-01-01T00:00:01.250000000Z");
    let cached = &json["partial_results"][0];
    assert_eq!((&cached["result"], &cached["error"]), (&json!(20), &Value::Null));
    assert_eq!((&cached["confidence"], &cached["degraded"]), (&json!(0.5), &json!(true)));
    assert_eq!(cached["metadata"], json!({ "from": "cache" }));
}

#[tokio::test]
async fn what_is_not_enough_is_not_combined_and_a_full_answer_has_no_warning() {
    let rejected = by(1.0, Level::None)
        .part("a", ready(Ok(1)))
        .part("b", ready(Err("secret text")))
        .run()
        .await
        .unwrap();
    let rejected = rejected.aggregate(|_| panic!("not to be combined"));
    assert_eq!((rejected.success, rejected.result), (false, None::<()>));
    assert_eq!(rejected.warning.as_deref(), Some("1 of 2 parts: b failed"));
    let full =
        by(1.0, Level::None).part("a", ready(Ok(1))).run().await.unwrap().aggregate(|values| values.len());
    assert_eq!((full.result, full.warning, full.degraded), (Some(1), None, false));
}

#[tokio::test]
async fn a_warning_names_a_few_and_counts_the_others() {
    let gather = (0..9).fold(by(0.1, Level::Minor), |gather, index| {
        gather.part(format!("part-{index}"), ready(if index == 0 { Ok(1) } else { Err("down") }))
    });
    let warning = gather.run().await.unwrap().aggregate(|_| ()).warning.unwrap();
    let named = (1..=5).map(|index| format!("part-{index} failed")).collect::<Vec<_>>().join(", ");
    assert_eq!(warning, format!("1 of 9 parts: {named}, and 3 more"));
}
