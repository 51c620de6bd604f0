//! Whatever stands in the JSON of an assessment: it is refused, or it is written and read again as the same, and gives the same
//! decisions then as before. So do the decisions themselves.
#![no_main]

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mainstay_degrade::{
    Assessment, BehaviorDecision, BehaviorRules, ExecutionMode, Level, Mode, ModeDecision, ModeRules,
    PartialDecision, PartialPolicies,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

struct Rules {
    modes: ModeRules<ExecutionMode>,
    behaviors: BehaviorRules,
    partial: PartialPolicies,
}

fn rules() -> &'static Rules {
    static RULES: OnceLock<Rules> = OnceLock::new();
    RULES.get_or_init(|| Rules {
        modes: ModeRules::seed(),
        behaviors: BehaviorRules::seed(),
        partial: PartialPolicies::seed(),
    })
}

/// Written and read again.
fn again<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let written = serde_json::to_string(value).expect("it can be written");
    serde_json::from_str(&written).unwrap_or_else(|error| panic!("{error}: {written}"))
}

fn kept<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) -> Value {
    assert_eq!(again(&value), value);
    json!(value)
}

fn decisions(assessment: &Assessment) -> Value {
    let Rules { modes, behaviors, partial } = rules();
    let modes: Value = ExecutionMode::LADDER
        .iter()
        .map(|mode| {
            let decision: ModeDecision<ExecutionMode> = modes.decide(assessment, *mode);
            let rung = |mode| ExecutionMode::LADDER.iter().position(|rung| *rung == mode);
            assert!(rung(decision.granted) <= rung(decision.requested), "{decision:?}");
            kept(decision)
        })
        .collect();
    let operations: BTreeSet<String> = behaviors.operations().map(|name| name.as_str().to_owned()).collect();
    let behaviors: Value = operations
        .iter()
        .map(String::as_str)
        .chain(["nobody's"])
        .map(|operation| kept::<BehaviorDecision>(behaviors.decide(assessment, operation)))
        .collect();
    let workflows = ["simple", "standard", "complex", "agent_dag", "other"];
    let partial: Value = workflows
        .iter()
        .flat_map(|workflow| [(0, 0), (0, 1), (1, 2), (2, 5), (5, 5), (7, 5)].map(|asked| (workflow, asked)))
        .map(|(workflow, (successes, total))| {
            let decision: PartialDecision = partial.at(assessment, workflow).decide(successes, total);
            kept(decision)
        })
        .collect();
    let since = assessment.since;
    let times = [0, 1, 5, 30, 86_400].map(|seconds| since.saturating_add(Duration::from_secs(seconds)));
    let times = [Duration::ZERO, Duration::MAX].into_iter().chain(times);
    let pressure: Vec<String> = times
        .map(|now| {
            let pressure = assessment.pressure(now);
            assert!((0.0..=3.0).contains(&pressure), "{pressure} at {now:?}");
            assert!(pressure >= f64::from(assessment.level.as_number()));
            format!("{pressure:?}")
        })
        .collect();
    let down: Vec<bool> = assessment.down.iter().map(|down| assessment.is_down(down.name.as_str())).collect();
    assert!(down.iter().all(|down| *down));
    json!({ "modes": modes, "behaviors": behaviors, "partial": partial, "pressure": pressure })
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(assessment) = serde_json::from_slice::<Assessment>(bytes) else { return };
    assert!(Level::None <= assessment.level && assessment.level <= Level::Severe);
    let replayed = again(&assessment);
    assert_eq!(replayed, assessment);
    assert_eq!(decisions(&replayed), decisions(&assessment));
});
