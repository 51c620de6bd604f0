//! The figures that `publish` tells.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::HashMap;
use std::time::Duration;

use mainstay_spool::{Outcome, Spool, SpoolSettings};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use support::Ledger;

#[tokio::test]
async fn the_figures_are_those_of_the_stats() {
    let ledger = Ledger::answering(|item| match item.value() {
        1 => Outcome::poison("never"),
        _ => Outcome::Done,
    });
    let settings = SpoolSettings::new().name("audit").linger(Duration::ZERO);
    let spool = Spool::in_memory(settings, ledger).unwrap();
    for value in 0..3 {
        spool.push(value).await.unwrap().await;
    }
    spool.drain(Duration::from_secs(5)).await;
    assert_eq!(spool.push(4).await.unwrap_err().into_item(), 4);

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || spool.publish());
    let figures: HashMap<String, f64> = snapshotter
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
            let value = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(level) => level.into_inner(),
                DebugValue::Histogram(_) => panic!("no histograms"),
            };
            (format!("{}:{}", key.key().name(), labels.join(":")), value)
        })
        .collect();
    let expected = [
        ("mainstay_spool_items_total:audit:accepted", 3.0),
        ("mainstay_spool_items_total:audit:refused", 1.0),
        ("mainstay_spool_items_total:audit:delivered", 2.0),
        ("mainstay_spool_items_total:audit:dead_lettered", 1.0),
        ("mainstay_spool_failed_tries_total:audit", 1.0),
        ("mainstay_spool_backlog_items:audit", 0.0),
        ("mainstay_spool_dead_letters:audit", 1.0),
    ];
    for (name, value) in expected {
        assert_eq!(figures.get(name), Some(&value), "{name}");
    }
}
