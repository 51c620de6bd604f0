//! A service that can do so much and no more, and what a user puts around it.

use std::sync::Arc;
use std::time::Duration;

use mainstay_degrade::{Criticality, DegradationManager, ObserveLayer, ShedLayer};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceBuilder, service_fn};

/// What became of a request that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Served,
    Shed,
}

/// A service for requests of all classes.
pub(crate) type Stack = BoxCloneService<Criticality, Answer, BoxError>;

/// What a service can do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    /// How many requests it works on at once.
    pub(crate) slots: usize,
    /// How long each takes it.
    pub(crate) work: Duration,
    /// How many requests wait, first come first served; one more is refused.
    pub(crate) queue: usize,
    /// After which time the caller has given up.
    pub(crate) timeout: Duration,
}

impl Server {
    /// Requests a second.
    pub(crate) fn capacity(&self) -> f64 {
        self.slots as f64 / self.work.as_secs_f64()
    }

    /// The service as a user builds it, observed by the manager, and with what sheds around it or not.
    pub(crate) fn stack(&self, degrade: &DegradationManager, sheds: bool) -> Stack {
        let (slots, work) = (Arc::new(Semaphore::new(self.slots)), self.work);
        let worker = service_fn(move |_: Criticality| {
            let slots = slots.clone();
            async move {
                let _slot = slots.acquire().await?;
                sleep(work).await;
                Ok::<_, BoxError>(Answer::Served)
            }
        });
        let observed = ServiceBuilder::new()
            .layer(ObserveLayer::new(degrade.observer()))
            .load_shed()
            .concurrency_limit(self.slots + self.queue)
            .timeout(self.timeout)
            .service(worker);
        if !sheds {
            return BoxCloneService::new(observed);
        }
        let shed = ShedLayer::new(degrade, |class: &Criticality| *class).reject_with(|_| Answer::Shed);
        BoxCloneService::new(ServiceBuilder::new().layer(shed).service(observed))
    }
}
