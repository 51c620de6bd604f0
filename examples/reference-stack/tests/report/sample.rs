//! A made-up report of a drill as it might be: six minutes, sixteen phases, two stacks. The same at every call.

use serde_json::{Value, json};

/// Requests a second.
const RATE: u64 = 40;

/// What a phase is like: name, story, kind, seconds; with Mainstay the shares that are degraded and refused and how long the first answers take
/// until it is noticed; without, the share that fails and the p99.
type Plan = (&'static str, &'static str, &'static str, u64, (f64, f64, f64), (f64, f64));

const PHASES: [Plan; 16] = [
    ("healthy", "Nothing is broken.", "healthy", 15, (0.0, 0.0, 0.0), (0.0, 48.0)),
    (
        "redis killed",
        "SIGKILL to the Redis server: connections are refused.",
        "outage",
        22,
        (0.62, 0.2, 0.0),
        (0.21, 61.0),
    ),
    ("redis restarted", "A new one on the same port.", "recovery", 20, (0.0, 0.0, 0.0), (0.0, 52.0)),
    (
        "redis stopped",
        "SIGSTOP to the Redis server: connections open, no answer comes.",
        "outage",
        24,
        (0.6, 0.2, 640.0),
        (0.88, 10_000.0),
    ),
    ("redis resumed", "SIGCONT: the same process goes on.", "recovery", 20, (0.0, 0.0, 0.0), (0.02, 71.0)),
    (
        "postgres killed",
        "SIGKILL to PostgreSQL, and in the middle of it to an orchestrator.",
        "outage",
        28,
        (0.0, 0.0, 0.0),
        (0.55, 5_020.0),
    ),
    ("postgres restarted", "A new one on the same data.", "recovery", 22, (0.0, 0.0, 0.0), (0.0, 55.0)),
    ("postgres stopped", "SIGSTOP to PostgreSQL.", "outage", 24, (0.0, 0.0, 820.0), (0.71, 10_000.0)),
    ("postgres resumed", "SIGCONT.", "recovery", 20, (0.0, 0.0, 0.0), (0.05, 212.0)),
    (
        "agents hang",
        "agent-core takes calls and does not answer.",
        "outage",
        25,
        (0.38, 0.0, 1_900.0),
        (0.42, 10_000.0),
    ),
    ("agents answer", "agent-core answers again.", "recovery", 20, (0.0, 0.0, 0.0), (0.0, 49.0)),
    (
        "llm errs",
        "The language model answers every second call with 500.",
        "outage",
        25,
        (0.71, 0.0, 0.0),
        (0.34, 88.0),
    ),
    ("llm repaired", "It answers all again.", "recovery", 18, (0.0, 0.0, 0.0), (0.0, 47.0)),
    (
        "all at once",
        "Redis and PostgreSQL stopped, agents hang, the language model errs.",
        "outage",
        28,
        (0.55, 0.41, 1_700.0),
        (0.99, 10_000.0),
    ),
    ("all restored", "All of it is restored.", "recovery", 25, (0.0, 0.0, 0.0), (0.08, 640.0)),
    ("healthy again", "Nothing is broken.", "healthy", 12, (0.0, 0.0, 0.0), (0.0, 50.0)),
];

const CLASSES: [&str; 5] = ["chat", "chat stream", "submit", "submit with key", "get"];

/// Numbers that look like chance, between 0 and 1.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f64 / (1u64 << 24) as f64
    }
}

pub(crate) fn report() -> Value {
    let mut phases = Vec::new();
    let mut from = 0;
    for (name, story, kind, seconds, ..) in PHASES {
        let to = from + seconds * 1_000;
        phases.push(json!({ "name": name, "story": story, "kind": kind, "from_ms": from, "to_ms": to }));
        from = to;
    }
    json!({
        "name": "outages",
        "began": "2026-11-22T09:31:07Z",
        "against": "own servers",
        "rate": RATE,
        "length_ms": from,
        "phases": phases,
        "stacks": [guarded(), unguarded()],
        "verdicts": verdicts(),
        "passed": false,
    })
}

