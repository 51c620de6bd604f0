//! What is told to the log.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "tracing")]

mod scene;

use std::sync::{Arc, Mutex};

use mainstay_health::{Check, Heartbeat, Pushed, Shutdown, Status};
use scene::{manager, secs, settle};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};

/// The events of the present thread: level, name and fields as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Told>>>);

type Told = (Level, &'static str, String);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{field}={value:?};");
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push((*event.metadata().level(), event.metadata().name(), text.0));
    }
}

impl Log {
    fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::registry().with(log.clone());
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// What came since the last time.
    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    fn names(&self) -> Vec<&'static str> {
        self.take().into_iter().map(|(_, name, _)| name).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn flips_and_what_follows_from_them_are_told_once_with_their_reason() {
    let (log, _listening) = Log::listen();
    let disk = Pushed::new();
    let health = manager().check(Check::exclusive("disk", &disk).critical()).build().unwrap();
    health.start().unwrap();
    disk.set(Status::Healthy);
    settle().await;
    assert_eq!(log.names(), ["health_phase", "health_check", "health_ready"]);
    disk.set(Err::<(), _>("redis://user:secret@10.0.0.1 refused"));
    settle().await;
    let told = log.take();
    let (level, name, text) = told.first().unwrap();
    assert_eq!((*level, *name), (Level::WARN, "health_check"));
    for part in
        ["service=\"orders\"", "check=\"disk\"", "from=\"healthy\"", "to=\"unhealthy\"", "reason=\"error\""]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains("secret"), "the log is inside, and has the whole text");
    assert_eq!((told.len(), told.last().unwrap().1), (2, "health_ready"));
    scene::pass(secs(600)).await;
    assert_eq!(log.take(), [], "sixty more of the same are not told");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_only_a_restart_helps_says_so_as_an_error() {
    let (log, _listening) = Log::listen();
    let heartbeat = Heartbeat::every(secs(5));
    let check = Check::internal("loop", &heartbeat).critical().restart_on_failure();
    let health = manager().check(check).build().unwrap();
    health.start().unwrap();
    heartbeat.beat();
    scene::pass(secs(6)).await;
    let told = log.take();
    let live = told.iter().find(|(_, name, _)| *name == "health_live").unwrap();
    assert_eq!((live.0, live.2.contains("live=false")), (Level::ERROR, true), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn each_step_of_a_shutdown_is_told() {
    let (log, _listening) = Log::listen();
    let health = manager().startup_latch("cache").build().unwrap();
    health.start().unwrap();
    health.startup_latch("cache").unwrap().open();
    health.begin_maintenance("disks");
    health.end_maintenance();
    log.take();
    let shutdown = Shutdown::new(&health);
    shutdown.trigger();
    shutdown.run(shutdown.stop_accepting()).await;
    let steps: Vec<String> = log
        .take()
        .into_iter()
        .filter(|(_, name, _)| *name == "health_phase")
        .map(|(_, _, text)| text.split("to=").nth(1).unwrap().split('"').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(steps, ["draining", "closing", "drained", "stopped"]);
}
