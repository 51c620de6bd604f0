//! What the log says of settings that are put in force, and of those that are not.
#![allow(clippy::unwrap_used)]

use std::fmt::{Debug, Write};
use std::fs;
use std::sync::{Arc, Mutex};

use mainstay::config::{Environment, Loader};
use mainstay::{Mainstay, Reloader};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes each event as `name key=value ...`.
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
        metadata.name().starts_with("settings_")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().name().to_owned());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn the_log_says_what_changed_from_what_to_what_and_what_was_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mainstay.yaml");
    let write = |timeout: &str| {
        fs::write(&path, format!("circuit_breakers: {{ redis: {{ timeout: {timeout} }} }}")).unwrap();
    };
    write("15s");
    let loader = Loader::new().file(&path).environment(Environment::new());
    let loaded = loader.load().unwrap();
    let mainstay = Mainstay::from_settings("orders", loaded.settings()).build().unwrap();
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let reloader = Reloader::new(&mainstay, loader, loaded).unwrap();

    write("40s");
    reloader.reload().unwrap();
    write("soon");
    reloader.reload().unwrap_err();
    let said = log.0.lock().unwrap().clone();
    let fingerprint = reloader.status().fingerprint;
    assert_eq!(
        said.first().unwrap(),
        "settings_changed change=circuit_breakers.redis.open_for.fixed: 15s -> 40s"
    );
    assert_eq!(said.get(1).unwrap(), &format!("settings_reloaded fingerprint={fingerprint} changes=1"));
    let refused = said.get(2).unwrap();
    assert!(
        refused.starts_with("settings_refused error=") && refused.contains("found \"soon\""),
        "{refused}"
    );
    assert_eq!(said.len(), 3);
}
