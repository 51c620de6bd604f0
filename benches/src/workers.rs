//! Threads that live as long as the run, so that starting them is never measured.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread::{self, available_parallelism, yield_now};
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use crate::subject::Subject;

/// A task for one worker; it says when it began and when it was done.
type Task = Box<dyn FnOnce() -> (Instant, Instant) + Send>;

/// A fixed set of threads.
pub struct Workers {
    tasks: Vec<Sender<Task>>,
    spans: Receiver<(Instant, Instant)>,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// Each has entered a runtime with timers, which tower-resilience asks for when two calls meet at its lock.
    pub fn start(count: usize) -> std::io::Result<Self> {
        // Its own thread sleeps but for those timers.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
        let runtime = Arc::new(runtime);
        let (done, spans) = channel();
        let mut tasks = Vec::with_capacity(count);
        for n in 0..count {
            let (sender, receiver) = channel::<Task>();
            let (done, runtime) = (done.clone(), Arc::clone(&runtime));
            thread::Builder::new().name(format!("worker-{n}")).spawn(move || {
                let _entered = runtime.enter();
                while let Ok(task) = receiver.recv() {
                    // Nobody would ever hear of a worker that is missing.
                    let Ok(span) = catch_unwind(AssertUnwindSafe(task)) else { exit(101) };
                    if done.send(span).is_err() {
                        break;
                    }
                }
            })?;
            tasks.push(sender);
        }
        Ok(Self { tasks, spans })
    }

    /// The time in which `threads` workers at once make `calls` calls each, all through clones of `subject`.
    pub fn time<S: Subject>(&self, subject: &S, threads: usize, calls: u64) -> Duration {
        let gate = Arc::new(Gate::new(threads));
        for worker in self.tasks.iter().take(threads) {
            let (subject, gate) = (subject.clone(), Arc::clone(&gate));
            let task = Box::new(move || {
                // On the worker's own stack: in their boxes two subjects may lie on one cache line.
                let mut subject = black_box(subject);
                // A clone may set itself up in its first calls.
                for _ in 0..WARM_UP {
                    black_box(subject.call());
                }
                gate.pass();
                let begun = Instant::now();
                for _ in 0..calls {
                    black_box(subject.call());
                }
                (begun, Instant::now())
            });
            if worker.send(task).is_err() {
                return Duration::ZERO;
            }
        }
        let spans: Vec<_> = self.spans.iter().take(threads.min(self.tasks.len())).collect();
        let begun = spans.iter().map(|span| span.0).min();
        let done = spans.iter().map(|span| span.1).max();
        begun.zip(done).map_or(Duration::ZERO, |(begun, done)| done - begun)
    }
}

const WARM_UP: u64 = 64;

/// Where workers wait for each other: awake where each has a core, asleep where they have to take turns.
enum Gate {
    Awake { waiting: AtomicUsize },
    Asleep(Barrier),
}

impl Gate {
    fn new(threads: usize) -> Self {
        if available_parallelism().is_ok_and(|cores| threads <= cores.get()) {
            Self::Awake { waiting: AtomicUsize::new(threads) }
        } else {
            Self::Asleep(Barrier::new(threads))
        }
    }

    fn pass(&self) {
        match self {
            Self::Asleep(barrier) => {
                barrier.wait();
            }
            Self::Awake { waiting } => {
                waiting.fetch_sub(1, Ordering::AcqRel);
                let mut turns = 0_u32;
                while waiting.load(Ordering::Acquire) > 0 {
                    turns += 1;
                    if turns.is_multiple_of(1024) { yield_now() } else { std::hint::spin_loop() }
                }
            }
        }
    }
}
