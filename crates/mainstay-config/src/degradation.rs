//! What the file and the variables say of degradation, as settings of its manager.

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_degrade::{
    Behavior, BehaviorRules, DegradationManagerBuilder, ExecutionMode, Level, LevelThresholds, ModeRules,
    PartialPolicies, PartialPolicy, Thresholds,
};

use crate::Origin;
use crate::breakers::number;
use crate::check::duration;
use crate::error::{Errors, SettingError};
use crate::merge::merge;
use crate::modes;
use crate::node::Node;
use crate::path::join;

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
        let builder = Level::DEGRADED
            .into_iter()
            .zip(self.relax_after)
            .fold(builder, |builder, (level, held)| builder.relax_level_after(level, held));
        builder
            .check_interval(self.check_interval)
            .thresholds(self.thresholds)
            .modes(self.modes.clone())
            .behaviors(self.behaviors.clone())
            .partial(self.partial.clone())
    }
}

const LEVELS: [&str; 3] = ["minor", "moderate", "severe"];

/// Of a figure: ours, the original's word, and how to make the one of the other.
type Word = (&'static str, &'static str, fn(&Node) -> Node);

const FIGURES: [Word; 5] = [
    ("breakers_open", "circuit_breakers_open", Clone::clone),
    ("critical_down", "critical_dependencies_down", Clone::clone),
    ("non_critical_down", "non_critical_dependencies_down", Clone::clone),
    ("error_rate", "error_rate_percentage", |percent| {
        Node::number(number::<f64>(percent).unwrap_or_default() / 100.0, percent.origin.clone())
    }),
    ("latency", "latency_threshold_ms", |millis| {
        let latency = Duration::from_millis(number(millis).unwrap_or_default());
        Node::text(mainstay_core::humane::format(latency), millis.origin.clone())
    }),
];

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
    let check_interval = or("check_interval", text("30s"));
    let mut relax_after = Node::map(Origin::Default);
    for level in LEVELS {
        relax_after.set(level, or(&format!("relax_after.{level}"), text("30s")));
    }
    falls(&mut relax_after, &join(PATH, "relax_after"), errors);
    let thresholds = complete_thresholds(said.and_then(|said| said.get("thresholds")));
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
        thresholds: read_thresholds(&thresholds, &join(PATH, "thresholds"), errors),
        modes,
        behaviors: read_behaviors(&operations),
        partial: read_partial(&partial),
        timeout_override: time(partial.get("timeout_override")),
        max_wait_time: time(partial.get("max_wait_time")),
        after_quorum: partial.get("after_quorum").and_then(duration),
    };
    effective.set("enabled", enabled);
    effective.set("check_interval", check_interval);
    effective.set("relax_after", relax_after);
    effective.set("thresholds", thresholds);
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
                    let expected = format!(
                        "at most that of a better level, {} ({})",
                        better.scalar().unwrap_or_default(),
                        better.origin
                    );
                    errors.push(SettingError::at(&held, &join(path, level), expected));
                    held
                }
            }
            _ => held,
        };
        better = Some(held);
    }
}

fn complete_thresholds(said: Option<&Node>) -> Node {
    let default = serde_json::to_value(Thresholds::default()).unwrap_or_default();
    let default = Node::of_json(&default, &Origin::Default);
    let mut thresholds = Node::map(Origin::Default);
    for level in LEVELS {
        let said = said.and_then(|said| said.get(level));
        let mut figures = Node::map(Origin::Default);
        for (ours, seeds, convert) in FIGURES {
            let given =
                said.and_then(|said| said.get(ours).cloned().or_else(|| said.get(seeds).map(convert)));
            if let Some(figure) = given.or_else(|| default.get(level)?.get(ours).cloned()) {
                figures.set(ours, figure);
            }
        }
        thresholds.set(level, figures);
    }
    thresholds
}

