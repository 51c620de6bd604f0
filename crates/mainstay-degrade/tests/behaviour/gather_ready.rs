//! What is ready at the moment of the decision, in whichever order it is found.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use mainstay_degrade::{
    Clock, End, Gather, GatherError, Gathered, Level, ManualClock, Outcome, PartialPolicy,
};
use tokio::sync::oneshot;
use tokio::task::{coop, yield_now};

type Tried = Result<u32, &'static str>;
type Running = Pin<Box<dyn Future<Output = Result<Gathered<u32, &'static str>, GatherError>>>>;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn by(policy: PartialPolicy, spawned: bool) -> Gather<'static, u32, &'static str> {
    let gather = Gather::new(policy.at(Level::None).unwrap());
    if spawned { gather.spawned() } else { gather }
}

/// Wakes itself and never ends.
async fn restless() -> Tried {
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Takes all that a task may do in one go, and never ends.
async fn greedy() -> Tried {
    loop {
        coop::consume_budget().await;
    }
}

async fn poll_once(running: &mut Running) -> Poll<Gathered<u32, &'static str>> {
    poll_fn(|cx| Poll::Ready(running.as_mut().poll(cx))).await.map(Result::unwrap)
}

/// A part sends another its answer and brings the last moment; before, between, and behind these two stand others.
async fn sent_at_the_last_moment(
    others: [usize; 3],
    spawned: bool,
    other: impl Fn() -> Pin<Box<dyn Future<Output = Tried> + Send>>,
) -> Vec<Outcome> {
    let (clock, time) = Clock::manual();
    let (answer, answered) = oneshot::channel();
    let mut gather = by(PartialPolicy::share(0.1), spawned).clock(clock).max_wait(secs(3));
    let mut places = 0..;
    let mut stand = |mut gather: Gather<'static, u32, &'static str>, many| {
        for place in places.by_ref().take(many) {
            gather = gather.part(format!("other-{place}"), other());
        }
        gather
    };
    gather = stand(gather, others[0]);
    gather = gather.part("waits", async move { answered.await.map_err(|_| "not sent") });
    gather = stand(gather, others[1]);
    gather = gather.part("sends", async move {
        for _ in 0..3 {
            yield_now().await;
        }
        answer.send(7).unwrap();
        time.advance(secs(3));
        Ok(1)
    });
    let gathered = stand(gather, others[2]).run().await.unwrap();
    assert_eq!(gathered.end, End::MaxWait);
    ["sends", "waits"].map(|part| gathered.part(part).unwrap().outcome).to_vec()
}

#[tokio::test]
async fn what_is_ready_at_the_last_moment_is_kept_among_parts_that_wake_themselves() {
    for spawned in [false, true] {
        // As many as the runtime polls before it comes back to the gather.
        let many = if spawned { [15; 3] } else { [400; 3] };
        for others in [[10, 0, 0], [0, 10, 0], [0, 0, 10], [1, 0, 0], [2, 2, 2], many] {
            let outcomes = sent_at_the_last_moment(others, spawned, || Box::pin(restless())).await;
            assert_eq!(outcomes, [Outcome::Success; 2], "{others:?}, spawned: {spawned}");
        }
    }
}

#[tokio::test]
async fn what_is_ready_at_the_last_moment_is_kept_among_parts_that_use_up_their_tasks_time() {
    for others in [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]] {
        for spawned in [false, true] {
            let outcomes = sent_at_the_last_moment(others, spawned, || Box::pin(greedy())).await;
            assert_eq!(outcomes, [Outcome::Success; 2], "{others:?}, spawned: {spawned}");
        }
    }
}

/// Ends so many seconds after the beginning, once its task had so many turns.
async fn ends_at(time: ManualClock, step: u64, turns: u32) -> Tried {
    for _ in 0..turns {
        yield_now().await;
    }
    time.advance(secs(step));
    Ok(turns)
}

#[tokio::test]
async fn the_grace_begins_when_it_was_enough_in_whichever_order_the_parts_are_found() {
    // Two are enough, so it is after two seconds.
    for turns in [&[1, 0][..], &[2, 0, 1], &[2, 1, 0], &[0, 1, 2]] {
        let (clock, time) = Clock::manual();
        let policy = PartialPolicy::share(0.1).at_least(2);
        let mut gather = by(policy, true).clock(clock).after_quorum(secs(5)).part("hangs", pending());
        for turn in turns {
            let step = if *turn == 0 { 0 } else { 2 };
            gather = gather.part(format!("turn-{turn}"), ends_at(time.clone(), step, *turn));
        }
        let mut running: Running = Box::pin(gather.run());
        // With nothing left of this task's budget, the parts are begun, and looked at only when all of them have ended.
        while coop::has_budget_remaining() {
            coop::consume_budget().await;
        }
        assert!(poll_once(&mut running).await.is_pending());
        for _ in 0..5 {
            yield_now().await;
        }
        for _ in 0..3 {
            assert!(poll_once(&mut running).await.is_pending());
        }
        let passed = secs(if turns.len() == 3 { 4 } else { 2 });
        time.advance(secs(7) - passed - Duration::from_millis(1));
        for _ in 0..3 {
            assert!(poll_once(&mut running).await.is_pending(), "{turns:?}: the grace is not over");
        }
        time.advance(Duration::from_millis(1));
        let gathered = running.await.unwrap();
        assert_eq!((gathered.end, gathered.took), (End::Enough, secs(7)), "{turns:?}");
    }
}
