//! Parts side by side, and the decision whether those that succeed are enough.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::future::{Future, pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mainstay_breaker::Breaker;
use mainstay_degrade::{
    Clock, DegradationManager, End, Gather, GatherError, Gathered, Level, Outcome, Part, PartResult,
    PartValue, PartialPolicies, PartialPolicy,
};

type Answer<T> = Gathered<T, &'static str>;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn share<'a>(share: f64) -> Gather<'a, u32, &'static str> {
    by(PartialPolicy::share(share), Level::None)
}

fn by<'a>(policy: PartialPolicy, level: Level) -> Gather<'a, u32, &'static str> {
    Gather::new(policy.at(level).unwrap()).clock(Clock::tokio())
}

async fn after<T>(time: Duration, value: T) -> Result<T, &'static str> {
    tokio::time::sleep(time).await;
    Ok(value)
}

async fn fails(time: Duration) -> Result<u32, &'static str> {
    tokio::time::sleep(time).await;
    Err("secret text")
}

fn outcomes<T>(gathered: &Answer<T>) -> Vec<Outcome> {
    gathered.parts.iter().map(|part| part.outcome).collect()
}

/// Whether it took this long, but for a timer's rounding.
fn took<T>(gathered: &Answer<T>, time: Duration) -> bool {
    gathered.took >= time && gathered.took <= time + Duration::from_millis(3)
}

fn refused(error: GatherError) -> String {
    match error {
        GatherError::Refused(error) => error.field,
        other => panic!("{other}"),
    }
}

/// Counts itself as long as it is there.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn parts_without_a_deadline_of_their_own_have_that_of_all() {
    let gathered = share(0.5)
        .part("slow", after(secs(9), 1))
        .with(Part::new("given time", after(secs(9), 2)).deadline(secs(20)))
        .part_deadline(secs(5))
        .run()
        .await
        .unwrap();
    assert_eq!(outcomes(&gathered), [Outcome::TimedOut, Outcome::Success]);
    assert!(took(&gathered, secs(9)) && gathered.parts[0].latency < secs(6));
}

#[tokio::test(start_paused = true)]
async fn results_stand_in_the_order_of_the_parts_with_all_that_is_known_of_them() {
    let rated = async { Ok(PartValue::new(2).confidence(0.7).degraded().metadata("from", "cache")) };
    let gathered = share(0.4)
        .part("slow", after(secs(3), 1))
        .with(Part::rated("rated", rated))
        .part("broken", fails(secs(2)))
        .with(Part::new("late", after(secs(9), 4)).deadline(secs(1)).weight(0.5))
        .part("panics", async { panic!("{}", "oh") })
        .run()
        .await
        .unwrap();
    use Outcome::*;
    assert_eq!(outcomes(&gathered), [Success, Success, Failure, TimedOut, Panicked]);
    assert_eq!(gathered.end, End::Complete);
    let part = |source| gathered.part(source).unwrap();
    let PartResult { value, confidence, degraded, metadata, .. } = part("rated").clone();
    assert_eq!((value, confidence, degraded), (Some(2), 0.7, true));
    assert_eq!(metadata, BTreeMap::from([("from".to_owned(), "cache".to_owned())]));
    assert_eq!((part("broken").error, part("broken").confidence), (Some("secret text"), 0.0));
    assert_eq!(part("panics").panic.as_deref(), Some("oh"));
    assert!(part("late").latency >= secs(1) && part("late").latency < secs(2));
    assert!(part("slow").latency >= secs(3) && part("slow").at >= part("broken").at + secs(1));
    assert_eq!(
        gathered.failed().map(|part| part.source.as_str()).collect::<Vec<_>>(),
        ["broken", "late", "panics"]
    );
}

