//! The keys below `health`.

use std::time::Duration;

use crate::shape::{Key, Shape, Table, YEAR};

pub(super) static HEALTH: Table = Table {
    keys: &[
        Key::new("service", Shape::Name, "the program's", "The name of the service in its reports."),
        Key::new(
            "drain_delay",
            Shape::TIME_OR_ZERO,
            "5s",
            "From failing readiness to accepting no more work.",
        ),
        Key::new(
            "drain_limit",
            Shape::TIME_OR_ZERO,
            "55s",
            "How long work under way is waited for after that.",
        ),
        Key::new(
            "blocking_threads",
            Shape::Count { least: 1, most: 1024 },
            "64",
            "How many blocking checks may run, or hang, at once.",
        ),
        Key::new(
            "check_now_gap",
            Shape::TIME,
            "1s",
            "How old a result must be to be asked for again at once.",
        ),
        Key::new(
            "seed",
            Shape::Count { least: 0, most: u64::MAX },
            "random",
            "What jitter is made from. It must differ between replicas.",
        ),
        Key::new(
            "startup_latches",
            Shape::List { of: &Shape::Name, least: 0, most: 64 },
            "[]",
            "What the program opens by name before it has started.",
        ),
        Key::new("default", Shape::Map(&CHECK), "", "What all checks inherit from."),
        Key::new(
            "checks",
            Shape::Names { of: &Shape::Map(&CHECK), default: false },
            "",
            "The checks by their names.",
        ),
    ],
    instead: &[],
};

pub(crate) static CHECK: Table = Table {
    keys: &[
        Key::new("enabled", Shape::Bool, "true", "Whether it is run at all."),
        Key::new("critical", Shape::Bool, "false", "Whether its failure fails a probe, or only degrades."),
        Key::new(
            "scope",
            Shape::Choice(&["internal", "exclusive", "shared"]),
            "the program's",
            "Whose the checked thing is: our own insides, a dependency that is ours alone, or one that all replicas share.",
        ),
        Key::new(
            "interval",
            Shape::Duration { least: Duration::from_millis(1), most: YEAR, none: false },
            "10s",
            "From the start of one run to the start of the next.",
        ),
        Key::new(
            "timeout",
            Shape::TIME,
            "2s",
            "After which time a run is dropped, and is a failure. Less than the interval.",
        ),
        Key::new(
            "jitter",
            Shape::Number { least: 0.0, above: false, most: 0.5 },
            "0.1",
            "By which share of itself each wait is shortened or lengthened.",
        ),
        Key::new(
            "failure_threshold",
            Shape::Count { least: 1, most: 1000 },
            "3",
            "How many results in a row make it worse.",
        ),
        Key::new(
            "success_threshold",
            Shape::Count { least: 1, most: 1000 },
            "2",
            "How many results in a row make it better.",
        ),
        Key::new(
            "confirmation",
            Shape::TIME,
            "2s",
            "How soon a result that disagrees with the status is confirmed.",
        ),
        Key::new(
            "back_off_after",
            Shape::TIME,
            "5m",
            "How long it must have been unhealthy until it is asked less often.",
        ),
        Key::new("back_off_to", Shape::TIME, "1m", "The longest wait while it is unhealthy for long."),
        Key::new(
            "depends_on",
            Shape::List { of: &Shape::Name, least: 0, most: 8 },
            "[]",
            "Checks without which this one makes no sense.",
        ),
        Key::new(
            "restart_on_failure",
            Shape::Bool,
            "false",
            "Whether its failure fails liveness. For critical internal checks.",
        ),
        Key::new(
            "first_success_within",
            Shape::TIME_OR_NONE,
            "none",
            "How long readiness waits for its first success. For critical shared checks.",
        ),
        Key::new(
            "fleet_guard",
            Shape::Map(&FLEET_GUARD),
            "",
            "Lets its failure fail readiness for a share of the replicas at a time. For critical shared checks.",
        ),
        Key::new(
            "rules",
            Shape::List { of: &Shape::Map(&RULE), least: 0, most: 8 },
            "those of the check",
            "When a result that passed is degraded all the same. They take the place of the check's own.",
        ),
    ],
    instead: &[],
};

static FLEET_GUARD: Table = Table {
    keys: &[
        Key::new("spread_over", Shape::TIME, "", "Over which time the replicas leave."),
        Key::new(
            "fail_open_after",
            Shape::TIME,
            "",
            "How long each stays out: at most a third of spread_over.",
        ),
    ],
    instead: &[],
};

static RULE: Table = Table {
    keys: &[
        Key::new("latency_above", Shape::TIME, "", "From which time of a run on."),
        Key::new("detail", Shape::Text, "", "A number among the result's details, for above or below."),
        Key::new("above", NUMBER, "", "From which value of the detail on."),
        Key::new("below", NUMBER, "", "From which value of the detail down."),
        Key::new("until", Shape::DurationOrNumber, "where it begins", "The value at which it ends."),
        Key::new(
            "makes",
            Shape::Choice(&["degraded", "unhealthy"]),
            "degraded",
            "What it makes of the check.",
        ),
    ],
    instead: &[
        ("latency_above", "detail"),
        ("latency_above", "above"),
        ("latency_above", "below"),
        ("above", "below"),
    ],
};

const NUMBER: Shape = Shape::Number { least: f64::MIN, above: false, most: f64::MAX };
