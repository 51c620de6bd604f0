use std::fmt::Write;
use std::hint::black_box;
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use http_body::Body as _;
use mainstay_benches::budget::Budget;
use mainstay_benches::call::Failure;
use mainstay_benches::calls::health::manager;
use mainstay_benches::instructions;
use tower_service::Service;

/// The subjects: a whole request through axum's router, from the request to the last frame of its body.
const READYZ: &str = "readyz";
const SAME_ANSWER: &str = "constant, the same answer";
const PLAIN: &str = "constant, `ok` alone";

/// Makes so many calls of one subject, for callgrind to count.
pub(crate) fn one(key: &str, calls: &str) -> Result<(), Failure> {
    let calls: u64 = calls.parse()?;
    let (runtime, health) = manager()?;
    let router: Router = match key {
        READYZ => mainstay_health_axum::router(&health),
        SAME_ANSWER => {
            let headers =
                [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
            Router::new().route("/readyz", get(move || async move { (headers, "ok") }))
        }
        PLAIN => Router::new().route("/readyz", get(|| async { "ok" })),
        _ => return Err(format!("there is no subject {key:?}").into()),
    };
    // The checks' own runs are not the reader's.
    health.report();
    drop(runtime.enter());
    let mut router = router;
    for _ in 0..calls {
        request(&mut router)?;
    }
    drop(router);
    Ok(())
}

fn request(router: &mut Router) -> Result<(), Failure> {
    let mut context = Context::from_waker(Waker::noop());
    let request = Request::get("/readyz")
        .header(header::HOST, "10.0.0.1:8080")
        .header(header::USER_AGENT, "kube-probe/1.34");
    let mut response = std::pin::pin!(router.call(request.body(Body::empty())?));
    let Poll::Ready(Ok(response)) = response.as_mut().poll(&mut context) else {
        return Err("the answer is not there at once".into());
    };
    if response.status() != StatusCode::OK {
        return Err(format!("answered {}", response.status()).into());
    }
    let mut body = std::pin::pin!(response.into_body());
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut context) {
        black_box(frame?);
    }
    Ok(())
}

pub(crate) fn measure(page: &mut String) -> Result<Vec<Budget>, Failure> {
    let keys = [READYZ, SAME_ANSWER, PLAIN].map(str::to_owned);
    let executed = instructions::measure(&keys)?;
    *page += "\n| request through axum's router | instructions |\n| --- | ---: |\n";
    let mut counts = Vec::new();
    for key in &keys {
        let count = executed.get(key).map_or(f64::NAN, |executed| executed.instructions);
        let _ = writeln!(page, "| {key} | {count:.0} |");
        counts.push(count);
    }
    let [readyz, same, plain] = counts.as_slice() else { return Err("subjects are missing".into()) };
    let ratio = readyz / same;
    Ok(vec![Budget::new(
        "`/readyz` ≤ 1.10 × the instructions of a constant handler",
        format!("{:.2} × one that answers `ok` alone, {ratio:.2} × one with the same answer", readyz / plain),
        ratio <= 1.10 && readyz / plain <= 1.10,
    )])
}
