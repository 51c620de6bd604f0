//! What was answered before, while the inner service hangs, is busy, or answers out of order.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::{Request, Response};
use mainstay_degrade::{
    Behavior, BehaviorRules, Clock, DecisionLayer, DegradationManager, Degraded, InExtensions, KeepHttp,
    Level, StaleLayer,
};
use mainstay_testkit::{ProbeHandle, ServiceProbe};
use tower::limit::ConcurrencyLimit;
use tower::timeout::Timeout;
use tower::{BoxError, Layer, Service, ServiceExt};

type Answer = Response<&'static str>;
type Probe = ServiceProbe<Request<()>, Answer, BoxError>;
type Handle = ProbeHandle<Request<()>, Answer, BoxError>;
type HttpStale = StaleLayer<fn(&Request<()>) -> Option<String>, String, Answer, KeepHttp>;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn manager() -> DegradationManager {
    let rules = BehaviorRules::new().at("search", Level::Moderate, Behavior::UseCache).unwrap();
    DegradationManager::builder().clock(Clock::tokio()).behaviors(rules).build().unwrap()
}

fn layer(degrade: &DegradationManager) -> HttpStale {
    let by_path: fn(&Request<()>) -> Option<String> = |request| Some(request.uri().path().to_owned());
    StaleLayer::new(degrade, KeepHttp::new(), by_path).operation("search").refresh_every(secs(5))
}

/// A service that has answered once.
async fn asked_once(layer: &HttpStale) -> (Probe, Handle) {
    let (probe, handle) = ServiceProbe::new();
    handle.answer_with(|_| Ok(Response::new("first")));
    layer.layer(probe.clone()).oneshot(get()).await.unwrap();
    (probe, handle)
}

fn get() -> Request<()> {
    Request::get("/a").body(()).unwrap()
}

fn is_stale(response: &Answer) -> bool {
    matches!(response.extensions().get(), Some(Degraded::Stale { .. }))
}

