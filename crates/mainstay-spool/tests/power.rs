//! Disks that lose power, fill up and fail.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/disk.rs"]
mod disk;
mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use disk::Disk;
use mainstay_spool::{Fate, Fault, FsyncPolicy, OpenFor, Outcome, Refusal, Spool, SpoolSettings};
use support::Ledger;

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> SpoolSettings {
    SpoolSettings::new().linger(Duration::ZERO).backoff(OpenFor::fixed(Duration::from_millis(1)))
}

/// What a program finds after the power came back.
async fn found_after(disk: &Disk, seed: u64) -> Vec<u64> {
    let dir = tempfile::tempdir().unwrap();
    disk.lose_power(seed, dir.path());
    let ledger = Ledger::new();
    let spool = Spool::open(dir.path(), settings(), ledger.clone()).unwrap();
    assert!(spool.findings().is_empty(), "{:?}", spool.findings());
    assert_eq!(spool.drain(20 * SECOND).await.left, 0);
    assert_eq!(spool.stats().dead_letters, 0);
    let mut values = ledger.values();
    values.sort_unstable();
    values
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_each_item_or_each_batch_nothing_that_was_accepted_goes_with_the_power() {
    for (name, policy) in [("each-item", FsyncPolicy::EachItem), ("each-batch", FsyncPolicy::EachBatch)] {
        let disk = Disk::register(name);
        let dir = tempfile::tempdir().unwrap();
        let settings = settings().vfs(name).fsync(policy);
        // Some are delivered and deleted meanwhile, so that there is more than one kind of write.
        let ledger = Ledger::answering(|item| match item.value() % 3 {
            0 => Outcome::Done,
            _ => Outcome::retry_after(3_600 * SECOND, "later"),
        });
        let spool = Spool::open(dir.path(), settings, ledger).unwrap();
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..8_u64)
            .map(|task| {
                let (spool, accepted) = (spool.clone(), accepted.clone());
                tokio::spawn(async move {
                    // Enough for the write-ahead file to be copied into the database several times.
                    for value in (0..400).map(|step| step * 8 + task) {
                        drop(spool.push(value).await.unwrap());
                        accepted.lock().unwrap().push(value);
                    }
                })
            })
            .collect();
        for seed in 0..25 {
            let wanted = accepted.lock().unwrap().len() + 100;
            while accepted.lock().unwrap().len() < wanted && !tasks.iter().all(|task| task.is_finished()) {
                tokio::task::yield_now().await;
            }
            let said = accepted.lock().unwrap().clone();
            let found = found_after(&disk, seed).await;
            for value in said.iter().filter(|value| *value % 3 != 0) {
                assert!(found.binary_search(value).is_ok(), "{name}, {seed}: {value} was lost");
            }
            let pushed = accepted.lock().unwrap().len() + 8;
            assert!(found.len() <= pushed && found.iter().all(|value| *value < 3_200));
        }
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn with_an_interval_only_the_newest_items_go_with_the_power_and_none_that_is_older() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..40_u64 {
        let name = format!("interval-{seed}");
        let disk = Disk::register(&name);
        let dir = tempfile::tempdir().unwrap();
        let settings = settings().vfs(&name).fsync(FsyncPolicy::Interval(Duration::from_millis(50)));
        let down = Ledger::answering(|_| Outcome::unavailable_for(3_600 * SECOND, "down"));
        let spool = Spool::open(dir.path(), settings, down).unwrap();
        for value in 0..30 {
            drop(spool.push(value).await.unwrap());
        }
        // The interval ends, and with it the time in which these may be lost; it may have ended with the last of them.
        let (before, begun) = (disk.syncs(), Instant::now());
        while disk.syncs() == before && begun.elapsed() < 5 * SECOND {
            tokio::task::yield_now().await;
        }
        // The clerk answers after the sync.
        drop(spool.dead_letters(None, 1).await.unwrap());
        for value in 30..50 {
            drop(spool.push(value).await.unwrap());
        }
        let found = found_after(&disk, seed).await;
        assert!(found.len() >= 30, "{seed}: older ones were lost: {found:?}");
        assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>(), "{seed}: one in between was lost");
        lost += usize::from(found.len() < 50);
        kept += usize::from(found.len() > 30);
    }
    assert!(lost > 0 && kept > 0, "the disk is too kind or too cruel: {lost}, {kept}");
}

