//! From push to sink: batches, order, tries, dead letters, fates.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::support::{Ledger, by_key};
use mainstay_spool::{
    Clock, DeathCause, Fate, Item, OpenError, OpenFor, Outcome, Refusal, Sink, Spool, SpoolSettings,
};

const SECOND: Duration = Duration::from_secs(1);

/// In the time of a paused runtime.
fn settings() -> SpoolSettings {
    SpoolSettings::new()
        .clock(Clock::tokio())
        .linger(Duration::from_millis(10))
        .backoff(OpenFor::exponential(Duration::from_millis(100), 10 * SECOND))
}

#[tokio::test(start_paused = true)]
async fn an_item_that_was_pushed_is_delivered_and_its_ticket_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::new();
    let spool = Spool::open(dir.path(), settings(), ledger.clone()).unwrap();
    let ticket = spool.push(7).await.unwrap();
    let id = ticket.id();
    assert_eq!(ticket.await, Fate::Delivered);
    assert_eq!(ledger.values(), [7]);
    assert_eq!(ledger.seen()[0].id, id);
    let drained = spool.drain(SECOND).await;
    assert_eq!((drained.left, drained.fault), (0, None));
    assert_eq!(spool.stats().delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_left_is_delivered_after_the_next_opening_with_the_same_ids() {
    let dir = tempfile::tempdir().unwrap();
    let down = Ledger::answering(|_| Outcome::unavailable("down"));
    let spool = Spool::open(dir.path(), settings(), down).unwrap();
    let mut tickets = Vec::new();
    for value in 0..10 {
        tickets.push(spool.push_with("one", value).await.unwrap());
    }
    let ids: Vec<_> = tickets.iter().map(|ticket| ticket.id()).collect();
    let drained = spool.drain(5 * SECOND).await;
    assert_eq!((drained.left, drained.fault), (10, None));
    for ticket in tickets {
        assert_eq!(ticket.await, Fate::Kept);
    }
    assert_eq!(spool.push(1).await.unwrap_err().refusal(), Refusal::Closed);

    let ledger = Ledger::new();
    let spool = Spool::open(dir.path(), settings(), ledger.clone()).unwrap();
    let last = spool.push_with("one", 10).await.unwrap();
    assert_eq!(last.await, Fate::Delivered);
    assert_eq!(ledger.values(), (0..=10).collect::<Vec<_>>());
    let seen: Vec<_> = ledger.seen().iter().take(10).map(|seen| seen.id).collect();
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn a_batch_goes_when_it_is_full_and_an_unfilled_one_after_its_linger() {
    let (clock, time) = Clock::manual();
    let ledger = Ledger::new();
    let settings = settings().clock(clock).batch(3).linger(SECOND).concurrency(1);
    let spool = Spool::in_memory(settings, ledger.clone()).unwrap();
    let mut tickets = Vec::new();
    for value in 0..7 {
        tickets.push(spool.push(value).await.unwrap());
    }
    ledger.has(6).await;
    let mut last = tickets.pop().unwrap();
    let begun = time.now();
    while poll_once(&mut last).is_pending() {
        time.advance(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    assert!(time.now() - begun >= Duration::from_millis(999), "{:?}", time.now() - begun);
    assert_eq!(ledger.batches(), [3, 3, 1]);
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_poison_item_holds_back_only_its_key_and_is_a_dead_letter_after_its_tries() {
    let dir = tempfile::tempdir().unwrap();
    let heals = Arc::new(AtomicBool::new(false));
    let healed = heals.clone();
    let ledger = Ledger::answering(move |item| match item.value() {
        3 if !healed.load(Ordering::SeqCst) => Outcome::retry("cannot take a 3"),
        _ => Outcome::Done,
    });
    let (clock, time) = Clock::manual();
    let settings = settings().clock(clock).linger(Duration::ZERO).tries(4);
    let spool = Spool::open(dir.path(), settings, ledger.clone()).unwrap();
    let mut tickets = Vec::new();
    for value in 0..40_u64 {
        let key = if value < 10 { "bad".to_owned() } else { format!("good-{}", value % 5) };
        tickets.push(spool.push_with(key, value).await.unwrap());
    }
    ledger.has(33).await;
    let early = by_key(&ledger.seen());
    assert_eq!(early["bad"], [0, 1, 2], "nothing of the key overtakes");
    tokio::spawn(async move {
        loop {
            time.advance(Duration::from_millis(10));
            tokio::task::yield_now().await;
        }
    });
    let fates = tickets.remove(3);
    let error = "cannot take a 3".to_owned();
    assert_eq!(fates.await, Fate::DeadLettered { error: error.clone() });
    for ticket in tickets {
        assert_eq!(ticket.await, Fate::Delivered);
    }
    let keys = by_key(&ledger.seen());
    assert_eq!(keys["bad"], [0, 1, 2, 4, 5, 6, 7, 8, 9]);
    for key in 0..5 {
        let expected: Vec<u64> = (10..40).filter(|value| value % 5 == key).collect();
        assert_eq!(keys[&format!("good-{key}")], expected);
    }
    let attempts: Vec<u32> =
        ledger.seen().iter().filter(|seen| seen.value == 3).map(|seen| seen.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4]);

    let letters = spool.dead_letters(None, 10).await.unwrap();
    let letter = &letters[0];
    assert_eq!((letters.len(), letter.cause, letter.tries), (1, DeathCause::TriesUsedUp, 4));
    assert_eq!((&letter.error, letter.item, letter.key.as_deref()), (&error, Some(3), Some("bad")));

    heals.store(true, Ordering::SeqCst);
    let ticket = spool.requeue(letter.id).await.unwrap().unwrap();
    assert_eq!(ticket.id(), letter.id);
    assert_eq!(ticket.await, Fate::Delivered);
    assert!(spool.dead_letters(None, 10).await.unwrap().is_empty());
    assert!(spool.requeue(letter.id).await.unwrap().is_none());
    let stats = spool.stats();
    assert_eq!((stats.delivered, stats.dead_lettered, stats.requeued, stats.backlog), (40, 1, 1, 0));
    assert_eq!(stats.failed_tries, 4);
}

#[tokio::test(start_paused = true)]
async fn what_the_sink_calls_poison_is_a_dead_letter_at_once_and_can_be_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), settings(), Ledger::answering(|_| Outcome::poison("never"))).unwrap();
    let ticket = spool.push(1).await.unwrap();
    assert_eq!(ticket.await, Fate::DeadLettered { error: "never".into() });
    let letter = spool.dead_letters(None, 1).await.unwrap().remove(0);
    assert_eq!((letter.cause, letter.tries), (DeathCause::Poison, 1));
    drop(spool);

    // They outlive the program.
    let spool = reopen(dir.path(), Ledger::new).await;
    assert_eq!(spool.stats().dead_letters, 1);
    assert!(spool.drop_dead_letter(letter.id).await.unwrap());
    assert!(!spool.drop_dead_letter(letter.id).await.unwrap());
    assert_eq!(spool.stats().dead_letters, 0);
}

/// The files are closed a moment after the last handle was dropped.
async fn reopen(dir: &std::path::Path, sink: impl Fn() -> Ledger) -> Spool<u64> {
    loop {
        match Spool::open(dir, settings(), sink()) {
            Ok(spool) => return spool,
            Err(OpenError::Store(mainstay_spool::Fault::InUse)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Panics at one value, hangs at another.
struct Moody {
    ledger: Ledger,
}

impl Sink<u64> for Moody {
    async fn deliver(&self, batch: &[Item<u64>]) -> Vec<Outcome> {
        if batch.iter().any(|item| *item.value() == 13) {
            panic!("thirteen");
        }
        if batch.iter().any(|item| *item.value() == 17) {
            std::future::pending::<()>().await;
        }
        self.ledger.deliver(batch).await
    }
}

#[tokio::test(start_paused = true)]
async fn panics_and_hangs_of_the_sink_are_contained_and_cost_only_the_items_at_fault() {
    let ledger = Ledger::new();
    let settings = settings().tries(3).deadline(SECOND);
    let spool = Spool::in_memory(settings, Moody { ledger: ledger.clone() }).unwrap();
    let mut tickets = Vec::new();
    for value in 0..30_u64 {
        tickets.push(spool.push(value).await.unwrap());
    }
    for (value, ticket) in tickets.into_iter().enumerate().filter(|(value, _)| ![13, 17].contains(value)) {
        assert_eq!(ticket.await, Fate::Delivered, "{value}");
    }
    // A hang counts only while the sink delivers something else.
    let mut more = 100;
    while spool.stats().dead_letters < 2 {
        assert_eq!(spool.push(more).await.unwrap().await, Fate::Delivered);
        more += 1;
        tokio::time::sleep(SECOND).await;
    }
    let mut dead: Vec<_> =
        spool.dead_letters(None, 9).await.unwrap().into_iter().map(|l| (l.item, l.error)).collect();
    dead.sort();
    let expected = [(Some(13), "the sink panicked"), (Some(17), "the sink did not answer in time")];
    assert_eq!(dead, expected.map(|(item, error)| (item, error.to_owned())));
}

#[tokio::test]
async fn a_drain_with_a_sink_that_hangs_returns_at_its_deadline_with_everything_on_disk() {
    struct Hangs;
    impl Sink<u64> for Hangs {
        async fn deliver(&self, _: &[Item<u64>]) -> Vec<Outcome> {
            std::future::pending().await
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (clock, time) = Clock::manual();
    let spool = Spool::open(dir.path(), settings().clock(clock), Hangs).unwrap();
    for value in 0..1_000 {
        drop(spool.push(value).await.unwrap());
    }
    let draining = spool.clone();
    let mut drain = Box::pin(draining.drain(3 * SECOND));
    assert!(poll_once(&mut drain).is_pending());
    time.advance(Duration::from_millis(2_999));
    assert!(poll_once(&mut drain).is_pending());
    time.advance(Duration::from_millis(1));
    let drained = drain.await;
    assert_eq!((drained.left, drained.fault), (1_000, None));
    assert_eq!(spool.drain(SECOND).await, drained);

    let ledger = Ledger::new();
    let spool = Spool::open(dir.path(), settings(), ledger.clone()).unwrap();
    assert_eq!(spool.drain(60 * SECOND).await.left, 0);
    let mut values = ledger.values();
    values.sort_unstable();
    assert_eq!(values, (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_100_000_concurrent_pushes_has_a_ticket_that_resolves_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::new();
    let settings = SpoolSettings::new().linger(Duration::from_millis(1)).batch(1_000);
    let spool = Spool::open(dir.path(), settings, ledger.clone()).unwrap();
    let tasks: Vec<_> = (0..100_000_u64)
        .map(|value| {
            let spool = spool.clone();
            tokio::spawn(async move {
                let ticket = spool.push(value).await.unwrap();
                // Every other caller does not wait.
                if value % 2 == 0 { Some((ticket.id(), ticket.await)) } else { None }
            })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for task in tasks {
        if let Some((id, fate)) = task.await.unwrap() {
            assert_eq!(fate, Fate::Delivered);
            assert!(ids.insert(id));
        }
    }
    assert_eq!(ids.len(), 50_000);
    assert_eq!(spool.drain(Duration::from_secs(120)).await.left, 0);
    let mut values = ledger.values();
    values.sort_unstable();
    assert_eq!(values, (0..100_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_spool_in_memory_delivers_too_and_says_what_was_lost() {
    let ups = Arc::new(AtomicU32::new(0));
    let asked = ups.clone();
    let spool = Spool::in_memory(
        settings(),
        Ledger::answering(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            Outcome::unavailable("down")
        }),
    )
    .unwrap();
    let ticket = spool.push(1).await.unwrap();
    while ups.load(Ordering::SeqCst) < 3 {
        tokio::time::sleep(SECOND).await;
    }
    assert_eq!(spool.drain(SECOND).await.left, 1);
    assert_eq!(ticket.await, Fate::Lost);
}

#[tokio::test(start_paused = true)]
async fn a_directory_has_one_spool_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), settings(), Ledger::new()).unwrap();
    let second = Spool::open(dir.path(), settings(), Ledger::new()).unwrap_err();
    assert_eq!(second, OpenError::Store(mainstay_spool::Fault::InUse));
    drop(spool.push(1).await.unwrap());
    spool.drain(SECOND).await;
    assert!(Spool::open(dir.path(), settings(), Ledger::new()).is_ok());
}

#[test]
fn without_a_runtime_opening_is_an_error_and_pushing_needs_none() {
    let error = Spool::in_memory(SpoolSettings::new(), Ledger::new()).unwrap_err();
    assert!(matches!(error, OpenError::NoRuntime(_)));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ledger = Ledger::new();
    let spool = {
        let _inside = runtime.enter();
        Spool::in_memory(SpoolSettings::new().linger(Duration::ZERO), ledger.clone()).unwrap()
    };
    let ticket = spool.push_blocking(Some("key"), 5).unwrap();
    assert_eq!(runtime.block_on(ticket), Fate::Delivered);
    assert_eq!(ledger.values(), [5]);
}

#[tokio::test(start_paused = true)]
async fn settings_out_of_their_limits_are_refused_by_name() {
    let refused = [
        (SpoolSettings::new().batch(0), "batch"),
        (SpoolSettings::new().concurrency(0), "concurrency"),
        (SpoolSettings::new().tries(0), "tries"),
        (SpoolSettings::new().bound(1), "bound"),
        (SpoolSettings::new().deadline(Duration::ZERO), "deadline"),
        (SpoolSettings::new().name(""), "name"),
        (SpoolSettings::new().backoff(OpenFor::fixed(Duration::ZERO)), "backoff.first"),
    ];
    for (settings, field) in refused {
        match Spool::in_memory(settings, Ledger::new()) {
            Err(OpenError::Settings(error)) => assert_eq!(error.field, field),
            other => panic!("{other:?}"),
        }
    }
}
