//! A probe of a service: what it records, and how it is told what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::future::poll_fn;
use std::time::Duration;

use mainstay_testkit::{ProbeHandle, ServiceProbe};
use tokio::time::timeout;
use tower_service::Service;

type Probe = ServiceProbe<&'static str, u32, &'static str>;

fn probe() -> (Probe, ProbeHandle<&'static str, u32, &'static str>) {
    ServiceProbe::new()
}

async fn ready(service: &mut Probe) -> Result<(), &'static str> {
    poll_fn(|context| service.poll_ready(context)).await
}

/// It is not ready, and nothing but the handle changes that.
async fn is_unready(service: &mut Probe) -> bool {
    timeout(Duration::from_millis(20), ready(service)).await.is_err()
}

#[tokio::test]
async fn requests_come_in_order_and_are_answered_in_any() {
    let (mut service, handle) = probe();
    ready(&mut service).await.unwrap();
    let first = service.call("first");
    ready(&mut service).await.unwrap();
    let second = service.call("second");
    assert_eq!((handle.calls(), handle.in_flight()), (2, 2));

    let (request, first_reply) = handle.next_request().await;
    assert_eq!(request, "first");
    let (request, second_reply) = handle.try_next_request().unwrap();
    assert_eq!(request, "second");
    assert!(handle.try_next_request().is_none());
    assert!(second_reply.send(Err("no")));
    assert_eq!(second.await, Err("no"));
    assert!(first_reply.send(Ok(1)));
    assert_eq!(first.await, Ok(1));
    assert_eq!((handle.in_flight(), handle.dropped(), handle.unready_calls()), (0, 0, 0));
}

#[tokio::test]
async fn who_waits_for_a_request_or_an_answer_is_woken() {
    let (mut service, handle) = probe();
    let replies = tokio::spawn({
        let handle = handle.clone();
        async move {
            let (request, reply) = handle.next_request().await;
            tokio::task::yield_now().await;
            reply.send(Ok(request.len() as u32))
        }
    });
    tokio::task::yield_now().await;
    ready(&mut service).await.unwrap();
    assert_eq!(service.call("four").await, Ok(4));
    assert!(replies.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn readiness_is_the_handles_to_give() {
    let (mut service, handle) = probe();
    handle.not_ready();
    assert!(is_unready(&mut service).await);

    let waiting = tokio::spawn({
        let mut service = service.clone();
        async move { ready(&mut service).await }
    });
    tokio::task::yield_now().await;
    handle.ready();
    waiting.await.unwrap().unwrap();
    ready(&mut service).await.unwrap();

    // What was given holds, for one call.
    handle.not_ready();
    ready(&mut service).await.unwrap();
    drop(service.call("allowed"));
    assert!(is_unready(&mut service).await);
    assert_eq!(handle.unready_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn readiness_for_so_many_calls_is_shared_by_clones() {
    let (mut service, handle) = probe();
    let mut clone = service.clone();
    handle.ready_for(2);
    ready(&mut service).await.unwrap();
    ready(&mut clone).await.unwrap();
    ready(&mut service).await.unwrap();
    drop((service.call("one"), clone.call("two")));
    assert!(is_unready(&mut service).await && is_unready(&mut clone).await);
}

#[tokio::test]
async fn a_failure_of_readiness_comes_once() {
    let (mut service, handle) = probe();
    ready(&mut service).await.unwrap();
    handle.fail_ready("broken");
    assert_eq!(ready(&mut service).await, Err("broken"));
    ready(&mut service).await.unwrap();
    assert_eq!(handle.polls(), 3);
}

#[tokio::test]
async fn a_call_without_readiness_is_counted_and_answered() {
    let (mut service, handle) = probe();
    handle.answer_with(|request| if request == "good" { Ok(1) } else { Err("bad") });
    assert_eq!(service.call("good").await, Ok(1));
    ready(&mut service).await.unwrap();
    let mut clone = service.clone();
    assert_eq!(clone.call("a clone is not ready").await, Err("bad"));
    assert_eq!(service.call("good").await, Ok(1));
    assert_eq!(service.call("good").await, Ok(1), "once more, unasked");
    assert_eq!((handle.calls(), handle.unready_calls()), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_is_seen_by_its_reply() {
    let (mut service, handle) = probe();
    ready(&mut service).await.unwrap();
    let call = service.call("never mind");
    let (_, reply) = handle.next_request().await;
    assert!(!reply.is_dropped());
    assert!(timeout(Duration::from_millis(1), reply.dropped()).await.is_err());
    let seen = tokio::spawn(async move {
        reply.dropped().await;
        reply
    });
    tokio::task::yield_now().await;
    drop(call);
    let reply = seen.await.unwrap();
    assert!(reply.is_dropped());
    assert!(!reply.send(Ok(1)));
    assert_eq!((handle.dropped(), handle.in_flight()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_dropped_never_answers() {
    let (mut service, handle) = probe();
    ready(&mut service).await.unwrap();
    let mut call = service.call("hello?");
    drop(handle.next_request().await);
    assert!(timeout(Duration::from_secs(3600), &mut call).await.is_err());
    assert_eq!(handle.in_flight(), 1);
}

#[tokio::test]
async fn an_answer_that_is_not_fetched_counts_as_given_up() {
    let (mut service, handle) = probe();
    handle.answer_with(|_| Ok(1));
    ready(&mut service).await.unwrap();
    drop(service.call("hello"));
    assert_eq!(handle.dropped(), 1);
    handle.answer_by_hand();
    ready(&mut service).await.unwrap();
    let _call = service.call("hello again");
    assert_eq!(handle.next_request().await.0, "hello again");
}

#[test]
fn everything_may_move_between_threads() {
    fn is_send<T: Send + Sync>(_: &T) {}
    let (mut service, handle) = probe();
    is_send(&service.call("now"));
    is_send(&service);
    is_send(&handle);
    is_send(&handle.try_next_request().unwrap().1);
    is_send::<Option<mainstay_testkit::FaultProxy>>(&None);
    is_send::<Option<mainstay_testkit::RedisServer>>(&None);
    is_send::<Option<mainstay_testkit::PostgresServer>>(&None);
    is_send::<Option<mainstay_testkit::GrpcServer>>(&None);
    is_send::<Option<mainstay_testkit::HttpServer>>(&None);
}
