use mainstay_benches::budget::Budget;
use mainstay_benches::{Face, Path};

use crate::figures::{Figures, Row};

/// Below this, instructions decide and not time.
const TOO_SHORT_TO_TIME: f64 = 3.0;

const MOST_INSTRUCTIONS: f64 = 40.0;

/// How much of the bare call's own scaling must be left.
const SCALING: f64 = 0.95;

/// Below this the bare call did not have two cores to itself, and nothing can be said.
const TWO_CORES: f64 = 1.8;

/// All budgets of the breaker, in the order of the design.
pub(crate) fn all(figures: &Figures, memory: &[(String, f64)]) -> Vec<Budget> {
    let mut budgets = Vec::new();
    for rule in ["consecutive", "count window"] {
        for how in ["permit, leaked", "permit, arc", "call, leaked", "call, arc"] {
            let row = figures.ours(Face::Sync, Path::Closed, rule, how);
            budgets.push(shortest(&format!("sync, closed, {rule}, {how}"), figures, row));
        }
    }
    let sync = |path, rule, how| figures.ours(Face::Sync, path, rule, how);
    let leaked = "permit, leaked";
    budgets.push(time(
        "sync, count window, 1 % failures",
        figures,
        sync(Path::OnePercent, "count window", leaked),
        8.0,
    ));
    budgets.push(time("sync, time window", figures, sync(Path::Closed, "time window", leaked), 8.0));
    for (how, most) in [("leaked", 3.0), ("arc", 14.0)] {
        let row = figures.ours(Face::Layer, Path::Closed, "consecutive", how);
        budgets.push(over_bare(&format!("layer over the bare service, {how}"), figures, row, most));
    }
    for how in ["permit, leaked", "permit, arc", "call, leaked"] {
        let row = sync(Path::Open, "consecutive", how);
        let name = format!("sync, rejection, {how}");
        budgets.push(time(&name, figures, row, 12.0));
        budgets.push(unlocked(&name, row));
    }
    for how in ["leaked", "arc"] {
        let row = figures.ours(Face::Layer, Path::Open, "consecutive", how);
        let name = format!("layer, rejection, {how}");
        budgets.push(time(&name, figures, row, 16.0));
        budgets.push(unlocked(&name, row));
    }
    for face in [Face::Sync, Face::Layer] {
        for (path, rule) in [
            (Path::Closed, "consecutive"),
            (Path::Closed, "count window"),
            (Path::Closed, "time window"),
            (Path::Open, "consecutive"),
        ] {
            for handle in ["leaked", "arc"] {
                let how = if face == Face::Sync { format!("permit, {handle}") } else { handle.to_owned() };
                budgets.push(scaling(figures, figures.ours(face, path, rule, &how)));
            }
        }
    }
    let keyed = |rule| figures.ours(Face::Sync, Path::Keyed, rule, "");
    budgets.push(time("keyed, 1,000 hot keys of a million", figures, keyed("1,000 hot keys"), 50.0));
    budgets.push(times_bare("keyed, any key of a million", figures, keyed("any key"), 1.5));
    budgets.push(allocations(figures));
    budgets.extend(bytes(memory));
    budgets.retain(|budget| !budget.measured.is_empty());
    budgets
}

fn budget(promise: String, row: Option<&Row>, judge: impl FnOnce(&Row) -> (String, Option<bool>)) -> Budget {
    let (measured, met) = row.map(judge).unwrap_or_default();
    Budget { promise, measured, met }
}

/// The instructions are the breaker's own: less those of the bare call in the same loop.
fn shortest(name: &str, figures: &Figures, row: Option<&Row>) -> Budget {
    budget(format!("{name}: ≤ 2 ns and ≤ {MOST_INSTRUCTIONS} instructions, none locked"), row, |row| {
        let fast = row.nanos <= 2.0 || row.nanos < TOO_SHORT_TO_TIME;
        let bare = figures.bare(row.id).and_then(|bare| bare.executed);
        let Some((executed, bare)) = row.executed.zip(bare) else {
            return (format!("{:.1} ns", row.nanos), if fast { None } else { Some(false) });
        };
        let own = executed.instructions - bare.instructions;
        let locked = executed.locked.map_or("?".to_owned(), |locked| format!("{locked:.0}"));
        let few = own < MOST_INSTRUCTIONS + 0.5 && executed.locked.is_none_or(|locked| locked < 0.5);
        let floors = floors(figures, row);
        (format!("{:.1} ns{floors}, {own:.0} instructions, {locked} locked", row.nanos), Some(fast && few))
    })
}

fn time(name: &str, figures: &Figures, row: Option<&Row>, most: f64) -> Budget {
    budget(format!("{name}: ≤ {most} ns"), row, |row| {
        (format!("{:.1} ns{}", row.nanos, floors(figures, row)), Some(row.nanos <= most))
    })
}

