//! Files that are not what they should be, and bounds.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::time::Duration;

use crate::support::{Ledger, by_key};
use mainstay_spool::{
    DeathCause, Fate, FindingKind, FsyncPolicy, Item, OpenFor, Outcome, Refusal, Sink, Spool, SpoolSettings,
};

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> SpoolSettings {
    SpoolSettings::new().linger(Duration::ZERO).backoff(OpenFor::fixed(Duration::from_millis(1)))
}

fn down() -> Ledger {
    Ledger::answering(|_| Outcome::unavailable_for(3_600 * SECOND, "down"))
}

/// A directory with so many undelivered items, properly closed.
async fn filled(items: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), settings(), down()).unwrap();
    let pushes = (0..items).map(|value| {
        let spool = spool.clone();
        async move { spool.push_with(format!("key-{}", value % 3), value).await.map(drop) }
    });
    for push in pushes {
        push.await.unwrap();
    }
    assert_eq!(spool.drain(Duration::ZERO).await.left, items);
    dir
}

/// Opens what there is, and delivers it.
async fn recovered(dir: &Path) -> (Vec<u64>, Vec<FindingKind>) {
    let ledger = Ledger::new();
    let spool = Spool::open(dir, settings(), ledger.clone()).unwrap();
    let findings = spool.findings().iter().map(|finding| finding.kind).collect();
    for finding in spool.findings() {
        assert!(finding.set_aside.is_dir());
    }
    // It works as if nothing had been.
    assert_eq!(spool.push(1_000_000).await.unwrap().await, Fate::Delivered);
    assert_eq!(spool.drain(20 * SECOND).await.left, 0);
    for (key, values) in by_key(&ledger.seen()) {
        assert!(values.is_sorted(), "{key}");
    }
    let mut values = ledger.values();
    values.sort_unstable();
    assert_eq!(values.pop(), Some(1_000_000));
    (values, findings)
}

#[tokio::test]
async fn a_file_that_is_none_of_ours_is_set_aside_and_kept() {
    for content in
        [b"".as_slice(), b"x", b"not a database at all", &[0; 8192], b"SQLite format 3\0 and then nonsense"]
    {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("items.db"), content).unwrap();
        std::fs::write(dir.path().join("dead.db"), content).unwrap();
        let (values, findings) = recovered(dir.path()).await;
        assert!(values.is_empty());
        assert_eq!(findings.len(), if content.is_empty() { 0 } else { 2 }, "{findings:?}");
        if !content.is_empty() {
            assert_eq!(std::fs::read(dir.path().join("aside/1/items.db")).unwrap(), content);
        }
    }
    // Not even files.
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("items.db/sub")).unwrap();
    assert_eq!(recovered(dir.path()).await.1, [FindingKind::Foreign]);
}

#[tokio::test]
async fn another_programs_database_and_a_newer_spool_are_set_aside_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let other = rusqlite::Connection::open(dir.path().join("items.db")).unwrap();
    other.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
    drop(other);
    let before = std::fs::read(dir.path().join("items.db")).unwrap();
    assert_eq!(recovered(dir.path()).await.1, [FindingKind::Foreign]);
    assert_eq!(std::fs::read(dir.path().join("aside/1/items.db")).unwrap(), before);

    let dir = filled(5).await;
    let newer = rusqlite::Connection::open(dir.path().join("items.db")).unwrap();
    newer.execute_batch("PRAGMA user_version = 99").unwrap();
    drop(newer);
    assert_eq!(recovered(dir.path()).await, (vec![], vec![FindingKind::Newer]));
    // The newer program finds it there.
    let newer = rusqlite::Connection::open(dir.path().join("aside/1/items.db")).unwrap();
    assert_eq!(newer.query_row("SELECT count(*) FROM rows", [], |row| row.get::<_, i64>(0)).unwrap(), 5);
}

