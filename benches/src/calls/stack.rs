//! A client's stack of tower layers around a service that does nothing, without ours and with them.

use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use mainstay_breaker::{Breaker, BreakerLayer};
use mainstay_degrade::{Criticality, DegradationManager, ObserveLayer, ShedLayer};
use tower::limit::ConcurrencyLimit;
use tower::retry::budget::{Budget, TpsBudget};
use tower::retry::{Policy, Retry};
use tower::{Service, ServiceBuilder};

use crate::call::{Call, Failure, Loop};
use crate::layered::Bare;
use crate::peers::tower_resilience;
use crate::pending::by_hand;

/// From nothing to everything; each is around the ones before it as far as that makes sense.
pub const CALLS: [Call; 7] = [
    Call { name: "no layer", make: || called(Bare) },
    Call { name: PLAIN, make: || called(ServiceBuilder::new().timeout(SECOND).service(inner())) },
    Call { name: WITH_BREAKER, make: || guarded(breaker()?) },
    Call { name: "the same, and `BreakerLayer`, leaked", make: || guarded(breaker()?.leak()) },
    Call { name: "`BreakerLayer` with its own time-out, retry, limit", make: own_timeout },
    Call { name: "the same, `BreakerLayer`, `ObserveLayer` and `ShedLayer`", make: degrading },
    Call { name: "the same, and tower-resilience's breaker", make: peer },
];

/// What ours are compared with.
pub const PLAIN: &str = "time-out, retry with a budget, limit of concurrency";

/// What ours add at least.
pub const WITH_BREAKER: &str = "the same, and `BreakerLayer`";

const SECOND: Duration = Duration::from_secs(1);

/// Tries again what failed, as long as the budget lasts.
#[derive(Clone)]
struct Again(Arc<TpsBudget>);

impl<E> Policy<u64, u64, E> for Again {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, E>) -> Option<Ready<()>> {
        match result {
            Ok(_) => {
                self.0.deposit();
                None
            }
            Err(_) => self.0.withdraw().then(|| ready(())),
        }
    }

    fn clone_request(&mut self, request: &u64) -> Option<u64> {
        Some(*request)
    }
}

fn inner() -> Retry<Again, ConcurrencyLimit<Bare>> {
    let again = Again(Arc::new(TpsBudget::default()));
    ServiceBuilder::new().retry(again).concurrency_limit(1_000).service(Bare)
}

fn breaker() -> Result<Breaker, Failure> {
    Ok(Breaker::builder("bench").build()?)
}

fn guarded(breaker: Breaker) -> Result<Loop, Failure> {
    called(ServiceBuilder::new().timeout(SECOND).layer(BreakerLayer::new(breaker)).service(inner()))
}

fn own_timeout() -> Result<Loop, Failure> {
    called(ServiceBuilder::new().layer(BreakerLayer::new(breaker()?).timeout(SECOND)).service(inner()))
}

fn degrading() -> Result<Loop, Failure> {
    let breaker = breaker()?;
    let degrade = DegradationManager::builder().watch(&breaker).build()?;
    let stack = ServiceBuilder::new()
        .layer(ShedLayer::new(&degrade, |_: &u64| Criticality::Critical))
        .layer(ObserveLayer::new(degrade.observer()))
        .timeout(SECOND)
        .layer(BreakerLayer::new(breaker))
        .service(inner());
    called(stack)
}

fn peer() -> Result<Loop, Failure> {
    called(ServiceBuilder::new().timeout(SECOND).service(tower_resilience::around(inner())))
}

/// Calls a stack again and again, in a runtime, since time-outs ask for one.
fn called<S>(mut stack: S) -> Result<Loop, Failure>
where
    S: Service<u64> + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(Box::new(move |calls| {
        let _entered = runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        let begin = Instant::now();
        for call in 0..calls {
            while !matches!(stack.poll_ready(&mut context), Poll::Ready(Ok(()))) {}
            black_box(by_hand(stack.call(call + 1)).is_ok());
        }
        begin.elapsed()
    }))
}
