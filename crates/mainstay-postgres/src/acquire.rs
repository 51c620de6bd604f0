//! Waiting for a connection.

use std::borrow::Borrow;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, Error, PgConnection, Postgres};

use crate::alarm::{Alarm, Expired};
use crate::figures::{Occupancy, Waiting};
use crate::lease::Lease;
use crate::{DeadlineExpired, GuardedPool};

pin_project! {
    /// A call that waits for a connection, counted from when it first has to. What it gets is counted as lent.
    struct Waiter<'a, F> {
        #[pin]
        work: F,
        occupancy: &'a Occupancy,
        waiting: Option<Waiting<'a>>,
    }
}

/// Asks once why there is no connection.
///
/// When a connect is refused, or the server has no room (53300), or is still starting (57P03), sqlx tries again and again
/// until its time is up, and then can only say that it is. One connect of the guard's own, never more than one at a time,
/// learns the reason. If it succeeds, its connection is closed again.
struct Inquiry<'a> {
    connect: Option<Connecting>,
    cause: Option<Error>,
    _only: Option<Only<'a>>,
}

type Connecting = Pin<Box<dyn Future<Output = Result<PgConnection, Error>> + Send>>;

/// A flag that one at a time can hold.
struct Only<'a>(&'a AtomicBool);

/// Takes a connection out of the pool, within the acquire deadline.
pub(crate) async fn acquire<H: Borrow<GuardedPool>>(
    host: H,
    alarm: Pin<&mut Alarm>,
) -> Result<Lease<H>, Error> {
    let conn = wait(host.borrow(), alarm).await?;
    Ok(Lease::new(host, conn))
}

async fn wait(guard: &GuardedPool, mut alarm: Pin<&mut Alarm>) -> Result<PoolConnection<Postgres>, Error> {
    let limit = guard.deadlines().acquire;
    let mut waiter = pin!(Waiter::new(guard.occupancy(), guard.pool().acquire()));
    let half = limit / 2;
    if let Ok(result) = alarm.as_mut().within(half, waiter.as_mut()).await {
        return result;
    }
    let mut inquiry = Inquiry::new(guard);
    let rest = poll_fn(|cx| {
        if let Poll::Ready(result) = waiter.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        inquiry.poll(cx);
        Poll::Pending
    });
    match alarm.as_mut().within(limit - half, rest).await {
        Ok(result) => result,
        Err(Expired) => Err(DeadlineExpired::no_connection(guard, inquiry.cause.take())),
    }
}

// === impl Waiter ===

impl<'a, F> Waiter<'a, F> {
    fn new(occupancy: &'a Occupancy, work: F) -> Self {
        Self { work, occupancy, waiting: None }
    }
}

impl<F, T> Future for Waiter<'_, F>
where
    F: Future<Output = Result<T, Error>>,
{
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Poll::Ready(result) = this.work.poll(cx) else {
            this.waiting.get_or_insert_with(|| this.occupancy.wait());
            return Poll::Pending;
        };
        match (&result, this.waiting.take()) {
            (Ok(_), Some(waiting)) => waiting.lend(),
            (Ok(_), None) => this.occupancy.lend(),
            (Err(_), waiting) => drop(waiting),
        }
        Poll::Ready(result)
    }
}

// === impl Inquiry ===

impl<'a> Inquiry<'a> {
    fn new(guard: &'a GuardedPool) -> Self {
        let only = if guard.is_exhausted() { None } else { Only::take(guard.inquiring()) };
        let options = only.is_some().then(|| guard.pool().connect_options());
        let connect = options.map(|options| -> Connecting {
            Box::pin(async move { PgConnection::connect_with(&options).await })
        });
        Self { connect, cause: None, _only: only }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(connect) = &mut self.connect
            && let Poll::Ready(result) = connect.as_mut().poll(cx)
        {
            self.cause = result.err();
            self.connect = None;
        }
    }
}

// === impl Only ===

impl<'a> Only<'a> {
    fn take(flag: &'a AtomicBool) -> Option<Self> {
        // Relaxed: nothing but the flag is shared.
        (!flag.swap(true, Ordering::Relaxed)).then_some(Self(flag))
    }
}

impl Drop for Only<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