#[tokio::test]
async fn of_a_damaged_file_everything_whole_is_recovered() {
    let dir = filled(2_000).await;
    let path = dir.path().join("items.db");
    let whole = std::fs::read(&path).unwrap();
    let pages = whole.len() / 4096;
    assert!(pages > 30, "{pages}");
    for page in [12, pages / 2, pages - 2] {
        let mut damaged = whole.clone();
        damaged[page * 4096..(page + 1) * 4096].fill(0xa5);
        let copy = tempfile::tempdir().unwrap();
        std::fs::write(copy.path().join("items.db"), damaged).unwrap();
        let (values, findings) = recovered(copy.path()).await;
        assert_eq!(findings, [FindingKind::Corrupt], "page {page}");
        // A page of items has some 50 of them; a page of the index has none.
        assert!(values.len() >= 1_900, "page {page}: only {} of 2000", values.len());
    }
}

#[tokio::test]
async fn an_item_with_other_bytes_than_were_written_is_a_dead_letter() {
    let dir = filled(10).await;
    let file = rusqlite::Connection::open(dir.path().join("items.db")).unwrap();
    file.execute_batch("UPDATE rows SET body = x'05' WHERE place = 4").unwrap();
    drop(file);
    let ledger = Ledger::new();
    let spool = Spool::open(dir.path(), settings(), ledger.clone()).unwrap();
    ledger.has(9).await;
    let letters = spool.dead_letters(None, 9).await.unwrap();
    assert_eq!((letters.len(), letters[0].cause, letters[0].item), (1, DeathCause::Corrupt, None));
    assert_eq!(letters[0].body, [5]);
}

#[tokio::test]
async fn wherever_a_file_is_cut_or_flipped_the_spool_opens_and_works() {
    let dir = filled(300).await;
    let whole = std::fs::read(dir.path().join("items.db")).unwrap();
    let mut seed = 7_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    for round in 0..60 {
        let mut damaged = whole.clone();
        if round % 2 == 0 {
            damaged.truncate(next() % whole.len());
        } else {
            for _ in 0..=next() % 20 {
                let at = if round % 4 == 1 { next() % 200 } else { next() % whole.len() };
                damaged[at] ^= 1 << (next() % 8);
            }
        }
        let copy = tempfile::tempdir().unwrap();
        std::fs::write(copy.path().join("items.db"), &damaged).unwrap();
        std::fs::write(copy.path().join("items.db-wal"), &whole[next() % 4096..]).unwrap();
        let (values, _) = recovered(copy.path()).await;
        assert!(values.iter().all(|value| *value < 300), "{round}: invented");
    }
}

/// What is left of a new file if its write-ahead file goes: a head, and no tables.
#[tokio::test]
async fn wherever_the_head_of_an_empty_file_is_damaged_it_is_found_at_once_or_does_not_matter() {
    let new = tempfile::tempdir().unwrap();
    let spool = Spool::open(new.path(), settings(), Ledger::new()).unwrap();
    let head = std::fs::read(new.path().join("items.db")).unwrap();
    spool.drain(SECOND).await;
    assert_eq!(head.len(), 4_096, "the tables are still in the write-ahead file");
    for at in 0..100 {
        let dir = tempfile::tempdir().unwrap();
        let mut damaged = head.clone();
        damaged[at] ^= 0x46;
        std::fs::write(dir.path().join("items.db"), damaged).unwrap();
        assert!(recovered(dir.path()).await.0.is_empty());
        let (_, findings) = recovered(dir.path()).await;
        assert!(findings.is_empty(), "byte {at}: {findings:?}");
    }
}

