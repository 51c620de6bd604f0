//! What the file and the variables say of degradation, as settings of its manager.

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_degrade::{
    BehaviorRules, DegradationManagerBuilder, ExecutionMode, ModeRules, PartialPolicies, PartialPolicy,
    Settings, Thresholds,
};

use crate::Origin;
use crate::breakers::number;
use crate::check::duration;
use crate::error::{Errors, SettingError};
use crate::merge::merge;
use crate::node::Node;
use crate::path::join;
use crate::{behaviors, modes, thresholds};

/// What the settings say of degradation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DegradationSettings {
    /// Whether there shall be a degradation manager. Default: true.
    pub enabled: bool,
    /// The longest time between two looks at what cannot be watched. Default: 30 s.
    pub check_interval: Duration,
    /// How long minor, moderate and severe are held. Default: 30 s.
    pub relax_after: [Duration; 3],
    /// From which figures on each level is reached. Default: [`Thresholds::default`].
    pub thresholds: Thresholds,
    /// Which mode is granted for which. Default: [`ModeRules::seed`].
    pub modes: ModeRules<ExecutionMode>,
    /// What operations do when something is down. Default: [`BehaviorRules::seed`].
    pub behaviors: BehaviorRules,
    /// How much of a workflow's parts must succeed. Default: [`PartialPolicies::seed`].
    pub partial: PartialPolicies,
    /// How long each part of a workflow may take. Default: 5 s.
    pub timeout_override: Duration,
    /// How long all parts may take together. Default: 30 s.
    pub max_wait_time: Duration,
    /// How long the other parts are waited for once enough have succeeded. Default: none.
    pub after_quorum: Option<Duration>,
}

impl DegradationSettings {
    /// Gives a builder all of it but `enabled` and the times of gathers.
    pub fn apply(
        &self,
        builder: DegradationManagerBuilder<ExecutionMode>,
    ) -> DegradationManagerBuilder<ExecutionMode> {
        builder.settings(self.levels())
    }

    /// The same for a manager that runs, to be [reconfigured](mainstay_degrade::DegradationManager::reconfigure).
    pub fn levels(&self) -> Settings {
        let mut levels = Settings::with_modes(self.modes.clone());
        levels.thresholds = self.thresholds;
        levels.relax_after = self.relax_after;
        levels.check_interval = self.check_interval;
        levels.behaviors = self.behaviors.clone();
        levels.partial = self.partial.clone();
        levels
    }
}

pub(crate) const LEVELS: [&str; 3] = ["minor", "moderate", "severe"];

const OPERATIONS: &str = r#"{
    "llm_generation": { "when_down": { "llm_service": "cache" } },
    "llm_call": { "when_down": { "llm_service": "cache" } },
    "agent_execution": { "when_down": { "agent_core": "degrade" } },
    "complex_workflow": { "at": { "moderate": "degrade" } },
    "non_essential_logging": { "at": { "severe": "skip" } },
    "vector_search": "proceed",
    "result_synthesis": "proceed",
    "session_update": "proceed",
    "task_persistence": "proceed"
}"#;

const WORKFLOWS: &str = r#"{
    "simple": { "share": 1 },
    "standard": { "share": 0.5 },
    "complex": { "share": 0.6 },
    "agent_dag": { "share": 0.4 },
    "other": { "share": 0.5 }
}"#;

fn default_node(json: &str) -> Node {
    // These are constants, and a test compares them with the library's.
    Node::of_json(&serde_json::from_str(json).unwrap_or_default(), &Origin::Default)
}

