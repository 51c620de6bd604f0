//! What has a place among the answers of before, and what its going leaves behind.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http::{Request, Response};
use mainstay_degrade::{
    Behavior, BehaviorRules, Clock, DegradationManager, Degraded, FallbackLayer, KeepHttp, KeepOk, Level,
    StaleLayer,
};
use mainstay_testkit::{ProbeHandle, ServiceProbe};
use tower::{Layer, ServiceBuilder, ServiceExt};

type Answer = Response<String>;
type Probe = ServiceProbe<Request<()>, Answer, &'static str>;
type Handle = ProbeHandle<Request<()>, Answer, &'static str>;
type HttpStale = StaleLayer<fn(&Request<()>) -> Option<String>, String, Answer, KeepHttp>;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn manager() -> DegradationManager {
    let rules = BehaviorRules::new().at("search", Level::Moderate, Behavior::UseCache).unwrap();
    DegradationManager::builder().clock(Clock::tokio()).behaviors(rules).build().unwrap()
}

/// With room for ten.
fn layer() -> HttpStale {
    let by_path: fn(&Request<()>) -> Option<String> = |request| Some(request.uri().path().to_owned());
    StaleLayer::new(&manager(), KeepHttp::new(), by_path).max_entries(10)
}

fn get(path: &str) -> Request<()> {
    Request::get(path).body(()).unwrap()
}

fn is_stale(response: &Answer) -> bool {
    matches!(response.extensions().get(), Some(Degraded::Stale { .. }))
}

fn answers(handle: &Handle, status: u16, body: &'static str) {
    handle.answer_with(move |_| Ok(Response::builder().status(status).body(body.to_owned()).unwrap()));
}

/// Asks for a thousand others, each twice.
async fn crowd_out(layer: &HttpStale, probe: &Probe, handle: &Handle) {
    answers(handle, 200, "another");
    for index in 0..2_000 {
        layer.layer(probe.clone()).oneshot(get(&format!("/other/{}", index / 2))).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_back_stays_so_when_its_key_had_to_go() {
    let layer = layer();
    let (probe, handle): (Probe, Handle) = ServiceProbe::new();
    let service = layer.layer(probe.clone());
    let slow = tokio::spawn(service.clone().oneshot(get("/a")));
    let (_, slow_reply) = handle.next_request().await;
    tokio::time::sleep(secs(1)).await;
    answers(&handle, 410, "gone");
    service.clone().oneshot(get("/a")).await.unwrap();
    tokio::time::sleep(secs(1)).await;
    crowd_out(&layer, &probe, &handle).await;
    slow_reply.send(Ok(Response::new("slow".to_owned())));
    assert_eq!(slow.await.unwrap().unwrap().body(), "slow");
    handle.answer_with(|_| Err("down"));
    assert!(service.clone().oneshot(get("/a")).await.is_err(), "it was taken back");

    answers(&handle, 200, "again");
    service.clone().oneshot(get("/a")).await.unwrap();
    handle.answer_with(|_| Err("down"));
    assert_eq!(service.oneshot(get("/a")).await.unwrap().body(), "again");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_asks_for_again_stays_until_that_is_done() {
    let layer = layer();
    let (probe, handle): (Probe, Handle) = ServiceProbe::new();
    let service = layer.layer(probe.clone());
    answers(&handle, 200, "first");
    service.clone().oneshot(get("/a")).await.unwrap();
    handle.answer_with(|_| Err("down"));
    assert!(is_stale(&service.clone().oneshot(get("/a")).await.unwrap()));
    tokio::time::sleep(secs(5)).await;
    handle.answer_by_hand();
    let refresh = tokio::spawn(service.clone().oneshot(get("/a")));
    let (_, reply) = handle.next_request().await;
    tokio::time::sleep(secs(5)).await;
    crowd_out(&layer, &probe, &handle).await;
    assert!(is_stale(&service.clone().oneshot(get("/a")).await.unwrap()), "one at a time");
    assert!(layer.entries() <= 11);

    refresh.abort();
    reply.dropped().await;
    crowd_out(&layer, &probe, &handle).await;
    assert!(layer.entries() <= 10);
    assert!(!is_stale(&service.oneshot(get("/a")).await.unwrap()), "it had to go");
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_back_takes_no_more_room_than_is_allowed_and_none_of_what_is_asked_for_often() {
    let layer = layer();
    let (probe, handle): (Probe, Handle) = ServiceProbe::new();
    let service = layer.layer(probe.clone());
    for index in 0..1_000 {
        answers(&handle, 200, "asked for often");
        service.clone().oneshot(get("/a")).await.unwrap();
        answers(&handle, 404, "no such thing");
        service.clone().oneshot(get(&format!("/scan/{index}"))).await.unwrap();
    }
    handle.answer_with(|_| Err("down"));
    assert!(is_stale(&service.oneshot(get("/a")).await.unwrap()));
    assert_eq!(layer.entries(), 1);
}

#[derive(Clone, Debug, PartialEq)]
struct Reply {
    text: &'static str,
    degraded: Option<Degraded>,
}

#[tokio::test(start_paused = true)]
async fn a_degraded_answer_from_inside_does_not_take_the_place_of_the_last_full_one() {
    let degrade = manager();
    let (origin, asked) = ServiceProbe::<&'static str, Reply, &'static str>::new();
    let (simple, instead) = ServiceProbe::<&'static str, Reply, &'static str>::new();
    asked.answer_with(|_| Ok(Reply { text: "full", degraded: None }));
    instead.answer_with(|_| Ok(Reply { text: "simple", degraded: None }));
    let mark = |reply: Reply, how| Reply { degraded: Some(how), ..reply };
    let keeping = KeepOk(mark).degraded_when(|reply: &Reply| reply.degraded.is_some());
    let service = ServiceBuilder::new()
        .layer(StaleLayer::new(&degrade, keeping, |key: &&'static str| Some(*key)).operation("search"))
        .layer(FallbackLayer::new(simple, mark))
        .service(origin);
    let ask = async || service.clone().oneshot("books").await.unwrap();
    assert_eq!(ask().await, Reply { text: "full", degraded: None });
    asked.answer_with(|_| Err("down"));
    tokio::time::sleep(secs(1)).await;
    assert_eq!(ask().await, Reply { text: "simple", degraded: Some(Degraded::Fallback) });
    degrade.pin(Level::Severe, secs(3_600)).unwrap();
    assert_eq!(ask().await.text, "simple", "the one that asks again");
    let stale = Reply { text: "full", degraded: Some(Degraded::Stale { age: secs(1) }) };
    assert_eq!(ask().await, stale);
}
