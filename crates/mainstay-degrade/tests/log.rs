//! Who listens to the log is the user's, and hurts nobody.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use mainstay_degrade::{Clock, DegradationManager, Level, Signal};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

struct Panics;

impl Subscriber for Panics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.name() == "degradation_level"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        panic!("the disk is full");
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_log_that_panics_ends_no_watch() {
    let _guard = tracing::subscriber::set_default(Panics);
    let queue = Signal::new("queue").minor(1.0).moderate(2.0);
    let degrade = DegradationManager::builder().clock(Clock::tokio()).signal(&queue).build().unwrap();
    degrade.start().unwrap();
    for (value, level) in [(1.0, Level::Minor), (2.0, Level::Moderate)] {
        tokio::time::sleep(Duration::from_millis(1)).await;
        queue.set(value);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(degrade.level(), level);
    }
}