#[tokio::test(start_paused = true)]
async fn behind_an_outer_time_out_an_origin_that_hangs_is_stood_in_for() {
    let layer = layer(&manager());
    let (probe, handle) = asked_once(&layer).await;
    handle.answer_by_hand();
    let service = Timeout::new(layer.layer(probe), secs(1));
    assert!(service.clone().oneshot(get()).await.is_err(), "it was not known to hang");
    for _ in 0..100 {
        assert!(is_stale(&service.clone().oneshot(get()).await.unwrap()));
    }
    assert_eq!(handle.calls(), 2);

    tokio::time::sleep(secs(5)).await;
    let refresh = tokio::spawn(service.clone().oneshot(get()));
    tokio::task::yield_now().await;
    for _ in 0..100 {
        assert!(is_stale(&service.clone().oneshot(get()).await.unwrap()), "one at a time");
    }
    assert!(refresh.await.unwrap().is_err());
    assert!(is_stale(&service.clone().oneshot(get()).await.unwrap()));
    assert_eq!(handle.calls(), 3);

    handle.answer_with(|_| Ok(Response::new("again")));
    tokio::time::sleep(secs(5)).await;
    for _ in 0..3 {
        assert_eq!(*service.clone().oneshot(get()).await.unwrap().body(), "again");
    }
    assert_eq!(handle.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_of_before_that_nobody_waits_for_says_nothing() {
    let layer = layer(&manager());
    let (probe, handle): (Probe, Handle) = ServiceProbe::new();
    let service = Timeout::new(layer.layer(probe), secs(1));
    assert!(service.clone().oneshot(get()).await.is_err());
    handle.answer_with(|_| Ok(Response::new("first")));
    for _ in 0..3 {
        assert!(!is_stale(&service.clone().oneshot(get()).await.unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_was_asked_for_earlier_than_the_last_success_is_none() {
    let layer = layer(&manager());
    let (probe, handle) = asked_once(&layer).await;
    handle.answer_by_hand();
    let service = layer.layer(probe);
    let slow = tokio::spawn(service.clone().oneshot(get()));
    let (_, slow_reply) = handle.next_request().await;
    tokio::time::sleep(secs(1)).await;
    handle.answer_with(|_| Ok(Response::new("later")));
    assert_eq!(*service.clone().oneshot(get()).await.unwrap().body(), "later");
    slow_reply.send(Err("late".into()));
    let stale = slow.await.unwrap().unwrap();
    assert!(is_stale(&stale), "it has an answer all the same");
    assert!(!is_stale(&service.oneshot(get()).await.unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_success_that_was_asked_for_earlier_than_the_last_failure_is_no_recovery() {
    let layer = layer(&manager());
    let (probe, handle) = asked_once(&layer).await;
    handle.answer_by_hand();
    let service = layer.layer(probe);
    tokio::time::sleep(secs(1)).await;
    let slow = tokio::spawn(service.clone().oneshot(get()));
    let (_, slow_reply) = handle.next_request().await;
    tokio::time::sleep(secs(1)).await;
    handle.answer_with(|_| Err("down".into()));
    assert!(is_stale(&service.clone().oneshot(get()).await.unwrap()));
    slow_reply.send(Ok(Response::new("second")));
    assert_eq!(*slow.await.unwrap().unwrap().body(), "second");
    let response = service.oneshot(get()).await.unwrap();
    assert_eq!((*response.body(), is_stale(&response)), ("second", true));
    assert_eq!(handle.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_from_before_neither_waits_for_a_busy_service_nor_holds_its_permit() {
    let degrade = manager();
    let layer = layer(&degrade);
    let (probe, handle) = asked_once(&layer).await;
    handle.answer_with(|_| Err("down".into()));
    let service = layer.layer(ConcurrencyLimit::new(probe, 1));
    let mut held = service.clone();
    for _ in 0..3 {
        assert!(is_stale(&held.ready().await.unwrap().call(get()).await.unwrap()));
    }
    handle.answer_by_hand();
    let busy = tokio::spawn(service.clone().oneshot(Request::get("/b").body(()).unwrap()));
    let (_, reply) = handle.next_request().await;
    assert!(is_stale(&service.oneshot(get()).await.unwrap()));
    reply.send(Ok(Response::new("other")));
    assert_eq!(*busy.await.unwrap().unwrap().body(), "other");
    assert_eq!(handle.unready_calls(), 0);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_from_before_by_its_own_assessment() {
    let degrade = manager();
    let layer = layer(&degrade);
    let (probe, handle) = asked_once(&layer).await;
    let stale = layer.clone().assessed_by(InExtensions).layer(probe);
    let well = degrade.assessment();
    degrade.pin(Level::Severe, secs(3_600)).unwrap();
    tokio::time::sleep(secs(1)).await;
    let mut request = get();
    request.extensions_mut().insert(well);
    for _ in 0..3 {
        assert!(!is_stale(&stale.clone().oneshot(request.clone()).await.unwrap()));
    }
    let decided = DecisionLayer::new(&degrade).layer(stale);
    decided.clone().oneshot(get()).await.unwrap();
    assert!(is_stale(&decided.oneshot(get()).await.unwrap()));
    assert_eq!(handle.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_back_stays_so_when_an_answer_comes_that_was_asked_for_earlier() {
    let taken_back: [fn() -> Answer; 3] = [
        || Response::builder().status(410).body("gone").unwrap(),
        || Response::builder().status(403).body("forbidden").unwrap(),
        || Response::builder().header("cache-control", "private").body("yours alone").unwrap(),
    ];
    for (answer, is_kept_before) in
        taken_back.into_iter().flat_map(|answer| [(answer, false), (answer, true)])
    {
        let layer = layer(&manager());
        let (probe, handle): (Probe, Handle) = ServiceProbe::new();
        let service = layer.layer(probe);
        if is_kept_before {
            handle.answer_with(|_| Ok(Response::new("first")));
            service.clone().oneshot(get()).await.unwrap();
            handle.answer_by_hand();
        }
        let slow = tokio::spawn(service.clone().oneshot(get()));
        let (_, slow_reply) = handle.next_request().await;
        tokio::time::sleep(secs(1)).await;
        handle.answer_with(move |_| Ok(answer()));
        service.clone().oneshot(get()).await.unwrap();
        slow_reply.send(Ok(Response::new("slow")));
        assert_eq!(*slow.await.unwrap().unwrap().body(), "slow");
        handle.answer_with(|_| Err("down".into()));
        assert!(service.clone().oneshot(get()).await.is_err(), "it was taken back");
        assert_eq!(layer.entries(), 0);

        tokio::time::sleep(secs(1)).await;
        handle.answer_with(|_| Ok(Response::new("again")));
        assert!(!is_stale(&service.clone().oneshot(get()).await.unwrap()));
        handle.answer_with(|_| Err("down".into()));
        let response = service.oneshot(get()).await.unwrap();
        assert_eq!((*response.body(), is_stale(&response)), ("again", true));
    }
}

#[tokio::test(start_paused = true)]
async fn what_takes_back_takes_nothing_back_that_was_asked_for_later() {
    let layer = layer(&manager());
    let (probe, handle) = asked_once(&layer).await;
    handle.answer_by_hand();
    let service = layer.layer(probe);
    let slow = tokio::spawn(service.clone().oneshot(get()));
    let (_, slow_reply) = handle.next_request().await;
    tokio::time::sleep(secs(1)).await;
    handle.answer_with(|_| Ok(Response::new("later")));
    service.clone().oneshot(get()).await.unwrap();
    slow_reply.send(Ok(Response::builder().status(404).body("not yet").unwrap()));
    assert_eq!(slow.await.unwrap().unwrap().status(), 404);
    handle.answer_with(|_| Err("down".into()));
    let response = service.oneshot(get()).await.unwrap();
    assert_eq!((*response.body(), is_stale(&response)), ("later", true));
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_while_somebody_asks_again_is_not_asked_for_by_another_at_the_same_time() {
    let layer = layer(&manager());
    let (probe, handle) = asked_once(&layer).await;
    handle.answer_by_hand();
    let service = layer.layer(probe);
    let slow = tokio::spawn(service.clone().oneshot(get()));
    let (_, slow_reply) = handle.next_request().await;
    tokio::time::sleep(secs(1)).await;
    handle.answer_with(|_| Err("down".into()));
    assert!(is_stale(&service.clone().oneshot(get()).await.unwrap()));
    tokio::time::sleep(secs(5)).await;
    handle.answer_by_hand();
    let refresh = tokio::spawn(service.clone().oneshot(get()));
    let (_, _refresh_reply) = handle.next_request().await;
    slow_reply.send(Ok(Response::builder().status(404).body("gone").unwrap()));
    slow.await.unwrap().unwrap();

    tokio::time::sleep(secs(1)).await;
    handle.answer_with(|_| Ok(Response::new("new")));
    assert!(!is_stale(&service.clone().oneshot(get()).await.unwrap()));
    handle.answer_with(|_| Err("down".into()));
    let calls = handle.calls();
    for seconds in 0..20 {
        assert!(is_stale(&service.clone().oneshot(get()).await.unwrap()));
        assert_eq!(handle.calls(), calls + 1, "after {seconds} s");
        tokio::time::sleep(secs(1)).await;
    }
    refresh.abort();
}
