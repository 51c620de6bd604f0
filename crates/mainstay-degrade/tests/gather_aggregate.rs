//! What a gather brought, as it is sent to whoever asked.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::future::ready;
use std::time::SystemTime;

use mainstay_degrade::{Aggregate, Gather, Level, PartialPolicy};

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
