//! A recovery that a crash interrupts, at any of its steps.
//!
//! `MAINSTAY_RECOVERY_KILLS` is how often the large one is killed; 10 without it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mainstay_core::splitmix::scramble;
use mainstay_spool::{Fate, Fault, FindingKind, OpenError, OpenFor, Outcome, Spool, SpoolSettings};
use support::{Ledger, by_key};

const SECOND: Duration = Duration::from_secs(1);
const PAGE: usize = 4096;
/// Set in the process that is killed while it recovers: its directory.
const ROLE: &str = "MAINSTAY_SPOOL_PATIENT";

fn settings() -> SpoolSettings {
    SpoolSettings::new().batch(1_000).linger(Duration::ZERO).backoff(OpenFor::fixed(Duration::from_millis(1)))
}

fn key(value: u64) -> String {
    format!("key-{}", value % 1_009)
}

fn down() -> Ledger {
    Ledger::answering(|_| Outcome::unavailable_for(3_600 * SECOND, "down"))
}

async fn push(spool: &Spool<u64>, values: impl Iterator<Item = u64>) {
    let pushes: Vec<_> = values
        .map(|value| {
            let spool = spool.clone();
            tokio::spawn(async move { spool.push_with(key(value), value).await.map(drop) })
        })
        .collect();
    for push in pushes {
        push.await.unwrap().unwrap();
    }
}

/// The files of a directory as a crash leaves them: 0..600 in the database, 600..900 in its write-ahead file.
async fn crashed() -> tempfile::TempDir {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let spool = Spool::open(dir.path(), settings(), down()).unwrap();
    push(&spool, 0..600).await;
    spool.drain(Duration::ZERO).await;
    let spool = Spool::open(dir.path(), settings(), down()).unwrap();
    push(&spool, 600..900).await;
    for name in ["items.db", "items.db-wal", "dead.db"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    drop(spool);
    copy
}

/// Destroys a page, and says how many items cannot be read any more.
fn damage(dir: &Path) -> usize {
    let path = dir.join("items.db");
    let mut bytes = fs::read(&path).unwrap();
    // A leaf of the table with many items.
    let page = (3..bytes.len() / PAGE).find(|page| {
        let page = &bytes[page * PAGE..][..PAGE];
        page[0] == 13 && u16::from_be_bytes([page[3], page[4]]) > 20
    });
    let page = page.unwrap();
    bytes[page * PAGE..][..PAGE].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let copy = copied(dir);
    let old = rusqlite::Connection::open(copy.path().join("items.db")).unwrap();
    let is_gone = |place: &i64| {
        old.query_row("SELECT body FROM rows WHERE place = ?1", [place], |row| row.get::<_, Vec<u8>>(0))
            .is_err()
    };
    let gone = (1..=900).filter(is_gone).count();
    assert!(gone > 20 && gone < 200, "{gone}");
    gone
}

fn copied(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_all(dir, copy.path());
    copy
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &to)
        } else {
            let _ = fs::copy(entry.path(), to).unwrap();
        }
    }
}

struct Found {
    values: Vec<u64>,
    kinds: Vec<FindingKind>,
    recovered: Vec<u64>,
    aside: Vec<PathBuf>,
}

/// Opens what there is, delivers it, and sees that the next opening finds nothing any more.
async fn opened(dir: &Path) -> Found {
    let ledger = Ledger::new();
    let spool = Spool::open(dir, settings(), ledger.clone()).unwrap();
    let findings = spool.findings().to_vec();
    assert_eq!(spool.push(1_000_000).await.unwrap().await, Fate::Delivered);
    assert_eq!(spool.drain(20 * SECOND).await.left, 0);
    assert_eq!(spool.stats().dead_letters, 0);
    for (at, values) in by_key(&ledger.seen()) {
        for value in &values {
            assert!(*value == 1_000_000 || at == key(*value), "{value} has another key");
        }
    }
    let mut values = ledger.values();
    values.sort_unstable();
    assert_eq!(values.pop(), Some(1_000_000));
    assert!(values.is_sorted_by(|left, right| left < right), "some came twice");
    let names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("recovered")), "{names:?}");
    let is_numbered = |dir: &Path| dir.is_dir() && dir.ends_with("aside/1");
    assert!(findings.iter().all(|finding| is_numbered(&finding.set_aside)), "{findings:?}");
    let again = Spool::open(dir, settings(), Ledger::new()).unwrap();
    assert!(again.findings().is_empty(), "{:?}", again.findings());
    assert_eq!(again.drain(SECOND).await.left, 0);
    Found {
        values,
        kinds: findings.iter().map(|finding| finding.kind).collect(),
        recovered: findings.iter().map(|finding| finding.recovered).collect(),
        aside: findings.into_iter().map(|finding| finding.set_aside).collect(),
    }
}

