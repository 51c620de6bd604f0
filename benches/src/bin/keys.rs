//! A million keyed breakers: how much memory they take, and how many calls a second go through them by so many threads.
//! Fails if they do not fit.

#![forbid(unsafe_code)]

use std::borrow::Borrow;
use std::env;
use std::hash::Hash;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use mainstay_breaker::Keyed;

const KEYS: u64 = 1_000_000;
/// The promise: what a process with a million healthy breakers holds in memory, all in all.
const MOST_BYTES: u64 = 512 << 20;
const THREADS: [usize; 3] = [1, 2, 8];
const ROUND: Duration = Duration::from_millis(200);
const ROUNDS: usize = 5;

/// A key is made from its number before the clock is started.
trait Key: Hash + Eq + Clone + Send + Sync + 'static {
    const NAME: &str;

    fn new(number: u64) -> Self;
}

impl Key for u64 {
    const NAME: &str = "u64";

    fn new(number: u64) -> Self {
        number
    }
}

impl Key for String {
    const NAME: &str = "String of 16 bytes";

    fn new(number: u64) -> Self {
        format!("tenant-{number:09}")
    }
}

type Error = Box<dyn std::error::Error>;

/// Each kind of key has a process of its own, so that none takes over the other's freed memory.
fn main() -> ExitCode {
    let done = match env::args().nth(1).as_deref() {
        None => all(),
        Some("u64") => one::<u64>(),
        Some("String") => one::<String>(),
        Some(other) => Err(format!("what is {other}? one of: u64, String, or nothing for both").into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("keys: {error}");
            ExitCode::FAILURE
        }
    }
}

fn all() -> Result<bool, Error> {
    let mut fit = true;
    for kind in ["u64", "String"] {
        fit &= Command::new(env::current_exe()?).arg(kind).status()?.success();
    }
    Ok(fit)
}

fn one<K: Key>() -> Result<bool, Error> {
    let before = resident()?;
    let most = usize::try_from(KEYS)?;
    // Its settings are the defaults: a run of failures, or a rate over 30 s.
    let set = Keyed::<K>::builder("keys").max_keys(most).build()?;
    for number in 0..KEYS {
        succeed(&set, &K::new(number));
    }
    let healthy = resident()?;
    let fits = healthy <= MOST_BYTES && set.len() == most;
    println!("## {}\n", K::NAME);
    println!("- a million healthy breakers, default settings, each called once: {}", each(healthy - before));
    let verdict = if fits { "met" } else { "**NOT met**" };
    println!("- the whole process: {} MiB of {} MiB, {verdict}", healthy >> 20, MOST_BYTES >> 20);
    throughput(&set, "1,000 hot keys", 1_000);
    throughput(&set, "any key", KEYS);
    for number in 0..KEYS {
        let _ = set.call(&K::new(number), || Err::<(), _>(()));
    }
    println!("- after one failure each (not promised): {}\n", each(resident()? - before));
    Ok(fits)
}

fn each(bytes: u64) -> String {
    format!("{} MiB, {} bytes each", bytes >> 20, bytes / KEYS)
}

fn succeed<K, Q>(set: &Keyed<K>, key: &Q)
where
    K: Key + Borrow<Q>,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    let _ = black_box(set.call(key, || Ok::<_, ()>(())));
}

fn throughput<K: Key>(set: &Keyed<K>, what: &str, span: u64) {
    let keys: Vec<K> = (0..span).map(|turn| K::new(turn * (KEYS / span))).collect();
    let mut figures = Vec::new();
    for threads in THREADS {
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(set, &keys, threads)).collect();
        rounds.sort_by(f64::total_cmp);
        let median = rounds.get(ROUNDS / 2).copied().unwrap_or(f64::NAN);
        figures.push(format!("{threads} threads {median:.1}"));
    }
    println!("- millions of calls a second, {what}: {}", figures.join(", "));
}

/// Millions of calls a second, of all threads together.
fn round<K: Key>(set: &Keyed<K>, keys: &[K], threads: usize) -> f64 {
    let start = Barrier::new(threads);
    std::thread::scope(|scope| {
        let worker = |thread: usize| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                work(set, keys, thread as u64)
            })
        };
        let workers: Vec<_> = (0..threads).map(worker).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or(f64::NAN)).sum()
    })
}

fn work<K: Key>(set: &Keyed<K>, keys: &[K], thread: u64) -> f64 {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ thread.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let (begun, mut calls) = (Instant::now(), 0_u32);
    while begun.elapsed() < ROUND {
        for _ in 0..1_000 {
            // In an order that no cache foresees.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let turn = (u128::from(state) * keys.len() as u128) >> 64;
            if let Some(key) = keys.get(turn as usize) {
                succeed(set, key);
            }
        }
        calls += 1_000;
    }
    f64::from(calls) / begun.elapsed().as_secs_f64() / 1e6
}

/// The process's resident memory in bytes, as Linux tells it.
fn resident() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}