#[tokio::test]
async fn items_that_a_newer_program_wrote_wait_among_the_dead_letters_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let newer = Spool::open(dir.path(), settings().item_version(2), down()).unwrap();
    drop(newer.push(1).await.unwrap());
    newer.drain(Duration::ZERO).await;

    let older = Spool::open(dir.path(), settings(), Ledger::new()).unwrap();
    let ticket = older.push(2).await.unwrap();
    assert_eq!(ticket.await, Fate::Delivered);
    older.drain(SECOND).await;
    assert_eq!(older.stats().dead_letters, 1);

    let ledger = Ledger::new();
    let newer = Spool::open(dir.path(), settings().item_version(2), ledger.clone()).unwrap();
    let letter = newer.dead_letters(None, 1).await.unwrap().remove(0);
    assert_eq!((letter.cause, letter.item), (DeathCause::NewerVersion, Some(1)));
    newer.requeue(letter.id).await.unwrap().unwrap().await;
    assert_eq!(ledger.values(), [1]);
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Yesterday {
    name: String,
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Today {
    name: String,
    #[serde(default)]
    amount: f64,
}

#[tokio::test]
async fn an_upgraded_program_reads_yesterdays_log() {
    struct Down;
    impl Sink<Yesterday> for Down {
        async fn deliver(&self, batch: &[Item<Yesterday>]) -> Vec<Outcome> {
            batch.iter().map(|_| Outcome::unavailable("down")).collect()
        }
    }
    struct Up(tokio::sync::mpsc::UnboundedSender<String>);
    impl Sink<Today> for Up {
        async fn deliver(&self, batch: &[Item<Today>]) -> Vec<Outcome> {
            let tell = |item: &Item<Today>| self.0.send(format!("{:?}", item.value())).unwrap();
            batch.iter().map(tell).map(|()| Outcome::Done).collect()
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), settings(), Down).unwrap();
    drop(spool.push(Yesterday { name: "a".into() }).await.unwrap());
    spool.drain(Duration::ZERO).await;
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let spool = Spool::open(dir.path(), settings().item_version(2), Up(tell)).unwrap();
    assert_eq!(told.recv().await.unwrap(), r#"Today { name: "a", amount: 0.0 }"#);
    // What JSON could not carry.
    let ticket = spool.push(Today { name: "b".into(), amount: f64::INFINITY }).await.unwrap();
    assert_eq!(ticket.await, Fate::Delivered);
}

#[tokio::test]
async fn at_its_bound_the_spool_refuses_and_the_file_is_no_larger_and_it_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let bound = 256 * 1024;
    let (up, is_up) = tokio::sync::watch::channel(false);
    let ledger = Ledger::answering(move |_| match *is_up.borrow() {
        true => Outcome::Done,
        false => Outcome::unavailable("down"),
    });
    // So that the test is quick.
    let settings = settings().bound(bound).fsync(FsyncPolicy::Interval(3_600 * SECOND));
    let spool = Spool::open(dir.path(), settings, ledger.clone()).unwrap();
    let mut accepted = 0;
    let refused = loop {
        match spool.push(accepted).await {
            Ok(ticket) => drop(ticket),
            Err(error) => break error,
        }
        accepted += 1;
    };
    assert_eq!(refused.refusal(), Refusal::Full { bound });
    assert!(std::fs::metadata(dir.path().join("items.db")).unwrap().len() <= bound);
    let stats = spool.stats();
    assert!(stats.used_bytes <= bound && stats.used_bytes > bound * 8 / 10, "{stats:?}");
    assert_eq!((stats.accepted, stats.refused), (accepted, 1));

    up.send_replace(true);
    ledger.has(accepted as usize).await;
    while spool.stats().backlog > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(spool.push(accepted).await.unwrap().await, Fate::Delivered);
    let mut values = ledger.values();
    values.sort_unstable();
    assert_eq!(values, (0..=accepted).collect::<Vec<_>>());
}

#[tokio::test]
async fn without_room_for_dead_letters_the_dead_stay_in_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings().dead_bound(64 * 1024).batch(1);
    let ledger = Ledger::answering(|item| match item.value() {
        1_000_000 => Outcome::Done,
        _ => Outcome::poison("x".repeat(1_000)),
    });
    let spool = Spool::open(dir.path(), settings, ledger).unwrap();
    for value in 0..100 {
        drop(spool.push(value).await.unwrap());
    }
    assert_eq!(spool.push(1_000_000).await.unwrap().await, Fate::Delivered);
    while spool.stats().dead_letters_full == 0 {
        tokio::task::yield_now().await;
    }
    let drained = spool.drain(SECOND / 2).await;
    let stats = spool.stats();
    assert!(stats.dead_letters > 10 && stats.dead_bytes <= 64 * 1024, "{stats:?}");
    assert_eq!(drained.left + stats.dead_letters, 100);
}

#[tokio::test]
async fn an_item_that_is_too_large_is_given_back() {
    let spool = Spool::in_memory(settings().item_bytes(8), Ledger::new()).unwrap();
    let error = spool.push_with("a long key", 1).await.unwrap_err();
    assert_eq!(error.refusal(), Refusal::TooLarge { bytes: 11, most: 8 });
    assert_eq!(error.into_item(), 1);
}
