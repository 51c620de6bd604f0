//! The gateway without sockets, for callgrind: a request through its router to a client that answers at its second poll.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::Full;
use mainstay_benches::call::Failure;
use mainstay_benches::pending::{Once, by_hand};
use tower::{Service, service_fn};

use crate::app::{Outgoing, family, recorder, router};
use crate::variant::Variant;

/// Makes so many requests.
pub(crate) fn one(variant: &str, calls: &str) -> Result<(), Failure> {
    let calls: u64 = calls.parse()?;
    let variant = Variant::parse(variant)?;
    // Nothing runs in it but what requests ask for: checks are no part of a request, nor is it that metrics are read.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    if variant.is_metered() {
        recorder()?;
    }
    let client = service_fn(async |_: Outgoing| {
        Once::default().await;
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"a short answer"))))
    });
    let mut router = router(variant, &family()?, client, "http://127.0.0.1:9/answer".parse()?)?;
    for _ in 0..calls {
        let request = Request::get("/work").header(header::HOST, "127.0.0.1:8080").body(Body::empty())?;
        let Ok(response) = by_hand(router.call(request));
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status()).into());
        }
        let (mut body, mut context) = (pin!(response.into_body()), Context::from_waker(Waker::noop()));
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut context) {
            black_box(frame?);
        }
    }
    Ok(())
}
