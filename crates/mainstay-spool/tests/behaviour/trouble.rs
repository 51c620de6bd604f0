//! Sinks, disks and callers that make trouble, and what it costs the others.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Ledger, by_key};
use mainstay_breaker::{Breaker, Trip};
use mainstay_spool::{Clock, Fate, FsyncPolicy, Item, OpenFor, Outcome, Refusal, Sink, Spool, SpoolSettings};

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> SpoolSettings {
    SpoolSettings::new().linger(Duration::ZERO).backoff(OpenFor::fixed(Duration::from_millis(1)))
}

/// In the time of a paused runtime.
fn paused() -> SpoolSettings {
    settings().clock(Clock::tokio())
}

/// A sink that does nothing until it is told to.
fn gated() -> (Arc<AtomicBool>, impl Fn(&Item<u64>) -> Outcome + Send + Sync + 'static) {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = up.clone();
    (
        up,
        move |_: &Item<u64>| {
            if is_up.load(Ordering::SeqCst) { Outcome::Done } else { Outcome::unavailable("down") }
        },
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_pushed_without_a_pause_keeps_no_other_away() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), settings(), Ledger::new()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let (spool, stop) = (spool.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    drop(spool.push_with("hot", 1).await.unwrap());
                }
            })
        })
        .collect();
    while spool.stats().backlog < 2_000 {
        tokio::task::yield_now().await;
    }
    for key in 0..5 {
        let ticket = spool.push_with(format!("other-{key}"), 2).await.unwrap();
        assert_eq!(tokio::time::timeout(30 * SECOND, ticket).await, Ok(Fate::Delivered));
    }
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
}

struct Strings(Arc<AtomicBool>);

impl Sink<String> for Strings {
    async fn deliver(&self, batch: &[Item<String>]) -> Vec<Outcome> {
        let outcome = |item: &Item<String>| match self.0.load(Ordering::SeqCst) {
            false => Outcome::unavailable("down"),
            true if item.attempt() < 6 => Outcome::retry("not yet"),
            true => Outcome::Done,
        };
        batch.iter().map(outcome).collect()
    }
}

#[tokio::test]
async fn at_the_bound_tries_are_counted_and_what_is_delivered_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let up = Arc::new(AtomicBool::new(false));
    // So that the test is quick.
    let settings = settings().bound(128 * 1024).fsync(FsyncPolicy::Interval(3_600 * SECOND));
    let spool = Spool::open(dir.path(), settings, Strings(up.clone())).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    while refused < 20 {
        match spool.push(String::new()).await {
            Ok(ticket) => {
                drop(ticket);
                accepted += 1;
            }
            Err(error) => {
                assert!(matches!(error.refusal(), Refusal::Full { .. }), "{error}");
                refused += 1;
            }
        }
    }
    up.store(true, Ordering::SeqCst);
    while spool.stats().backlog > 0 {
        tokio::task::yield_now().await;
    }
    let stats = spool.stats();
    assert_eq!((stats.delivered, stats.failed_tries, stats.store_faults), (accepted, accepted * 5, 0));
}

#[tokio::test]
async fn a_long_key_at_the_bound_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let (_up, answer) = gated();
    let bound = 256 * 1024;
    let spool = Spool::open(dir.path(), settings().bound(bound), Ledger::answering(answer)).unwrap();
    let key = "k".repeat(60_000);
    let refused = loop {
        if let Err(error) = spool.push_with(&key, 1).await {
            break error;
        }
    };
    assert_eq!(refused.refusal(), Refusal::Full { bound });
}

