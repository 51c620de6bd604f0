//! The keys below `circuit_breakers`.

use std::time::Duration;

use crate::shape::{Key, Shape, Table};

pub(crate) static BREAKER: Table = Table {
    keys: &[
        Key::new("enabled", Shape::Bool, "true", "Whether it ever rejects; if not, it only observes."),
        Key::new("on_state_change", Shape::Bool, "true", "Whether the program's hook is told of changes."),
        Key::new(
            "trip",
            Shape::List { of: &Shape::Map(&TRIP), least: 1, most: 8 },
            "5 failures in a row; half of at least 20 calls in 30 s",
            "The rules that open it; any of them does. At most one of consecutive failures.",
        ),
        Key::new(
            "open_for",
            Shape::Map(&OPEN_FOR),
            "10 s, doubling to 1 min, jitter 0.1",
            "How long it stays open.",
        ),
        Key::new(
            "half_open",
            Shape::Map(&HALF_OPEN),
            "",
            "How it probes whether the dependency has recovered.",
        ),
        Key::new(
            "ramp",
            Shape::TIME_OR_NONE,
            "none",
            "After the probes succeeded, let traffic in over this time instead of at once.",
        ),
        Key::new(
            "call_timeout",
            Shape::TIME_OR_NONE,
            "none",
            "Drop an async call that has not answered after this time, and count a failure.",
        ),
        Key::new(
            "retry_after_cap",
            Shape::TIME,
            "5m",
            "The longest open time that a Retry-After can ask for.",
        ),
        Key::new(
            "count_dropped_as_failure",
            Shape::Bool,
            "false",
            "Whether a call that is dropped without a verdict is a failure.",
        ),
        Key::new(
            "max_requests",
            Shape::Count { least: 1, most: 1024 },
            "3",
            "The original's word for half_open.max_in_flight.",
        ),
        Key::new(
            "interval",
            Shape::TIME_OR_ZERO,
            "1m",
            "Failures in a row that are further apart do not add up; 0 = they always do. Makes the rule of consecutive failures the only one.",
        ),
        Key::new(
            "timeout",
            Shape::TIME,
            "10s",
            "A fixed time for which it stays open: the original's word for open_for.fixed.",
        ),
        Key::new(
            "failure_threshold",
            Shape::COUNT,
            "5",
            "How many failures in a row open it. Makes the rule of consecutive failures the only one.",
        ),
        Key::new("max_failures", Shape::COUNT, "5", "Another word for failure_threshold."),
        Key::new("success_threshold", Shape::COUNT, "2", "The original's word for half_open.close_after."),
    ],
    instead: &[
        ("max_requests", "half_open.max_in_flight"),
        ("success_threshold", "half_open.close_after"),
        ("timeout", "open_for.fixed"),
        ("timeout", "open_for.first"),
        ("timeout", "open_for.cap"),
        ("timeout", "open_for.factor"),
        ("failure_threshold", "max_failures"),
        ("failure_threshold", "trip"),
        ("max_failures", "trip"),
        ("interval", "trip"),
        // The words of the agent service's variables.
        ("error_threshold", "trip"),
        ("error_threshold", "failure_threshold"),
        ("error_threshold", "max_failures"),
        ("error_threshold", "interval"),
        ("window_seconds", "trip"),
        ("window_seconds", "failure_threshold"),
        ("window_seconds", "max_failures"),
        ("window_seconds", "interval"),
        ("min_requests", "trip"),
        ("min_requests", "failure_threshold"),
        ("min_requests", "max_failures"),
        ("min_requests", "interval"),
    ],
};

/// The words that the original has for a breaker: what is given by any of them starts from the original's defaults.
pub(crate) const SEED_WORDS: [&str; 6] =
    ["max_requests", "interval", "timeout", "failure_threshold", "max_failures", "success_threshold"];

static TRIP: Table = Table {
    keys: &[
        Key::new("consecutive_failures", Shape::COUNT, "", "Opens at so many failures in a row."),
        Key::new("failure_rate", Shape::RATE, "", "Opens when this share of the calls in the window failed."),
        Key::new("slow_rate", Shape::RATE, "", "Opens when this share of the calls in the window was slow."),
        Key::new("failures", Shape::COUNT, "", "Opens at so many failures in the window."),
        Key::new("slower_than", Shape::TIME, "", "From which time on a call is slow. For slow_rate."),
        Key::new("over", Shape::Map(&WINDOW), "{ time: 30s }", "The window: of time, or of calls."),
        Key::new(
            "min_calls",
            Shape::COUNT,
            "20",
            "How many calls must be in the window before a rate is judged.",
        ),
        Key::new("within", Shape::TIME, "", "Failures in a row that are further apart do not add up."),
    ],
    instead: &[],
};

static WINDOW: Table = Table {
    keys: &[
        Key::new("calls", Shape::Count { least: 1, most: 65_536 }, "", "The last so many calls."),
        Key::new(
            "time",
            Shape::Duration {
                least: Duration::from_millis(1),
                most: Duration::from_secs(24 * 60 * 60),
                none: false,
            },
            "",
            "The last so much time.",
        ),
    ],
    instead: &[("calls", "time")],
};

static OPEN_FOR: Table = Table {
    keys: &[
        Key::new("fixed", Shape::TIME, "", "The same time whenever it opens."),
        Key::new("first", Shape::TIME, "10s", "The time at the first opening; longer at each reopening."),
        Key::new("cap", Shape::TIME, "1m", "The longest time."),
        Key::new(
            "factor",
            Shape::Number { least: 1.0, above: false, most: 100.0 },
            "2",
            "What each reopening multiplies the time by.",
        ),
        Key::new("jitter", Shape::SHARE, "0", "Which share of the time is left to chance."),
    ],
    instead: &[("fixed", "first"), ("fixed", "cap"), ("fixed", "factor")],
};

static HALF_OPEN: Table = Table {
    keys: &[
        Key::new(
            "max_in_flight",
            Shape::Count { least: 1, most: 1024 },
            "3",
            "How many probes may be under way at once.",
        ),
        Key::new("close_after", Shape::COUNT, "2", "How many successes close it."),
        Key::new("reopen_after", Shape::COUNT, "1", "How many failures open it again."),
        Key::new(
            "probe_timeout",
            Shape::TIME,
            "10s",
            "After which time a probe without an answer is a failure.",
        ),
    ],
    instead: &[],
};
