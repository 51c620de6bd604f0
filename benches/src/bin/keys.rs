//! A million keyed breakers: how much memory they take, and how many calls a second go through them by so many threads.
//! Fails if they do not fit.
//!
//! `cargo run -p mainstay-benches --release --bin keys`; `--quick` for shorter rounds.

#![forbid(unsafe_code)]

use std::borrow::Borrow;
use std::env;
use std::hash::Hash;
use std::hint::black_box;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use mainstay_benches::budget::{self, Budget};
use mainstay_benches::{machine, table};
use mainstay_breaker::Keyed;

const KEYS: u64 = 1_000_000;
/// The promise: what a process with a million healthy breakers holds in memory, all in all.
const MOST_MIB: u64 = 512;
const THREADS: [usize; 3] = [1, 2, 8];
const ROUND: Duration = Duration::from_millis(200);

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
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => report(false),
        ["--quick"] => report(true),
        ["of", "u64", rounds] => one::<u64>(rounds),
        ["of", "String", rounds] => one::<String>(rounds),
        _ => Err("usage: keys [--quick]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("keys: {error}");
            ExitCode::from(2)
        }
    }
}

fn report(quick: bool) -> Result<bool, Error> {
    let mut page = table::head("A million keys", "keys", machine::load(), quick, &["papaya"]);
    page += "- the keyed set has its default settings: a run of failures, or a rate over 30 s\n\n";
    let mut budgets = Vec::new();
    for kind in ["u64", "String"] {
        let rounds = if quick { "1" } else { "5" };
        let output =
            Command::new(env::current_exe()?).args(["of", kind, rounds]).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("the process for {kind} ended with {}", output.status).into());
        }
        let text = String::from_utf8(output.stdout)?;
        let (section, mib) = text.rsplit_once("whole: ").ok_or("it did not say how much it holds")?;
        page += section;
        let mib: u64 = mib.trim().parse()?;
        let promise = format!("a million keyed breakers, {kind} keys: the process holds ≤ {MOST_MIB} MiB");
        budgets.push(Budget::new(promise, format!("{mib} MiB"), mib <= MOST_MIB));
    }
    print!("{page}{}", budget::section(&budgets));
    Ok(quick || budget::kept(&budgets))
}

fn one<K: Key>(rounds: &str) -> Result<bool, Error> {
    let rounds = rounds.parse()?;
    let before = resident()?;
    let most = usize::try_from(KEYS)?;
    let set = Keyed::<K>::builder("keys").max_keys(most).build()?;
    for number in 0..KEYS {
        succeed(&set, &K::new(number));
    }
    let healthy = resident()?;
    if set.len() != most {
        return Err(format!("{} keys instead of {most}", set.len()).into());
    }
    println!("## {}\n", K::NAME);
    println!("- a million healthy breakers, each called once: {}", each(healthy - before));
    throughput(&set, "1,000 hot keys", 1_000, rounds);
    throughput(&set, "any key", KEYS, rounds);
    for number in 0..KEYS {
        let _ = set.call(&K::new(number), || Err::<(), _>(()));
    }
    println!("- after one failure each (not promised): {}\n", each(resident()? - before));
    println!("whole: {}", healthy >> 20);
    Ok(true)
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

fn throughput<K: Key>(set: &Keyed<K>, what: &str, span: u64, count: usize) {
    let keys: Vec<K> = (0..span).map(|turn| K::new(turn * (KEYS / span))).collect();
    let mut figures = Vec::new();
    for threads in THREADS {
        let mut rounds: Vec<f64> = (0..count).map(|_| round(set, &keys, threads)).collect();
        rounds.sort_by(f64::total_cmp);
        let median = rounds.get(count / 2).copied().unwrap_or(f64::NAN);
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
