//! The schedule: a plan of random faults, by a seed alone. Look at [`plan`], and at [`kinds`] for what can happen.

use std::time::Duration;

use fastrand::Rng;
use serde_json::json;

use crate::drill::fault::{Break, Fault, Server, Service};
use crate::drill::plan::{Phase, Plan, Span};

/// The shortest fault.
pub(crate) const SHORTEST: Duration = Duration::from_secs(1);
/// The longest, in a soak that is long enough for it.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);
/// The shortest quiet time after a fault: somewhat longer than the stack has to be well again.
pub(crate) const QUIET: Duration = Duration::from_secs(13);
/// By how much it may be longer.
const QUIETER: Duration = Duration::from_secs(5);
/// The last one.
const LAST: Duration = Duration::from_secs(20);
/// How much of a soak nothing is broken for first, and how long that is at most.
const HEALTHY_SHARE: u32 = 16;
const HEALTHY: Duration = Duration::from_secs(20);
/// A soak of less than this has shorter quiet times.
const SHORT: Duration = Duration::from_mins(3);
const QUIET_OF_SHORT: Duration = Duration::from_millis(11_500);
/// Faults begin and end at multiples of this.
const STEP: Duration = Duration::from_millis(100);
/// How far apart the faults of one round begin at most.
const APART: Duration = Duration::from_secs(8);
/// The only orchestrator that ends: the other one's memory shall tell something.
pub(crate) const MORTAL: usize = 1;

/// What can be broken, each with its faults. Each is drawn once before any is drawn again.
fn kinds() -> Vec<Fault> {
    let slow = |server| Fault::SlowServer(server, Duration::from_millis(200));
    let servers = [Server::Redis, Server::Postgres].into_iter().flat_map(|server| {
        [Fault::KillServer(server), Fault::StopServer(server), Fault::CutServer(server), slow(server)]
    });
    let services = [Service::Agents, Service::Model].into_iter().flat_map(|service| {
        [
            Fault::KillService(service, 1),
            Fault::StopService(service, 1),
            Fault::Turn(service, json!({ "hang": true })),
            Fault::Turn(service, json!({ "error_rate": 0.5 })),
            Fault::Turn(service, json!({ "delay": "300ms" })),
        ]
    });
    let orchestrators =
        [Fault::KillService(Service::Orchestrator, MORTAL), Fault::EndService(Service::Orchestrator, MORTAL)];
    let breaks_off = [Fault::Turn(Service::Model, json!({ "break_after": 2 }))];
    servers.chain(services).chain(breaks_off).chain(orchestrators).collect()
}

/// Rounds of one to three faults at a time, each followed by a quiet time, for at most so long altogether.
pub(crate) fn plan(seed: u64, length: Duration) -> Plan {
    let mut rng = Rng::with_seed(seed);
    let is_short = length < SHORT;
    let last = if is_short { QUIET_OF_SHORT } else { LAST };
    let longest = longest(length);
    let healthy = whole(length / HEALTHY_SHARE).clamp(3 * SHORTEST, HEALTHY);
    let mut phases = vec![Phase {
        name: "healthy".to_owned(),
        story: "Nothing is broken.".to_owned(),
        r#break: Vec::new(),
        lasts: Span(healthy),
        restored: None,
        then: None,
        opens: true,
    }];
    let mut left = length.saturating_sub(healthy);
    let mut deck = Vec::new();
    for number in 1.. {
        let quiet = if is_short { QUIET_OF_SHORT } else { QUIET + up_to(&mut rng, QUIETER) };
        let round = round(&mut rng, &mut deck, number, longest, quiet);
        // It may be the last one.
        if round.lasts.0 + last > left {
            break;
        }
        left = left.saturating_sub(round.lasts.0 + quiet);
        phases.push(round);
    }
    if let Some(round) = phases.last_mut().filter(|phase| phase.then.is_some()) {
        round.then = Some(Span(last));
    }
    Plan { name: format!("soak of seed {seed}"), phases }
}

/// The longest fault of a soak of such a length.
fn longest(length: Duration) -> Duration {
    whole(length / 16).clamp(3 * SHORTEST, LONGEST)
}

