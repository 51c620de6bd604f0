//! The keys below `degradation`.

use std::time::Duration;

use mainstay_degrade::Thresholds;

use crate::shape::{Key, NANO, Shape, Table, YEAR};

pub(super) static DEGRADATION: Table = Table {
    keys: &[
        Key::new("enabled", Shape::Bool, "true", "Whether there is a degradation manager."),
        Key::new(
            "check_interval",
            Shape::TIME,
            "30s",
            "The longest time between two looks at what cannot be watched.",
        ),
        Key::new(
            "relax_after",
            Shape::Either {
                scalar: &Shape::TIME,
                map: &Shape::Map(&RELAX_AFTER),
                keys: &["minor", "moderate", "severe"],
            },
            "30s",
            "How long a level is held after its last threshold is no longer reached: for all levels, or for each.",
        ),
        Key::new("thresholds", Shape::Map(&THRESHOLDS), "", "From which figures on each level is reached."),
        Key::new(
            "mode_rules",
            Shape::Map(&MODE_RULES),
            "",
            "Which mode is granted for which, from each level on.",
        ),
        Key::new(
            "fallback_behaviors",
            Shape::Names {
                of: &Shape::Either {
                    scalar: &Shape::Choice(&["proceed", "proceed_silently"]),
                    map: &Shape::Map(&OPERATION),
                    keys: &[],
                },
                default: false,
            },
            "the original's",
            "What operations do when something is down. An operation that is named has these rules alone. `proceed` tells what is wrong, `proceed_silently` does not.",
        ),
        Key::new(
            "partial_results",
            Shape::Map(&PARTIAL_RESULTS),
            "",
            "How much of a workflow's parts must succeed.",
        ),
    ],
    instead: &[],
};

static RELAX_AFTER: Table = Table {
    keys: &[
        Key::new("minor", Shape::TIME, "30s", "How long minor is held."),
        Key::new("moderate", Shape::TIME, "30s", "How long moderate is held: at most as long as minor."),
        Key::new("severe", Shape::TIME, "30s", "How long severe is held: at most as long as moderate."),
    ],
    instead: &[],
};

static THRESHOLDS: Table = Table {
    keys: &[
        Key::new("minor", Shape::Map(&FIGURES), "", "From which figures on the level is minor."),
        Key::new("moderate", Shape::Map(&FIGURES), "", "From which figures on the level is moderate."),
        Key::new("severe", Shape::Map(&FIGURES), "", "From which figures on the level is severe."),
    ],
    instead: &[],
};

pub(crate) static FIGURES: Table = Table {
    keys: &[
        Key::new(
            "breakers_open",
            Shape::FIGURE,
            "1, 2, 3",
            "How many watched breakers are open; 0 = not used.",
        ),
        Key::new(
            "critical_down",
            Shape::FIGURE,
            "0, 1, 2",
            "How many critical checks are down; 0 = not used.",
        ),
        Key::new(
            "non_critical_down",
            Shape::FIGURE,
            "1, 2, 3",
            "How many checks that are not critical are down; 0 = not used.",
        ),
        Key::new(
            "error_rate",
            Shape::SHARE,
            "0.05, 0.15, 0.3",
            "Which share of the requests fails; 0 = not used.",
        ),
        Key::new(
            "latency",
            Shape::Duration { least: Duration::ZERO, most: Thresholds::MAX_LATENCY, none: false },
            "1s, 2s, 5s",
            "How long 95 of 100 requests take at most: at least 10us; 0 = not used.",
        ),
        Key::new("circuit_breakers_open", Shape::FIGURE, "1, 2, 3", "The original's word for breakers_open."),
        Key::new(
            "critical_dependencies_down",
            Shape::FIGURE,
            "0, 1, 2",
            "The original's word for critical_down.",
        ),
        Key::new(
            "non_critical_dependencies_down",
            Shape::FIGURE,
            "1, 2, 3",
            "The original's word for non_critical_down.",
        ),
        Key::new(
            "error_rate_percentage",
            Shape::Number { least: 0.0, above: false, most: 100.0 },
            "5, 15, 30",
            "The same as error_rate, in percent.",
        ),
        Key::new(
            "latency_threshold_ms",
            Shape::Count { least: 0, most: Thresholds::MAX_LATENCY.as_millis() as u64 },
            "1000, 2000, 5000",
            "The same as latency, in milliseconds.",
        ),
    ],
    instead: &[
        ("breakers_open", "circuit_breakers_open"),
        ("critical_down", "critical_dependencies_down"),
        ("non_critical_down", "non_critical_dependencies_down"),
        ("error_rate", "error_rate_percentage"),
        ("latency", "latency_threshold_ms"),
    ],
};