fn guarded() -> Value {
    let mut chance = Chance(7);
    let (mut seconds, mut phases, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    let mut at = 0;
    for (name, _, kind, length, (degraded, refused, first), _) in PHASES {
        for second in 0..length {
            let p50 = 11.0 + 4.0 * chance.next();
            let noticed = first < 1.0 || second >= 2;
            let p99 = if noticed { 38.0 + 22.0 * chance.next() } else { first + 120.0 * chance.next() };
            let lost = u64::from(name == "all at once" && second == 1);
            let spread = |share: f64, chance: f64| (RATE as f64 * share * (0.9 + 0.2 * chance)) as u64;
            let refused = if second == 0 { 0 } else { spread(refused, chance.next()) };
            let degraded =
                if second == 0 { 0 } else { spread(degraded, chance.next()).min(RATE - refused - lost) };
            seconds.push(second_of(RATE - refused - lost, degraded, refused, lost, p50, p99));
        }
        let outage = kind == "outage";
        let mut figures = figures(
            length,
            degraded,
            refused,
            0.0,
            12.4,
            if first > 0.0 { first } else { 52.3 },
            outage.then_some(51.7),
        );
        if name == "all at once" {
            figures["classes"][0]["failed"] = json!(1);
            figures["classes"][1]["failed"] = json!(1);
        }
        if outage {
            figures["detected_after_ms"] = json!(180 + first as u64);
            figures["degraded_after_ms"] = json!(260 + first as u64);
        }
        if kind == "recovery" {
            figures["recovered_after_ms"] = json!(2_900 + (900.0 * chance.next()) as u64);
        }
        phases.push(figures);
        changes.extend(changes_of(name, at, length * 1_000, 180 + first as u64));
        at += length * 1_000;
    }
    changes.sort_by_key(|change| change["at_ms"].as_u64());
    json!({
        "name": "with Mainstay", "phases": phases, "seconds": seconds, "changes": changes,
        "tasks": { "accepted": 4_212, "stored": 4_212, "lost": ids(0, &[]), "twice": ids(0, &[]) },
    })
}

fn unguarded() -> Value {
    let mut chance = Chance(11);
    let (mut seconds, mut phases) = (Vec::new(), Vec::new());
    for (_, _, kind, length, _, (failing, slow)) in PHASES {
        for second in 0..length {
            let ramp = (second as f64 / 3.0).min(1.0);
            let failed = (RATE as f64 * failing * ramp * (0.85 + 0.3 * chance.next())) as u64;
            let failed = failed.min(RATE);
            let p50 = if failing > 0.5 {
                12.0 + slow * 0.6 * ramp * (0.8 + 0.2 * chance.next())
            } else {
                11.0 + 6.0 * chance.next()
            };
            let p99 = p50.max(
                40.0 + (slow - 40.0)
                    * if kind == "outage" { ramp } else { 1.0 }
                    * (0.9 + 0.1 * chance.next()),
            );
            seconds.push(second_of(RATE - failed, 0, 0, failed, p50, p99));
        }
        let p50 = if failing > 0.5 { slow * 0.6 } else { 12.6 };
        phases.push(figures(length, 0.0, 0.0, failing, p50, slow, None));
    }
    let lost: Vec<_> = (0..20).map(|number| format!("0199a3c4-7d1e-7f00-8000-{number:012x}")).collect();
    json!({
        "name": "without", "phases": phases, "seconds": seconds, "changes": [],
        "tasks": { "accepted": 2_874, "stored": 2_841, "lost": ids(32, &lost), "twice": ids(1, &["0199a3c4-7d1e-7f00-9000-0000000000ff".to_owned()]) },
    })
}

/// So many tasks, and the first of them.
fn ids(number: u64, first: &[String]) -> Value {
    json!({ "number": number, "first": first })
}

/// Of a millisecond.
fn tenth(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

fn second_of(answered: u64, degraded: u64, refused: u64, failed: u64, p50: f64, p99: f64) -> Value {
    json!({
        "requests": RATE, "answered": answered, "degraded": degraded, "refused": refused, "failed": failed,
        "p50_ms": tenth(p50), "p99_ms": tenth(p99),
    })
}

fn figures(
    seconds: u64,
    degraded: f64,
    refused: f64,
    failed: f64,
    p50: f64,
    p99: f64,
    open: Option<f64>,
) -> Value {
    let class = |name: &str, requests: u64, refused: f64| {
        let of = |share: f64| (requests as f64 * share) as u64;
        let (refused, failed) = (of(refused), of(failed));
        let answered = requests - refused - failed;
        json!({
            "name": name, "requests": requests, "answered": answered, "degraded": of(degraded).min(answered), "partial": of(degraded / 9.0), "quick": (answered as f64 * if p50 > 1_000.0 { 0.3 } else if p99 > 1_000.0 { 0.93 } else { 1.0 }) as u64,
            "refused": refused, "failed": failed,
            "p50_ms": p50, "p99_ms": p99, "p999_ms": tenth(p99 * 1.31), "max_ms": tenth(p99 * 1.4), "p99_open_ms": open,
        })
    };
    let each = seconds * RATE / CLASSES.len() as u64;
    let refuses = |name: &str| if name == "submit with key" { (refused * 5.0).min(1.0) } else { 0.0 };
    let mut classes = vec![class("all", each * CLASSES.len() as u64, refused)];
    classes.extend(CLASSES.map(|name| class(name, each, refuses(name))));
    json!({ "classes": classes, "detected_after_ms": null, "degraded_after_ms": null, "recovered_after_ms": null })
}

/// What is broken in a phase: service, breaker, and the level that comes of it.
fn broken(phase: &str) -> (&'static [(&'static str, &'static str)], &'static str) {
    const REDIS: [(&str, &str); 3] =
        [("gateway", "redis"), ("orchestrator 1", "redis"), ("orchestrator 2", "redis")];
    const POSTGRES: [(&str, &str); 2] = [("orchestrator 1", "database"), ("orchestrator 2", "database")];
    const AGENTS: [(&str, &str); 2] = [("orchestrator 1", "grpc"), ("orchestrator 2", "grpc")];
    const MODEL: [(&str, &str); 2] = [("orchestrator 1", "llm_service"), ("orchestrator 2", "llm_service")];
    const ALL: [(&str, &str); 9] =
        [REDIS[0], REDIS[1], REDIS[2], POSTGRES[0], POSTGRES[1], AGENTS[0], AGENTS[1], MODEL[0], MODEL[1]];
    match phase {
        "redis killed" | "redis stopped" => (&REDIS, "moderate"),
        "postgres killed" | "postgres stopped" => (&POSTGRES, "moderate"),
        "agents hang" => (&AGENTS, "moderate"),
        "llm errs" => (&MODEL, "minor"),
        "all at once" => (&ALL, "severe"),
        _ => (&[], "none"),
    }
}

fn changes_of(phase: &str, from: u64, length: u64, noticed: u64) -> Vec<Value> {
    let (broken, level) = broken(phase);
    let mut changes = Vec::new();
    let mut change = |at: u64, (service, what): (&str, &str), was: &str, is: &str, cause: &str| {
        changes.push(
            json!({ "at_ms": at, "service": service, "what": what, "from": was, "to": is, "cause": cause }),
        );
    };
    for (index, &breaker) in broken.iter().enumerate() {
        let mut at = from + noticed + 70 * index as u64;
        change(at, breaker, "closed", "open", "3 failures in a row (limit 3)");
        while at + 1_100 < from + length {
            at += 1_000;
            change(at, breaker, "open", "half-open", "the open time is over");
            change(at + 60, breaker, "half-open", "open", "a probe failed (1 of 1)");
        }
        let back = from + length + 300 + 130 * index as u64;
        change(back, breaker, "open", "half-open", "the open time is over");
        change(back + 90, breaker, "half-open", "closed", "2 probes succeeded");
    }
    for service in ["gateway", "orchestrator 1", "orchestrator 2"] {
        let breakers: Vec<_> =
            broken.iter().filter(|(of, _)| *of == service).map(|(_, name)| *name).collect();
        if let Some(first) = breakers.first() {
            let cause = format!("breaker {first} is open; check {first} fails");
            change(from + noticed + 240, (service, "level"), "none", level, &cause);
            change(
                from + length + 2_900,
                (service, "level"),
                level,
                "none",
                "nothing has been wrong for 2 s",
            );
        }
    }
    changes
}

fn verdicts() -> Value {
    let mut verdicts = Vec::new();
    for (name, _, kind, seconds, ..) in PHASES {
        let requests = seconds * RATE * 3 / 5;
        match kind {
            "outage" if name == "all at once" => {
                let figure = format!("1 of {} failed", seconds * RATE);
                verdicts.push(json!({ "name": "every request is answered or clearly refused within 2 s while all is broken at once", "holds": false, "figure": figure }));
            }
            "outage" => {
                let figure = format!("100 % of {requests} (at least 99.9 %)");
                verdicts.push(json!({ "name": format!("chat and submit are answered: {name}"), "holds": true, "figure": figure }));
                verdicts.push(json!({ "name": format!("once the breakers have opened, p99 is at most twice the healthy one: {name}"), "holds": true, "figure": "51.7 ms, healthy 48.2 ms" }));
            }
            "recovery" => {
                verdicts.push(json!({ "name": format!("level none in time: {name}"), "holds": true, "figure": "after 3.2 s (at most 8 s)" }));
            }
            _ => {}
        }
    }
    verdicts.push(json!({ "name": "no accepted task is lost", "holds": true, "figure": "0 of 4,212" }));
    verdicts.push(json!({ "name": "no task ended twice", "holds": true, "figure": "0 of 4,212" }));
    verdicts.into()
}
