//! A process that is killed at random moments: what it was told is accepted arrives, in the order of its key, and nothing else.
//!
//! `MAINSTAY_KILLS` is how often it is killed; 50 without it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mainstay_core::splitmix::scramble;
use mainstay_spool::{FsyncPolicy, Item, Outcome, Sink, Spool, SpoolSettings};

/// Set in the process that is killed: its directory, where it begins to count, and the policy.
const ROLE: &str = "MAINSTAY_SPOOL_VICTIM";

/// Appends each delivery to a file, as a line that one write makes. Some fail first, so that there are tries to remember.
struct Journal(std::fs::File);

impl Sink<u64> for Journal {
    async fn deliver(&self, batch: &[Item<u64>]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for item in batch {
            if item.value() % 17 == 3 && item.attempt() == 1 {
                outcomes.push(Outcome::retry("at first"));
                continue;
            }
            if is_poison(*item.value()) {
                outcomes.push(Outcome::poison("never"));
                continue;
            }
            let line = format!("{} {} {}\n", item.key().unwrap_or_default(), item.value(), item.id());
            outcomes.push(match (&self.0).write_all(line.as_bytes()) {
                Ok(()) => Outcome::Done,
                Err(error) => Outcome::retry(error.to_string()),
            });
        }
        outcomes
    }
}

fn settings(policy: &str) -> SpoolSettings {
    let policy = match policy {
        "item" => FsyncPolicy::EachItem,
        "batch" => FsyncPolicy::EachBatch,
        _ => FsyncPolicy::Interval(Duration::from_millis(50)),
    };
    let backoff = mainstay_spool::OpenFor::fixed(Duration::from_millis(5));
    SpoolSettings::new().fsync(policy).linger(Duration::from_millis(1)).batch(7).backoff(backoff)
}

fn journal(dir: &Path) -> std::fs::File {
    std::fs::File::options().create(true).append(true).open(dir.join("journal")).unwrap()
}

/// Some die, so that it is killed between the two files too.
fn is_poison(value: u64) -> bool {
    value % 7 == 5
}

fn key(value: u64) -> String {
    format!("key-{}", value % 5)
}

/// What the killed process does: pushes numbers from several tasks, each with a key of its own, and says which were accepted.
#[test]
fn be_the_victim_if_told_so() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let [dir, from, policy] = role.split('|').collect::<Vec<_>>()[..] else {
        panic!("{role}");
    };
    let (dir, from): (_, u64) = (Path::new(dir), from.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let spool = Spool::open(dir.join("spool"), settings(policy), Journal(journal(dir))).unwrap();
        assert!(spool.findings().is_empty());
        println!("\nopened");
        let tasks = (0..5).map(|task| {
            let spool = spool.clone();
            tokio::spawn(async move {
                for step in 0_u64.. {
                    let value = from + task + step * 5;
                    let ticket = spool.push_with(key(value), value).await.unwrap();
                    // One write each, before the next item of the key is pushed.
                    std::io::stdout()
                        .write_all(format!("\naccepted {value} {}\n", ticket.id()).as_bytes())
                        .unwrap();
                }
            })
        });
        let tasks = tasks.collect::<Vec<_>>();
        // The dead come back, only to die again.
        loop {
            for letter in spool.dead_letters(None, 3).await.unwrap() {
                spool.requeue(letter.id).await.unwrap();
            }
            assert!(tasks.iter().all(|task| !task.is_finished()));
            tokio::task::yield_now().await;
        }
    });
}

fn victim(dir: &Path, from: u64, policy: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "be_the_victim_if_told_so", "--nocapture"])
        .env(ROLE, format!("{}|{from}|{policy}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn whatever_was_accepted_arrives_after_any_number_of_kills_in_order_and_nothing_is_invented() {
    let kills: u64 = std::env::var("MAINSTAY_KILLS").map_or(50, |kills| kills.parse().unwrap());
    for (turn, policy) in ["batch", "interval", "item"].into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let mut accepted: HashMap<String, u64> = HashMap::new();
        let rounds = kills / 3 + u64::from(kills % 3 > turn as u64);
        for round in 0..rounds {
            let mut child = victim(dir.path(), round * 1_000_000, policy);
            let mut output = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            while line.trim() != "opened" {
                line.clear();
                assert!(
                    output.read_line(&mut line).unwrap() > 0,
                    "it does not open: round {round}, {policy}"
                );
            }
            // At any moment: while the first are on their way, or after some hundreds.
            let moment = Instant::now() + Duration::from_micros(scramble(round) % 40_000);
            let reader = std::thread::spawn(move || output.lines().map_while(Result::ok).collect::<Vec<_>>());
            std::thread::sleep(moment.saturating_duration_since(Instant::now()));
            child.kill().unwrap();
            child.wait().unwrap();
            for line in reader.join().unwrap() {
                if let ["accepted", value, id] = line.split(' ').collect::<Vec<_>>()[..] {
                    accepted.insert(id.to_owned(), value.parse().unwrap());
                }
            }
        }
        let dead = deliver_the_rest(dir.path(), policy);
        judge(dir.path(), policy, &accepted, &dead, rounds);
    }
}

/// Returns the dead letters.
fn deliver_the_rest(dir: &Path, policy: &str) -> Vec<(String, u64)> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let spool = Spool::open(dir.join("spool"), settings(policy), Journal(journal(dir))).unwrap();
        assert!(spool.findings().is_empty());
        while spool.stats().backlog > 0 {
            tokio::task::yield_now().await;
        }
        let letters = spool.dead_letters(None, usize::MAX).await.unwrap();
        assert_eq!(spool.stats().dead_letters, letters.len() as u64);
        assert_eq!(spool.drain(Duration::from_secs(60)).await.left, 0);
        letters.into_iter().map(|letter| (letter.id.to_string(), letter.item.unwrap())).collect()
    })
}

fn judge(dir: &Path, policy: &str, accepted: &HashMap<String, u64>, dead: &[(String, u64)], rounds: u64) {
    let text = std::fs::read_to_string(dir.join("journal")).unwrap();
    let (mut known, mut values, mut last) = (HashMap::new(), HashSet::new(), HashMap::new());
    for line in text.lines() {
        let [at, value, id] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{policy}: half a delivery: {line}");
        };
        let value: u64 = value.parse().unwrap();
        assert_eq!(at, key(value), "{policy}: invented");
        assert!(!is_poison(value), "{policy}: {value} was never delivered");
        if let Some(before) = known.insert(id.to_owned(), value) {
            assert_eq!(before, value, "{policy}: one id for two items");
            continue;
        }
        assert!(values.insert(value), "{policy}: one item with two ids: {value}");
        if let Some(before) = last.insert(at.to_owned(), value) {
            assert!(before < value, "{policy}: {value} of {at} came after {before}");
        }
    }
    for (id, value) in dead {
        assert!(is_poison(*value), "{policy}: {value} should not have died");
        assert_eq!(known.insert(id.clone(), *value), None, "{policy}: {value} died twice");
        assert!(values.insert(*value), "{policy}: one dead item with two ids: {value}");
    }
    for value in values {
        assert!(value / 1_000_000 < rounds, "{policy}: invented: {value}");
    }
    for (id, value) in accepted {
        assert_eq!(known.get(id), Some(value), "{policy}: lost");
    }
    // At most one of each task was under way when it was killed: accepted, but not said.
    let unsaid = known.len() - accepted.len();
    assert!(unsaid as u64 <= rounds * 5, "{policy}: {unsaid} that nobody pushed");
    assert!(accepted.len() as u64 > rounds, "{policy}: too few to say anything: {}", accepted.len());
}
