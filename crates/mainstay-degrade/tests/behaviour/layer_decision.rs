//! What a service and its callers are told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use mainstay_breaker::Breaker;
use mainstay_degrade::InExtensions;
use mainstay_degrade::{Assessment, DecisionLayer, DegradationManager, Degraded, Level, Mark, headers};
use mainstay_testkit::{ProbeHandle, ServiceProbe};
use tower::{Layer, ServiceExt};

type Probe = ServiceProbe<Request<()>, Response<()>, Infallible>;
type Handle = ProbeHandle<Request<()>, Response<()>, Infallible>;

fn probe() -> (Probe, Handle) {
    let (probe, handle) = ServiceProbe::new();
    handle.answer_with(|_| Ok(Response::new(())));
    (probe, handle)
}

fn degraded(names: &[&str]) -> DegradationManager {
    let breakers: Vec<_> = names.iter().map(|name| Breaker::new(*name).unwrap()).collect();
    breakers.iter().for_each(Breaker::trip);
    let degrade = breakers
        .iter()
        .fold(DegradationManager::builder(), |builder, breaker| builder.watch(breaker))
        .build()
        .unwrap();
    degrade.refresh();
    degrade
}

fn said(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut said: Vec<_> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    said.sort();
    said
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn while_all_is_well_nothing_is_said() {
    let (probe, _handle) = probe();
    let service = DecisionLayer::new(&degraded(&[])).layer(probe);
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(said(response.headers()), []);
}

#[tokio::test]
async fn the_service_has_the_assessment_and_the_caller_the_level_and_why_without_names() {
    let degrade = degraded(&["secret-ledger", "redis"]);
    let (probe, handle) = probe();
    let at = degrade.assessment();
    handle.answer_with(move |request: Request<()>| {
        assert!(Arc::ptr_eq(request.extensions().get::<Arc<Assessment>>().unwrap(), &at));
        Ok(Response::new(()))
    });
    let response = DecisionLayer::new(&degrade).layer(probe.clone()).oneshot(Request::new(())).await.unwrap();
    assert_eq!(
        said(response.headers()),
        pairs(&[("degraded", "moderate"), ("degraded-reason", "breakers_open")])
    );

    let layer = DecisionLayer::new(&degrade).with_names();
    let response = layer.layer(probe).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.headers()[headers::DEGRADED_REASON], "breakers_open redis secret-ledger");
    assert_eq!(handle.unready_calls(), 0);
}

#[tokio::test]
async fn the_level_is_that_at_which_the_request_came() {
    let degrade = degraded(&[]);
    let (probe, handle) = ServiceProbe::<Request<()>, Response<()>, Infallible>::new();
    let answer = tokio::spawn(DecisionLayer::new(&degrade).layer(probe).oneshot(Request::new(())));
    let (_, reply) = handle.next_request().await;
    degrade.pin(Level::Severe, Duration::from_secs(60)).unwrap();
    reply.send(Ok(Response::new(())));
    assert_eq!(said(answer.await.unwrap().unwrap().headers()), []);
}

#[tokio::test]
async fn a_degraded_answer_says_in_what_way_even_while_all_is_well() {
    for (mark, expected) in [
        (Degraded::Fallback, pairs(&[("degraded-answer", "fallback")])),
        (
            Degraded::Stale { age: Duration::from_millis(1_500) },
            pairs(&[("degraded-age", "2"), ("degraded-answer", "stale")]),
        ),
        (
            Degraded::Stale { age: Duration::MAX },
            pairs(&[("degraded-age", "18446744073709551615"), ("degraded-answer", "stale")]),
        ),
        (
            Degraded::Partial { completeness: 0.999 },
            pairs(&[("degraded-answer", "partial"), ("degraded-completeness", "0.99")]),
        ),
        (
            Degraded::Partial { completeness: 0.29 },
            pairs(&[("degraded-answer", "partial"), ("degraded-completeness", "0.29")]),
        ),
        (Degraded::Partial { completeness: f64::NAN }, pairs(&[("degraded-answer", "partial")])),
    ] {
        let (probe, handle) = probe();
        handle.answer_with(move |_| Ok(InExtensions.mark(Response::new(()), mark)));
        let service = DecisionLayer::new(&degraded(&[])).layer(probe);
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(said(response.headers()), expected);
    }
}

