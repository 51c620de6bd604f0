//! Effective settings in the one way in which all who have the same have them: what fingerprints and comparisons are made of.

use crate::breakers::number;
use crate::node::{Node, Value};
use crate::thresholds;

pub(crate) fn canonical(effective: &Node) -> Node {
    let mut tree = effective.clone();
    if let Some(degradation) = tree.get_mut("degradation") {
        degradation.set("thresholds", thresholds::complete(effective.at("degradation.thresholds")));
        if let Some(operations) = degradation.get_mut("fallback_behaviors") {
            operations.entries_mut().for_each(|operation| silence(&mut operation.node));
        }
        let policies =
            degradation.get_mut("partial_results").and_then(|all| all.get_mut("success_thresholds"));
        for policy in policies.into_iter().flat_map(Node::entries_mut) {
            if let Some(Value::Map(weights)) =
                policy.node.get_mut("weights").map(|weights| &mut weights.value)
            {
                // What is not named weighs 1.
                weights.retain(|weight| number::<f64>(&weight.node) != Some(1.0));
            }
            drop_empty(&mut policy.node, &["required", "weights"]);
        }
    }
    if let Some(health) = tree.get_mut("health") {
        health.get_mut("default").into_iter().for_each(complete_rules);
        for check in health.get_mut("checks").into_iter().flat_map(Node::entries_mut) {
            complete_rules(&mut check.node);
        }
    }
    sort_sets(&mut tree);
    tree
}

/// An operation without rules proceeds silently, however that is said.
fn silence(operation: &mut Node) {
    drop_empty(operation, &["when_down", "at"]);
    if operation.is_map() && operation.entries().is_empty() {
        operation.value = Value::Text("proceed_silently".to_owned());
    }
}

fn drop_empty(node: &mut Node, keys: &[&str]) {
    for key in keys {
        let empty = |node: &Node| node.entries().is_empty() && node.items().is_empty();
        if node.get(key).is_some_and(empty) {
            node.remove(key);
        }
    }
}

/// A rule ends where it begins, and makes degraded, unless it says otherwise.
fn complete_rules(check: &mut Node) {
    let Some(Value::List(rules)) = check.get_mut("rules").map(|rules| &mut rules.value) else { return };
    for rule in rules {
        let begin = ["latency_above", "above", "below"].iter().find_map(|key| rule.get(key)).cloned();
        if let (Some(begin), None) = (begin, rule.get("until")) {
            rule.set("until", begin);
        }
        if rule.get("makes").is_none() {
            rule.set("makes", Node::text("degraded", rule.origin.clone()));
        }
    }
}

/// A list of words is a set of them.
fn sort_sets(node: &mut Node) {
    node.entries_mut().for_each(|entry| sort_sets(&mut entry.node));
    let Value::List(items) = &mut node.value else { return };
    items.iter_mut().for_each(sort_sets);
    if items.iter().all(|item| item.as_text().is_some()) {
        items.sort_by(|one, other| one.as_text().cmp(&other.as_text()));
        items.dedup_by(|one, other| one.value == other.value);
    }
}
