//! Parts that are dropped: before their end, after it, and with a panic.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use mainstay_degrade::{Clock, Gather, Gathered, Level, Outcome, Part, PartValue, PartialPolicy};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

type Tried = Result<u32, &'static str>;

fn share(share: f64, spawned: bool) -> Gather<'static, u32, &'static str> {
    let gather = Gather::new(PartialPolicy::share(share).at(Level::None).unwrap()).clock(Clock::tokio());
    if spawned { gather.spawned() } else { gather }
}

fn outcomes(gathered: &Gathered<u32, &'static str>) -> Vec<Outcome> {
    gathered.parts.iter().map(|part| part.outcome).collect()
}

async fn after(time: Duration, value: u32) -> Tried {
    tokio::time::sleep(time).await;
    Ok(value)
}

/// Panics when it is dropped, as it may when it is somebody else's.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped");
        }
    }
}

/// Gives its answer, or hangs, and panics when it is dropped.
struct Last<A>(Option<A>, Bomb);

impl<A: Unpin> Future for Last<A> {
    type Output = A;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<A> {
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_kept_whatever_its_future_does_when_it_is_dropped_after_it() {
    for spawned in [false, true] {
        let rated = Ok(PartValue::new(2).confidence(0.7));
        let gathered = share(0.4, spawned)
            .part("plain", Last(Some(Ok(1)), Bomb))
            .with(Part::rated("rated", Last(Some(rated), Bomb)))
            .part("broken", Last(Some(Err("down")), Bomb))
            .with(Part::new("late", Last(None, Bomb)).deadline(Duration::from_secs(1)))
            .run()
            .await
            .unwrap();
        use Outcome::*;
        assert_eq!(outcomes(&gathered), [Success, Success, Failure, TimedOut], "spawned: {spawned}");
        assert_eq!(gathered.values().collect::<Vec<_>>(), [("plain", &1), ("rated", &2)]);
        assert_eq!(gathered.parts[1].confidence, 0.7);
        assert_eq!(gathered.parts[2].error, Some("down"));
        assert!(gathered.accepted());
        for part in &gathered.parts {
            assert_eq!(part.panic.as_deref(), Some("dropped"), "{part:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn parts_that_panic_when_they_are_dropped_hurt_nobody() {
    let armed = |bomb: Bomb| async move {
        let _bomb = bomb;
        pending().await
    };
    for spawned in [false, true] {
        let gather = share(0.3, spawned).after_quorum(Duration::ZERO).concurrency(2);
        let gather = gather
            .part("a", armed(Bomb))
            .part("b", after(Duration::from_secs(1), 1))
            .part("c", Last(None, Bomb));
        let gathered = gather.run().await.unwrap();
        assert_eq!(outcomes(&gathered), [Outcome::Cancelled, Outcome::Success, Outcome::NotStarted]);
        let never = share(1.0, spawned).part("a", armed(Bomb)).part("b", Last(None, Bomb));
        drop(never);
        let cut_off = share(1.0, spawned).part("a", armed(Bomb)).part("b", Last(None, Bomb));
        assert!(tokio::time::timeout(Duration::from_secs(1), cut_off.run()).await.is_err());
    }
}

/// Many parts that hang, and what says when all of them are gone.
fn hanging(spawned: bool) -> (Gather<'static, u32, &'static str>, mpsc::Receiver<()>) {
    let (here, gone) = mpsc::channel(1);
    let gather = (0..100).fold(share(1.0, spawned).concurrency(50), |gather, index| {
        let here = here.clone();
        gather.part(format!("part-{index}"), async move {
            let _here = here;
            pending().await
        })
    });
    (gather, gone)
}

#[tokio::test(start_paused = true)]
async fn who_drops_it_cancels_all_parts() {
    for spawned in [false, true] {
        let (gather, mut gone) = hanging(spawned);
        let mut running = Box::pin(gather.run());
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut running).await.is_err());
        assert_eq!(Handle::current().metrics().num_alive_tasks(), if spawned { 50 } else { 0 });
        drop(running);
        assert_eq!(gone.recv().await, None);
        tokio::task::yield_now().await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_aborts_the_task_that_it_runs_in_cancels_all_parts() {
    for spawned in [false, true] {
        let (gather, mut gone) = hanging(spawned);
        let (begun, begins) = tokio::sync::oneshot::channel();
        let gather = gather.part("first", async {
            _ = begun.send(());
            pending().await
        });
        let task = tokio::spawn(gather.concurrency(101).run());
        begins.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(gone.recv().await, None, "spawned: {spawned}");
    }
}
