//! When another service answers, and how its answers can be told.
#![allow(clippy::unwrap_used)]

use http::{Request, Response};
use mainstay_degrade::{
    Behavior, BehaviorRules, DegradationManager, Degraded, FallbackLayer, InExtensions, Level, Mark, Marks,
};
use mainstay_testkit::{ProbeHandle, ServiceProbe};
use std::time::Duration;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

type Answer = Response<&'static str>;
type Probe = ServiceProbe<Request<()>, Answer, &'static str>;
type Handle = ProbeHandle<Request<()>, Answer, &'static str>;

/// A service that answers so, always.
fn answering(answer: Result<&'static str, &'static str>) -> (Probe, Handle) {
    let (probe, handle) = ServiceProbe::new();
    handle.answer_with(move |_| answer.map(Response::new));
    (probe, handle)
}

fn marks(response: &Answer) -> Option<Degraded> {
    response.extensions().get().copied()
}

#[tokio::test]
async fn a_good_answer_is_neither_changed_nor_marked() {
    let ((main, asked), (simple, unasked)) = (answering(Ok("full")), answering(Ok("simple")));
    let mut service = FallbackLayer::new(simple, InExtensions).layer(main);
    let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert_eq!((*response.body(), marks(&response)), ("full", None));
    assert_eq!((asked.calls(), unasked.calls()), (1, 0));
}

#[tokio::test]
async fn what_failed_is_answered_by_the_fallback_and_says_so() {
    let ((main, asked), (simple, fallback)) = (answering(Err("down")), answering(Ok("simple")));
    let mut service = FallbackLayer::new(simple, InExtensions).layer(main);
    for _ in 0..3 {
        let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
        assert_eq!((*response.body(), marks(&response)), ("simple", Some(Degraded::Fallback)));
    }
    assert_eq!((asked.calls(), fallback.calls()), (3, 3));
    assert_eq!((asked.unready_calls(), fallback.unready_calls()), (0, 0));
}

#[tokio::test]
async fn if_both_fail_the_caller_learns_why_the_first_did() {
    let ((main, _a), (simple, _b)) = (answering(Err("down")), answering(Err("down too")));
    let service = FallbackLayer::new(simple, InExtensions).layer(main);
    assert_eq!(service.oneshot(Request::new(())).await.unwrap_err(), "down");
}

#[tokio::test]
async fn a_service_that_cannot_become_ready_has_failed() {
    let ((main, asked), (simple, fallback)) = (answering(Ok("full")), answering(Ok("simple")));
    let mut service = FallbackLayer::new(simple, InExtensions).layer(main);
    asked.fail_ready("gone");
    let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert_eq!(marks(&response), Some(Degraded::Fallback));
    let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert_eq!(marks(&response), None);
    fallback.fail_ready("gone too");
    asked.answer_with(|_| Err("down"));
    assert_eq!(service.ready().await.unwrap().call(Request::new(())).await.unwrap_err(), "down");
    assert_eq!((asked.unready_calls(), fallback.unready_calls()), (0, 0));
}

#[tokio::test]
async fn it_waits_until_the_fallback_is_ready() {
    let ((main, _asked), (simple, fallback)) = (answering(Err("down")), answering(Ok("simple")));
    fallback.not_ready();
    let answer = tokio::spawn(FallbackLayer::new(simple, InExtensions).layer(main).oneshot(Request::new(())));
    tokio::task::yield_now().await;
    assert!(!answer.is_finished());
    fallback.ready();
    assert_eq!(*answer.await.unwrap().unwrap().body(), "simple");
}

#[tokio::test]
async fn which_results_are_failures_is_the_users_word() {
    let ((main, _asked), (simple, fallback)) = (answering(Ok("busy")), answering(Ok("simple")));
    let layer = FallbackLayer::new(simple, InExtensions)
        .when(|result: &Result<Answer, _>| result.as_ref().is_ok_and(|response| *response.body() == "busy"));
    let mut service = layer.layer(main);
    let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert_eq!(*response.body(), "simple");
    fallback.answer_with(|_| Err("down"));
    let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert_eq!((*response.body(), marks(&response)), ("busy", None));
}

#[tokio::test]
async fn while_the_behavior_says_so_the_service_is_not_asked() {
    let rules = BehaviorRules::new().at("search", Level::Moderate, Behavior::Degrade).unwrap();
    let degrade = DegradationManager::builder().behaviors(rules).build().unwrap();
    let ((main, asked), (simple, fallback)) = (answering(Ok("full")), answering(Ok("simple")));
    let behavior = degrade.clone();
    let layer = FallbackLayer::new(simple, InExtensions)
        .instead_when(move |_: &Request<()>| behavior.behavior("search").behavior >= Behavior::Degrade);
    let mut service = layer.layer(main);
    let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert_eq!(marks(&response), None);
    degrade.pin(Level::Severe, Duration::from_secs(60)).unwrap();
    let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert_eq!(marks(&response), Some(Degraded::Fallback));
    fallback.answer_with(|_| Err("down too"));
    assert_eq!(service.ready().await.unwrap().call(Request::new(())).await.unwrap_err(), "down too");
    assert_eq!(asked.calls(), 1);
}

#[tokio::test]
async fn what_goes_to_the_fallback_at_once_neither_waits_for_a_busy_service_nor_holds_its_permit() {
    let (main, asked): (Probe, Handle) = ServiceProbe::new();
    let (simple, _fallback) = answering(Ok("simple"));
    let limited = ConcurrencyLimit::new(main, 1);
    let layer = FallbackLayer::new(simple, InExtensions)
        .instead_when(|request: &Request<()>| request.uri().path() == "/instead");
    let service = layer.layer(limited);
    let instead = || Request::get("/instead").body(()).unwrap();
    let mut held = service.clone();
    let response = held.ready().await.unwrap().call(instead()).await.unwrap();
    assert_eq!(marks(&response), Some(Degraded::Fallback));

    let busy = tokio::spawn(service.clone().oneshot(Request::new(())));
    let (_, reply) = asked.next_request().await;
    let response = service.clone().oneshot(instead()).await.unwrap();
    assert_eq!(marks(&response), Some(Degraded::Fallback));
    let waits = tokio::spawn(service.oneshot(Request::new(())));
    reply.send(Ok(Response::new("full")));
    assert_eq!(*busy.await.unwrap().unwrap().body(), "full");
    let (_, reply) = asked.next_request().await;
    reply.send(Ok(Response::new("full too")));
    assert_eq!(*waits.await.unwrap().unwrap().body(), "full too");
    assert_eq!(asked.unready_calls(), 0);
    drop(held);
}

#[tokio::test]
async fn what_a_fallback_says_of_its_own_answer_is_not_lost() {
    let ((main, _asked), (simple, fallback)) = (answering(Err("down")), answering(Ok("simple")));
    fallback.answer_with(|_| {
        Ok(InExtensions.mark(Response::new("a third"), Degraded::Partial { completeness: 0.3 }))
    });
    let service = FallbackLayer::new(simple, InExtensions).layer(main);
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(marks(&response), Some(Degraded::Fallback));
    let all: Vec<_> = Marks::of(&response).ways().collect();
    assert_eq!(all, [Degraded::Fallback, Degraded::Partial { completeness: 0.3 }]);
    assert_eq!(Marks::of(&Response::new("full")), Marks::default());
}
