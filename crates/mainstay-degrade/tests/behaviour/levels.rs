//! From inputs to a level, and back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use mainstay_breaker::{Breaker, OpenFor};
use mainstay_core::Verdict;
use mainstay_degrade::{
    Assessment, Clock, DegradationManager, DegradationManagerBuilder, Level, LevelThresholds, Signal,
    Thresholds, Weight, What,
};
use mainstay_health::{Check, HealthManager, Pushed, Status};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn builder() -> DegradationManagerBuilder {
    DegradationManager::builder().clock(Clock::tokio())
}

fn breaker(name: &str) -> Breaker {
    Breaker::builder(name).open_for(OpenFor::fixed(secs(3_600))).clock(Clock::tokio()).build().unwrap()
}

/// Lets paused time pass.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

async fn settle() {
    pass(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn each_open_breaker_makes_it_worse_at_once_and_says_who() {
    let breakers = ["redis", "database", "llm"].map(breaker);
    let degrade = breakers.iter().fold(builder(), |builder, breaker| builder.watch(breaker)).build().unwrap();
    degrade.start().unwrap();
    settle().await;
    assert_eq!(degrade.level(), Level::None);
    for (index, expected) in [Level::Minor, Level::Moderate, Level::Severe].into_iter().enumerate() {
        breakers[index].trip();
        settle().await;
        assert_eq!(degrade.level(), expected);
    }
    let assessment = degrade.assessment();
    let cause = assessment.worst().unwrap();
    assert_eq!((cause.what, cause.figure, cause.threshold), (What::BreakersOpen, 3.0, 3.0));
    assert_eq!(cause.by, ["database", "llm", "redis"]);
    assert_eq!(assessment.causes.len(), 1, "of each figure the worst");
    assert_eq!(cause.to_string(), "severe: 3 breakers open (limit 3): database, llm, redis");
    assert!(assessment.is_down("llm") && !assessment.is_down("qdrant"));
}

#[tokio::test(start_paused = true)]
async fn it_falls_when_its_time_is_over_and_not_before() {
    let redis = breaker("redis");
    let degrade = builder().watch(&redis).build().unwrap();
    degrade.start().unwrap();
    redis.trip();
    settle().await;
    pass(secs(100)).await;
    redis.reset();
    settle().await;
    let assessment = degrade.assessment();
    assert_eq!(assessment.level, Level::Minor);
    assert!(assessment.causes[0].over_since.is_some() && assessment.down.is_empty());
    pass(Duration::from_millis(29_980)).await;
    assert_eq!(degrade.level(), Level::Minor);
    pass(Duration::from_millis(40)).await;
    assert_eq!(degrade.level(), Level::None);
    assert_eq!(degrade.assessment().causes, []);
}

#[tokio::test(start_paused = true)]
async fn what_alternates_faster_than_it_is_held_does_not_make_it_flap() {
    let redis = breaker("redis");
    let degrade = builder().watch(&redis).build().unwrap();
    degrade.start().unwrap();
    redis.trip();
    settle().await;
    for _ in 0..100 {
        redis.reset();
        pass(secs(29)).await;
        assert_eq!(degrade.level(), Level::Minor);
        redis.trip();
        pass(secs(1)).await;
        assert_eq!(degrade.level(), Level::Minor);
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_recovers_does_not_count_so_that_traffic_can_close_it() {
    let redis =
        Breaker::builder("redis").open_for(OpenFor::fixed(secs(15))).clock(Clock::tokio()).build().unwrap();
    let degrade = builder().watch(&redis).relax_after(secs(1)).build().unwrap();
    degrade.start().unwrap();
    redis.trip();
    settle().await;
    assert_eq!(degrade.level(), Level::Minor);
    pass(Duration::from_millis(15_030)).await;
    assert!(!degrade.assessment().is_down("redis"), "though no call came");
    pass(secs(1)).await;
    assert_eq!(degrade.level(), Level::None);
}

#[tokio::test(start_paused = true)]
async fn a_health_manager_brings_its_checks_each_with_its_weight() {
    let hands = [Pushed::new(), Pushed::new(), Pushed::new(), Pushed::new()];
    let health = HealthManager::builder("orders")
        .clock(Clock::tokio())
        .check(Check::shared("database", &hands[0]).critical())
        .check(Check::shared("redis", &hands[1]).critical())
        .check(Check::shared("llm", &hands[2]))
        .check(Check::shared("models", &hands[3]).depends_on("llm"))
        .build()
        .unwrap();
    health.start().unwrap();
    hands.iter().for_each(|hand| hand.set(Status::Healthy));
    let degrade = builder().watch(&health).build().unwrap();
    degrade.start().unwrap();
    settle().await;
    assert_eq!(degrade.level(), Level::None);

    hands[2].set(Status::Unhealthy);
    settle().await;
    assert_eq!(degrade.level(), Level::Minor, "one that is not critical; what it blocks does not count");
    let down = &degrade.assessment().down;
    assert_eq!(
        down.iter().map(|down| (down.name.as_str(), down.weight)).collect::<Vec<_>>(),
        [("llm", Weight::NonCritical)]
    );
    hands[0].set(Status::Unhealthy);
    settle().await;
    assert_eq!(degrade.level(), Level::Moderate, "a critical one");
    hands[1].set(Status::Unhealthy);
    settle().await;
    assert_eq!(degrade.level(), Level::Severe, "two of them");
    assert_eq!(
        degrade.assessment().causes.iter().map(|cause| cause.what).collect::<Vec<_>>(),
        [What::CriticalDown, What::NonCriticalDown]
    );
}

#[tokio::test(start_paused = true)]
async fn a_signal_of_the_users_makes_levels_too() {
    let queue = Signal::new("queue").minor(100.0).severe(1_000.0);
    let degrade = builder().signal(&queue).relax_after(secs(5)).build().unwrap();
    degrade.start().unwrap();
    settle().await;
    for (value, expected) in [(99.0, Level::None), (100.0, Level::Minor), (5_000.0, Level::Severe)] {
        queue.set(value);
        settle().await;
        assert_eq!(degrade.level(), expected, "at {value}");
    }
    queue.set(f64::NAN);
    pass(secs(6)).await;
    assert_eq!(degrade.level(), Level::None);
}

#[tokio::test(start_paused = true)]
async fn a_signal_that_came_and_went_before_anybody_looked_was_there_all_the_same() {
    let queue = Signal::new("queue").minor(100.0).severe(1_000.0);
    let degrade = builder().signal(&queue).relax_after(secs(5)).build().unwrap();
    degrade.start().unwrap();
    settle().await;
    queue.set(5_000.0);
    queue.set(1.0);
    settle().await;
    assert_eq!(degrade.level(), Level::Severe);
    let cause = degrade.assessment().worst().unwrap().clone();
    assert_eq!((cause.figure, cause.over_since), (5_000.0, Some(cause.since)));
    pass(secs(5)).await;
    assert_eq!(degrade.level(), Level::None);
}

#[test]
fn what_a_signal_was_before_the_start_is_not_dated_now() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let queue = Signal::new("queue").severe(1.0);
    let degrade = DegradationManager::builder().signal(&queue).build().unwrap();
    queue.set(5.0);
    queue.set(0.0);
    runtime.block_on(async { degrade.start().unwrap() });
    assert_eq!(degrade.level(), Level::None);
}

#[test]
fn an_assessment_is_the_same_after_a_round_trip_whatever_its_figures() {
    let (clock, time) = Clock::manual();
    let queue = Signal::new("queue").minor(1.0 / 3.0);
    let degrade = DegradationManager::builder().clock(clock).signal(&queue).build().unwrap();
    time.advance(secs(100));
    for index in 1..400_u32 {
        let verdict = if index % 7 == 0 { Verdict::Failure } else { Verdict::Success };
        degrade.observe(verdict, Duration::from_millis(5));
        queue.set(f64::from(index) / 9.7 * 10_f64.powi(index as i32 % 30));
        degrade.refresh();
        let assessment = degrade.assessment();
        let json = serde_json::to_string(&*assessment).unwrap();
        assert_eq!(serde_json::from_str::<Assessment>(&json).unwrap(), *assessment, "{json}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_level_can_be_held_for_a_time_of_its_own() {
    let queue = Signal::new("queue").minor(1.0).moderate(2.0).severe(3.0);
    let degrade = builder()
        .signal(&queue)
        .relax_after(secs(60))
        .relax_level_after(Level::Moderate, secs(20))
        .relax_level_after(Level::Severe, secs(5))
        .build()
        .unwrap();
    degrade.start().unwrap();
    queue.set(3.0);
    settle().await;
    queue.set(0.0);
    for (time, expected) in
        [(4, Level::Severe), (6, Level::Moderate), (19, Level::Moderate), (21, Level::Minor)]
    {
        let began = tokio::time::Instant::now();
        queue.set(3.0);
        settle().await;
        queue.set(0.0);
        pass(secs(time)).await;
        assert_eq!(degrade.level(), expected, "after {:?}", began.elapsed());
    }
    pass(secs(60)).await;
    assert_eq!(degrade.level(), Level::None);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_a_level_gets_to_the_one_below_also_if_only_the_worse_has_a_threshold() {
    let queue = Signal::new("queue").severe(3.0);
    let degrade = builder()
        .signal(&queue)
        .relax_after(secs(60))
        .relax_level_after(Level::Moderate, secs(20))
        .relax_level_after(Level::Severe, secs(5))
        .build()
        .unwrap();
    degrade.start().unwrap();
    queue.set(f64::INFINITY);
    settle().await;
    let assessment = degrade.assessment();
    let json = serde_json::to_string(&*assessment).unwrap();
    assert_eq!(
        serde_json::from_str::<Assessment>(&json).unwrap(),
        *assessment,
        "what is infinite can be kept too"
    );
    queue.set(0.0);
    for (time, expected) in [(4, Level::Severe), (2, Level::Moderate), (15, Level::Minor), (40, Level::None)]
    {
        pass(secs(time)).await;
        assert_eq!(degrade.level(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_still_reached_is_told_beside_what_is_only_held() {
    let breakers = ["a", "b", "c"].map(breaker);
    let degrade = breakers.iter().fold(builder(), |builder, breaker| builder.watch(breaker)).build().unwrap();
    degrade.start().unwrap();
    breakers.iter().for_each(Breaker::trip);
    settle().await;
    breakers[0].reset();
    breakers[1].reset();
    settle().await;
    let causes: Vec<String> = degrade.assessment().causes.iter().map(ToString::to_string).collect();
    assert_eq!(
        causes,
        ["severe: 3 breakers open (limit 3): a, b, c (over, held)", "minor: 1 breaker open (limit 1): c"]
    );
}

#[tokio::test]
async fn what_is_down_at_the_start_counts_at_once() {
    let redis = Breaker::new("redis").unwrap();
    redis.trip();
    let degrade = DegradationManager::builder().watch(&redis).build().unwrap();
    degrade.start().unwrap();
    assert_eq!(degrade.level(), Level::Minor);
}

#[test]
fn a_manager_whose_runtime_is_gone_can_be_started_on_another() {
    let queue = Signal::new("queue").minor(1.0);
    let degrade = DegradationManager::builder().signal(&queue).build().unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime().block_on(async { degrade.start().unwrap() });
    runtime().block_on(async {
        degrade.start().unwrap();
        let mut changes = degrade.subscribe();
        tokio::task::yield_now().await;
        queue.set(1.0);
        assert_eq!(changes.changed().await.level, Level::Minor);
    });
}

#[tokio::test(start_paused = true)]
async fn an_operator_pins_the_level_for_a_time() {
    let redis = breaker("redis");
    let degrade = builder().watch(&redis).relax_after(secs(1)).build().unwrap();
    degrade.start().unwrap();
    settle().await;
    degrade.pin(Level::Severe, secs(60)).unwrap();
    assert_eq!(degrade.level(), Level::Severe);
    assert_eq!(degrade.assessment().worst().unwrap().to_string(), "severe: pinned by an operator");
    pass(secs(59)).await;
    assert_eq!(degrade.level(), Level::Severe);
    pass(secs(2)).await;
    assert_eq!(degrade.level(), Level::None, "it ends by itself");

    redis.trip();
    degrade.pin(Level::None, secs(60)).unwrap();
    settle().await;
    assert_eq!(degrade.level(), Level::None, "the hand is stronger than the inputs");
    assert!(degrade.assessment().is_down("redis"), "and hides nothing");
    degrade.unpin();
    assert_eq!(degrade.level(), Level::Minor);
    assert!(degrade.pin(Level::None, secs(0)).is_err());
}

#[tokio::test(start_paused = true)]
async fn subscribers_hear_of_every_change_and_of_nothing_else() {
    let redis = breaker("redis");
    let degrade = builder().watch(&redis).build().unwrap();
    degrade.start().unwrap();
    settle().await;
    let mut changes = degrade.subscribe();
    assert!(tokio::time::timeout(secs(600), changes.changed()).await.is_err());
    redis.trip();
    let assessment = changes.changed().await;
    assert_eq!((assessment.level, assessment.epoch), (Level::Minor, 1));
}

#[tokio::test(start_paused = true)]
async fn an_assessment_can_be_kept_and_read_again() {
    let redis = breaker("redis");
    let degrade = builder().watch(&redis).build().unwrap();
    degrade.start().unwrap();
    redis.trip();
    settle().await;
    let assessment = degrade.assessment();
    let json = serde_json::to_string(&*assessment).unwrap();
    assert_eq!(serde_json::from_str::<Assessment>(&json).unwrap(), *assessment);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_has_said_nothing_new_and_hurts_nobody() {
    use mainstay_core::{Bell, Condition, Name, StateSource, Watch};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    #[derive(Clone)]
    struct Broken(Arc<AtomicBool>, Arc<Bell>);
    impl StateSource for Broken {
        fn name(&self) -> Name {
            Name::new("broken").unwrap()
        }
        fn condition(&self) -> Condition {
            assert!(!self.0.load(Ordering::SeqCst), "broken");
            Condition::Down
        }
        fn next_change(&self) -> Option<Duration> {
            assert!(!self.0.load(Ordering::SeqCst), "broken");
            None
        }
        fn watch(&self) -> Watch {
            self.1.watch()
        }
        fn poll(&self) {}
        fn clock(&self) -> Clock {
            Clock::tokio()
        }
    }
    let (broken, redis) = (Broken(Arc::default(), Bell::new()), breaker("redis"));
    let degrade = builder().watch(&broken).watch(&redis).build().unwrap();
    degrade.start().unwrap();
    settle().await;
    assert_eq!(degrade.level(), Level::Minor);
    broken.0.store(true, Ordering::SeqCst);
    broken.1.ring();
    redis.trip();
    settle().await;
    assert_eq!(degrade.level(), Level::Moderate, "it was down when it was last heard of");
}

#[test]
fn many_who_look_at_once_do_not_believe_what_is_older() {
    let (clock, _time) = Clock::manual();
    let redis = Breaker::builder("redis").clock(clock.clone()).build().unwrap();
    let degrade = DegradationManager::builder().clock(clock).watch(&redis).build().unwrap();
    for _ in 0..200 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| degrade.refresh());
            }
            redis.trip();
            degrade.refresh();
        });
        assert!(degrade.assessment().is_down("redis"));
        redis.reset();
        degrade.refresh();
        assert!(!degrade.assessment().is_down("redis"));
    }
}

#[test]
fn outside_of_a_runtime_a_start_is_refused() {
    let degrade = DegradationManager::builder().build().unwrap();
    assert!(degrade.start().is_err());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |builder: DegradationManagerBuilder| {
        let error = builder.build().unwrap_err();
        (error.field, error.rule)
    };
    let falls = Thresholds {
        severe: LevelThresholds { error_rate: 0.1, ..Thresholds::default().severe },
        ..Thresholds::default()
    };
    let field = "thresholds.severe.error_rate".to_owned();
    let rule = "must not be less than that of a better level".to_owned();
    assert_eq!(refused(DegradationManager::builder().thresholds(falls)), (field, rule));
    let beyond = Thresholds {
        minor: LevelThresholds { error_rate: 1.5, ..LevelThresholds::default() },
        ..Thresholds::default()
    };
    let rule = "must be from 0 to 1".to_owned();
    assert_eq!(
        refused(DegradationManager::builder().thresholds(beyond)),
        ("thresholds.minor.error_rate".to_owned(), rule)
    );
    let longer = DegradationManager::builder().relax_level_after(Level::Severe, secs(60));
    assert_eq!(refused(longer).0, "relax_after.severe");
    assert_eq!(refused(DegradationManager::builder().relax_after(secs(0))).0, "relax_after.minor");
    let falling = Signal::new("queue").minor(10.0).severe(5.0);
    assert_eq!(refused(DegradationManager::builder().signal(&falling)).0, "signal[queue].severe");
    let twice = Signal::new("queue");
    assert_eq!(refused(DegradationManager::builder().signal(&twice).signal(&twice)).0, "signal.name");
}