fn rename(dir: &Path, from: &str, to: &str) {
    fs::create_dir_all(dir.join(to).parent().unwrap()).unwrap();
    fs::rename(dir.join(from), dir.join(to)).unwrap();
}

/// A damaged directory; what a complete recovery makes of its items; and what was delivered then.
async fn patient() -> (tempfile::TempDir, Vec<u8>, Vec<u64>) {
    let dir = crashed().await;
    let gone = damage(dir.path());
    let healed = copied(dir.path());
    let spool = Spool::open(healed.path(), settings(), down()).unwrap();
    assert_eq!(spool.findings()[0].recovered, 900 - gone as u64);
    spool.drain(Duration::ZERO).await;
    let recovered = fs::read(healed.path().join("items.db")).unwrap();
    let found = opened(healed.path()).await;
    assert_eq!(found.values.len(), 900 - gone);
    (dir, recovered, found.values)
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_with_its_write_ahead_file_as_it_was() {
    let (dir, _, whole) = patient().await;
    let before = ["items.db", "items.db-wal"].map(|name| fs::read(dir.path().join(name)).unwrap());
    let found = opened(dir.path()).await;
    assert_eq!((found.values, found.kinds), (whole, vec![FindingKind::Corrupt]));
    let after = ["items.db", "items.db-wal"].map(|name| fs::read(found.aside[0].join(name)).unwrap());
    assert!(before == after, "the recovery changed the damaged file");
}

#[tokio::test]
async fn a_copy_that_is_not_complete_is_made_anew() {
    let (dir, recovered, whole) = patient().await;
    for length in [0, 1, PAGE, recovered.len() / 2, recovered.len()] {
        let dir = copied(dir.path());
        fs::write(dir.path().join("items.db.recovered"), &recovered[..length]).unwrap();
        fs::write(dir.path().join("items.db.recovered-wal"), &recovered[..length]).unwrap();
        let found = opened(dir.path()).await;
        assert_eq!((found.values, found.kinds), (whole.clone(), vec![FindingKind::Corrupt]), "{length}");
        assert_eq!(found.recovered, [whole.len() as u64]);
    }
}

#[tokio::test]
async fn a_copy_that_is_complete_takes_its_place_wherever_the_moves_were_interrupted() {
    let (dir, recovered, whole) = patient().await;
    // Before the first move: the directory for it is there, or not even that.
    for directory in ["aside", "aside/items.db.corrupt"] {
        let dir = copied(dir.path());
        fs::write(dir.path().join("items.db.recovered"), &recovered).unwrap();
        fs::create_dir_all(dir.path().join(directory)).unwrap();
        let found = opened(dir.path()).await;
        assert_eq!((found.values, found.kinds), (whole.clone(), vec![FindingKind::Corrupt]), "{directory}");
    }
    for step in 1..=3 {
        let dir = copied(dir.path());
        fs::write(dir.path().join("items.db.recovered"), &recovered).unwrap();
        rename(dir.path(), "items.db", "aside/items.db.corrupt/items.db");
        if step > 1 {
            rename(dir.path(), "items.db-wal", "aside/items.db.corrupt/items.db-wal");
        }
        if step > 2 {
            rename(dir.path(), "items.db.recovered", "items.db");
        }
        let found = opened(dir.path()).await;
        assert_eq!((found.values, found.kinds), (whole.clone(), vec![FindingKind::Corrupt]), "{step}");
        assert_eq!(found.recovered, [whole.len() as u64], "{step}");
        assert!(
            found.aside[0].join("items.db").exists() && found.aside[0].join("items.db-wal").exists(),
            "{step}"
        );
    }
}

#[tokio::test]
async fn a_copy_without_a_file_is_taken_also_if_nobody_knows_where_the_file_went() {
    let (dir, recovered, whole) = patient().await;
    for companions in [true, false] {
        let dir = copied(dir.path());
        fs::write(dir.path().join("items.db.recovered"), &recovered).unwrap();
        fs::remove_file(dir.path().join("items.db")).unwrap();
        if !companions {
            fs::remove_file(dir.path().join("items.db-wal")).unwrap();
        }
        let found = opened(dir.path()).await;
        assert_eq!(found.values, whole, "{companions}");
        assert_eq!(found.kinds.len(), usize::from(companions));
    }
}

#[tokio::test]
async fn a_write_ahead_file_that_lost_its_database_is_kept() {
    for empty in [true, false] {
        let dir = crashed().await;
        let log = fs::read(dir.path().join("items.db-wal")).unwrap();
        if empty {
            fs::write(dir.path().join("items.db"), b"").unwrap();
        } else {
            fs::remove_file(dir.path().join("items.db")).unwrap();
        }
        let found = opened(dir.path()).await;
        assert_eq!((found.values, found.kinds), (vec![], vec![FindingKind::Corrupt]));
        assert_eq!(fs::read(found.aside[0].join("items.db-wal")).unwrap(), log);
    }
}

#[tokio::test]
async fn what_belongs_to_a_foreign_or_newer_file_follows_it_after_a_crash() {
    for (name, kind) in [("foreign", FindingKind::Foreign), ("newer", FindingKind::Newer)] {
        let dir = crashed().await;
        let log = fs::read(dir.path().join("items.db-wal")).unwrap();
        rename(dir.path(), "items.db", &format!("aside/items.db.{name}/items.db"));
        let found = opened(dir.path()).await;
        assert_eq!((found.values, found.kinds, found.recovered), (vec![], vec![kind], vec![0]));
        assert!(found.aside[0].join("items.db").exists());
        assert_eq!(fs::read(found.aside[0].join("items.db-wal")).unwrap(), log);
    }
}

#[tokio::test]
async fn one_damaged_place_in_a_page_hides_no_other_item() {
    let dir = crashed().await;
    let file = rusqlite::Connection::open(dir.path().join("items.db")).unwrap();
    // Far behind all others, and the file is not sound for another reason.
    file.execute_batch(
        "DROP INDEX rows_by_key; UPDATE rows SET place = 1 << 62 WHERE place = 450; UPDATE rows SET place = -7 WHERE place = 451",
    )
    .unwrap();
    drop(file);
    // What is pushed then has a sound place, too.
    let spool = Spool::open(dir.path(), settings(), down()).unwrap();
    assert_eq!((spool.findings().len(), spool.findings()[0].recovered), (1, 900));
    push(&spool, 900..910).await;
    spool.drain(Duration::ZERO).await;
    let found = opened(dir.path()).await;
    assert_eq!((found.values, found.kinds), ((0..910).collect(), vec![]));
}

#[tokio::test]
async fn damage_to_a_few_bytes_of_the_head_loses_no_item() {
    // Who may write it, and whose file it is.
    for at in [18, 68, 71] {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), settings(), down()).unwrap();
        push(&spool, 0..100).await;
        spool.drain(Duration::ZERO).await;
        let mut bytes = fs::read(dir.path().join("items.db")).unwrap();
        bytes[at] ^= 0x08;
        fs::write(dir.path().join("items.db"), bytes).unwrap();
        let ledger = Ledger::new();
        let spool = Spool::open(dir.path(), settings(), ledger.clone()).unwrap();
        let recovered: u64 = spool.findings().iter().map(|finding| finding.recovered).sum();
        assert_eq!(recovered, 100, "byte {at}");
        assert_eq!(spool.drain(20 * SECOND).await.left, 0);
        assert_eq!(ledger.values().len(), 100);
    }
}