#[tokio::test]
async fn deliveries_that_fail_together_lengthen_the_pause_once() {
    struct Blip(Arc<AtomicBool>);
    impl Sink<u64> for Blip {
        async fn deliver(&self, batch: &[Item<u64>]) -> Vec<Outcome> {
            tokio::time::sleep(SECOND / 20).await;
            let outcome =
                if self.0.load(Ordering::SeqCst) { Outcome::Done } else { Outcome::unavailable("away") };
            batch.iter().map(|_| outcome.clone()).collect()
        }
    }
    let up = Arc::new(AtomicBool::new(false));
    // If each of them did, it would be some minutes.
    let backoff = OpenFor::exponential(SECOND / 5, 300 * SECOND);
    let settings = settings().backoff(backoff).batch(1).concurrency(10);
    let spool = Spool::in_memory(settings, Blip(up.clone())).unwrap();
    let begun = std::time::Instant::now();
    let mut tickets = Vec::new();
    for value in 0..20 {
        tickets.push(spool.push(value).await.unwrap());
    }
    while spool.stats().failed_deliveries < 10 {
        tokio::task::yield_now().await;
    }
    up.store(true, Ordering::SeqCst);
    for ticket in tickets {
        assert_eq!(ticket.await, Fate::Delivered);
    }
    assert!(begun.elapsed() < 20 * SECOND, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn items_that_fail_again_and_again_or_panic_alone_open_no_breaker() {
    struct Picky(Ledger);
    impl Sink<u64> for Picky {
        async fn deliver(&self, batch: &[Item<u64>]) -> Vec<Outcome> {
            assert!(batch.iter().all(|item| *item.value() != 13), "thirteen");
            self.0.deliver(batch).await
        }
    }
    let ledger = Ledger::answering(|item| match item.value() {
        0..10 => Outcome::retry("cannot take it"),
        _ => Outcome::Done,
    });
    let breaker = Breaker::builder("sink")
        .trip(Trip::consecutive_failures(1))
        .open_for(OpenFor::fixed(SECOND))
        .clock(Clock::tokio())
        .build()
        .unwrap();
    let spool = Spool::in_memory(paused().tries(5).breaker(breaker.clone()), Picky(ledger)).unwrap();
    let mut tickets = Vec::new();
    for value in [0, 1, 2] {
        tickets.push(spool.push(value).await.unwrap());
    }
    for ticket in tickets {
        assert_eq!(ticket.await, Fate::DeadLettered { error: "cannot take it".into() });
    }
    let error = "the sink panicked".to_owned();
    assert_eq!(spool.push(13).await.unwrap().await, Fate::DeadLettered { error });
    assert!(breaker.snapshot().last_trip.is_none());
    assert_eq!(spool.push(20).await.unwrap().await, Fate::Delivered);
}

/// Holds what it is given, and knows how much that was at once.
#[derive(Clone, Default)]
struct Heavy {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Sink<String> for Heavy {
    async fn deliver(&self, batch: &[Item<String>]) -> Vec<Outcome> {
        let bytes: usize = batch.iter().map(|item| item.value().len()).sum();
        self.most.fetch_max(self.now.fetch_add(bytes, Ordering::SeqCst) + bytes, Ordering::SeqCst);
        tokio::time::sleep(SECOND / 50).await;
        self.now.fetch_sub(bytes, Ordering::SeqCst);
        let outcome = |item: &Item<String>| match item.attempt() {
            1 => Outcome::retry("once more"),
            _ => Outcome::Done,
        };
        batch.iter().map(outcome).collect()
    }
}

#[tokio::test]
async fn what_is_in_memory_has_no_more_bytes_than_the_window_whether_new_behind_others_or_tried_again() {
    let window = 1 << 20;
    let heavy = Heavy::default();
    let settings = settings().window(10_000, window).batch(100).concurrency(10);
    let spool = Spool::in_memory(settings, heavy.clone()).unwrap();
    for size in [1, 100_000] {
        for key in 0..200 {
            drop(spool.push_with(key.to_string(), "x".repeat(size)).await.unwrap());
        }
    }
    assert_eq!(spool.drain(60 * SECOND).await.left, 0);
    let most = heavy.most.load(Ordering::SeqCst);
    assert!(most > 500_000 && most <= window + 100_000, "{most}");
}

#[tokio::test]
async fn those_under_way_are_counted_as_in_memory() {
    struct Hangs;
    impl Sink<u64> for Hangs {
        async fn deliver(&self, _: &[Item<u64>]) -> Vec<Outcome> {
            std::future::pending().await
        }
    }
    let spool = Spool::in_memory(settings().batch(10).linger(SECOND), Hangs).unwrap();
    for value in 0..300 {
        drop(spool.push(value).await.unwrap());
    }
    while spool.stats().in_memory < 300 {
        tokio::task::yield_now().await;
    }
    let stats = spool.stats();
    assert_eq!((stats.in_flight, stats.in_memory, stats.backlog), (4, 300, 300));
}

#[tokio::test]
async fn what_the_sink_could_not_take_keeps_its_place_in_front_of_what_is_newer() {
    let (up, answer) = gated();
    let (clock, time) = Clock::manual();
    let ledger = Ledger::answering(answer);
    let settings = settings().clock(clock).window(500, 1 << 20).batch(100).concurrency(1);
    let spool = Spool::in_memory(settings, ledger.clone()).unwrap();
    for value in 0..2_000 {
        drop(spool.push(value).await.unwrap());
    }
    while spool.stats().failed_deliveries < 20 {
        time.advance(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    up.store(true, Ordering::SeqCst);
    time.advance(SECOND);
    ledger.has(2_000).await;
    assert_eq!(ledger.values(), (0..2_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_drain_that_is_given_up_goes_on_and_a_shorter_one_ends_it() {
    let ledger = Ledger::answering(|item| match item.attempt() {
        1 => Outcome::retry_after(SECOND / 2, "later"),
        _ => Outcome::Done,
    });
    let spool = Spool::in_memory(settings(), ledger).unwrap();
    drop(spool.push(1).await.unwrap());
    assert!(tokio::time::timeout(SECOND / 10, spool.drain(60 * SECOND)).await.is_err());
    assert_eq!(spool.drain(60 * SECOND).await.left, 0);

    let (_up, answer) = gated();
    let spool = Spool::in_memory(settings(), Ledger::answering(answer)).unwrap();
    drop(spool.push(1).await.unwrap());
    let other = spool.clone();
    let long = tokio::spawn(async move { other.drain(600 * SECOND).await });
    let begun = std::time::Instant::now();
    let short = spool.drain(SECOND / 5).await;
    assert!(begun.elapsed() < 60 * SECOND, "{:?}", begun.elapsed());
    assert_eq!((short, short.left), (long.await.unwrap(), 1));
}

#[tokio::test(start_paused = true)]
async fn dead_letters_can_be_paged_through_while_they_are_put_back() {
    let (up, _) = gated();
    let is_up = up.clone();
    let answer = move |_: &Item<u64>| {
        if is_up.load(Ordering::SeqCst) { Outcome::Done } else { Outcome::poison("bad") }
    };
    let spool = Spool::in_memory(paused(), Ledger::answering(answer)).unwrap();
    for value in 0..30 {
        spool.push(value).await.unwrap().await;
    }
    up.store(true, Ordering::SeqCst);
    let (mut after, mut requeued) = (None, 0);
    loop {
        let page = spool.dead_letters(after, 10).await.unwrap();
        let Some(last) = page.last() else {
            break;
        };
        after = Some(last.id);
        for letter in page {
            assert_eq!(spool.requeue(letter.id).await.unwrap().unwrap().await, Fate::Delivered);
            requeued += 1;
        }
    }
    assert_eq!((requeued, spool.stats().dead_letters), (30, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_sink_that_blocks_its_thread_past_the_deadline_gets_nothing_else_of_the_key_meanwhile() {
    struct Blocks(Arc<Mutex<Vec<u64>>>);
    impl Sink<u64> for Blocks {
        async fn deliver(&self, batch: &[Item<u64>]) -> Vec<Outcome> {
            let value = *batch[0].value();
            if value == 1 {
                std::thread::sleep(SECOND / 2);
            }
            self.0.lock().unwrap().push(value);
            vec![Outcome::Done]
        }
    }
    let written = Arc::new(Mutex::new(Vec::new()));
    let settings = settings().deadline(SECOND / 20);
    let spool = Spool::in_memory(settings, Blocks(written.clone())).unwrap();
    let first = spool.push_with("key", 1).await.unwrap();
    let second = spool.push_with("key", 2).await.unwrap();
    assert_eq!((first.await, second.await), (Fate::Delivered, Fate::Delivered));
    assert_eq!(*written.lock().unwrap(), [1, 2]);
}

#[tokio::test]
async fn what_is_queued_can_be_looked_at_and_the_newest_of_a_key_be_read_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (_up, answer) = gated();
    let spool = Spool::open(dir.path(), settings(), Ledger::answering(answer)).unwrap();
    for value in 0..10 {
        drop(spool.push_with(format!("key-{}", value % 3), value).await.unwrap());
    }
    spool.drain(Duration::ZERO).await;

    let (up, answer) = gated();
    let ledger = Ledger::answering(answer);
    let spool = Spool::open(dir.path(), settings(), ledger.clone()).unwrap();
    assert_eq!(spool.newest_of("key-2").await.unwrap().unwrap().item, Some(8));
    assert!(spool.newest_of("key-9").await.unwrap().is_none());
    let mut seen = Vec::new();
    let mut page = spool.queued(None, 4).await.unwrap();
    while let Some(last) = page.last() {
        seen.extend(page.iter().map(|queued| queued.item.unwrap()));
        page = spool.queued(Some(last), 4).await.unwrap();
    }
    assert_eq!(seen, (0..10).collect::<Vec<_>>());

    up.store(true, Ordering::SeqCst);
    ledger.has(10).await;
    while spool.stats().backlog > 0 {
        tokio::task::yield_now().await;
    }
    assert!(spool.newest_of("key-2").await.unwrap().is_none());
    assert_eq!(by_key(&ledger.seen())["key-0"], [0, 3, 6, 9]);
}

#[tokio::test]
async fn an_item_that_is_known_to_hang_holds_up_nobody_else() {
    struct Hangs(Ledger);
    impl Sink<u64> for Hangs {
        async fn deliver(&self, batch: &[Item<u64>]) -> Vec<Outcome> {
            if batch.iter().any(|item| *item.value() == 13) {
                std::future::pending::<()>().await;
            }
            self.0.deliver(batch).await
        }
    }
    let (clock, time) = Clock::manual();
    let settings = settings().clock(clock).deadline(SECOND).backoff(OpenFor::fixed(3_600 * SECOND)).tries(3);
    let spool = Spool::in_memory(settings, Hangs(Ledger::new())).unwrap();
    let hangs = spool.push(13).await.unwrap();
    let mut hangs = std::pin::pin!(hangs);
    let mut known = false;
    let mut value = 100;
    loop {
        let innocent = spool.push(value).await.unwrap();
        value += 1;
        if known {
            // No time goes by for it.
            assert_eq!(innocent.await, Fate::Delivered);
        }
        time.advance(1_800 * SECOND);
        tokio::task::yield_now().await;
        known |= spool.stats().failed_tries > 0;
        if spool.stats().dead_letters == 1 {
            break;
        }
    }
    assert_eq!(hangs.as_mut().await, Fate::DeadLettered { error: "the sink did not answer in time".into() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_look_keep_nobody_from_pushing_and_no_drain_from_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (_up, answer) = gated();
    let settings = settings().backoff(OpenFor::fixed(3_600 * SECOND));
    let spool = Spool::open(dir.path(), settings, Ledger::answering(answer)).unwrap();
    for value in 0..100 {
        drop(spool.push(value).await.unwrap());
    }
    let looks: Vec<_> = (0..16)
        .map(|_| {
            let spool = spool.clone();
            tokio::spawn(async move { while spool.queued(None, 100).await.is_ok() {} })
        })
        .collect();
    for value in 100..110 {
        // Two come back after one commit, one of them alone.
        let (one, two) = tokio::join!(spool.push(value), spool.push(value));
        drop((one.unwrap(), two.unwrap()));
        let begun = std::time::Instant::now();
        drop(spool.push(value).await.unwrap());
        assert!(begun.elapsed() < 10 * SECOND, "{:?}", begun.elapsed());
    }
    assert_eq!(spool.drain(SECOND / 10).await.fault, None);
    for look in looks {
        look.await.unwrap();
    }
}

#[test]
fn a_spool_can_be_shut_down_in_whatever_runtime_also_after_one_that_ended() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (own, other) = (runtime(), runtime());
    let (_up, answer) = gated();
    let settings = settings().backoff(OpenFor::fixed(3_600 * SECOND));
    let spool = own.block_on(async { Spool::open(dir.path(), settings, Ledger::answering(answer)).unwrap() });
    drop(spool.push_blocking(None, 1).unwrap());
    let begun =
        other.block_on(async { tokio::time::timeout(SECOND / 10, spool.drain(60 * SECOND)).await.is_err() });
    assert!(begun);
    other.shutdown_timeout(SECOND);
    let drained = own.block_on(spool.drain(SECOND / 10));
    assert_eq!((drained.left, drained.fault), (1, None));
}
