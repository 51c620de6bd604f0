//! A sink that is away for an hour, and what comes after it.
//!
//! `MAINSTAY_OUTAGE_RATE` is how many items a second are pushed meanwhile; 20 without it. At 1,000, take a release build.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_breaker::{Breaker, State, Trip};
use mainstay_spool::{
    Clock, Fate, FsyncPolicy, Item, ManualClock, OpenFor, Outcome, Sink, Spool, SpoolSettings,
};
use tokio::sync::watch;

const SECOND: Duration = Duration::from_secs(1);

/// Refuses while it is down. Up, it demands that each key's items come in their order, each at its first try.
struct Orders {
    up: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    last: Mutex<HashMap<String, u64>>,
    done: watch::Sender<u64>,
    /// How many it had when the item came that was pushed last.
    before_new: Arc<AtomicU64>,
}

impl Sink<u64> for Orders {
    async fn deliver(&self, batch: &[Item<u64>]) -> Vec<Outcome> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if !self.up.load(Ordering::SeqCst) {
            return batch.iter().map(|_| Outcome::unavailable("refused")).collect();
        }
        let mut last = self.last.lock().unwrap();
        for item in batch {
            assert_eq!(item.attempt(), 1);
            let key = item.key().unwrap().to_owned();
            if key == "new" {
                self.before_new.store(*self.done.borrow(), Ordering::SeqCst);
            }
            let before = last.insert(key, *item.value());
            assert!(before < Some(*item.value()), "{} after {before:?}", item.value());
        }
        self.done.send_modify(|done| *done += batch.len() as u64);
        batch.iter().map(|_| Outcome::Done).collect()
    }
}

