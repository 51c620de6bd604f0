//! From a level to what a piece of work gets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::time::Duration;

use mainstay_breaker::{Breaker, HalfOpen, OpenFor, State};
use mainstay_degrade::{
    Assessment, Behavior, BehaviorReason, BehaviorRules, Clock, DegradationManager, ExecutionMode, Level,
    Mode, ModeRules, PartialPolicies, PartialPolicy, Reason,
};
use proptest::prelude::*;

/// An assessment of this level, with these dependencies down: as it would be read from its JSON.
fn assessment(level: Level, down: &[&str]) -> Assessment {
    let down: Vec<_> = down
        .iter()
        .map(|name| serde_json::json!({ "name": name, "weight": "breaker", "since": { "secs": 5, "nanos": 0 } }))
        .collect();
    let causes: Vec<_> = (level != Level::None)
        .then(|| {
            serde_json::json!({
                "level": level, "what": "signal", "figure": 7.0, "threshold": 5.0, "by": ["queue"],
                "since": { "secs": 5, "nanos": 0 }, "over_since": null,
            })
        })
        .into_iter()
        .collect();
    let json = serde_json::json!({
        "level": level, "since": { "secs": 5, "nanos": 0 },
        "since_wall": { "secs_since_epoch": 5, "nanos_since_epoch": 0 }, "epoch": 3, "causes": causes, "down": down,
    });
    serde_json::from_value(json).unwrap()
}

#[test]
fn the_seeds_modes_go_down_its_ladder() {
    use ExecutionMode::{Complex, Simple, Standard};
    let rules = ModeRules::seed();
    for (level, complex, standard) in [
        (Level::None, Complex, Standard),
        (Level::Minor, Standard, Standard),
        (Level::Moderate, Standard, Simple),
        (Level::Severe, Simple, Simple),
    ] {
        assert_eq!(rules.granted(level, Complex), complex, "{level}");
        assert_eq!(rules.granted(level, Standard), standard, "{level}");
        assert_eq!(rules.granted(level, Simple), Simple, "{level}");
    }
    assert_eq!(
        [Simple, Standard, Complex].map(|mode| mode.budget().unwrap().as_millis()),
        [100, 2_000, 10_000]
    );
}

#[test]
fn a_mode_is_downgraded_only_if_it_changed_and_says_why() {
    let rules = ModeRules::seed();
    let decision = rules.decide(&assessment(Level::Minor, &[]), ExecutionMode::Standard);
    assert_eq!((decision.downgraded, decision.reason), (false, None));
    let decision = rules.decide(&assessment(Level::Minor, &[]), ExecutionMode::Complex);
    assert_eq!((decision.granted, decision.downgraded), (ExecutionMode::Standard, true));
    assert_eq!(decision.reason.unwrap().to_string(), "minor: a signal at 7 (limit 5): queue");
}

#[test]
fn a_mode_that_does_not_exist_is_an_error() {
    assert_eq!(ModeRules::<ExecutionMode>::by_name("complex").unwrap(), ExecutionMode::Complex);
    let error = ModeRules::<ExecutionMode>::by_name("complx").unwrap_err();
    assert_eq!(error.to_string(), "there is no mode \"complx\"; there are simple, standard, complex");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    Titles,
    Texts,
    Meaning,
}

impl Mode for Search {
    const LADDER: &'static [Self] = &[Search::Titles, Search::Texts, Search::Meaning];