#[tokio::test]
async fn a_file_that_ends_within_a_page_is_damaged_unless_its_write_ahead_file_has_the_rest() {
    let dir = crashed().await;
    let whole = fs::read(dir.path().join("items.db")).unwrap();
    // A copy of the log into the database that the loss of power interrupts.
    fs::write(dir.path().join("items.db"), [&whole[..], &[0; 512]].concat()).unwrap();
    let found = opened(dir.path()).await;
    assert_eq!((found.values, found.kinds), ((0..900).collect(), vec![]));

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("items.db"), &whole[..whole.len() - 1]).unwrap();
    let found = opened(dir.path()).await;
    assert_eq!(found.kinds, [FindingKind::Corrupt]);
    assert!(
        found.values.len() > 500 && found.values.iter().all(|value| *value < 600),
        "{}",
        found.values.len()
    );
}

#[tokio::test]
async fn nobody_opens_a_directory_while_another_recovers_it() {
    let (dir, _, whole) = patient().await;
    let lock = fs::File::options().create(true).append(true).open(dir.path().join("lock")).unwrap();
    lock.lock().unwrap();
    fs::write(dir.path().join("items.db.recovered"), b"half").unwrap();
    let refused = Spool::<u64>::open(dir.path(), settings(), Ledger::new()).map(drop);
    assert_eq!(refused, Err(OpenError::Store(Fault::InUse)));
    assert_eq!(fs::read(dir.path().join("items.db.recovered")).unwrap(), b"half");
    drop(lock);
    assert_eq!(opened(dir.path()).await.values, whole);
}

