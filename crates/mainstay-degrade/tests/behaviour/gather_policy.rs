//! What a policy asks of a gather's parts.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::future::{Future, pending, ready};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mainstay_breaker::Breaker;
use mainstay_degrade::{
    Aggregate, Assessment, Clock, ConfigError, DegradationManager, Gather, GatherError, Level, Name, Part,
    PartValue, PartialPolicies, PartialPolicy,
};

type Tried = Result<u32, &'static str>;

fn by<'a>(policy: PartialPolicy, level: Level) -> Gather<'a, u32, &'static str> {
    Gather::new(policy.at(level).unwrap())
}

fn all_of<'a>(gather: Gather<'a, u32, &'static str>, parts: &[&str]) -> Gather<'a, u32, &'static str> {
    parts.iter().fold(gather, |gather, part| gather.part(*part, ready(Ok(1))))
}

async fn refusal(gather: Gather<'_, u32, &'static str>) -> ConfigError {
    match gather.run().await.unwrap_err() {
        GatherError::Refused(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_least_number_of_successes_has_all_that_are_required_by_name() {
    let light = PartialPolicy::share(0.6).weigh("heavy", 6.0).weigh("other", 3.0).require("light");
    let idle = PartialPolicy::share(0.5).weigh("plan", 0.0).require("plan");
    let two = PartialPolicy::share(0.1).require("a").require("b");
    let cases = [
        (light, Level::None, vec!["heavy", "other", "light"], 2),
        (idle.clone(), Level::None, vec!["plan", "a", "b", "c", "d"], 3),
        (idle.clone(), Level::Severe, vec!["plan", "a", "b", "c", "d"], 2),
        (idle.at_least(3), Level::None, vec!["plan", "a", "b", "c", "d"], 4),
        (two, Level::Severe, vec!["a", "b", "c"], 2),
    ];
    for (policy, level, parts, required) in cases {
        let gathered = all_of(by(policy.clone(), level), &parts).run().await.unwrap();
        assert_eq!(gathered.decision.required, required, "{policy:?} at {level}");
    }
}

#[tokio::test]
async fn a_minimum_that_the_parts_can_never_meet_is_refused_at_every_level() {
    let policy = PartialPolicy::share(0.5).at_least(3).weigh("idle", 0.0);
    for level in Level::ALL {
        let error = refusal(all_of(by(policy.clone(), level), &["a", "b", "idle"])).await;
        assert_eq!((error.field.as_str(), error.value.as_str()), ("minimum", "3"), "{level}");
        assert_eq!(error.rule, "must be at most the number of parts that weigh anything: 2");
        assert!(all_of(by(policy.clone(), level), &["a", "b", "c"]).run().await.unwrap().accepted());
        let weighs = all_of(by(policy.clone(), level), &["a", "b"]);
        let weighs = weighs.with(Part::new("idle", ready(Ok(1))).weight(0.1));
        assert!(weighs.run().await.unwrap().accepted(), "its own weight is the stronger");
    }
}

#[tokio::test]
async fn a_policy_that_was_spoilt_after_it_was_checked_is_refused() {
    let mut partial = PartialPolicy::share(0.5).at(Level::None).unwrap();
    partial.policy.share = f64::NAN;
    let error = refusal(all_of(Gather::new(partial), &["a"])).await;
    assert_eq!(error.field, "partial.share");
}

#[test]
fn a_gather_goes_by_the_clock_of_its_manager() {
    let (clock, time) = Clock::manual();
    let degrade = DegradationManager::builder().clock(clock).build().unwrap();
    let assessment = degrade.assessment();
    let mut cx = Context::from_waker(Waker::noop());
    for partial in [degrade.partial("dag"), degrade.partial_by(&assessment, "dag")] {
        time.advance(Duration::from_secs(7));
        let gather = Gather::new(partial).part("a", ready(Tried::Ok(1))).part("b", pending());
        let mut running = Box::pin(gather.run());
        let mut polls = || {
            (0..10).find_map(|_| {
                if let Poll::Ready(answer) = running.as_mut().poll(&mut cx) { Some(answer) } else { None }
            })
        };
        assert!(polls().is_none());
        time.advance(Duration::from_secs(4));
        assert!(polls().is_none(), "the grace is not over");
        time.advance(Duration::from_secs(1));
        let gathered = polls().unwrap().unwrap();
        assert_eq!((gathered.took, gathered.at), (Duration::from_secs(5), degrade.clock().now()));
    }
}

#[tokio::test]
async fn a_decision_is_repeated_from_the_assessment_and_the_outcomes_alone() {
    let redis = Breaker::new("redis").unwrap();
    let policy = PartialPolicy::share(0.8).require("plan").weigh("a", 2.5).weigh("idle", 0.0);
    let policies = PartialPolicies::new(policy).unwrap();
    let degrade = DegradationManager::builder().watch(&redis).partial(policies.clone()).build().unwrap();
    redis.trip();
    degrade.refresh();
    let assessment = degrade.assessment();
    let gathered = Gather::new(degrade.partial_by(&assessment, "dag"))
        .part("a", ready(Tried::Ok(1)))
        .part("b", ready(Err("down")))
        .part("idle", async { panic!("{}", "oh") })
        .part("plan", ready(Ok(2)))
        .run()
        .await
        .unwrap();
    assert_eq!(gathered.decision.level, Level::Minor);
    assert_eq!((gathered.decision.share, gathered.decision.required), (0.777777778, 2));

    let outcomes: Vec<(String, bool)> =
        gathered.parts.iter().map(|part| (part.source.clone(), part.is_success())).collect();
    let kept = serde_json::to_string(&(&*assessment, outcomes, &gathered.decision)).unwrap();
    let (assessment, outcomes, decision): (Assessment, Vec<(String, bool)>, _) =
        serde_json::from_str(&kept).unwrap();
    let partial = policies.at(&assessment, "dag");
    let again = partial.decide_parts(outcomes.iter().rev().map(|(part, success)| (part.as_str(), *success)));
    assert_eq!((&again, &gathered.decision), (&decision, &decision));
}

#[tokio::test]
async fn a_manager_counts_the_decision_of_a_gather_once_however_often_it_is_repeated() {
    let degrade = DegradationManager::builder().build().unwrap();
    let gather = Gather::new(degrade.partial("agent_dag")).part("a", ready(Ok(1)));
    let gathered = gather.part("b", ready(Err("down"))).run().await.unwrap();
    for _ in 0..3 {
        assert!(gathered.partial.decide_parts([("a", true), ("b", false)]).accept);
    }
    let counted = degrade.stats().partial_results;
    let counted: Vec<_> = counted.iter().map(|row| (row.workflow, row.accepted, row.count)).collect();
    assert_eq!(counted, [(Some(Name::new("agent_dag").unwrap()), true, 1)]);
}

#[tokio::test]
async fn what_the_parts_say_of_themselves_is_in_the_policy_that_decided() {
    let gathered = by(PartialPolicy::share(0.5).weigh("a", 9.0), Level::None)
        .with(Part::new("a", ready(Ok(1))).weight(2.0))
        .required("b", ready(Err("down")))
        .run()
        .await
        .unwrap();
    assert_eq!(gathered.partial.policy, PartialPolicy::share(0.5).weigh("a", 2.0).require("b"));
    assert_eq!(gathered.decision, gathered.partial.decide_parts([("a", true), ("b", false)]));
    assert_eq!(gathered.decision.missing, ["b"]);
}

#[test]
fn of_no_parts_none_is_enough_and_what_is_not_there_is_missing() {
    let partial = PartialPolicy::share(0.5).require("plan").at(Level::Severe).unwrap();
    assert!(!partial.decide_parts([]).accept);
    let without = partial.decide_parts([("a", true)]);
    assert_eq!((without.accept, without.missing), (false, vec!["plan".to_owned()]));
    assert!(partial.decide_parts([("plan", true)]).accept);
    assert!(!PartialPolicy::share(0.5).at(Level::Severe).unwrap().decide_parts([]).accept);
    let both = PartialPolicy::share(0.5).at_least(2).at(Level::None).unwrap().decide_parts([("a", true)]);
    assert_eq!((both.accept, both.required), (false, 2), "as `decide` says of the same numbers");
}

#[test]
fn a_part_that_weighs_nothing_and_fails_is_counted_as_one_that_failed() {
    let partial = PartialPolicy::share(0.5).weigh("idle", 0.0).require("plan").at(Level::None).unwrap();
    let decision = partial.decide_parts([("plan", true), ("idle", false)]);
    assert_eq!((decision.accept, decision.share, decision.failed), (true, 1.0, 1));
    assert_eq!(partial.decide_parts([("idle", true)]).failed, 1, "the one that is not there");
    assert_eq!(partial.decide(5, 5).failed, 0);
    assert_eq!(partial.decide(3, 5).failed, 2);
}

#[tokio::test]
async fn published_figures_are_the_same_after_a_round_trip_through_json() {
    let partial = PartialPolicy::share(0.05).at(Level::None).unwrap();
    let names: Vec<String> = (0..21).map(|part| format!("part-{part}")).collect();
    for successes in 0..=21_u32 {
        let by_name = names.iter().zip(0..).map(|(name, part)| (name.as_str(), part < successes));
        for decision in [partial.decide(successes, 21), partial.decide_parts(by_name)] {
            let json = serde_json::to_string(&decision).unwrap();
            assert_eq!(serde_json::from_str::<mainstay_degrade::PartialDecision>(&json).unwrap(), decision);
        }
        let confidence = f64::from(successes) / 21.0;
        let rated = Part::rated("a", async move { Ok::<_, &str>(PartValue::new(1).confidence(confidence)) });
        let answer =
            Gather::new(partial.clone()).with(rated).run().await.unwrap().aggregate(|values| values.len());
        let json = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Aggregate<usize, i32>>(&json).unwrap(), answer);
    }
}
