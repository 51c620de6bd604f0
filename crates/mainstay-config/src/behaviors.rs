//! What operations do when something is down, as rules.

use mainstay_degrade::{Behavior, BehaviorRules, ConfigError, Level};

use crate::error::{Errors, SettingError};
use crate::node::{Entry, Node};
use crate::path::join;

/// What an operation does from a level on.
struct At<'a> {
    level: Level,
    behavior: Behavior,
    node: &'a Node,
}

/// Reads a tree that has been checked. A rule that contradicts another one is told where it stands.
pub(crate) fn read(operations: &Node, path: &str, errors: &mut Errors) -> BehaviorRules {
    let mut rules = BehaviorRules::new();
    for Entry { key, node, .. } in operations.entries() {
        let (path, at) = (join(path, key), at(node));
        let known = errors.len();
        contradictions(&at, &join(&path, "at"), errors);
        if errors.len() > known {
            continue;
        }
        match with(rules.clone(), key, node, &at) {
            Ok(more) => rules = more,
            Err(error) => {
                errors.push(SettingError::at(node, &path, format!("rules of which each {}", error.rule)))
            }
        }
    }
    rules
}

/// The rules with those of an operation.
fn with(
    rules: BehaviorRules,
    operation: &str,
    node: &Node,
    at: &[At<'_>],
) -> Result<BehaviorRules, ConfigError> {
    let mut down: Vec<&Entry> = node.get("when_down").map_or(&[][..], Node::entries).iter().collect();
    // The order of the keys decides nothing.
    down.sort_by(|one, other| one.key.cmp(&other.key));
    if node.as_text() == Some("proceed") {
        return rules.proceeds_with_warning(operation);
    }
    if down.is_empty() && at.is_empty() {
        return rules.proceeds(operation);
    }
    let rules = down.into_iter().try_fold(rules, |rules, down| match behavior(&down.node) {
        Some(behavior) => rules.when_down(operation, &down.key, behavior),
        None => Ok(rules),
    })?;
    at.iter().try_fold(rules, |rules, at| rules.at(operation, at.level, at.behavior))
}

/// The rules by level, from the best level on.
fn at(node: &Node) -> Vec<At<'_>> {
    let said = |level: Level| {
        let node = node.get("at")?.get(level.as_str())?;
        Some(At { level, behavior: behavior(node)?, node })
    };
    Level::DEGRADED.into_iter().filter_map(said).collect()
}

fn behavior(node: &Node) -> Option<Behavior> {
    let all = [Behavior::Degrade, Behavior::UseCache, Behavior::Skip, Behavior::Fail];
    all.into_iter().find(|behavior| Some(behavior.as_str()) == node.as_text())
}

/// Weaker behaviors at worse levels. Of two, the one that was said later is at fault.
fn contradictions(at: &[At<'_>], path: &str, errors: &mut Errors) {
    let mut told = Vec::new();
    for (index, worse) in at.iter().enumerate() {
        let better = at.iter().take(index).find(|better| better.behavior > worse.behavior);
        let Some(better) = better else { continue };
        let (fault, than, other) = if better.node.origin > worse.node.origin {
            (better, "stronger", worse)
        } else {
            (worse, "weaker", better)
        };
        if told.contains(&fault.level) {
            continue;
        }
        told.push(fault.level);
        let At { level, behavior, node } = other;
        let behavior = node.or_hidden(behavior);
        let expected = format!("nothing {than} than `{behavior}`, as it is at {level} ({})", node.origin);
        errors.push(SettingError::at(fault.node, &join(path, fault.level.as_str()), expected));
    }
}