/// What the killed process does: opens the spool, and says so.
#[test]
fn be_the_patient_if_told_so() {
    let Ok(dir) = std::env::var(ROLE) else {
        return;
    };
    println!("\nopening");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let spool = Spool::open(&dir, settings(), down()).unwrap();
        println!("\nopened {}", spool.findings().len());
    });
}

#[tokio::test]
async fn a_large_recovery_that_is_killed_again_and_again_loses_nothing() {
    let kills: u64 = std::env::var("MAINSTAY_RECOVERY_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), settings(), down()).unwrap();
    push(&spool, 0..20_000).await;
    spool.drain(Duration::ZERO).await;
    let path = dir.path().join("items.db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / PAGE / 2;
    let page = (middle..).find(|page| bytes[page * PAGE] == 13).unwrap();
    bytes[page * PAGE + 8..][..PAGE - 8].fill(0xa5);
    fs::write(&path, bytes).unwrap();

    let healed = copied(dir.path());
    let before = std::time::Instant::now();
    let spool = Spool::open(healed.path(), settings(), down()).unwrap();
    let takes = before.elapsed().as_micros() as u64;
    let wanted = spool.findings()[0].recovered;
    spool.drain(Duration::ZERO).await;
    assert!((19_800..20_000).contains(&wanted), "{wanted}");
    let whole = opened(healed.path()).await.values;
    assert_eq!(whole.len() as u64, wanted);

    let mut interrupted = 0;
    for round in 0..kills {
        let turn = copied(dir.path());
        // Some are killed twice before they come to an end.
        for again in 0..=round % 2 {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "be_the_patient_if_told_so", "--nocapture"])
                .env(ROLE, turn.path())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            while line.trim() != "opening" {
                line.clear();
                assert!(output.read_line(&mut line).unwrap() > 0);
            }
            std::thread::sleep(Duration::from_micros(scramble(round * 2 + again) % takes));
            child.kill().unwrap();
            child.wait().unwrap();
            interrupted +=
                u64::from(!output.lines().map_while(Result::ok).any(|line| line.starts_with("opened")));
        }
        let found = opened(turn.path()).await;
        assert!(found.values == whole, "{round}: {} of {}", found.values.len(), whole.len());
    }
    assert!(interrupted * 2 > kills, "{interrupted}");
}
