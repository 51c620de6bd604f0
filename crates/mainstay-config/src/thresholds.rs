//! From which figures on each level is reached, in the original's words or in ours.

use std::time::Duration;

use mainstay_degrade::{LevelThresholds, Thresholds};

use crate::Origin;
use crate::breakers::number;
use crate::check::duration;
use crate::degradation::LEVELS;
use crate::error::{Errors, SettingError};
use crate::node::Node;
use crate::path::join;

/// Of a figure: ours, the original's word, and how to make the one of the other.
type Word = (&'static str, &'static str, fn(&Node) -> Node);

const FIGURES: [Word; 5] = [
    ("breakers_open", "circuit_breakers_open", Clone::clone),
    ("critical_down", "critical_dependencies_down", Clone::clone),
    ("non_critical_down", "non_critical_dependencies_down", Clone::clone),
    ("error_rate", "error_rate_percentage", |percent| {
        let rate = number::<f64>(percent).unwrap_or_default() / 100.0;
        Node { reference: percent.reference.clone(), ..Node::number(rate, percent.origin.clone()) }
    }),
    ("latency", "latency_threshold_ms", |millis| {
        let latency = Duration::from_millis(number(millis).unwrap_or_default());
        let latency = crate::check::format(latency);
        Node { reference: millis.reference.clone(), ..Node::text(latency, millis.origin.clone()) }
    }),
];

/// All figures, in our words alone.
pub(crate) fn complete(said: Option<&Node>) -> Node {
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

/// The same for people: a figure that a `${VARIABLE}` brought in is in the word that the variable is for.
pub(crate) fn shown(complete: &Node, said: Option<&Node>) -> Node {
    let mut shown = complete.clone();
    for level in LEVELS {
        let Some(figures) = shown.get_mut(level) else { continue };
        for (ours, seeds, _) in FIGURES {
            let word = said.and_then(|said| said.get(level)?.get(seeds));
            if let Some(word) = word.filter(|word| word.is_hidden()) {
                figures.rename(ours, seeds, word.clone());
            }
        }
    }
    shown
}

/// The figures of a tree that is complete. What contradicts itself is told where it stands.
pub(crate) fn read(node: &Node, path: &str, errors: &mut Errors) -> Thresholds {
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
        let alone = [&minor, &moderate, &severe].map(|all| only(all, figure));
        let known = errors.len();
        for (level, figures) in LEVELS.into_iter().zip(alone) {
            let none = LevelThresholds::default();
            let possible = Thresholds { minor: figures, moderate: none, severe: none }.validate();
            if let (Err(error), Some(at)) = (possible, node.get(level).and_then(|level| level.get(figure))) {
                let expected = format!("a figure that {}", error.rule);
                errors.push(SettingError::at(at, &join(&join(path, level), figure), expected));
            }
        }
        let [minor, moderate, severe] = alone;
        if errors.len() == known
            && let Err(error) = (Thresholds { minor, moderate, severe }).validate()
        {
            contradiction(node, path, figure, error, errors);
        }
    }
    Thresholds { minor, moderate, severe }
}

/// One figure of a level; the others are not used.
fn only(all: &LevelThresholds, figure: &str) -> LevelThresholds {
    let mut one = LevelThresholds::default();
    match figure {
        "breakers_open" => one.breakers_open = all.breakers_open,
        "critical_down" => one.critical_down = all.critical_down,
        "non_critical_down" => one.non_critical_down = all.non_critical_down,
        "error_rate" => one.error_rate = all.error_rate,
        _ => one.latency = all.latency,
    }
    one
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
            let expected =
                format!("at most that of a worse level, {} ({refused}, {})", worse.told(), worse.origin);
            (level, better, expected)
        }
        (Some(worse), _) => (refused.as_str(), worse, format!("a figure that {}", error.rule)),
        (None, _) => return,
    };
    errors.push(SettingError::at(at, &join(&join(path, level), figure), expected));
}