#[tokio::test]
async fn a_full_disk_refuses_at_once_loses_nothing_and_goes_on_when_there_is_room() {
    let disk = Disk::register("full");
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::answering(|item| match item.value() {
        0 => Outcome::retry("not yet"),
        _ => Outcome::Done,
    });
    let settings = settings().vfs("full").tries(u32::MAX);
    let spool = Spool::open(dir.path(), settings, ledger.clone()).unwrap();
    // It holds back the rest of its key.
    drop(spool.push_with("key", 0).await.unwrap());
    disk.set_room(Some(disk.used() + 200_000));
    let mut accepted = 0;
    let refused = loop {
        match spool.push_with("key", accepted + 1).await {
            Ok(ticket) => drop(ticket),
            Err(error) => break error,
        }
        accepted += 1;
        assert!(accepted < 100_000);
    };
    assert_eq!(refused.refusal(), Refusal::Store(Fault::DiskFull));
    assert_eq!(refused.into_item(), accepted + 1);
    assert!(accepted > 10, "{accepted}");

    disk.set_room(None);
    let ticket = spool.push(500_000).await.unwrap();
    assert_eq!(ticket.await, Fate::Delivered);
    // What the full disk could not take is noted a moment later.
    while spool.stats().backlog != accepted + 1 {
        tokio::task::yield_now().await;
    }
    let mut found = found_after(&disk, 1).await;
    found.retain(|value| *value != 500_000);
    assert_eq!(found, (0..=accepted).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_disk_that_does_not_sync_makes_push_an_error_and_is_used_again_when_it_does() {
    let disk = Disk::register("unsynced");
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::new();
    let spool = Spool::open(dir.path(), settings().vfs("unsynced"), ledger.clone()).unwrap();
    assert_eq!(spool.push(1).await.unwrap().await, Fate::Delivered);
    disk.fail_to_sync(Some("items.db"));
    assert_eq!(spool.push(2).await.unwrap_err().refusal(), Refusal::Store(Fault::Io));
    disk.fail_to_sync(None);
    assert_eq!(spool.push(3).await.unwrap().await, Fate::Delivered);
    assert_eq!(ledger.values(), [1, 3]);
}

#[tokio::test]
async fn a_file_of_dead_letters_that_fails_holds_back_nobody_but_the_dead() {
    let disk = Disk::register("dead-fails");
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::answering(|item| match item.value() {
        0 => Outcome::poison("never"),
        _ => Outcome::Done,
    });
    let spool = Spool::open(dir.path(), settings().vfs("dead-fails"), ledger).unwrap();
    disk.fail_to_sync(Some("dead.db"));
    let dead = spool.push_with("dead", 0).await.unwrap();
    while spool.stats().store_faults == 0 {
        tokio::task::yield_now().await;
    }
    for value in 1..10 {
        assert_eq!(spool.push(value).await.unwrap().await, Fate::Delivered);
    }
    assert_eq!(spool.stats().dead_letters, 0);
    disk.fail_to_sync(None);
    assert_eq!(dead.await, Fate::DeadLettered { error: "never".into() });
}

#[tokio::test]
async fn those_who_die_together_are_synced_together() {
    let disk = Disk::register("burials");
    let dir = tempfile::tempdir().unwrap();
    let settings = settings().vfs("burials").batch(100).linger(3_600 * SECOND);
    let spool = Spool::open(dir.path(), settings, Ledger::answering(|_| Outcome::poison("never"))).unwrap();
    for value in 0..99 {
        drop(spool.push(value).await.unwrap());
    }
    let before = disk.syncs();
    spool.push(99).await.unwrap().await;
    assert!(disk.syncs() <= before + 4, "{} syncs", disk.syncs() - before);
    assert_eq!(spool.stats().dead_letters, 100);
}

#[test]
fn an_interval_is_kept_also_when_the_runtime_has_ended() {
    let disk = Disk::register("no-runtime");
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let interval = Duration::from_millis(20);
    let settings = settings().vfs("no-runtime").fsync(FsyncPolicy::Interval(interval));
    let down = Ledger::answering(|_| Outcome::unavailable_for(3_600 * SECOND, "down"));
    let spool = runtime.block_on(async { Spool::open(dir.path(), settings, down).unwrap() });
    runtime.shutdown_timeout(SECOND);
    let before = disk.syncs();
    drop(spool.push_blocking(None, 1).unwrap());
    while disk.syncs() == before {
        std::thread::yield_now();
    }
    let left = tempfile::tempdir().unwrap();
    disk.lose_power(1, left.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let ledger = Ledger::new();
        let _delivers =
            Spool::open(left.path(), SpoolSettings::new().linger(Duration::ZERO), ledger.clone()).unwrap();
        ledger.has(1).await;
        // One that was opened in a runtime that has ended can be shut down in another.
        assert_eq!(spool.drain(SECOND).await.left, 1);
    });
}

#[tokio::test]
async fn an_interval_whose_sync_fails_is_tried_now_and_then_and_answers_everybody_meanwhile() {
    let disk = Disk::register("interval-fails");
    let dir = tempfile::tempdir().unwrap();
    let policy = FsyncPolicy::Interval(Duration::from_millis(10));
    let settings = settings().vfs("interval-fails").fsync(policy).backoff(OpenFor::fixed(3_600 * SECOND));
    let spool =
        Spool::open(dir.path(), settings, Ledger::answering(|_| Outcome::unavailable("down"))).unwrap();
    disk.fail_to_sync(Some("items.db"));
    drop(spool.push(1).await.unwrap());
    while spool.stats().store_faults == 0 {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    for value in 2..100 {
        drop(spool.push(value).await.unwrap());
    }
    let (faults, took) = (spool.stats().store_faults, begun.elapsed());
    // By the interval, and by the clock of the disk.
    assert!(faults as u128 <= 10 + took.as_millis() / 5, "{faults} faults in {took:?}");
    disk.fail_to_sync(None);
    assert_eq!(spool.drain(SECOND).await.fault, None);
}

#[tokio::test]
async fn a_dead_letter_that_is_put_back_while_the_disk_fails_is_not_lost_with_the_program() {
    // In the middle: noted, put into the queue, and not deleted. Or at any other of the three.
    for syncs in 0..3 {
        let name = format!("put-back-{syncs}");
        let disk = Disk::register(&name);
        let dir = tempfile::tempdir().unwrap();
        let settings = settings().vfs(&name);
        let dies = Ledger::answering(|_| Outcome::poison("never"));
        let spool = Spool::open(dir.path(), settings, dies).unwrap();
        spool.push(7).await.unwrap().await;
        let letter = spool.dead_letters(None, 1).await.unwrap().remove(0);
        disk.fail_to_sync_after("dead.db", syncs);
        let _ = spool.requeue(letter.id).await;
        let left = tempfile::tempdir().unwrap();
        disk.kill(left.path());
        let ledger = Ledger::answering(|_| Outcome::unavailable("down"));
        let spool = Spool::open(left.path(), SpoolSettings::new(), ledger).unwrap();
        let stats = spool.stats();
        assert_eq!(stats.backlog + stats.dead_letters, 1, "{syncs}: {stats:?}");
    }
}
