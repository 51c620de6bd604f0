//! The same assessment gives the same decisions, today and on another day.
#![allow(clippy::unwrap_used)]

use mainstay_degrade::{Assessment, BehaviorRules, ExecutionMode, Mode, ModeRules, PartialPolicies};
use serde_json::{Value, json};

/// Every decision of the seed's rules by one assessment.
fn decisions(assessment: &Assessment) -> Value {
    let (modes, behaviors, partial) = (ModeRules::seed(), BehaviorRules::seed(), PartialPolicies::seed());
    let workflows = ["simple", "standard", "complex", "agent_dag", "other"];
    json!({
        "modes": ExecutionMode::LADDER.iter().map(|mode| json!(modes.decide(assessment, *mode))).collect::<Value>(),
        "behaviors": behaviors
            .operations()
            .map(|operation| json!(behaviors.decide(assessment, operation.as_str())))
            .collect::<Value>(),
        "partial": workflows.map(|workflow| json!(partial.at(assessment, workflow).decide(2, 5))),
    })
}

#[test]
fn kept_assessments_give_the_decisions_that_they_gave() {
    let assessments: Vec<Assessment> = serde_json::from_str(include_str!("golden/assessments.json")).unwrap();
    let decided: Value = assessments.iter().map(decisions).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/decisions.json");
    if std::env::var_os("MAINSTAY_REWRITE_GOLDEN").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(&decided).unwrap() + "\n").unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(decided, golden, "if the rules were changed on purpose: MAINSTAY_REWRITE_GOLDEN=1");
}
