//! The same assessment gives the same decisions, today and on another day.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mainstay_degrade::{
    Assessment, BehaviorRules, Clock, ExecutionMode, Gather, Mode, ModeRules, PartialPolicies,
};
use serde_json::{Value, json};

/// Every decision of the seed's rules by one assessment.
fn decisions(assessment: &Assessment) -> Value {
    let (modes, behaviors, partial) = (ModeRules::seed(), BehaviorRules::seed(), PartialPolicies::seed());
    let workflows = ["simple", "standard", "complex", "agent_dag", "other"];
    let pressure = [0, 5, 10, 20, 30, 300]
        .map(|seconds| assessment.pressure(assessment.since + Duration::from_secs(seconds)));
    json!({
        "modes": ExecutionMode::LADDER.iter().map(|mode| json!(modes.decide(assessment, *mode))).collect::<Value>(),
        "behaviors": behaviors
            .operations()
            .map(|operation| json!(behaviors.decide(assessment, operation.as_str())))
            .collect::<Value>(),
        "partial": workflows.map(|workflow| json!(partial.at(assessment, workflow).decide(2, 5))),
        "gather": workflows.map(|workflow| gather(&partial, assessment, workflow)),
        "pressure": pressure,
    })
}

/// Two parts succeed, two fail, and one never ends.
fn gather(policies: &PartialPolicies, assessment: &Assessment, workflow: &str) -> Value {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let gathered = runtime.block_on(async {
        Gather::new(policies.at(assessment, workflow))
            .clock(Clock::tokio())
            .part("a", async { Ok(1) })
            .part("b", async { Err("down") })
            .required("c", async { Ok(3) })
            .part("d", async { Err("down") })
            .part("e", std::future::pending())
            .run()
            .await
            .unwrap()
    });
    let outcomes: Vec<_> = gathered.parts.iter().map(|part| part.outcome).collect();
    json!({ "decision": gathered.decision, "end": gathered.end, "outcomes": outcomes })
}

#[test]
fn kept_assessments_give_the_decisions_that_they_gave() {
    let assessments: Vec<Assessment> =
        serde_json::from_str(include_str!("../golden/assessments.json")).unwrap();
    let decided: Value = assessments.iter().map(decisions).collect();
    let decided = serde_json::to_string_pretty(&decided).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/decisions.json");
    if std::env::var_os("MAINSTAY_REWRITE_GOLDEN").is_some() {
        std::fs::write(path, &decided).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    for (number, (now, then)) in decided.lines().zip(golden.lines()).enumerate() {
        let line = number + 1;
        assert_eq!(
            now, then,
            "line {line} of {path}; if it was changed on purpose: MAINSTAY_REWRITE_GOLDEN=1"
        );
    }
    assert_eq!(decided.lines().count(), golden.lines().count());
}

/// Found by the fuzz target `assessment`.
#[test]
fn an_easing_with_a_pressure_that_there_is_not_is_refused() {
    let assessment = |from: f64, to: f64| {
        let since = json!({ "secs": 200, "nanos": 0 });
        let over = json!({ "secs": 30, "nanos": 0 });
        json!({
            "level": "none", "since": since, "since_wall": { "secs_since_epoch": 0, "nanos_since_epoch": 0 }, "epoch": 12,
            "causes": [], "down": [], "easing": { "from": from, "to": to, "since": since, "over": over },
        })
    };
    let read = |from, to| serde_json::from_value::<Assessment>(assessment(from, to));
    assert_eq!(read(3.0, 1.0).unwrap().pressure(Duration::from_secs(215)), 2.0);
    for (from, to, named) in [(6.0, 0.0, "6"), (3.0, 5.0, "5"), (-0.5, 0.0, "-0.5")] {
        let error = read(from, to).unwrap_err().to_string();
        assert_eq!(error, format!("a pressure is from 0 to 3, and not {named}"));
    }
}

#[test]
fn no_pressure_is_more_than_all_there_is() {
    let json = r#"{"level":"minor","since":{"secs":0,"nanos":0},"since_wall":{"secs_since_epoch":0,"nanos_since_epoch":0},"epoch":1,
        "causes":[],"down":[],"easing":{"from":3.0,"to":1.0,"since":{"secs":0,"nanos":0},"over":null}}"#;
    let mut assessment: Assessment = serde_json::from_str(json).unwrap();
    if let Some(easing) = &mut assessment.easing {
        easing.from = f64::INFINITY;
    }
    assert_eq!(assessment.pressure(Duration::ZERO), 3.0);
}