/// Reads the merged layers, and completes them.
pub(crate) fn read(said: Option<&Node>, errors: &mut Errors) -> (DegradationSettings, Node) {
    const PATH: &str = "degradation";
    let mut effective = Node::map(Origin::Default);
    let or = |path: &str, default: Node| said.and_then(|said| said.at(path)).cloned().unwrap_or(default);
    let text = |text: &str| Node::text(text, Origin::Default);

    let enabled = or("enabled", Node::bool(true, Origin::Default));
    let default = Settings::default();
    let span = |default: Duration| text(&crate::check::format(default));
    let check_interval = or("check_interval", span(default.check_interval));
    let mut relax_after = Node::map(Origin::Default);
    for (level, held) in LEVELS.into_iter().zip(default.relax_after) {
        relax_after.set(level, or(&format!("relax_after.{level}"), span(held)));
    }
    falls(&mut relax_after, &join(PATH, "relax_after"), errors);
    let thresholds = thresholds::complete(said.and_then(|said| said.get("thresholds")));
    let (modes, mode_rules) = modes::read(said.and_then(|said| said.get("mode_rules")), errors);
    let operations = named_alone(OPERATIONS, said.and_then(|said| said.get("fallback_behaviors")));
    let mut partial = Node::map(Origin::Default);
    let mut workflows = default_node(WORKFLOWS);
    if let Some(said) = said.and_then(|said| said.at("partial_results.success_thresholds")) {
        merge(&mut workflows, said, None);
    }
    partial.set("success_thresholds", complete_policies(workflows));
    partial.set("timeout_override", or("partial_results.timeout_override", text("5s")));
    partial.set("max_wait_time", or("partial_results.max_wait_time", text("30s")));
    partial.set("after_quorum", or("partial_results.after_quorum", text("none")));

    let time = |node: Option<&Node>| node.and_then(duration).unwrap_or(Duration::from_secs(30));
    let settings = DegradationSettings {
        enabled: enabled.as_bool().unwrap_or(true),
        check_interval: time(Some(&check_interval)),
        relax_after: LEVELS.map(|level| time(relax_after.get(level))),
        thresholds: thresholds::read(&thresholds, &join(PATH, "thresholds"), errors),
        modes,
        behaviors: behaviors::read(&operations, &join(PATH, "fallback_behaviors"), errors),
        partial: read_partial(&partial),
        timeout_override: time(partial.get("timeout_override")),
        max_wait_time: time(partial.get("max_wait_time")),
        after_quorum: partial.get("after_quorum").and_then(duration),
    };
    effective.set("enabled", enabled);
    effective.set("check_interval", check_interval);
    effective.set("relax_after", relax_after);
    effective.set("thresholds", thresholds::shown(&thresholds, said.and_then(|said| said.get("thresholds"))));
    effective.set("mode_rules", mode_rules);
    effective.set("fallback_behaviors", operations);
    effective.set("partial_results", partial);
    (settings, effective)
}

/// The defaults, and what is said in the place of those of the same name.
fn named_alone(default: &str, said: Option<&Node>) -> Node {
    let mut all = default_node(default);
    for entry in said.map_or(&[][..], Node::entries) {
        all.set(&entry.key, entry.node.clone());
    }
    all
}

/// A worse level is not held for longer than a better one. Where nobody spoke of it, it is held for as long as that.
fn falls(relax_after: &mut Node, path: &str, errors: &mut Errors) {
    let mut better: Option<Node> = None;
    for level in LEVELS {
        let Some(held) = relax_after.get(level).cloned() else { continue };
        let held = match better {
            Some(better) if duration(&held) > duration(&better) => {
                if held.origin.is_unsaid() {
                    relax_after.set(level, better.clone());
                    better
                } else {
                    let expected =
                        format!("at most that of a better level, {} ({})", better.told(), better.origin);
                    errors.push(SettingError::at(&held, &join(path, level), expected));
                    held
                }
            }
            _ => held,
        };
        better = Some(held);
    }
}

fn complete_policies(mut workflows: Node) -> Node {
    for entry in workflows.entries_mut() {
        let defaults =
            [("share", Node::number("0.5", Origin::Default)), ("minimum", Node::number(1, Origin::Default))];
        for (key, default) in defaults {
            if entry.node.get(key).is_none() {
                entry.node.set(key, default);
            }
        }
    }
    workflows
}

fn policy(node: &Node) -> PartialPolicy {
    let share = node.get("share").and_then(number).unwrap_or(0.5);
    let mut policy = PartialPolicy::share(share).at_least(node.get("minimum").and_then(number).unwrap_or(1));
    let required = node.get("required").map_or(&[][..], Node::items);
    policy.required = required.iter().filter_map(Node::as_text).map(str::to_owned).collect::<BTreeSet<_>>();
    let weights = node.get("weights").map_or(&[][..], Node::entries);
    policy.weights =
        weights.iter().filter_map(|entry| Some((entry.key.clone(), number(&entry.node)?))).collect();
    policy
}

fn read_partial(partial: &Node) -> PartialPolicies {
    let workflows = partial.get("success_thresholds");
    let other = workflows.and_then(|workflows| workflows.get("other")).map(policy);
    let mut policies =
        other.and_then(|other| PartialPolicies::new(other).ok()).unwrap_or_else(PartialPolicies::seed);
    for entry in workflows.map_or(&[][..], Node::entries).iter().filter(|entry| entry.key != "other") {
        policies = policies.clone().workflow(&entry.key, policy(&entry.node)).unwrap_or(policies);
    }
    policies
}
