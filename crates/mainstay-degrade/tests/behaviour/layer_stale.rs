//! What was answered before: to whom, for how long, and how it can be told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use mainstay_degrade::{
    Behavior, BehaviorRules, Clock, DegradationManager, Degraded, InExtensions, KeepHttp, KeepOk, Level,
    StaleLayer,
};
use mainstay_testkit::{ProbeHandle, ServiceProbe};
use tower::{Layer, Service, ServiceExt};

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

/// By path: the key that forgets who asks.
fn by_path(request: &Request<()>) -> Option<String> {
    Some(request.uri().path().to_owned())
}

fn layer(degrade: &DegradationManager, keeping: KeepHttp) -> HttpStale {
    StaleLayer::new(degrade, keeping, by_path as fn(&Request<()>) -> Option<String>).operation("search")
}

/// Answers with what it says and how often it was asked; or not at all.
fn origin() -> (Probe, Handle) {
    let (probe, handle) = ServiceProbe::new();
    up(&handle);
    (probe, handle)
}

fn up(handle: &Handle) {
    let asked = AtomicU64::new(handle.calls());
    handle.answer_with(move |_| {
        Ok(Response::new(format!("answer {}", asked.fetch_add(1, Ordering::Relaxed) + 1)))
    });
}

fn get(path: &str) -> Request<()> {
    Request::get(path).body(()).unwrap()
}