fn round(rng: &mut Rng, deck: &mut Vec<Fault>, number: usize, longest: Duration, quiet: Duration) -> Phase {
    // Six in ten of one fault, three of two, one of three.
    let faults = match rng.u32(0..10) {
        0..6 => 1,
        6..9 => 2,
        _ => 3,
    };
    let mut drawn: Vec<Fault> = Vec::new();
    while drawn.len() < faults {
        drawn.push(draw(rng, deck, &drawn));
    }
    let mut breaks = Vec::new();
    let mut story = Vec::new();
    for fault in drawn {
        let after = if breaks.is_empty() { Duration::ZERO } else { up_to(rng, longest.min(APART)) };
        // Most are short, some are long.
        let most = longest / [1, 2, 4].get(rng.usize(0..3)).copied().unwrap_or(1);
        let lasts = SHORTEST + up_to(rng, most.saturating_sub(SHORTEST));
        story.push(format!("{fault}, at {} for {}", Span(after), Span(lasts)));
        breaks.push((Break::of(&fault).during(after, lasts), after + lasts));
    }
    let lasts = breaks.iter().map(|(_, ends)| *ends).max().unwrap_or(SHORTEST);
    Phase {
        name: format!("round {number}"),
        story: story.join("; "),
        r#break: breaks.into_iter().map(|(one, _)| one).collect(),
        lasts: Span(lasts),
        restored: Some(format!("round {number}, quiet")),
        then: Some(Span(quiet)),
        // A second of something is too little for some breakers.
        opens: false,
    }
}

/// The next one of the deck that breaks something else than these do.
fn draw(rng: &mut Rng, deck: &mut Vec<Fault>, others: &[Fault]) -> Fault {
    let is_free = |fault: &Fault| others.iter().all(|other| !is_of_the_same(fault, other));
    loop {
        if let Some(at) = deck.iter().rposition(is_free) {
            return deck.remove(at);
        }
        let mut more = kinds();
        rng.shuffle(&mut more);
        // What is left of the old one comes first.
        deck.splice(0..0, more);
    }
}

/// Whether two faults are of the same server or service.
pub(crate) fn is_of_the_same(one: &Fault, other: &Fault) -> bool {
    (one.server(), one.service()) == (other.server(), other.service())
}

/// From nothing to this, both included.
fn up_to(rng: &mut Rng, most: Duration) -> Duration {
    STEP * rng.u32(0..=steps(most))
}

/// In whole steps.
fn whole(time: Duration) -> Duration {
    STEP * steps(time)
}

fn steps(time: Duration) -> u32 {
    u32::try_from(time.as_millis() / STEP.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn faults(phase: &Phase) -> Vec<Fault> {
        phase.r#break.iter().filter_map(Break::fault).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_same_seed_gives_the_same_plan_and_it_can_be_read_again(seed: u64, seconds in 30_u64..3_000) {
            let length = Duration::from_secs(seconds);
            let made = plan(seed, length);
            prop_assert_eq!(&made, &plan(seed, length));
            let read = Plan::read(&made.to_yaml().unwrap()).unwrap();
            prop_assert_eq!(&read, &made);
        }

        #[test]
        fn every_plan_obeys_the_rules(seed: u64, seconds in 30_u64..3_000) {
            let length = Duration::from_secs(seconds);
            let made = plan(seed, length);
            let longest = longest(length);
            prop_assert!(made.length() <= length, "{:?} of {:?}", made.length(), length);
            // What is left is too short for another round.
            prop_assert!(made.length() + longest + APART + LAST + QUIET + QUIETER >= length);

            let (healthy, rounds) = made.phases.split_first().unwrap();
            prop_assert!(healthy.r#break.is_empty() && !rounds.is_empty());
            let is_short = length < SHORT;
            let (least, last) = if is_short { (QUIET_OF_SHORT, QUIET_OF_SHORT) } else { (QUIET, LAST) };
            prop_assert!(rounds.iter().all(|round| round.then.unwrap().0 >= least));
            prop_assert_eq!(rounds.last().unwrap().then.unwrap().0, last);
            for round in rounds {
                let faults = faults(round);
                prop_assert_eq!(faults.len(), round.r#break.len());
                prop_assert!((1..=3).contains(&faults.len()));
                for (at, fault) in faults.iter().enumerate() {
                    prop_assert!(faults.iter().skip(at + 1).all(|other| !is_of_the_same(fault, other)));
                    prop_assert!(fault.orchestrator().is_none_or(|number| number == MORTAL));
                }
                for one in &round.r#break {
                    let lasts = one.lasts().unwrap();
                    prop_assert!((SHORTEST..=longest).contains(&lasts), "{:?}", lasts);
                    prop_assert!(one.after() <= APART && one.after() + lasts <= round.lasts.0);
                }
            }
        }
    }

    #[test]
    fn half_an_hour_has_every_kind_of_fault_and_some_at_a_time() {
        for seed in 0..20 {
            let made = plan(seed, Duration::from_mins(30));
            let all: Vec<Fault> = made.phases.iter().flat_map(faults).collect();
            // In words: switches are read with all their fields.
            let all: Vec<String> = all.iter().map(Fault::to_string).collect();
            for kind in kinds() {
                assert!(all.contains(&kind.to_string()), "seed {seed}: {kind}");
            }
            assert!(made.phases.iter().any(|phase| phase.r#break.len() == 3), "seed {seed}");
            assert!(made.phases.len() > 40, "seed {seed}: {}", made.phases.len());
        }
        assert_ne!(plan(1, Duration::from_mins(30)), plan(2, Duration::from_mins(30)));
    }
}