#[tokio::test(start_paused = true)]
async fn once_enough_succeeded_the_others_have_the_grace_and_no_more() {
    let gathered = share(0.5)
        .part("a", after(secs(1), 1))
        .part("b", after(secs(2), 2))
        .part("in-time", after(secs(7), 3))
        .part("too-late", after(secs(8), 4))
        .run()
        .await
        .unwrap();
    use Outcome::*;
    assert_eq!(outcomes(&gathered), [Success, Success, Success, Cancelled]);
    assert!(took(&gathered, secs(7)), "{:?}", gathered.took);
    assert_eq!((gathered.end, gathered.decision.required, gathered.decision.share), (End::Enough, 2, 0.75));
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_enough_any_more_is_rejected_at_once() {
    let gathered = share(0.5)
        .part("good", after(secs(1), 1))
        .part("bad", fails(secs(2)))
        .part("worse", fails(secs(2)))
        .part("hangs", pending())
        .part("worst", fails(secs(3)))
        .run()
        .await
        .unwrap();
    use Outcome::*;
    assert_eq!(outcomes(&gathered), [Success, Failure, Failure, Cancelled, Failure]);
    assert!(took(&gathered, secs(3)) && !gathered.accepted());
    assert_eq!(gathered.end, End::Hopeless);
    assert_eq!(gathered.part("good").unwrap().value, Some(1), "what arrived is kept");
}

#[tokio::test(start_paused = true)]
async fn a_required_part_that_fails_ends_it_whatever_else_succeeded() {
    let gathered = by(PartialPolicy::share(0.1), Level::Severe)
        .part("fast", after(secs(1), 1))
        .required("plan", fails(secs(2)))
        .part("hangs", pending())
        .run()
        .await
        .unwrap();
    assert!(took(&gathered, secs(2)) && !gathered.accepted());
    assert_eq!(gathered.decision.missing, ["plan"]);
}

#[tokio::test(start_paused = true)]
async fn the_grace_does_not_begin_before_all_required_parts_succeeded() {
    let policy = PartialPolicy::share(0.1).require("plan");
    let gathered = by(policy, Level::None)
        .part("fast", after(secs(1), 1))
        .part("plan", after(secs(20), 2))
        .part("hangs", pending())
        .run()
        .await
        .unwrap();
    assert!(took(&gathered, secs(25)) && gathered.accepted());
    assert!(gathered.part("plan").unwrap().required);
}

#[tokio::test(start_paused = true)]
async fn after_the_longest_wait_what_is_pending_has_failed() {
    let gathered = share(1.0).part("a", after(secs(30), 1)).part("b", pending()).run().await.unwrap();
    assert_eq!(outcomes(&gathered), [Outcome::Success, Outcome::TimedOut], "ready at that very moment");
    assert!(took(&gathered, secs(30)) && !gathered.accepted());
    assert_eq!(gathered.end, End::MaxWait);
}

#[tokio::test(start_paused = true)]
async fn weights_decide_and_not_numbers() {
    let policy = PartialPolicy::share(0.6).weigh("heavy", 3.0).weigh("extra", 0.0);
    let gathered = by(policy, Level::None)
        .part("heavy", after(secs(1), 1))
        .part("light", pending())
        .with(Part::new("lighter", pending()).weight(0.5))
        .part("extra", fails(secs(1)))
        .run()
        .await
        .unwrap();
    assert!(gathered.accepted() && took(&gathered, secs(6)));
    assert_eq!(gathered.decision.required, 1);
    assert_eq!(gathered.decision.share, 0.666666667);
}

#[tokio::test(start_paused = true)]
async fn the_level_of_its_beginning_decides_however_it_changes_meanwhile() {
    let redis = Breaker::builder("redis").clock(Clock::tokio()).build().unwrap();
    let degrade = DegradationManager::builder()
        .clock(Clock::tokio())
        .watch(&redis)
        .partial(PartialPolicies::new(PartialPolicy::share(1.0)).unwrap())
        .build()
        .unwrap();
    degrade.start().unwrap();
    let parts = |gather: Gather<'static, u32, &'static str>| {
        gather.clock(Clock::tokio()).part("a", after(secs(1), 1)).part("b", fails(secs(1)))
    };
    let before = parts(Gather::new(degrade.partial("dag")));
    redis.trip();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let after = parts(Gather::new(degrade.partial("dag")));
    assert!(!before.run().await.unwrap().accepted());
    let after = after.run().await.unwrap();
    assert!(after.accepted(), "at minor a half is enough");
    let aggregate = after.aggregate(|values| values.len());
    assert_eq!(aggregate.degradation_info.failed_dependencies, ["b"]);
    assert_eq!(aggregate.degradation_info.down, ["redis"]);
    assert_eq!(aggregate.degradation_info.recommended_action.as_deref(), Some("monitor and retry"));
    assert!(aggregate.degradation_info.reason.is_some());
}

#[tokio::test(start_paused = true)]
async fn no_more_run_at_once_than_it_is_told_and_they_begin_in_their_order() {
    for spawned in [false, true] {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut gather = share(1.0).concurrency(3);
        if spawned {
            gather = gather.spawned();
        }
        for index in 0..10 {
            let (running, most) = (running.clone(), most.clone());
            gather = gather.part(format!("part-{index}"), async move {
                let _alive = Alive::new(&running);
                most.fetch_max(running.load(Ordering::SeqCst), Ordering::SeqCst);
                after(secs(1), index).await
            });
        }
        let gathered = gather.run().await.unwrap();
        assert_eq!(most.load(Ordering::SeqCst), 3);
        assert!(gathered.took >= secs(4) && gathered.took < secs(4) + Duration::from_millis(10));
        assert!(gathered.parts.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_not_needed_any_more_is_not_begun() {
    let begun = AtomicUsize::new(0);
    let count = || async {
        begun.fetch_add(1, Ordering::SeqCst);
        after(secs(1), 1).await
    };
    let gathered = share(0.5)
        .required("plan", ready(Err("down")))
        .part("a", count())
        .part("b", count())
        .run()
        .await
        .unwrap();
    assert_eq!(outcomes(&gathered)[1..], [Outcome::NotStarted; 2]);
    let queued = share(0.5).after_quorum(Duration::ZERO).concurrency(1);
    let queued = queued.part("a", after(secs(1), 1)).part("b", count()).run().await.unwrap();
    assert_eq!(outcomes(&queued), [Outcome::Success, Outcome::NotStarted]);
    assert_eq!(begun.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn parts_of_the_callers_task_may_borrow() {
    let words = ["one".to_owned(), "three".to_owned()];
    let mut gather = share(1.0);
    for word in &words {
        gather = gather.part(word.as_str(), async { Ok(word.len() as u32) });
    }
    let gathered = gather.run().await.unwrap();
    assert_eq!(gathered.values().collect::<Vec<_>>(), [("one", &3), ("three", &5)]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_its_field() {
    let one = || share(0.5).part("a", ready(Ok(1)));
    let weight = |weight| share(0.5).with(Part::new("a", ready(Ok(1))).weight(weight));
    let cases = [
        (share(0.5), "parts"),
        (one().part("a", ready(Ok(2))), "part[1].source"),
        (share(0.5).part("", ready(Ok(2))), "part[0].source"),
        (one().concurrency(0), "concurrency"),
        (one().max_wait(Duration::ZERO), "max_wait"),
        (one().after_quorum(Duration::MAX), "after_quorum"),
        (weight(-1.0), "part.a.weight"),
        (weight(f64::NAN), "part.a.weight"),
        (weight(f64::INFINITY), "part.a.weight"),
        (weight(0.0), "weights"),
        (share(0.5).with(Part::new("a", ready(Ok(1))).deadline(Duration::ZERO)), "part.a.deadline"),
        (share(0.5).part("a", ready(Ok(1))).part_deadline(Duration::ZERO), "part_deadline"),
        (by(PartialPolicy::share(0.5).require("plan"), Level::None).part("a", ready(Ok(1))), "required"),
    ];
    for (gather, field) in cases {
        assert_eq!(refused(gather.run().await.unwrap_err()), field);
    }
    let error = PartialPolicy::share(0.5).weigh("a", f64::NAN).at(Level::None).unwrap_err();
    assert_eq!(error.field, "partial.weights.a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spawned_parts_run_side_by_side_and_wherever_the_gather_goes() {
    // Each waits for the other, on a thread of its own.
    let both = Arc::new(std::sync::Barrier::new(2));
    let part = |both: Arc<std::sync::Barrier>| async move {
        both.wait();
        Ok(1)
    };
    let gather = share(1.0).spawned().part("a", part(both.clone())).part("b", part(both));
    let gathered = tokio::spawn(gather.run()).await.unwrap().unwrap();
    assert!(gathered.accepted() && !gathered.is_degraded());
}

#[test]
fn it_needs_no_runtime_unless_its_parts_are_spawned() {
    let (clock, time) = Clock::manual();
    let gather = || {
        let partial = PartialPolicy::share(0.5).at(Level::None).unwrap();
        Gather::new(partial).clock(clock.clone()).part("a", ready(Ok::<_, &str>(1))).part("b", pending())
    };
    let mut cx = Context::from_waker(Waker::noop());
    let mut running = Box::pin(gather().run());
    assert!(running.as_mut().poll(&mut cx).is_pending());
    time.advance(secs(5));
    let answer = (0..10).find_map(|_| match running.as_mut().poll(&mut cx) {
        Poll::Ready(answer) => Some(answer.unwrap()),
        Poll::Pending => None,
    });
    assert_eq!(answer.unwrap().took, secs(5));
    let Poll::Ready(spawned) = Box::pin(gather().spawned().run()).as_mut().poll(&mut cx) else {
        panic!("nothing to wait for");
    };
    assert!(matches!(spawned.unwrap_err(), GatherError::NoRuntime(_)));
}