/// Lets time go by, in steps, as fast as the machine manages.
fn ticking(time: ManualClock, step: Duration) -> impl Drop {
    struct Ticking(tokio::task::JoinHandle<()>);
    impl Drop for Ticking {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    Ticking(tokio::spawn(async move {
        loop {
            time.advance(step);
            tokio::task::yield_now().await;
        }
    }))
}

#[cfg(target_os = "linux")]
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[cfg(not(target_os = "linux"))]
fn resident_bytes() -> u64 {
    0
}

#[tokio::test]
async fn an_outage_of_an_hour_uses_up_no_tries_and_little_memory_and_is_replayed_in_order_before_what_is_new()
{
    let rate: u64 = std::env::var("MAINSTAY_OUTAGE_RATE").map_or(20, |rate| rate.parse().unwrap());
    let (batch, concurrency, window) = (100, 4, 2_000);
    let dir = tempfile::tempdir().unwrap();
    let (clock, time) = Clock::manual();
    let (up, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (done, mut is_done) = watch::channel(0);
    let before_new = Arc::new(AtomicU64::new(0));
    let (last, new) = (Mutex::default(), before_new.clone());
    let sink = Orders { up: up.clone(), asked: asked.clone(), last, done, before_new: new };
    let breaker = Breaker::builder("sink")
        .trip(Trip::consecutive_failures(3))
        .open_for(OpenFor::fixed(10 * SECOND))
        .ramp(60 * SECOND)
        .clock(clock.clone())
        .build()
        .unwrap();
    let settings = SpoolSettings::new()
        .clock(clock)
        .linger(Duration::from_millis(10))
        .backoff(OpenFor::exponential(SECOND / 10, 10 * SECOND))
        .breaker(breaker)
        .batch(batch)
        .concurrency(concurrency)
        .window(window, 1 << 20)
        // An hour of syncs takes long, however fast the clock goes.
        .fsync(FsyncPolicy::Interval(60 * SECOND));
    let spool = Spool::open(dir.path(), settings, sink).unwrap();
    let items = 3_600 * rate;
    let mut before = 0;
    for second in 0..3_600 {
        let pushes = (second * rate..(second + 1) * rate)
            .map(|value| spool.push_with(format!("key-{}", value % 1_009), value));
        for pushed in join_all(pushes).await {
            drop(pushed.unwrap());
        }
        time.advance(SECOND);
        let stats = spool.stats();
        assert!(stats.in_memory + stats.waiting <= window as u64, "{stats:?}");
        if second == 60 {
            before = resident_bytes();
        }
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "memory grew by {grown} bytes");
    let stats = spool.stats();
    assert_eq!((stats.backlog, stats.failed_tries, stats.dead_lettered), (items, 0, 0));
    let tried = asked.load(Ordering::SeqCst);
    assert!(tried <= 3 + 3_600 / 10 * 3, "the breaker keeps the spool away: {tried}");

    up.store(true, Ordering::SeqCst);
    let new = spool.push_with("new", items).await.unwrap();
    let _ticking = ticking(time, SECOND / 10);
    assert_eq!(new.await, Fate::Delivered);
    let before = before_new.load(Ordering::SeqCst);
    assert!(before + (batch * concurrency) as u64 > items, "it came before {} older ones", items - before);
    is_done.wait_for(|done| *done == items + 1).await.unwrap();
    assert_eq!(spool.drain(SECOND).await.left, 0);
    assert_eq!(spool.stats().delivered, items + 1);
}

/// Takes a tenth of a second for each delivery, and counts them by the tenth of the ramp in which they began.
struct Slow {
    clock: Clock,
    up: Arc<AtomicBool>,
    under_way: AtomicU32,
    most: Arc<AtomicU32>,
    begun: watch::Sender<Vec<Duration>>,
}

impl Sink<u64> for Slow {
    async fn deliver(&self, batch: &[Item<u64>]) -> Vec<Outcome> {
        if !self.up.load(Ordering::SeqCst) {
            return batch.iter().map(|_| Outcome::unavailable("refused")).collect();
        }
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(under_way, Ordering::SeqCst);
        let now = self.clock.now();
        self.begun.send_modify(|begun| begun.push(now));
        self.clock.sleep_until(now + SECOND / 10).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        batch.iter().map(|_| Outcome::Done).collect()
    }
}

#[tokio::test]
async fn a_sink_that_recovers_gets_the_backlog_by_and_by() {
    let (clock, time) = Clock::manual();
    let (up, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let (begun, mut has_begun) = watch::channel(Vec::new());
    let sink = Slow {
        clock: clock.clone(),
        up: up.clone(),
        under_way: AtomicU32::new(0),
        most: most.clone(),
        begun,
    };
    let (ramp, concurrency) = (100 * SECOND, 4);
    let breaker = Breaker::builder("sink")
        .trip(Trip::consecutive_failures(1))
        .open_for(OpenFor::fixed(10 * SECOND))
        .ramp(ramp)
        .clock(clock.clone())
        .build()
        .unwrap();
    let settings = SpoolSettings::new()
        .clock(clock.clone())
        .breaker(breaker.clone())
        .batch(10)
        .concurrency(concurrency)
        .backoff(OpenFor::fixed(SECOND));
    let spool = Spool::in_memory(settings, sink).unwrap();
    let items = 20_000_u64;
    for pushed in join_all((0..items).map(|value| spool.push(value))).await {
        drop(pushed.unwrap());
    }
    while breaker.state() != State::Open {
        tokio::task::yield_now().await;
    }
    up.store(true, Ordering::SeqCst);
    let _ticking = ticking(time, SECOND / 100);
    // What comes meanwhile makes it no faster.
    let pushes = spool.clone();
    tokio::spawn(async move {
        for value in 0..1_000 {
            drop(pushes.push(value).await.unwrap());
            tokio::task::yield_now().await;
        }
    });
    has_begun.wait_for(|begun| begun.len() as u64 >= items / 10 + 100).await.unwrap();
    assert_eq!(spool.drain(10 * SECOND).await.left, 0);

    let begun = has_begun.borrow().clone();
    // While it ramps, a share of the calls that grows: a tenth of it goes by before there are more than a few.
    let full = 10 * concurrency as u64;
    let in_seconds = |from: u64, to: u64| {
        let seconds = begun[0] + SECOND * from as u32..begun[0] + SECOND * to as u32;
        begun.iter().filter(|at| seconds.contains(at)).count() as u64
    };
    let tenths: Vec<u64> = (0..10).map(|tenth| in_seconds(tenth * 10, tenth * 10 + 10)).collect();
    for (tenth, deliveries) in (1..).zip(&tenths) {
        assert!(*deliveries <= full * 10 * tenth / 10 + full, "{tenths:?}");
    }
    assert!(tenths[0] * 4 < full * 10, "{tenths:?}");
    assert!(in_seconds(0, 100) < full * 60, "{tenths:?}");
    assert!(most.load(Ordering::SeqCst) <= concurrency as u32);
}
