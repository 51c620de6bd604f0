//! Whether what a process holds stays as it is. Look at [`judge`] for what is compared, and at [`LIMITS`] for how much it may grow.

use serde::Serialize;
use tokio::time::Instant;

use crate::soak::pulse::Pulse;

/// Fewer pulses than this say nothing of a process.
const LEAST: usize = 12;

/// Something that a process holds, and how much of it.
type Holds = fn(&Pulse) -> Option<u64>;

/// What is looked at, and by how much its median in the last quarter may be above that in the second one, beside a tenth.
const LIMITS: [(&str, u64, Holds); 4] = [
    // What an allocator keeps.
    ("memory in KiB", 8 * 1024, |pulse| Some(pulse.held?.memory)),
    ("connections", 32, |pulse| Some(pulse.held?.connections)),
    ("files", 16, |pulse| Some(pulse.held?.files)),
    ("tasks of the runtime", 64, |pulse| Some(pulse.says.as_ref()?.tasks)),
];

/// One of these of one process.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Growth {
    pub(crate) service: String,
    pub(crate) what: &'static str,
    /// How often it was looked at.
    pub(crate) looks: usize,
    /// The median of each quarter.
    pub(crate) quarters: [u64; 4],
    pub(crate) most: u64,
    pub(crate) limit: u64,
}

/// Compares quarters of the pulses of quiet times: all of them are alike, while an outage holds what waits. Of a service that was started
/// again the process that lived longest is looked at; none if none lived long enough.
pub(crate) fn judge(service: &str, pulses: &[Pulse], quiet: &[(Instant, Instant)]) -> Vec<Growth> {
    let is_quiet = |at: Instant| quiet.iter().any(|(from, to)| *from <= at && at <= *to);
    let own: Vec<&Pulse> =
        pulses.iter().filter(|pulse| pulse.service == service && is_quiet(pulse.at)).collect();
    let lives = own.chunk_by(|one, next| one.process == next.process);
    let Some(longest) = lives.max_by_key(|life| life.len()).filter(|life| life.len() >= LEAST) else {
        return Vec::new();
    };
    let growth = |(what, slack, holds): &(&'static str, u64, Holds)| {
        let seen: Vec<u64> = longest.iter().filter_map(|pulse| holds(pulse)).collect();
        let quarter = |which: usize| median(seen.get(seen.len() * which / 4..seen.len() * (which + 1) / 4));
        let quarters = [quarter(0), quarter(1), quarter(2), quarter(3)];
        let [_, second, ..] = quarters;
        let most = seen.iter().copied().max().unwrap_or_default();
        let limit = second + second / 10 + slack;
        (seen.len() >= LEAST).then(|| Growth {
            service: service.to_owned(),
            what,
            looks: seen.len(),
            quarters,
            most,
            limit,
        })
    };
    LIMITS.iter().filter_map(growth).collect()
}

fn median(of: Option<&[u64]>) -> u64 {
    let mut sorted = of.unwrap_or_default().to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

// === impl Growth ===

impl Growth {
    pub(crate) fn is_flat(&self) -> bool {
        let [.., last] = self.quarters;
        last <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::soak::pulse::Held;

    /// One a second, each with this memory, by these processes.
    fn pulses(begin: Instant, of: impl Iterator<Item = (u32, u64)>) -> Vec<Pulse> {
        let pulse = |(second, (process, memory))| Pulse {
            at: begin + Duration::from_secs(second),
            service: "gateway".to_owned(),
            process,
            held: Some(Held { memory, connections: 10, files: 10 }),
            says: None,
        };
        (0..).zip(of).map(pulse).collect()
    }

    fn memory(begin: Instant, pulses: &[Pulse], seconds: u64) -> Option<bool> {
        let quiet = [(begin, begin + Duration::from_secs(seconds))];
        judge("gateway", pulses, &quiet)
            .into_iter()
            .find(|it| it.what.contains("memory"))
            .map(|it| it.is_flat())
    }

    #[test]
    fn what_grows_on_and_on_is_not_flat_and_what_jumps_up_and_down_is() {
        let begin = Instant::now();
        let grows = pulses(begin, (0..400).map(|second| (1, 50_000 + 100 * second)));
        assert_eq!(memory(begin, &grows, 400), Some(false));
        let jumps = pulses(begin, (0..400).map(|second| (1, 50_000 + 30_000 * (second % 10 / 8))));
        assert_eq!(memory(begin, &jumps, 400), Some(true));
        let begins_small = pulses(begin, (0..400).map(|second| (1, (second * 5_000).min(300_000))));
        assert_eq!(memory(begin, &begins_small, 400), Some(true));
    }

    #[test]
    fn only_quiet_times_count_and_of_a_service_that_was_started_again_the_longest_life() {
        let begin = Instant::now();
        let outage_at_the_end =
            pulses(begin, (0..100).map(|second| (1, if second > 60 { 500_000 } else { 50_000 })));
        assert_eq!(memory(begin, &outage_at_the_end, 60), Some(true));
        let restarted = pulses(
            begin,
            (0..100).map(|second| if second < 70 { (1, 50_000 + 1_000 * second) } else { (2, 50_000) }),
        );
        assert_eq!(memory(begin, &restarted, 100), Some(false));
        let too_short = pulses(begin, (0..100).map(|second| (u32::try_from(second).unwrap() / 5, 50_000)));
        assert_eq!(memory(begin, &too_short, 100), None);
    }
}
