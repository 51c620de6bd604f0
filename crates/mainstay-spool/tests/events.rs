//! What the log says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_spool::{Clock, OpenFor, Outcome, Refusal, Spool, SpoolSettings};
use support::Ledger;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes each event as `LEVEL name key=value ...`.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "message" {
            write!(self.0, " {}={value:?}", field.name()).unwrap();
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "mainstay"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line(format!("{} {}", metadata.level(), metadata.name()));
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Alone in its process: the thread that has the files speaks too, so that the subscriber is everybody's.
#[tokio::test(start_paused = true)]
async fn the_log_says_what_died_what_was_set_aside_when_the_sink_was_away_and_nothing_of_the_items() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("items.db"), "something else").unwrap();
    let ledger = Ledger::answering(|item| match (item.value(), item.attempt()) {
        (7_777, _) => Outcome::poison("secret of 7777"),
        _ => Outcome::unavailable("secret of the driver"),
    });
    let settings = SpoolSettings::new()
        .name("audit")
        .clock(Clock::tokio())
        .linger(Duration::ZERO)
        .item_bytes(100)
        .backoff(OpenFor::fixed(Duration::from_secs(2)));
    let spool = Spool::open(dir.path(), settings, ledger).unwrap();
    spool.push(7_777).await.unwrap().await;
    let refused = spool.push_with("x".repeat(200), 8_888).await.unwrap_err();
    assert!(matches!(refused.refusal(), Refusal::TooLarge { .. }));
    drop(spool.push(9_999).await.unwrap());
    while spool.stats().failed_deliveries == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(spool.drain(Duration::ZERO).await.left, 1);

    let lines = log.0.lock().unwrap().clone();
    let aside = dir.path().join("aside").join("1");
    let said = |line: &str| assert!(lines.iter().any(|said| said == line), "{line}\n{lines:#?}");
    said(&format!(
        "WARN spool_file_set_aside spool=\"audit\" kind=Foreign set_aside={} recovered=0",
        aside.display()
    ));
    said("WARN spool_dead_letter spool=\"audit\" cause=\"poison\" tries=1");
    said("DEBUG spool_refused spool=\"audit\" reason=the item has 203 bytes, more than 100");
    said("INFO spool_sink_unavailable spool=\"audit\" pause=2s");
    said("INFO spool_drained spool=\"audit\" left=1");
    assert!(!lines.concat().contains("secret") && !lines.concat().contains("7777"), "{lines:#?}");
}
