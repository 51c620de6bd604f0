//! When results become a status.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use crate::scene::{Run, Script, manager, millis, pass, secs, settle, status};
use mainstay_health::{Check, CheckOutcome, Pushed, Reason, Rule, Status};
use mainstay_testkit::models::Cases;
use proptest::prelude::*;

#[tokio::test(start_paused = true)]
async fn nothing_is_known_before_the_first_result_and_it_counts_at_once() {
    for (run, expected) in
        [(Run::Healthy, Status::Healthy), (Run::Degraded, Status::Degraded), (Run::Error, Status::Unhealthy)]
    {
        let script = Script::new(run);
        let health = manager().check(Check::shared("redis", script.probe())).build().unwrap();
        assert_eq!(status(&health, "redis"), Status::Unknown);
        health.start().unwrap();
        assert_eq!(status(&health, "redis"), Status::Unknown);
        settle().await;
        assert_eq!(status(&health, "redis"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn it_takes_three_failures_to_fall_and_two_successes_to_rise() {
    let script = Script::new(Run::Healthy);
    let health = manager().check(Check::shared("redis", script.probe()).jitter(0.0)).build().unwrap();
    health.start().unwrap();
    settle().await;

    script.set(Run::Error);
    pass(secs(10)).await;
    let check = health.report().check("redis").unwrap().clone();
    assert_eq!((check.status, check.pending, check.streak), (Status::Healthy, Some(Status::Unhealthy), 1));
    assert_eq!(check.reason, Reason::Passed, "the reason is that of the status");
    assert_eq!(check.last.as_ref().unwrap().reason, Reason::Error);
    pass(secs(2)).await;
    assert_eq!(status(&health, "redis"), Status::Healthy, "two of three");
    pass(secs(2)).await;
    assert_eq!(status(&health, "redis"), Status::Unhealthy);

    script.set(Run::Healthy);
    pass(secs(10)).await;
    assert_eq!(status(&health, "redis"), Status::Unhealthy, "one of two");
    pass(secs(2)).await;
    assert_eq!(status(&health, "redis"), Status::Healthy);
    assert_eq!(health.report().check("redis").unwrap().pending, None);
}

#[tokio::test(start_paused = true)]
async fn both_thresholds_can_be_one() {
    let script = Script::new(Run::Healthy);
    let check = Check::shared("redis", script.probe()).failure_threshold(1).success_threshold(1).jitter(0.0);
    let health = manager().check(check).build().unwrap();
    health.start().unwrap();
    settle().await;
    for (run, expected) in
        [(Run::Error, Status::Unhealthy), (Run::Degraded, Status::Degraded), (Run::Healthy, Status::Healthy)]
    {
        script.set(run);
        pass(secs(10)).await;
        assert_eq!(status(&health, "redis"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_flaps_never_flips() {
    let pushed = Pushed::new();
    let check = Check::shared("redis", &pushed).failure_threshold(2).success_threshold(2);
    let health = manager().check(check).build().unwrap();
    health.start().unwrap();
    pushed.set(Status::Healthy);
    settle().await;
    for _ in 0..100 {
        pushed.set(Status::Unhealthy);
        settle().await;
        assert_eq!(status(&health, "redis"), Status::Healthy);
        pushed.set(Status::Healthy);
        settle().await;
        assert_eq!(status(&health, "redis"), Status::Healthy);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_learned_nothing_leaves_the_last_result_until_it_is_stale() {
    let script = Script::new(Run::Healthy);
    let health = manager().check(Check::shared("redis", script.probe()).jitter(0.0)).build().unwrap();
    health.start().unwrap();
    settle().await;
    script.set(Run::Unknown);
    pass(secs(31)).await;
    assert_eq!(status(&health, "redis"), Status::Healthy);
    pass(secs(2)).await;
    let check = health.report().check("redis").unwrap().clone();
    assert_eq!((check.status, check.reason), (Status::Unknown, Reason::Stale));
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_degrades_until_it_is_clearly_fast_again() {
    let script = Script::new(Run::Takes(millis(50)));
    let check = Check::shared("redis", script.probe()).failure_threshold(1).success_threshold(1).jitter(0.0);
    let health = manager().check(check.rule(Rule::latency_above(millis(100), millis(80)))).build().unwrap();
    health.start().unwrap();
    for (took, expected) in [
        (50, Status::Healthy),
        (99, Status::Healthy),
        (100, Status::Degraded),
        (90, Status::Degraded),
        (80, Status::Degraded),
        (79, Status::Healthy),
        (90, Status::Healthy),
    ] {
        script.set(Run::Takes(millis(took)));
        pass(secs(10)).await;
        let check = health.report().check("redis").unwrap().clone();
        assert_eq!(check.status, expected, "after {took} ms");
        assert_eq!(check.latency(), Some(millis(took)));
        assert_eq!(check.reason == Reason::Slow, expected == Status::Degraded);
    }
}

#[tokio::test(start_paused = true)]
async fn a_figure_among_the_details_degrades_or_fails_by_rules_of_its_own() {
    let pushed = Pushed::new();
    let check = Check::exclusive("disk", &pushed)
        .rule(Rule::below("free_share", 0.10, 0.15))
        .rule(Rule::below("free_share", 0.02, 0.05).unhealthy())
        .rule(Rule::above("waiters", 5.0, 1.0));
    let health = manager().check(check).build().unwrap();
    health.start().unwrap();
    for (free, waiters, expected) in [
        (0.5, 0, Status::Healthy),
        (0.10, 0, Status::Degraded),
        (0.12, 0, Status::Degraded),
        (0.02, 0, Status::Unhealthy),
        (0.04, 0, Status::Unhealthy),
        (0.06, 0, Status::Degraded),
        (0.16, 0, Status::Healthy),
        (0.16, 5, Status::Degraded),
        (0.16, 1, Status::Degraded),
        (0.16, 0, Status::Healthy),
    ] {
        pushed.set(CheckOutcome::healthy().detail("free_share", free).detail("waiters", waiters));
        settle().await;
        assert_eq!(status(&health, "disk"), expected, "with {free} free and {waiters} waiting");
    }
    pushed.set(CheckOutcome::healthy().detail("free_share", 0.01));
    settle().await;
    pushed.set(CheckOutcome::healthy());
    settle().await;
    assert_eq!(status(&health, "disk"), Status::Unhealthy, "without its figure a rule stays as it was");
}

/// The rule of flips, word by word: at least as bad as all of the last f results, at most as bad as all of the last s.
fn model(results: &[u8], failures: usize, successes: usize) -> Vec<u8> {
    let mut shown = Vec::new();
    for end in 1..=results.len() {
        let Some(before) = shown.last().copied() else {
            shown.push(results[0]);
            continue;
        };
        let last = |n: usize| (n <= end).then(|| &results[end - n..end]);
        let at_least = last(failures).map_or(0, |run| *run.iter().min().unwrap());
        let at_most = last(successes).map_or(2, |run| *run.iter().max().unwrap());
        shown.push(before.max(at_least).min(at_most));
    }
    shown
}

#[test]
fn statuses_follow_the_model() {
    let results = prop::collection::vec(0u8..3, 1..40);
    Cases::or(64).check(&(results, 1u32..5, 1u32..5), |(results, failures, successes)| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let shown: Vec<Status> = runtime.block_on(async {
            let pushed = Pushed::new();
            let check = Check::shared("x", &pushed).failure_threshold(failures).success_threshold(successes);
            // Its own turns would look at the last value again, and count it again.
            let health =
                manager().check(check.interval(secs(86_400)).timeout(secs(1)).confirmation(secs(86_400)));
            let health = health.build().unwrap();
            health.start().unwrap();
            settle().await;
            let mut shown = Vec::new();
            for result in &results {
                pushed.set([Status::Healthy, Status::Degraded, Status::Unhealthy][usize::from(*result)]);
                settle().await;
                shown.push(status(&health, "x"));
            }
            shown
        });
        let expected: Vec<Status> = model(&results, failures as usize, successes as usize)
            .into_iter()
            .map(|status| [Status::Healthy, Status::Degraded, Status::Unhealthy][usize::from(status)])
            .collect();
        prop_assert_eq!(shown, expected);
        Ok(())
    });
}