/// How many times the floor's time it takes, if there is one.
fn floors(figures: &Figures, row: &Row) -> String {
    figures.floor(row.id).map_or(String::new(), |floor| format!(", {:.1} floors", row.nanos / floor.nanos))
}

fn over_bare(name: &str, figures: &Figures, row: Option<&Row>, most: f64) -> Budget {
    budget(format!("{name}: ≤ {most} ns"), row, |row| match figures.bare(row.id) {
        Some(bare) => {
            let over = row.nanos - bare.nanos;
            let floors = figures
                .floor(row.id)
                .map_or(String::new(), |floor| format!(", {:.1} floors", over / (floor.nanos - bare.nanos)));
            (format!("{over:.1} ns{floors}"), Some(over <= most))
        }
        None => (String::new(), None),
    })
}

fn times_bare(name: &str, figures: &Figures, row: Option<&Row>, most: f64) -> Budget {
    budget(format!("{name}: ≤ {most}x the bare map"), row, |row| match figures.bare(row.id) {
        Some(bare) => {
            let times = row.nanos / bare.nanos;
            let floors = floors(figures, row);
            let measured = format!("{times:.2}x ({:.0} ns of {:.0} ns){floors}", row.nanos, bare.nanos);
            (measured, Some(times <= most))
        }
        None => (String::new(), None),
    })
}

fn unlocked(name: &str, row: Option<&Row>) -> Budget {
    budget(format!("{name}: nothing locked"), row, |row| {
        match row.executed.and_then(|executed| executed.locked) {
            Some(locked) => (format!("{locked:.0} locked"), Some(locked < 0.5)),
            None => ("not counted".to_owned(), None),
        }
    })
}

fn scaling(figures: &Figures, row: Option<&Row>) -> Budget {
    let name = row.map_or(String::new(), |row| {
        format!(
            "{}, {}, {}, {}: two threads ≥ {SCALING} of the bare scaling",
            row.id.face, row.id.path, row.id.rule, row.id.how
        )
    });
    budget(name, row, |row| match (row.scaling, figures.bare(row.id).and_then(|bare| bare.scaling)) {
        (Some([ours, ..]), Some([bare, ..])) => {
            let share = ours / bare;
            let judged = (bare >= TWO_CORES).then_some(share >= SCALING);
            (format!("{share:.2} ({ours:.2} of {bare:.2})"), judged)
        }
        _ => (String::new(), None),
    })
}

fn allocations(figures: &Figures) -> Budget {
    let mut ours = figures
        .rows
        .iter()
        .filter(|row| row.id.who == mainstay_benches::Who::Mainstay && promised(row.id.path));
    let promise = "no allocation in any call, nor in clone + call + drop of the layer".to_owned();
    match ours.find(|row| row.allocations.is_some_and(|count| count > 0.0)) {
        Some(row) => Budget {
            promise,
            measured: format!("{:.2} in {}", row.allocations.unwrap_or_default(), row.id.key()),
            met: Some(false),
        },
        None => Budget { promise, measured: "0".to_owned(), met: Some(true) },
    }
}

fn promised(path: Path) -> bool {
    !matches!(path, Path::Period)
}

/// The stripes are as many as the machine asks for, so the promise is of the whole: a fixed part, and a part for each
/// stripe that is larger where there is a window of time.
fn bytes(memory: &[(String, f64)]) -> Vec<Budget> {
    let of = |what: &str| memory.iter().find(|(name, _)| name.starts_with(what)).map(|(_, bytes)| *bytes);
    let Some(stripes) = of("the stripes").map(|bytes| bytes / STRIPE) else {
        return Vec::new();
    };
    let whole = |what: &str, times: f64| {
        let most = FIXED + stripes * (STRIPE + times * TIME_RULE);
        at_most(
            format!(
                "{what}, {stripes} stripes: ≤ {FIXED} B + {stripes} x ({STRIPE} B + {times} x {TIME_RULE} B)"
            ),
            of(what),
            most,
        )
    };
    vec![
        whole("consecutive rule", 0.0),
        whole("time window", 1.0),
        whole("default rules", 1.0),
        at_most(format!("compact, in a keyed set: ≤ {COMPACT} B"), of("compact, "), COMPACT),
        at_most(format!("compact, default rules: ≤ {COMPACT} B"), of("compact with"), COMPACT),
        at_most(format!("`Rejected`: ≤ {REJECTED} B"), of("`Rejected`"), REJECTED),
    ]
}

const FIXED: f64 = 768.0;
const STRIPE: f64 = 64.0;
const TIME_RULE: f64 = 192.0;
const COMPACT: f64 = 256.0;
const REJECTED: f64 = 128.0;

fn at_most(promise: String, bytes: Option<f64>, most: f64) -> Budget {
    let measured = bytes.map_or(String::new(), |bytes| format!("{bytes:.0} B of {most:.0} B"));
    Budget { promise, measured, met: bytes.map(|bytes| bytes <= most) }
}