fn age(response: &Answer) -> Option<Duration> {
    match response.extensions().get() {
        Some(Degraded::Stale { age }) => Some(*age),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn while_all_is_well_every_request_is_asked_and_nothing_is_stale() {
    let (probe, handle) = origin();
    let service = layer(&manager(), KeepHttp::new()).layer(probe);
    for asked in 1..=3 {
        let response = service.clone().oneshot(get("/a")).await.unwrap();
        assert_eq!((response.body(), age(&response)), (&format!("answer {asked}"), None));
    }
    assert_eq!((handle.calls(), handle.unready_calls()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_is_down_for_an_hour_is_stood_in_for_as_long_as_allowed_and_no_longer() {
    let (probe, handle) = origin();
    let service = layer(&manager(), KeepHttp::new()).max_staleness(secs(600)).layer(probe);
    service.clone().oneshot(get("/a")).await.unwrap();
    let begun = tokio::time::Instant::now();
    handle.answer_with(|_| Err("down"));
    let mut stale = 0;
    while begun.elapsed() <= secs(3_600) {
        match service.clone().oneshot(get("/a")).await {
            Ok(response) => {
                assert_eq!((response.body().as_str(), age(&response)), ("answer 1", Some(begun.elapsed())));
                assert!(begun.elapsed() <= secs(600));
                stale += 1;
            }
            Err(error) => {
                assert_eq!(error, "down");
                assert!(begun.elapsed() > secs(600), "{:?}", begun.elapsed());
            }
        }
        tokio::time::sleep(secs(1)).await;
    }
    assert!(stale >= 600, "{stale}");
    up(&handle);
    let response = service.clone().oneshot(get("/a")).await.unwrap();
    assert_eq!(age(&response), None);
    assert_eq!(handle.unready_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn while_it_is_down_one_request_at_a_time_asks_again_and_no_more_often_than_allowed() {
    let (probe, handle) = origin();
    let service = layer(&manager(), KeepHttp::new()).refresh_every(secs(5)).layer(probe);
    service.clone().oneshot(get("/a")).await.unwrap();
    handle.answer_with(|_| Err("down"));
    for _ in 0..100 {
        assert!(service.clone().oneshot(get("/a")).await.is_ok());
    }
    assert_eq!(handle.calls(), 2);

    tokio::time::sleep(secs(5)).await;
    handle.answer_by_hand();
    let refresh = tokio::spawn(service.clone().oneshot(get("/a")));
    let (_, reply) = handle.next_request().await;
    for _ in 0..20 {
        tokio::time::sleep(secs(1)).await;
        assert!(age(&service.clone().oneshot(get("/a")).await.unwrap()).is_some());
    }
    assert_eq!((handle.calls(), handle.in_flight()), (3, 1));
    reply.send(Ok(Response::new("new".to_owned())));
    assert_eq!(age(&refresh.await.unwrap().unwrap()), None);
    up(&handle);
    assert_eq!(age(&service.oneshot(get("/a")).await.unwrap()), None);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_nobody_waits_for_makes_room_for_the_next() {
    let (probe, handle) = origin();
    let service = layer(&manager(), KeepHttp::new()).refresh_every(secs(1)).layer(probe);
    service.clone().oneshot(get("/a")).await.unwrap();
    handle.answer_with(|_| Err("down"));
    service.clone().oneshot(get("/a")).await.unwrap();
    handle.answer_by_hand();
    for _ in 0..3 {
        tokio::time::sleep(secs(1)).await;
        let refresh = tokio::spawn(service.clone().oneshot(get("/a")));
        let (_, reply) = handle.next_request().await;
        refresh.abort();
        reply.dropped().await;
    }
    assert_eq!(handle.dropped(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_the_operation_uses_what_was_answered_before_it_is_given_at_once() {
    let degrade = manager();
    let (probe, handle) = origin();
    let service = layer(&degrade, KeepHttp::new()).layer(probe);
    service.clone().oneshot(get("/a")).await.unwrap();
    degrade.pin(Level::Severe, secs(3_600)).unwrap();
    tokio::time::sleep(secs(2)).await;
    let refreshed = service.clone().oneshot(get("/a")).await.unwrap();
    assert_eq!((refreshed.body().as_str(), age(&refreshed)), ("answer 2", None));
    tokio::time::sleep(secs(3)).await;
    let response = service.clone().oneshot(get("/a")).await.unwrap();
    assert_eq!((response.body().as_str(), age(&response)), ("answer 2", Some(secs(3))));
    let other = service.oneshot(get("/b")).await.unwrap();
    assert_eq!((other.body().as_str(), handle.calls()), ("answer 3", 3), "nothing was answered before");
}

#[tokio::test(start_paused = true)]
async fn of_two_users_with_one_path_neither_gets_the_others_answer() {
    for header in ["authorization", "cookie", "proxy-authorization"] {
        let (probe, handle) = origin();
        handle.answer_with(move |request: Request<()>| {
            let who = request.headers().get(header).map_or("nobody", |who| who.to_str().unwrap());
            Ok(Response::new(who.to_owned()))
        });
        let stale = layer(&manager(), KeepHttp::new());
        let service = stale.layer(probe);
        let ask = |who: &str| Request::get("/me").header(header, who).body(()).unwrap();
        for who in ["ann", "bob", "ann"] {
            assert_eq!(service.clone().oneshot(ask(who)).await.unwrap().body(), who);
        }
        assert_eq!(stale.entries(), 0);
        assert_eq!(service.clone().oneshot(get("/me")).await.unwrap().body(), "nobody");
        handle.answer_with(|_| Err("down"));
        assert!(service.clone().oneshot(ask("ann")).await.is_err(), "nor that of nobody");
        assert_eq!(service.oneshot(get("/me")).await.unwrap().body(), "nobody");
    }
}

#[tokio::test(start_paused = true)]
async fn where_credentials_are_allowed_the_key_keeps_users_apart() {
    let (probe, handle) = origin();
    handle.answer_with(|request: Request<()>| {
        Ok(Response::new(request.headers()["cookie"].to_str().unwrap().to_owned()))
    });
    let service = StaleLayer::new(&manager(), KeepHttp::new().allow_credentials(), |request: &Request<()>| {
        let who = request.headers().get("cookie")?.to_str().ok()?;
        Some((who.to_owned(), request.uri().path().to_owned()))
    })
    .layer(probe);
    let ask = |who: &str| Request::get("/me").header("cookie", who).body(()).unwrap();
    service.clone().oneshot(ask("ann")).await.unwrap();
    handle.answer_with(|_| Err("down"));
    assert_eq!(service.clone().oneshot(ask("ann")).await.unwrap().body(), "ann");
    assert!(service.oneshot(ask("bob")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_private_partial_degraded_or_no_success_is_not_kept() {
    let answer = || Response::builder();
    let body = || "mine".to_owned();
    for (name, response) in [
        ("private", answer().header("cache-control", "max-age=5, Private").body(body()).unwrap()),
        ("private field", answer().header("cache-control", "private=\"x-a\"").body(body()).unwrap()),
        ("no-store", answer().header("cache-control", "no-store").body(body()).unwrap()),
        ("must-revalidate", answer().header("cache-control", "must-revalidate").body(body()).unwrap()),
        ("cookie", answer().header("set-cookie", "id=7").body(body()).unwrap()),
        ("vary", answer().header("vary", "accept-language").body(body()).unwrap()),
        ("grpc", answer().header("content-type", "application/grpc+proto").body(body()).unwrap()),
        ("range", answer().status(206).body(body()).unwrap()),
        ("not found", answer().status(404).body(body()).unwrap()),
        ("degraded", answer().extension(Degraded::Fallback).body(body()).unwrap()),
    ] {
        let (probe, handle) = origin();
        handle.answer_with(move |_| Ok(response.clone()));
        let stale = layer(&manager(), KeepHttp::new());
        let mut service = stale.layer(probe);
        assert_eq!(service.ready().await.unwrap().call(get("/a")).await.unwrap().body(), "mine");
        assert_eq!(stale.entries(), 0, "{name}");
    }
    let (probe, _handle) = origin();
    let stale = layer(&manager(), KeepHttp::new());
    stale.layer(probe.clone()).oneshot(Request::post("/a").body(()).unwrap()).await.unwrap();
    assert_eq!(stale.entries(), 0);
    stale.layer(probe).oneshot(get("/a")).await.unwrap();
    assert_eq!(stale.entries(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_allowed_is_kept() {
    let (probe, handle) = origin();
    handle.answer_with(|_| {
        let answer = Response::builder().header("vary", "accept").header("cache-control", "private");
        Ok(answer.body("mine".to_owned()).unwrap())
    });
    let keeping = KeepHttp::new().allow_private().allow_vary().allow_any_method();
    let service = layer(&manager(), keeping).layer(probe);
    let post = || Request::post("/a").body(()).unwrap();
    service.clone().oneshot(post()).await.unwrap();
    handle.answer_with(|_| Ok(Response::builder().status(503).body(String::new()).unwrap()));
    let response = service.oneshot(post()).await.unwrap();
    assert_eq!((response.body().as_str(), response.headers()["vary"].to_str().unwrap()), ("mine", "accept"));
    assert!(age(&response).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_asked_for_earlier_does_not_replace_a_later_one() {
    let (probe, handle) = origin();
    handle.answer_by_hand();
    let service = layer(&manager(), KeepHttp::new()).layer(probe);
    let slow = tokio::spawn(service.clone().oneshot(get("/a")));
    let (_, slow_reply) = handle.next_request().await;
    tokio::time::sleep(secs(1)).await;
    let quick = tokio::spawn(service.clone().oneshot(get("/a")));
    let (_, quick_reply) = handle.next_request().await;
    quick_reply.send(Ok(Response::new("later".to_owned())));
    quick.await.unwrap().unwrap();
    slow_reply.send(Ok(Response::new("earlier".to_owned())));
    slow.await.unwrap().unwrap();
    handle.answer_with(|_| Err("down"));
    assert_eq!(service.oneshot(get("/a")).await.unwrap().body(), "later");
}

#[tokio::test(start_paused = true)]
async fn a_million_keys_take_no_more_room_than_is_allowed() {
    let (probe, handle) = ServiceProbe::<u64, Arc<u64>, &'static str>::new();
    handle.answer_with(|key| Ok(Arc::new(key)));
    let mark = |answer: Arc<u64>, _: Degraded| answer;
    let layer = StaleLayer::new(&manager(), KeepOk(mark), |key: &u64| Some(*key)).max_entries(1_000);
    let mut service = layer.layer(probe);
    for key in 0..1_000_000 {
        service.ready().await.unwrap().call(key).await.unwrap();
        if key % 50_000 == 0 {
            assert!(layer.entries() <= 1_000, "{}", layer.entries());
        }
    }
    assert!((900..=1_000).contains(&layer.entries()), "{}", layer.entries());
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_key_is_asked_as_if_there_were_no_layer() {
    let (probe, handle) = origin();
    let layer = StaleLayer::new(&manager(), KeepOk(InExtensions), |_: &Request<()>| None::<u8>);
    let service = layer.layer(probe);
    service.clone().oneshot(get("/a")).await.unwrap();
    handle.answer_with(|_| Err("down"));
    assert_eq!(service.oneshot(get("/a")).await.unwrap_err(), "down");
    assert_eq!(layer.entries(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_origin_took_back_is_not_served_any_more() {
    let taken_back: [fn() -> Answer; 3] = [
        || Response::builder().status(404).body("gone".to_owned()).unwrap(),
        || Response::builder().status(403).body("forbidden".to_owned()).unwrap(),
        || Response::builder().header("cache-control", "private").body("yours alone".to_owned()).unwrap(),
    ];
    for answer in taken_back {
        let (probe, handle) = origin();
        let service = layer(&manager(), KeepHttp::default()).layer(probe);
        assert_eq!(service.clone().oneshot(get("/a")).await.unwrap().status(), 200);
        handle.answer_with(move |_| Ok(answer()));
        service.clone().oneshot(get("/a")).await.unwrap();
        handle.answer_with(|_| Err("down"));
        assert!(
            service.clone().oneshot(get("/a")).await.is_err(),
            "the failure, and not what was taken back"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_says_something_of_the_moment_takes_nothing_back() {
    let (probe, handle) = origin();
    let service = layer(&manager(), KeepHttp::default()).layer(probe);
    assert_eq!(service.clone().oneshot(get("/a")).await.unwrap().status(), 200);
    handle.answer_with(|_| Ok(Response::builder().status(429).body("later".to_owned()).unwrap()));
    assert_eq!(service.clone().oneshot(get("/a")).await.unwrap().status(), 429);
    handle.answer_with(|_| Err("down"));
    assert!(age(&service.clone().oneshot(get("/a")).await.unwrap()).is_some());
}