#[tokio::test]
async fn an_answer_that_is_degraded_in_several_ways_says_each_and_of_several_figures_the_worst() {
    let stale = |secs| Degraded::Stale { age: Duration::from_secs(secs) };
    let partial = |completeness| Degraded::Partial { completeness };
    for (marks, expected) in [
        (
            vec![partial(0.3), Degraded::Fallback],
            pairs(&[("degraded-answer", "fallback, partial"), ("degraded-completeness", "0.30")]),
        ),
        (
            vec![stale(100), Degraded::Fallback, stale(5)],
            pairs(&[("degraded-age", "100"), ("degraded-answer", "fallback, stale")]),
        ),
        (
            vec![partial(0.5), partial(0.9), stale(1), Degraded::Fallback, Degraded::Fallback],
            pairs(&[
                ("degraded-age", "1"),
                ("degraded-answer", "fallback, stale, partial"),
                ("degraded-completeness", "0.50"),
            ]),
        ),
    ] {
        let (probe, handle) = probe();
        handle.answer_with(move |_| {
            // The first by hand, as a handler may.
            let (first, others) = marks.split_first().unwrap();
            let mut response = Response::new(());
            response.extensions_mut().insert(*first);
            Ok(others.iter().fold(response, |response, how| InExtensions.mark(response, *how)))
        });
        let service = DecisionLayer::new(&degraded(&[])).layer(probe);
        let response = service.oneshot(Request::new(())).await.unwrap();
        assert_eq!(said(response.headers()), expected);
    }
}

#[tokio::test]
async fn over_grpc_it_is_metadata_also_of_a_call_that_failed() {
    // What tonic makes of an answer, whose status comes after the body, and of an error, which has neither body nor trailers.
    let answer = || Response::builder().header("content-type", "application/grpc");
    for (response, status) in [
        (answer().body(()).unwrap(), None),
        (
            answer().header("grpc-status", "14").header("grpc-message", "try%20again").body(()).unwrap(),
            Some("14"),
        ),
    ] {
        let (probe, handle) = probe();
        handle.answer_with(move |_| {
            Ok(InExtensions.mark(response.clone(), Degraded::Partial { completeness: 0.5 }))
        });
        let service = DecisionLayer::new(&degraded(&["redis"])).with_names().layer(probe);
        let request = Request::post("/agent.Agent/Ask").header("te", "trailers").body(()).unwrap();
        let response = service.oneshot(request).await.unwrap();
        let headers = response.headers();
        assert_eq!(response.status(), 200);
        assert_eq!(headers.get("grpc-status").map(|value| value.to_str().unwrap()), status);
        assert_eq!(headers[headers::DEGRADED], "minor");
        assert_eq!(headers[headers::DEGRADED_REASON], "breakers_open redis");
        assert_eq!(headers[headers::DEGRADED_ANSWER], "partial");
        assert_eq!(headers[headers::DEGRADED_COMPLETENESS], "0.50");
    }
}

#[tokio::test]
async fn what_an_upstream_said_stays() {
    let (probe, handle) = probe();
    handle.answer_with(|_| Ok(Response::builder().header("degraded", "severe").body(()).unwrap()));
    let service = DecisionLayer::new(&degraded(&["redis"])).layer(probe);
    let response = service.oneshot(Request::new(())).await.unwrap();
    let levels: Vec<_> = response.headers().get_all("degraded").iter().collect();
    assert_eq!(levels, ["severe", "minor"]);
}

#[tokio::test]
async fn the_names_of_a_hundred_breakers_make_no_header_that_a_proxy_refuses() {
    let names: Vec<String> =
        (0..100).map(|index| format!("breaker-{index:02}-{}", "x".repeat(100))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let degrade = degraded(&names);
    let (probe, handle) = probe();
    handle.answer_with(|_| Ok(Response::new(())));
    let response =
        DecisionLayer::new(&degrade).with_names().layer(probe).oneshot(Request::new(())).await.unwrap();
    let reason = response.headers()[headers::DEGRADED_REASON].to_str().unwrap();
    assert!(reason.starts_with("breakers_open breaker-00-") && reason.ends_with(" +96"), "{reason}");
    assert!(reason.len() < 1_000);
}

#[tokio::test]
async fn of_layers_around_each_other_the_outermost_decides_and_tells() {
    let (outer, inner) = (degraded(&["redis", "ledger"]), degraded(&["llm"]));
    let (probe, handle) = probe();
    let at = outer.assessment();
    handle.answer_with(move |request: Request<()>| {
        assert!(Arc::ptr_eq(request.extensions().get::<Arc<Assessment>>().unwrap(), &at));
        Ok(InExtensions.mark(Response::new(()), Degraded::Fallback))
    });
    let service = DecisionLayer::new(&outer).layer(DecisionLayer::new(&inner).with_names().layer(probe));
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(
        said(response.headers()),
        pairs(&[
            ("degraded", "moderate"),
            ("degraded-answer", "fallback"),
            ("degraded-reason", "breakers_open")
        ])
    );
}

#[tokio::test]
async fn an_assessment_that_a_request_came_with_is_kept_and_told() {
    let (probe, _handle) = probe();
    let service = DecisionLayer::new(&degraded(&[])).layer(probe);
    let mut request = Request::new(());
    request.extensions_mut().insert(degraded(&["redis"]).assessment());
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.headers()[headers::DEGRADED], "minor");
}
