use std::sync::Arc;
use std::time::Duration;

use mainstay_core::Name;

use crate::{CheckReport, Phase};

/// What is told to the log, once no lock is held any more.
#[derive(Debug)]
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "nobody reads it then"))]
pub(crate) enum Event {
    Check { before: Option<Arc<CheckReport>>, now: Arc<CheckReport> },
    Ready { ready: bool, obstacles: Vec<String> },
    Live { live: bool },
    Phase { from: Phase, to: Phase },
    Maintenance { reason: Option<Arc<str>> },
    Latch { name: Name },
    BlockedRuntime { check: Name, took: Duration },
}

impl Event {
    #[cfg(not(feature = "tracing"))]
    pub(crate) fn log(&self, _service: Name) {}

    #[cfg(feature = "tracing")]
    pub(crate) fn log(&self, service: Name) {
        let service = service.as_str();
        match self {
            Event::Check { before, now } => {
                let Some(before) = before.as_ref().filter(|before| before.status != now.status) else {
                    return;
                };
                let (check, from, to) = (now.name.as_str(), before.status.as_str(), now.status.as_str());
                let (reason, scope, critical) = (now.reason.as_str(), now.scope.as_str(), now.critical);
                // The log is inside: here the text may be told.
                let error = now.last.as_ref().and_then(|last| last.error.as_ref()).map(|error| error.text());
                let blocked_by = now.blocked_by.map(|name| name.as_str());
                macro_rules! event {
                    ($level:ident) => {
                        tracing::$level!(
                            name: "health_check", target: "mainstay", service, check, from, to, reason, scope,
                            critical, error, blocked_by, "a check changed its status"
                        )
                    };
                }
                if now.status == crate::Status::Unhealthy { event!(warn) } else { event!(info) }
            }
            Event::Ready { ready: true, .. } => {
                tracing::info!(name: "health_ready", target: "mainstay", service, ready = true, "ready");
            }
            Event::Ready { obstacles, .. } => {
                let obstacles = obstacles.join(", ");
                tracing::warn!(
                    name: "health_ready", target: "mainstay", service, ready = false, obstacles, "not ready"
                );
            }
            Event::Live { live: true } => {
                tracing::info!(name: "health_live", target: "mainstay", service, live = true, "alive");
            }
            Event::Live { live: false } => {
                tracing::error!(
                    name: "health_live", target: "mainstay", service, live = false,
                    "not alive: only a restart helps"
                );
            }
            Event::Phase { from, to } => {
                let (from, to) = (from.as_str(), to.as_str());
                tracing::info!(name: "health_phase", target: "mainstay", service, from, to, "the manager went on");
            }
            Event::Maintenance { reason } => {
                let on = reason.is_some();
                tracing::info!(
                    name: "health_maintenance", target: "mainstay", service, on, reason = reason.as_deref(),
                    "maintenance was switched"
                );
            }
            Event::Latch { name } => {
                let latch = name.as_str();
                tracing::info!(name: "health_latch", target: "mainstay", service, latch, "a startup latch opened");
            }
            Event::BlockedRuntime { check, took } => {
                let (check, took_ms) = (check.as_str(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
                tracing::warn!(
                    name: "health_runtime_blocked", target: "mainstay", service, check, took_ms,
                    "a check kept a thread of the runtime for more than 100 ms at once: make it a blocking check"
                );
            }
        }
    }
}
