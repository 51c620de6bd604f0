//! The original's mode rules, four yes or no at each level, as rules over the ladder of modes.

use mainstay_degrade::{ExecutionMode, Level, ModeRules};

use crate::Origin;
use crate::error::{Errors, SettingError};
use crate::keys::MODES;
use crate::node::Node;
use crate::path::join;

/// What is true if nothing is said.
fn default(level: Level, key: &str) -> bool {
    matches!(
        (level, key),
        (Level::Minor | Level::Moderate, "complex_to_standard")
            | (Level::Moderate, "standard_to_simple")
            | (Level::Severe, "force_simple_mode")
    )
}

/// Whether a key is of no account beside a stronger one of the same level.
fn stronger(key: &str) -> &'static [&'static str] {
    match key {
        "complex_to_standard" => &["complex_to_simple", "force_simple_mode"],
        "standard_to_simple" | "complex_to_simple" => &["force_simple_mode"],
        _ => &[],
    }
}

/// Reads and completes the rules. What holds at a level holds at the worse ones as well, unless a stronger rule does; to
/// deny it there is a contradiction.
pub(crate) fn read(said: Option<&Node>, errors: &mut Errors) -> (ModeRules<ExecutionMode>, Node) {
    let path = "degradation.mode_rules";
    let mut complete = Node::map(Origin::Default);
    let mut better: Option<(Level, Node)> = None;
    for level in Level::DEGRADED {
        let mut rules = Node::map(Origin::Default);
        for key in MODES.names() {
            let said = said.and_then(|said| said.get(level.as_str())?.get(key));
            rules.set(key, said.cloned().unwrap_or_else(|| Node::bool(default(level, key), Origin::Default)));
        }
        let standard = rules.get("complex_to_standard").filter(|rule| !rule.origin.is_unsaid());
        if let (Some(standard), Some((above, better))) = (standard, &better) {
            let simple = stronger("complex_to_standard");
            let forced = simple.iter().any(|key| is_true(better, key) && !is_true(&rules, key));
            if is_true(&rules, "complex_to_standard")
                && forced
                && !simple.iter().any(|key| is_true(&rules, key))
            {
                let path = join(&join(path, level.as_str()), "complex_to_standard");
                let expected = format!("no more than at {above}, where complex gets simple already");
                errors.push(SettingError::at(standard, &path, expected));
            }
        }
        for key in MODES.names() {
            let held = better.as_ref().and_then(|(above, rules)| Some((*above, rules.get(key)?)));
            let Some((above, held)) = held else { continue };
            let covered = stronger(key).iter().any(|stronger| is_true(&rules, stronger));
            if is_true(&rules, key) || held.as_bool() != Some(true) || covered {
                continue;
            }
            if let Some(denied) = rules.get(key).filter(|denied| !denied.origin.is_unsaid()) {
                let expected =
                    format!("{}, because it is so at {above} already ({})", held.told(), held.origin);
                errors.push(SettingError::at(denied, &join(&join(path, level.as_str()), key), expected));
            }
            rules.set(key, held.clone());
        }
        better = Some((level, rules.clone()));
        complete.set(level.as_str(), rules);
    }
    (build(&complete), complete)
}

fn is_true(rules: &Node, key: &str) -> bool {
    rules.get(key).and_then(Node::as_bool) == Some(true)
}

/// What a mode gets by the rules of one level.
fn grant(rules: &Node, mode: ExecutionMode) -> ExecutionMode {
    let yes = |key: &str| is_true(rules, key);
    match mode {
        _ if yes("force_simple_mode") => ExecutionMode::Simple,
        ExecutionMode::Complex if yes("complex_to_simple") => ExecutionMode::Simple,
        ExecutionMode::Complex if yes("complex_to_standard") => ExecutionMode::Standard,
        ExecutionMode::Standard if yes("standard_to_simple") => ExecutionMode::Simple,
        mode => mode,
    }
}

fn build(complete: &Node) -> ModeRules<ExecutionMode> {
    let Ok(mut rules) = ModeRules::new() else { return ModeRules::seed() };
    for mode in [ExecutionMode::Standard, ExecutionMode::Complex] {
        let mut granted = mode;
        for level in Level::DEGRADED {
            let now = complete.get(level.as_str()).map_or(mode, |rules| grant(rules, mode));
            if now != granted {
                granted = now;
                rules = rules.clone().at(level, mode, granted).unwrap_or(rules);
            }
        }
    }
    rules
}
