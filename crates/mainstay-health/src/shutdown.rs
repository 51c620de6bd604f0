use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::{HealthManager, Phase};

/// Ends a server without losing a request: readiness fails, balancers get time to notice, nothing new is accepted, what
/// is under way is finished up to a limit, the checks stop.
///
/// Both times are the manager's: [`drain_delay`](crate::HealthManagerBuilder::drain_delay) and
/// [`drain_limit`](crate::HealthManagerBuilder::drain_limit). Each step is a [`Phase`] in the report and a `tracing` event.
///
/// ```no_run
/// # struct Server;
/// # impl Server { fn with_graceful_shutdown<F>(self, f: F) -> std::future::Ready<()> { std::future::ready(()) } }
/// # fn serve() -> Server { Server }
/// use mainstay_health::{HealthManager, Shutdown};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let health = HealthManager::builder("gateway").build()?;
/// health.start()?;
/// let shutdown = Shutdown::on_signals(&health)?;
/// // With axum: axum::serve(listener, app). With tonic: serve_with_shutdown(address, shutdown.stop_accepting()).
/// let server = serve().with_graceful_shutdown(shutdown.stop_accepting());
/// let end = shutdown.run(server).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Shutdown {
    health: HealthManager,
    step: Arc<watch::Sender<Step>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    /// How many times the end was asked for.
    asked: u32,
    /// Nothing new shall be accepted.
    closed: bool,
}

/// How a server ended.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended<T> {
    /// What the server returned; nothing if it was cut off, because it had not ended at the limit, or because the end was
    /// asked for a second time.
    pub output: Option<T>,
    /// How much [work](HealthManager::begin_work) was still under way.
    pub left: u64,
    /// How long it took from the moment at which readiness failed; zero if the server ended by itself.
    pub took: Duration,
}

impl Shutdown {
    /// A shutdown that begins when [`trigger`](Self::trigger) is called.
    pub fn new(health: &HealthManager) -> Self {
        Self { health: health.clone(), step: Arc::new(watch::Sender::new(Step::default())) }
    }

    /// A shutdown that begins at SIGTERM or SIGINT (elsewhere than on Unix: Ctrl-C), or when [`trigger`](Self::trigger) is
    /// called. A second signal ends it at once. From then on the process does not end by these signals themselves, also when
    /// this is dropped.
    ///
    /// # Errors
    ///
    /// [`std::io::Error`] if there is no tokio runtime with I/O here, or if the system refuses to deliver the signals.
    #[cfg(feature = "signal")]
    pub fn on_signals(health: &HealthManager) -> std::io::Result<Self> {
        let shutdown = Self::new(health);
        let mut signals = crate::signals::Signals::listen()?;
        let step = Arc::downgrade(&shutdown.step);
        tokio::spawn(async move {
            loop {
                let signal = signals.next().await;
                let Some(step) = step.upgrade() else { return };
                log_signal(signal);
                ask(&step);
            }
        });
        Ok(shutdown)
    }

    /// Begins the shutdown by hand. A second call ends it at once.
    pub fn trigger(&self) {
        ask(&self.step);
    }

    /// Ends when nothing new shall be accepted any more: what servers call their graceful shutdown's signal.
    pub fn stop_accepting(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut step = self.step.subscribe();
        // The sender is kept by this future as well, so that the wait cannot fail.
        let keep = self.step.clone();
        async move {
            let _ = step.wait_for(|step| step.closed).await;
            drop(keep);
        }
    }

    /// Runs a server to its end, through all the steps. The server must stop accepting at
    /// [`stop_accepting`](Self::stop_accepting) and end when what is under way has ended. Whatever happens, the manager is
    /// stopped when this returns.
    pub async fn run<F: IntoFuture>(&self, server: F) -> Ended<F::Output> {
        let mut server = pin!(server.into_future());
        let health = &self.health;
        tokio::select! {
            biased;
            output = &mut server => {
                health.stop();
                return Ended { output: Some(output), left: health.in_flight(), took: Duration::ZERO };
            }
            () = self.asked(1) => {}
        }
        let began = health.begin_drain();
        let limits = health.limits();
        let closing = began.saturating_add(limits.drain_delay);
        let mut output = tokio::select! {
            biased;
            output = &mut server => Some(output),
            () = self.asked(2) => None,
            () = health.clock().sleep_until(closing) => None,
        };
        health.go(Phase::Closing, began);
        self.step.send_modify(|step| step.closed = true);
        let limit = health.clock().now().saturating_add(limits.drain_limit);
        let finish = async {
            if output.is_none() {
                output = Some(server.await);
            }
            health.idle().await;
        };
        tokio::select! {
            biased;
            () = finish => {}
            () = self.asked(2) => {}
            () = health.clock().sleep_until(limit) => {}
        }
        health.go(Phase::Drained, began);
        let ended =
            Ended { output, left: health.in_flight(), took: health.clock().now().saturating_sub(began) };
        health.stop();
        ended
    }

    async fn asked(&self, times: u32) {
        let _ = self.step.subscribe().wait_for(|step| step.asked >= times).await;
    }
}

fn ask(step: &watch::Sender<Step>) {
    step.send_modify(|step| step.asked = step.asked.saturating_add(1));
}

#[cfg(feature = "signal")]
fn log_signal(signal: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::info!(name: "shutdown_signal", target: "mainstay", signal, "asked to end");
    let _ = signal;
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").field("step", &*self.step.borrow()).finish_non_exhaustive()
    }
}
