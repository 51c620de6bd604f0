//! More requests than a service can do, and what becomes of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use mainstay_core::splitmix;
use mainstay_degrade::{Clock, Criticality, DegradationManager, Level};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, interval};
use tower::{BoxError, ServiceExt};

use crate::server::{Answer, Server};

/// How long a window is that figures are told of.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);
/// How often requests are sent: those that have become due since the last time.
const TICK: Duration = Duration::from_millis(2);

/// What is sent: classes, and how often as a multiple of the capacity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) shares: [(Criticality, f64); 3],
    /// For how long the critical requests alone are sent before.
    pub(crate) calm: Duration,
    pub(crate) length: Duration,
    /// The same one gives the same arrivals.
    pub(crate) seed: u64,
}

/// What became of the requests of one class that were sent in one window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) sent: u64,
    pub(crate) served: u64,
    pub(crate) shed: u64,
}

/// Ten seconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// By class, in the order of the load.
    pub(crate) counts: [Count; 3],
    /// The longest time that a critical request took that was served.
    pub(crate) longest: Duration,
    /// The worst level at any second.
    pub(crate) level: Level,
    /// The smallest and the largest pressure at any second.
    pub(crate) pressure: Option<(f64, f64)>,
}

impl Count {
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.served += other.served;
        self.shed += other.shed;
    }

    /// The share that was served: 0 to 1, 1 of none.
    pub(crate) fn share(&self) -> f64 {
        if self.sent == 0 { 1.0 } else { self.served as f64 / self.sent as f64 }
    }
}

/// Sends the load to a stack of its own, and waits for every answer.
pub(crate) async fn run(
    server: Server,
    load: Load,
    sheds: bool,
    trace: bool,
) -> Result<Vec<Window>, BoxError> {
    let degrade = DegradationManager::builder().clock(Clock::tokio()).build()?;
    degrade.start()?;
    let stack = server.stack(&degrade, sheds);
    let count = load.length.div_duration_f64(WINDOW).ceil() as usize;
    let windows = Rc::new(RefCell::new(vec![Window::default(); count]));
    let local = LocalSet::new();
    let sending = async {
        let mut requests = JoinSet::new();
        let mut arrivals = Arrivals::new(&load, server.capacity(), Instant::now());
        let began = Instant::now() + load.calm;
        let mut next_sample = began;
        let mut ticks = interval(TICK);
        loop {
            let now = ticks.tick().await;
            let since = now.saturating_duration_since(began);
            if since >= load.length {
                break;
            }
            let index = since.div_duration_f64(WINDOW) as usize;
            if now >= next_sample {
                next_sample += Duration::from_secs(1);
                sample(&degrade, windows.borrow_mut().get_mut(index), trace.then_some(since));
            }
            while let Some((place, class)) = arrivals.next(now) {
                let is_calm = now < began;
                if is_calm && class != Criticality::Critical {
                    continue;
                }
                let (stack, windows) = (stack.clone(), windows.clone());
                requests.spawn_local(async move {
                    let answer = stack.oneshot(class).await;
                    let mut windows = windows.borrow_mut();
                    if let Some(window) = windows.get_mut(index).filter(|_| !is_calm) {
                        window.record(place, class, &answer, now.elapsed());
                    }
                });
            }
            while requests.try_join_next().is_some() {}
        }
        while requests.join_next().await.is_some() {}
    };
    local.run_until(sending).await;
    Ok(windows.take())
}

/// Requests as independent callers send them: a Poisson process.
struct Arrivals {
    classes: [(Criticality, f64); 3],
    /// Requests a second.
    rate: f64,
    next: Instant,
    number: u64,
}

impl Arrivals {
    fn new(load: &Load, capacity: f64, now: Instant) -> Self {
        let rate = capacity * load.shares.iter().map(|(_, share)| share).sum::<f64>();
        Self { classes: load.shares, rate, next: now, number: splitmix::scramble(load.seed) }
    }

    /// The next request that has come by now: which place its class has in the load, and the class.
    fn next(&mut self, now: Instant) -> Option<(usize, Criticality)> {
        if self.next > now {
            return None;
        }
        let gap = -(1.0 - self.random()).ln() / self.rate;
        self.next += Duration::from_secs_f64(gap);
        let mut dice = self.random() * self.classes.iter().map(|(_, share)| share).sum::<f64>();
        let mut classes = self.classes.iter().enumerate();
        let (place, (class, _)) = classes.find(|(_, (_, share))| {
            dice -= share;
            dice < 0.0
        })?;
        Some((place, *class))
    }

    fn random(&mut self) -> f64 {
        self.number = self.number.wrapping_add(splitmix::GOLDEN_RATIO);
        splitmix::share(splitmix::scramble(self.number))
    }
}

impl Window {
    fn record(
        &mut self,
        place: usize,
        class: Criticality,
        answer: &Result<Answer, BoxError>,
        took: Duration,
    ) {
        let Some(count) = self.counts.get_mut(place) else { return };
        count.sent += 1;
        match answer {
            Ok(Answer::Served) => {
                count.served += 1;
                if class == Criticality::Critical {
                    self.longest = self.longest.max(took);
                }
            }
            Ok(Answer::Shed) => count.shed += 1,
            Err(_) => {}
        }
    }
}

fn sample(degrade: &DegradationManager, window: Option<&mut Window>, trace: Option<Duration>) {
    let assessment = degrade.assessment();
    let pressure = assessment.pressure(degrade.clock().now());
    if let Some(window) = window {
        window.level = window.level.max(assessment.level);
        let (least, most) = window.pressure.unwrap_or((pressure, pressure));
        window.pressure = Some((least.min(pressure), most.max(pressure)));
    }
    if let Some(since) = trace {
        let worst = assessment.worst().map(ToString::to_string).unwrap_or_default();
        let figures = degrade.observer().figures();
        let figures = figures.map(|f| format!("n {} err {:.3} p95 {:?}", f.requests, f.error_rate, f.p95));
        eprintln!(
            "{:4.0} {:8} {pressure:.2} {:?} {worst} | {}",
            since.as_secs_f64(),
            assessment.level.as_str(),
            assessment.easing.map(|easing| (easing.from, easing.over)),
            figures.unwrap_or_default(),
        );
    }
}