    fn name(self) -> &'static str {
        match self {
            Search::Titles => "titles",
            Search::Texts => "texts",
            Search::Meaning => "meaning",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Round(u8);

impl Mode for Round {
    const LADDER: &'static [Self] = &[Round(1), Round(2), Round(1)];

    fn name(self) -> &'static str {
        if self.0 == 1 { "one" } else { "two" }
    }
}

#[test]
fn a_ladder_of_the_users_own_has_rules_of_its_own() {
    let rules = ModeRules::new().unwrap().at(Level::Moderate, Search::Meaning, Search::Titles).unwrap();
    let degrade = DegradationManager::builder().clock(Clock::manual().0).modes(rules).build().unwrap();
    assert_eq!(degrade.mode(Search::Meaning).granted, Search::Meaning);
    degrade.pin(Level::Severe, Duration::from_secs(5)).unwrap();
    assert_eq!(degrade.mode(Search::Meaning).granted, Search::Titles, "from its level on");
    assert_eq!(degrade.mode(Search::Texts).granted, Search::Texts);
}

#[test]
fn ladders_and_rules_that_make_no_sense_are_refused() {
    let error = ModeRules::<Round>::new().unwrap_err();
    assert_eq!((error.field.as_str(), error.rule.as_str()), ("modes", "must stand in the ladder once"));
    let rules = || ModeRules::<Search>::new().unwrap();
    let more = rules().at(Level::Minor, Search::Titles, Search::Texts).unwrap_err();
    assert_eq!(
        more.to_string(),
        "modes.minor.titles: texts is refused: must not be more than what is asked for"
    );
    let back = rules().at(Level::Minor, Search::Meaning, Search::Titles).unwrap();
    let back = back.at(Level::Severe, Search::Meaning, Search::Texts).unwrap_err();
    assert_eq!(back.rule, "must not be more than at level minor");
    // Whichever is said first.
    let worse = rules().at(Level::Severe, Search::Meaning, Search::Texts).unwrap();
    let less = worse.clone().at(Level::Minor, Search::Meaning, Search::Titles).unwrap_err();
    assert_eq!(less.rule, "must not be less than at level severe");
    assert_eq!(
        worse.at(Level::Severe, Search::Meaning, Search::Titles).unwrap_err().rule,
        "must be said once"
    );
    let none = rules().at(Level::None, Search::Meaning, Search::Titles).unwrap_err();
    assert_eq!(none.rule, "must be a level at which something is wrong");
}

#[test]
fn the_seeds_operations_do_what_they_did() {
    let rules = BehaviorRules::seed();
    assert_eq!(rules.operations().count(), 9);
    let all_well = assessment(Level::None, &[]);
    let llm_down = assessment(Level::Minor, &["llm_service"]);
    let severe = assessment(Level::Severe, &["agent_core"]);
    for (assessment, operation, expected) in [
        (&all_well, "llm_generation", Behavior::Proceed),
        (&llm_down, "llm_generation", Behavior::UseCache),
        (&llm_down, "llm_call", Behavior::UseCache),
        (&llm_down, "agent_execution", Behavior::Proceed),
        (&severe, "agent_execution", Behavior::Degrade),
        (&llm_down, "complex_workflow", Behavior::Proceed),
        (&severe, "complex_workflow", Behavior::Degrade),
        (&severe, "non_essential_logging", Behavior::Skip),
        (&severe, "vector_search", Behavior::Proceed),
    ] {
        assert_eq!(rules.decide(assessment, operation).behavior, expected, "{operation}");
    }
}

#[test]
fn the_stronger_rule_wins_and_is_the_reason() {
    let rules = BehaviorRules::new()
        .when_down("search", "index", Behavior::UseCache)
        .and_then(|rules| rules.at("search", Level::Minor, Behavior::Degrade))
        .and_then(|rules| rules.at("search", Level::Severe, Behavior::Fail))
        .unwrap();
    let decide = |level, down: &[&str]| rules.decide(&assessment(level, down), "search");
    assert_eq!(decide(Level::Minor, &[]).behavior, Behavior::Degrade);
    let decision = decide(Level::Minor, &["index"]);
    assert_eq!(decision.behavior, Behavior::UseCache);
    assert!(matches!(decision.reason, Some(BehaviorReason::DependencyDown(down)) if down.name == "index"));
    let refused = decide(Level::Severe, &["index"]).allow().unwrap_err();
    assert_eq!(
        refused.to_string(),
        "search is not run now (fail): from level severe on; severe: a signal at 7 (limit 5): queue"
    );
    assert_eq!(decide(Level::Minor, &["index"]).allow().unwrap(), Behavior::UseCache);
}

#[test]
fn an_unknown_operation_proceeds_under_no_name_of_its_own() {
    let decision =
        BehaviorRules::seed().decide(&assessment(Level::Severe, &["llm_service"]), "made up by a request");
    assert_eq!((decision.behavior, decision.operation), (Behavior::Proceed, None));
}

#[test]
fn an_operation_that_always_proceeds_says_so_while_something_is_wrong() {
    let rules = BehaviorRules::seed();
    let decision = rules.decide(&assessment(Level::Moderate, &[]), "vector_search");
    assert_eq!(decision.clone().allow().unwrap(), Behavior::Proceed);
    assert!(decision.warning().is_some());
    assert_eq!(decision.why(), "from level moderate on; moderate: a signal at 7 (limit 5): queue");
    assert_eq!(rules.decide(&assessment(Level::None, &[]), "vector_search").warning(), None);
    assert_eq!(rules.decide(&assessment(Level::Minor, &["llm_service"]), "llm_call").warning(), None);
}

#[test]
fn a_reason_says_which_dependency_by_what_and_since_when() {
    let decision = BehaviorRules::seed().decide(&assessment(Level::Minor, &["llm_service"]), "llm_call");
    let Some(reason @ BehaviorReason::DependencyDown(down)) = &decision.reason else {
        unreachable!("{decision:?}")
    };
    assert_eq!((down.name.as_str(), down.since), ("llm_service", Duration::from_secs(5)));
    assert_eq!(reason.reason(), Reason::CircuitBreakerOpen);
    assert_eq!((decision.level, decision.epoch), (Level::Minor, 3));
}

#[test]
fn behaviors_that_make_no_sense_are_refused() {
    let error = BehaviorRules::new().at("search", Level::None, Behavior::Skip).unwrap_err();
    assert_eq!(error.field, "behaviors.search.at");
    let error = BehaviorRules::new().when_down("search", "index", Behavior::Proceed).unwrap_err();
    assert_eq!(error.field, "behaviors.search.when_down");
    assert!(BehaviorRules::new().when_down("search", "", Behavior::Skip).is_err());

    let skips = || BehaviorRules::new().at("search", Level::Moderate, Behavior::Skip).unwrap();
    let rule = |refused: Result<BehaviorRules, mainstay_degrade::ConfigError>| refused.unwrap_err().rule;
    let weaker = skips().at("search", Level::Severe, Behavior::Degrade);
    assert_eq!(rule(weaker), "must not be weaker than at level moderate");
    let stronger = skips().at("search", Level::Minor, Behavior::Fail);
    assert_eq!(rule(stronger), "must not be stronger than at level moderate");
    assert_eq!(rule(skips().at("search", Level::Moderate, Behavior::Fail)), "must be said once for moderate");
    assert_eq!(rule(skips().proceeds("search")), "must not be said of an operation that has rules");
    let proceeds = BehaviorRules::new().proceeds("search").unwrap();
    let rule_of_proceeding = rule(proceeds.when_down("search", "index", Behavior::Skip));
    assert_eq!(rule_of_proceeding, "must not be said of an operation that always proceeds");
    let down = skips().when_down("search", "index", Behavior::Skip).unwrap();
    assert_eq!(rule(down.when_down("search", "index", Behavior::Fail)), "must be said once for index");
}

#[test]
fn partial_results_ask_for_less_as_things_get_worse() {
    let policies = PartialPolicies::seed();
    for (workflow, none, minor, moderate, severe) in [
        ("simple", 10, 5, 3, 1),
        ("standard", 5, 5, 3, 1),
        ("complex", 6, 5, 3, 1),
        ("agent_dag", 4, 4, 3, 1),
        ("anything else", 5, 5, 3, 1),
    ] {
        let required = |level| policies.at(&assessment(level, &[]), workflow).required(10);
        let found = Level::ALL.map(required);
        assert_eq!(found, [none, minor, moderate, severe], "{workflow}");
    }
    let partial = policies.at(&assessment(Level::Moderate, &[]), "complex");
    let decision = partial.decide(2, 10);
    assert_eq!((decision.accept, decision.required, decision.share), (false, 3, 0.2));
    assert!(partial.decide(3, 10).accept && decision.reason.is_some());
    assert!(!partial.decide(0, 0).accept, "of nothing, nothing is enough");
}

#[test]
fn more_successes_than_parts_are_all_of_them() {
    let partial = PartialPolicy::share(0.5).at_least(6).at(Level::None).unwrap();
    let decision = partial.decide(7, 5);
    assert_eq!((decision.accept, decision.share, decision.failed), (false, 1.0, 0));
}

#[test]
fn by_count_alone_a_policy_that_requires_parts_by_name_accepts_only_all_of_them() {
    let policy = PartialPolicy::share(0.5).require("plan").require("sources");
    for level in Level::ALL {
        let partial = policy.clone().at(level).unwrap();
        let decision = partial.decide(4, 5);
        assert_eq!((decision.accept, decision.required), (false, 5), "{level}");
        assert!(partial.decide(5, 5).accept, "{level}");
        assert!(!partial.decide(1, 1).accept, "{level}: two are required");
        assert!(!partial.decide(0, 0).accept, "{level}");
    }
}

#[test]
fn shares_are_compared_by_division() {
    // 0.07 * 100 is more than 7.
    assert_eq!(PartialPolicy::share(0.07).required(Level::None, 100), 7);
    assert_eq!(PartialPolicy::share(0.6).required(Level::None, 5), 3);
    assert_eq!(PartialPolicy::share(0.5).at_least(3).required(Level::None, 4), 3);
}

#[test]
fn policies_that_make_no_sense_are_refused() {
    for share in [0.0, 1.1, -1.0, f64::NAN] {
        let error = PartialPolicies::new(PartialPolicy::share(share)).unwrap_err();
        assert_eq!(error.field, "partial.other.share");
    }
    let error = PartialPolicies::seed().workflow("dag", PartialPolicy::share(0.5).at_least(0)).unwrap_err();
    assert_eq!(error.field, "partial.dag.minimum");
}

#[test]
fn a_policy_that_names_its_share_alone_asks_for_one_part_at_least() {
    let policy: PartialPolicy = serde_json::from_str(r#"{ "share": 0.5 }"#).unwrap();
    assert_eq!(policy, PartialPolicy::share(0.5));
    assert_eq!(policy.minimum, 1);
}

#[test]
fn a_managers_policy_and_the_same_one_by_its_assessment_are_equal() {
    let degrade = DegradationManager::builder().build().unwrap();
    let partial = degrade.partial("agent_dag");
    assert_eq!(partial, PartialPolicies::seed().at(&degrade.assessment(), "agent_dag"));
    assert_eq!(partial, degrade.partial("agent_dag"));
}

/// When the breaker closed again, after the dependency healed, if each operation asks what to do and only then calls.
async fn closed_after(open_for: OpenFor, close_after: u32, pause: Duration) -> (Duration, u32) {
    let llm = Breaker::builder("llm_service")
        .open_for(open_for)
        .half_open(HalfOpen { close_after, ..HalfOpen::default() })
        .clock(Clock::tokio())
        .build()
        .unwrap();
    let degrade = DegradationManager::builder().clock(Clock::tokio()).watch(&llm).build().unwrap();
    degrade.start().unwrap();
    let (began, dead_for) = (tokio::time::Instant::now(), Duration::from_secs(600));
    let mut calls = 0;
    loop {
        let is_dead = began.elapsed() < dead_for;
        match degrade.behavior("llm_generation").behavior {
            Behavior::UseCache => {}
            _ => {
                calls += u32::from(!is_dead);
                let _ = llm.call(|| if is_dead { Err("dead") } else { Ok(()) });
            }
        }
        if !is_dead && llm.state() == State::Closed {
            return (began.elapsed() - dead_for, calls);
        }
        tokio::time::sleep(pause).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_dependency_dead_for_ten_minutes_whose_traffic_goes_by_behavior_is_closed_again_by_it() {
    let pause = Duration::from_millis(100);
    for (open_for, longest) in [
        (OpenFor::fixed(Duration::from_secs(15)), Duration::from_secs(15)),
        (OpenFor::exponential(Duration::from_secs(10), Duration::from_secs(60)), Duration::from_secs(60)),
    ] {
        for close_after in [1, 2, 3] {
            let (after, calls) = closed_after(open_for, close_after, pause).await;
            assert_eq!(calls, close_after, "no call more than it takes to close");
            // One pause until the first call after the open time, and one between two calls.
            let bound = longest + pause * (close_after + 1);
            assert!(after <= bound, "{after:?}, of at most {bound:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn worse_levels_never_ask_for_more_grant_more_or_do_more(
        modes in prop::collection::vec((0usize..4, 0usize..3, 0usize..3), 0..8),
        behaviors in prop::collection::vec((any::<bool>(), 0usize..4, 0usize..5), 0..8),
        share in 0.001f64..=1.0,
        minimum in 1u32..10,
        total in 1u32..200,
        // Each with its weight, whether it is required, and whether it succeeded.
        parts in prop::collection::vec((0u32..4, prop::bool::weighted(0.2), any::<bool>()), 1..12),
    ) {
        // Whatever is refused is left out.
        let mut rules = ModeRules::<Search>::new().unwrap();
        for (level, from, to) in modes {
            rules = rules.clone().at(Level::ALL[level], Search::LADDER[from], Search::LADDER[to]).unwrap_or(rules);
        }
        let strengths =
            [Behavior::Proceed, Behavior::Degrade, Behavior::UseCache, Behavior::Skip, Behavior::Fail];
        let mut operations = BehaviorRules::new();
        for (by_level, level, strength) in behaviors {
            let strength = strengths[strength];
            let with = match by_level {
                true => operations.clone().at("search", Level::ALL[level], strength),
                false => operations.clone().when_down("search", "index", strength),
            };
            operations = with.unwrap_or(operations);
        }
        let policy = PartialPolicy::share(share).at_least(minimum);
        let names: Vec<String> = (0..parts.len()).map(|part| format!("part-{part}")).collect();
        let mut by_name = policy.clone();
        for (name, (weight, required, _)) in names.iter().zip(&parts) {
            by_name = by_name.weigh(name, f64::from(*weight));
            by_name = if *required { by_name.require(name) } else { by_name };
        }
        let decide_parts = |level| {
            let succeeded = names.iter().zip(&parts).map(|(name, (.., succeeded))| (name.as_str(), *succeeded));
            by_name.clone().at(level).unwrap().decide_parts(succeeded)
        };
        let step = |mode: Search| Search::LADDER.iter().position(|known| *known == mode).unwrap();
        for pair in Level::ALL.windows(2) {
            let (better, worse) = (pair[0], pair[1]);
            for mode in Search::LADDER {
                prop_assert!(step(rules.granted(worse, *mode)) <= step(rules.granted(better, *mode)));
                prop_assert!(step(rules.granted(worse, *mode)) <= step(*mode));
            }
            for down in [&[][..], &["index"][..]] {
                let behavior = |level| operations.decide(&assessment(level, down), "search").behavior;
                prop_assert!(behavior(worse) >= behavior(better));
            }
            prop_assert!(policy.required(worse, total) <= policy.required(better, total));
            prop_assert!(policy.required(worse, total) >= 1);
            prop_assert!(by_name.required(worse, total) <= by_name.required(better, total));
            let (of_better, of_worse) = (decide_parts(better), decide_parts(worse));
            prop_assert!(of_worse.required <= of_better.required);
            prop_assert!(of_worse.accept || !of_better.accept, "what was enough is enough");
            prop_assert_eq!(of_worse.share, of_better.share);
            prop_assert_eq!(&of_worse.missing, &of_better.missing, "required at every level");
            prop_assert!(of_worse.missing.is_empty() || !of_worse.accept);
        }
    }
}