static MODE_RULES: Table = Table {
    keys: &[
        Key::new("minor", Shape::Map(&MODES), "", "From minor on."),
        Key::new("moderate", Shape::Map(&MODES), "", "From moderate on."),
        Key::new("severe", Shape::Map(&MODES), "", "At severe."),
    ],
    instead: &[],
};

pub(crate) static MODES: Table = Table {
    keys: &[
        Key::new(
            "complex_to_standard",
            Shape::Bool,
            "true from minor on",
            "Who asks for complex gets standard.",
        ),
        Key::new(
            "standard_to_simple",
            Shape::Bool,
            "true from moderate on",
            "Who asks for standard gets simple.",
        ),
        Key::new("complex_to_simple", Shape::Bool, "false", "Who asks for complex gets simple."),
        Key::new("force_simple_mode", Shape::Bool, "true at severe", "Everybody gets simple."),
    ],
    instead: &[],
};

static OPERATION: Table = Table {
    keys: &[
        Key::new(
            "when_down",
            Shape::Names { of: &BEHAVIOR, default: false },
            "",
            "By dependency: what the operation does while that is down.",
        ),
        Key::new("at", Shape::Map(&AT), "", "By level: what the operation does from that level on."),
    ],
    instead: &[],
};

static BEHAVIOR: Shape = Shape::Choice(&["degrade", "cache", "skip", "fail"]);

static AT: Table = Table {
    keys: &[
        Key::new("minor", Shape::Choice(&["degrade", "cache", "skip", "fail"]), "", "From minor on."),
        Key::new("moderate", Shape::Choice(&["degrade", "cache", "skip", "fail"]), "", "From moderate on."),
        Key::new("severe", Shape::Choice(&["degrade", "cache", "skip", "fail"]), "", "At severe."),
    ],
    instead: &[],
};

static PARTIAL_RESULTS: Table = Table {
    keys: &[
        Key::new(
            "success_thresholds",
            Shape::Names {
                of: &Shape::Either { scalar: &Shape::RATE, map: &Shape::Map(&POLICY), keys: &["share"] },
                default: false,
            },
            "simple 1, standard 0.5, complex 0.6, agent_dag 0.4, other 0.5",
            "By workflow: the share of its parts that must succeed. `other` is for those that are not named.",
        ),
        Key::new("timeout_override", Shape::TIME, "5s", "How long each part may take."),
        Key::new("max_wait_time", Shape::TIME, "30s", "How long all parts may take together."),
        Key::new(
            "after_quorum",
            Shape::Duration { least: NANO, most: YEAR, none: true },
            "none",
            "How long the other parts are waited for once enough have succeeded.",
        ),
    ],
    instead: &[],
};

static POLICY: Table = Table {
    keys: &[
        Key::new("share", Shape::RATE, "0.5", "The share of the parts that must succeed when all is well."),
        Key::new("minimum", Shape::COUNT, "1", "And at least so many."),
        Key::new(
            "required",
            Shape::List { of: &Shape::Text, least: 0, most: 1024 },
            "[]",
            "The parts without which there is no answer, by name.",
        ),
        Key::new(
            "weights",
            Shape::Names { of: &Shape::Number { least: 0.0, above: false, most: 1e6 }, default: false },
            "",
            "What a part counts for in the share, by name: 1 if nothing is said.",
        ),
    ],
    instead: &[],
};
