//! Other settings while it runs.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mainstay_breaker::{Breaker, OpenFor};
use mainstay_degrade::{
    Behavior, BehaviorRules, Clock, DegradationManager, ExecutionMode, Level, ModeRules, PartialPolicies,
    PartialPolicy, Settings, Signal, Thresholds,
};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn thresholds(breakers_open: u32) -> Thresholds {
    let mut thresholds = Thresholds::default();
    thresholds.minor.breakers_open = breakers_open;
    thresholds.moderate.breakers_open = breakers_open + 1;
    thresholds.severe.breakers_open = breakers_open + 2;
    thresholds
}

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings);
    settings
}

async fn started() -> (DegradationManager, Breaker) {
    let open_for = OpenFor::fixed(secs(3_600));
    let redis = Breaker::builder("redis").open_for(open_for).clock(Clock::tokio()).build().unwrap();
    let degrade = DegradationManager::builder().clock(Clock::tokio()).watch(&redis).build().unwrap();
    degrade.start().unwrap();
    redis.trip();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(degrade.level(), Level::Minor);
    (degrade, redis)
}

#[tokio::test(start_paused = true)]
async fn other_thresholds_rise_at_once_and_fall_after_the_time_of_a_level() {
    let (degrade, _redis) = started().await;
    let since = degrade.assessment().causes.first().unwrap().since;
    tokio::time::sleep(secs(5)).await;
    let mut worse = thresholds(1);
    worse.moderate.breakers_open = 1;
    degrade.reconfigure(settings(|settings| settings.thresholds = worse)).unwrap();
    assert_eq!(degrade.level(), Level::Moderate);
    assert!(
        degrade.assessment().causes.first().unwrap().since > since,
        "this threshold is reached since now"
    );

    degrade.reconfigure(settings(|settings| settings.thresholds = thresholds(2))).unwrap();
    assert_eq!(degrade.level(), Level::Moderate, "held");
    tokio::time::sleep(secs(29)).await;
    assert_eq!(degrade.level(), Level::Moderate);
    tokio::time::sleep(secs(2)).await;
    assert_eq!(degrade.level(), Level::None);
    assert!(degrade.assessment().is_down("redis"));
}

#[tokio::test(start_paused = true)]
async fn levels_are_held_by_the_new_times() {
    let (degrade, redis) = started().await;
    degrade.reconfigure(settings(|settings| settings.relax_after = [secs(3); 3])).unwrap();
    redis.reset();
    tokio::time::sleep(Duration::from_millis(2_900)).await;
    assert_eq!(degrade.level(), Level::Minor);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(degrade.level(), Level::None);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_changes_nothing() {
    let (degrade, _redis) = started().await;
    let before = degrade.assessment();
    for (refused, field) in [
        (settings(|settings| settings.thresholds.severe.error_rate = 0.01), "thresholds.severe.error_rate"),
        (settings(|settings| settings.relax_after = [secs(1), secs(2), secs(1)]), "relax_after.moderate"),
        (settings(|settings| settings.check_interval = Duration::ZERO), "check_interval"),
    ] {
        assert_eq!(degrade.reconfigure(refused).unwrap_err().field, field);
    }
    assert_eq!(degrade.assessment(), before);
    assert_eq!(degrade.settings().thresholds, Thresholds::default());
}

#[tokio::test(start_paused = true)]
async fn other_rules_decide_from_now_on_and_counts_never_go_back() {
    let (degrade, _redis) = started().await;
    let kept = degrade.assessment();
    degrade.partial("complex").decide(1, 5);
    let behaviors = BehaviorRules::new().when_down("search", "redis", Behavior::UseCache).unwrap();
    degrade.reconfigure(settings(|settings| settings.behaviors = behaviors)).unwrap();
    assert_eq!(degrade.behavior("search").behavior, Behavior::UseCache);
    assert_eq!(degrade.behavior("llm_call").operation, None, "it is not known any more");

    let modes = ModeRules::new().unwrap();
    let partial = PartialPolicies::new(PartialPolicy::share(1.0)).unwrap();
    let other = settings(|settings| (settings.modes, settings.partial) = (modes, partial));
    degrade.reconfigure(other).unwrap();
    assert!(!degrade.mode(ExecutionMode::Complex).downgraded);
    assert_eq!(degrade.partial("complex").policy.share, 1.0);
    assert_eq!(degrade.assessment().causes, kept.causes, "of the inputs everything stays");
    assert!(degrade.assessment().epoch > kept.epoch, "decisions by one number are the same");
    let stats = degrade.stats();
    let fallback = stats.fallbacks.first().unwrap();
    assert_eq!((fallback.operation.as_str(), fallback.count), ("search", 1));
    assert_eq!(stats.partial_results.first().unwrap().count, 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_watched_is_looked_at_by_the_new_interval() {
    use mainstay_core::{Bell, Condition, Name, StateSource, Watch};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    /// Tells nobody when it changes.
    #[derive(Clone)]
    struct Silent(Arc<AtomicBool>, Arc<Bell>);
    impl StateSource for Silent {
        fn name(&self) -> Name {
            Name::new("silent").unwrap()
        }
        fn condition(&self) -> Condition {
            if self.0.load(Ordering::SeqCst) { Condition::Down } else { Condition::Up }
        }
        fn next_change(&self) -> Option<Duration> {
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
    let silent = Silent(Arc::default(), Bell::new());
    let degrade = DegradationManager::builder().clock(Clock::tokio()).watch(&silent).build().unwrap();
    degrade.start().unwrap();
    tokio::time::sleep(secs(1)).await;
    degrade.reconfigure(settings(|settings| settings.check_interval = secs(2))).unwrap();
    silent.0.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(degrade.level(), Level::Minor);
}

#[tokio::test(start_paused = true)]
async fn no_decision_is_made_by_two_settings_at_once() {
    let queue = Signal::new("queue").minor(1.0);
    let degrade = DegradationManager::builder().clock(Clock::tokio()).signal(&queue).build().unwrap();
    queue.set(1.0);
    degrade.refresh();
    let rules = |behavior| BehaviorRules::new().at("search", Level::Minor, behavior).unwrap();
    let pair = |share, behavior| {
        settings(|settings| {
            settings.behaviors = rules(behavior);
            settings.partial = PartialPolicies::new(PartialPolicy::share(share)).unwrap();
        })
    };
    let pairs = [pair(0.1, Behavior::Skip), pair(0.2, Behavior::Fail)];
    degrade.reconfigure(pairs[0].clone()).unwrap();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        let settings = degrade.settings();
                        let behavior = settings.behaviors.decide(&degrade.assessment(), "search").behavior;
                        let share = settings.partial.of("any").share;
                        assert!(matches!((behavior, share), (Behavior::Skip, 0.1) | (Behavior::Fail, 0.2)));
                        assert_eq!(degrade.level(), Level::Minor);
                    }
                })
            })
            .collect();
        while readers.iter().any(|reader| !reader.is_finished()) {
            pairs.iter().for_each(|pair| degrade.reconfigure(pair.clone()).unwrap());
        }
    });
}