fn read_thresholds(node: &Node, path: &str, errors: &mut Errors) -> Thresholds {
    let level = |level: &str| {
        let count = |figure: &str| node.get(level)?.get(figure).and_then(number::<u32>);
        LevelThresholds {
            breakers_open: count("breakers_open").unwrap_or_default(),
            critical_down: count("critical_down").unwrap_or_default(),
            non_critical_down: count("non_critical_down").unwrap_or_default(),
            error_rate: node
                .get(level)
                .and_then(|level| number(level.get("error_rate")?))
                .unwrap_or_default(),
            latency: node.get(level).and_then(|level| duration(level.get("latency")?)).unwrap_or_default(),
        }
    };
    let [minor, moderate, severe] = LEVELS.map(level);
    // A figure at a time, so that all of them are told.
    for (figure, ..) in FIGURES {
        let only = |all: &LevelThresholds| {
            let mut one = LevelThresholds::default();
            match figure {
                "breakers_open" => one.breakers_open = all.breakers_open,
                "critical_down" => one.critical_down = all.critical_down,
                "non_critical_down" => one.non_critical_down = all.non_critical_down,
                "error_rate" => one.error_rate = all.error_rate,
                _ => one.latency = all.latency,
            }
            one
        };
        let alone = Thresholds { minor: only(&minor), moderate: only(&moderate), severe: only(&severe) };
        if let Err(error) = alone.validate() {
            contradiction(node, path, figure, error, errors);
        }
    }
    Thresholds { minor, moderate, severe }
}

/// Figures that fall. At fault is what somebody said: at the worse level, or else at the better one.
fn contradiction(
    node: &Node,
    path: &str,
    figure: &str,
    error: mainstay_degrade::ConfigError,
    errors: &mut Errors,
) {
    let refused = error.field.split('.').nth(1).unwrap_or("severe").to_owned();
    let worse = node.get(&refused).and_then(|level| level.get(figure));
    let better = LEVELS.iter().take_while(|level| **level != refused);
    let better = better.filter_map(|level| Some((*level, node.get(level)?.get(figure)?)));
    let better = better.max_by(|(_, one), (_, other)| one.origin.cmp(&other.origin));
    let (level, at, expected) = match (worse, better) {
        (Some(worse), Some((level, better))) if worse.origin.is_unsaid() => {
            let expected = format!(
                "at most that of a worse level, {} ({refused}, {})",
                worse.scalar().unwrap_or_default(),
                worse.origin
            );
            (level, better, expected)
        }
        (Some(worse), _) => (refused.as_str(), worse, format!("a figure that {}", error.rule)),
        (None, _) => return,
    };
    errors.push(SettingError::at(at, &join(&join(path, level), figure), expected));
}

fn behavior(node: &Node) -> Option<Behavior> {
    let all = [Behavior::Degrade, Behavior::UseCache, Behavior::Skip, Behavior::Fail];
    all.into_iter().find(|behavior| Some(behavior.as_str()) == node.as_text())
}

/// The rules of a tree that has been checked, so that none of them is refused.
fn read_behaviors(operations: &Node) -> BehaviorRules {
    let mut rules = BehaviorRules::new();
    for operation in operations.entries() {
        let name = operation.key.as_str();
        let known = match operation.node.as_text() {
            Some("proceed") => rules.clone().proceeds_with_warning(name),
            _ => rules.clone().proceeds(name),
        };
        rules = known.unwrap_or(rules);
        for down in operation.node.get("when_down").map_or(&[][..], Node::entries) {
            if let Some(behavior) = behavior(&down.node) {
                rules = rules.clone().when_down(name, &down.key, behavior).unwrap_or(rules);
            }
        }
        for level in Level::DEGRADED {
            let at = operation.node.get("at").and_then(|at| at.get(level.as_str()));
            if let Some(behavior) = at.and_then(behavior) {
                rules = rules.clone().at(name, level, behavior).unwrap_or(rules);
            }
        }
    }
    rules
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
