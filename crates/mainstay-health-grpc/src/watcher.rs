use std::time::Duration;

use futures_util::stream::{Stream, unfold};
use mainstay_health::{Clock, HealthManager, Phase, Subscription};
use tonic::Status;

use crate::names::Target;
use crate::pb::HealthCheckResponse;
use crate::pb::health_check_response::ServingStatus;

/// One stream of `Watch`. It holds no queue: what it sends next is decided when it is asked for.
struct Watcher {
    health: HealthManager,
    changes: Subscription,
    target: Target,
    sent: Option<ServingStatus>,
    /// A drain was seen: it does not serve any more, whatever comes.
    drained: bool,
}

/// The statuses of a target: the present one, and then changes.
pub(crate) fn watch(
    health: &HealthManager,
    target: Target,
) -> impl Stream<Item = Result<HealthCheckResponse, Status>> + Send + use<> {
    let changes = health.subscribe();
    let watcher = Watcher { health: health.clone(), changes, target, sent: None, drained: false };
    unfold(Some(watcher), |watcher| async move {
        let mut watcher = watcher?;
        match watcher.next().await {
            Some(status) => Some((Ok(HealthCheckResponse { status: status.into() }), Some(watcher))),
            None => Some((Err(Status::unavailable("the service drains: watch again")), None)),
        }
    })
}

// === impl Watcher ===

impl Watcher {
    /// Waits for another status than the last; nothing comes after a drain's last one.
    async fn next(&mut self) -> Option<ServingStatus> {
        loop {
            let report = self.changes.report();
            self.drained |= report.phase().is_draining() && self.target.drains();
            let mut standing = self.target.standing(&self.health, &report);
            if self.drained && standing.status == ServingStatus::Serving {
                standing.status = ServingStatus::NotServing;
            }
            if self.sent != Some(standing.status) {
                self.sent = Some(standing.status);
                return self.sent;
            }
            match report.phase() {
                // A stream is work under way, which a server that ends gracefully waits for.
                Phase::Closing | Phase::Drained => return None,
                // That drain is over, and this stream can say nothing else any more.
                Phase::Running | Phase::Stopped if self.drained => return None,
                _ => {}
            }
            drop(report);
            tokio::select! {
                _ = self.changes.changed() => {}
                () = until(self.health.clock(), standing.until) => {}
            }
        }
    }
}

/// A wait that may be without end.
async fn until(clock: &Clock, at: Duration) {
    if at == Duration::MAX { std::future::pending().await } else { clock.sleep_until(at).await }
}
