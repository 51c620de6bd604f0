use std::fmt::Write;
use std::thread::available_parallelism;

use mainstay_benches::{Face, Path, Who, budget, machine, ours, peers};

use crate::args::Args;
use crate::figures::{Figures, Row};

/// The whole report, as markdown.
pub(crate) fn write(figures: &Figures, memory: &[(String, f64)], args: &Args, load: f64) -> String {
    let mut page = String::from("# The breaker\n\n");
    page += &machine::describe(load);
    let options = std::env::args().skip(1).map(|option| format!(" {option}")).collect::<String>();
    let dashes = if options.is_empty() { "" } else { " --" };
    let _ =
        writeln!(page, "- command: `cargo run -p mainstay-benches --release --bin breaker{dashes}{options}`");
    let _ = writeln!(
        page,
        "- {} interleaved rounds of {:?} each; medians; all in one run\n",
        args.rounds(),
        args.round()
    );
    page += EXPLANATION;
    if let Some(cores) = available_parallelism().ok().filter(|cores| cores.get() < 8) {
        let _ = writeln!(
            page,
            "\n**{cores} cores**: eight threads have to take turns on them, so that more than {cores}x cannot be."
        );
    }
    in_short(&mut page, figures);
    sections(&mut page, figures);
    page += &budget::section(&crate::budgets::all(figures, memory));
    table(&mut page, "Memory", "| what | bytes |\n| --- | ---: |\n", memory, |(what, bytes)| {
        format!("| {what} | {bytes:.0} |")
    });
    settings(&mut page);
    page
}

const EXPLANATION: &str = "\
Each row is one call of a no-op. *floor*: the least a breaker could do that counts its calls. *bare*: the call without a
breaker. *x floor*: how many times the time of the floor that does as much: looks at the clock, keeps the promises of a layer,
has the same kind of handle. *best peer*: how many times this row's time the fastest peer of the same table
takes. *2 threads*, *8 threads*: the throughput of so many threads that share one breaker over that of one. *instructions*, *locked*: executed by a
call, user space alone (under callgrind a clock is a system call, so that reading it costs less instructions than it has).
";

const SECTIONS: [(Face, Path, &str); 14] = [
    (Face::Sync, Path::Closed, "Sync, closed"),
    (Face::Sync, Path::OnePercent, "Sync, closed, one call of a hundred fails"),
    (Face::Sync, Path::ThirtyPercent, "Sync, closed, three calls of ten fail"),
    (Face::Sync, Path::Open, "Sync, open: a rejection"),
    (Face::Sync, Path::HalfOpen, "Sync, half-open: a probe"),
    (Face::Sync, Path::Period, "Sync, a whole period: trip, open time, probe, closed"),
    (Face::Sync, Path::Keyed, "Sync, one breaker of a million by its key"),
    (Face::Layer, Path::Closed, "Layer, closed"),
    (Face::Layer, Path::OnePercent, "Layer, closed, one call of a hundred fails"),
    (Face::Layer, Path::ThirtyPercent, "Layer, closed, three calls of ten fail"),
    (Face::Layer, Path::Open, "Layer, open: a rejection"),
    (Face::Layer, Path::HalfOpen, "Layer, half-open: a probe"),
    (Face::Layer, Path::Period, "Layer, a whole period: trip, open time, probe, closed"),
    (Face::Layer, Path::Cloned, "Layer, clone + call + drop"),
];

fn sections(page: &mut String, figures: &Figures) {
    for (face, path, title) in SECTIONS {
        let mut rows: Vec<&Row> = figures.of_path(face, path).collect();
        rows.sort_by_key(|row| rank(row));
        let over = if face == Face::Layer { " over bare |" } else { "" };
        let rule = if face == Face::Layer { " ---: |" } else { "" };
        let head = format!(
            "| guarded by | how | ns |{over} x floor | best peer | allocations | instructions | locked | 2 threads | 8 threads |\n\
             | --- | --- | ---: |{rule} ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        );
        table(page, title, &head, &rows, |row| line(figures, row));
    }
}

fn rank(row: &Row) -> u8 {
    match row.id.who {
        Who::Bare => 0,
        Who::Floor => 1,
        Who::Mainstay => 2,
        Who::Peer(_) => 3,
    }
}

fn line(figures: &Figures, row: &Row) -> String {
    let id = row.id;
    let how = if id.how.is_empty() { id.rule.to_owned() } else { format!("{}, {}", id.rule, id.how) };
    let who = if id.who == Who::Mainstay { "**mainstay**".to_owned() } else { id.who.to_string() };
    let mut line = format!("| {who} | {how} | {} |", nanos(row.nanos));
    if id.face == Face::Layer {
        let over = figures.bare(id).filter(|_| id.who != Who::Bare).map(|bare| row.nanos - bare.nanos);
        let _ = write!(line, " {} |", cell(over, nanos));
    }
    let guarded = id.who != Who::Bare;
    let floor = figures.floor(id).filter(|_| guarded).map(|floor| row.nanos / floor.nanos);
    let peer = figures.best_peer(id).filter(|_| guarded).map(|peer| peer.nanos / row.nanos);
    let executed = row.executed;
    let _ = write!(
        line,
        " {} | {} | {} | {} | {} | {} | {} |",
        cell(floor, times),
        cell(peer, times),
        cell(row.allocations, |count| format!("{}", (count * 100.0).round() / 100.0)),
        cell(executed.map(|executed| executed.instructions), |count| format!("{count:.0}")),
        cell(executed.and_then(|executed| executed.locked), |count| format!("{count:.0}")),
        cell(row.scaling, |[two, _]| format!("{two:.2}x")),
        cell(row.scaling, |[_, eight]| format!("{eight:.2}x")),
    );
    line
}

fn cell<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map(show).unwrap_or_default()
}

fn nanos(nanos: f64) -> String {
    if nanos.abs() < 99.95 { format!("{nanos:.1}") } else { format!("{nanos:.0}") }
}

fn times(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.1}x") } else { format!("{ratio:.0}x") }
}

/// A row for each path: the fastest of ours by the consecutive rule, beside the fastest peer.
fn in_short(page: &mut String, figures: &Figures) {
    let pairs = SECTIONS.into_iter().filter_map(|(face, path, title)| {
        let ours = figures.of_path(face, path).filter(|row| row.id.who == Who::Mainstay);
        let ours = ours.min_by(|a, b| a.nanos.total_cmp(&b.nanos))?;
        Some((title, ours, figures.best_peer(ours.id)?))
    });
    let pairs: Vec<_> = pairs.collect();
    let head = "| path | mainstay, ns | best peer, ns | | |\n| --- | ---: | ---: | --- | ---: |\n";
    table(page, "In short", head, &pairs, |(title, ours, peer)| {
        let (ours, theirs) = (ours.nanos, peer.nanos);
        let peer = peer.id.who;
        format!("| {title} | {} | {} | {peer} | {} |", nanos(ours), nanos(theirs), times(theirs / ours))
    });
}

fn settings(page: &mut String) {
    page.push_str("\n## Settings\n\n");
    let _ = writeln!(page, "- mainstay {}: {}", machine::version("mainstay-breaker"), ours::SETTINGS);
    for (name, settings) in peers::SETTINGS {
        let _ = writeln!(page, "- {name} {}: {settings}", machine::version(name));
    }
}

fn table<T>(page: &mut String, title: &str, head: &str, rows: &[T], line: impl Fn(&T) -> String) {
    if rows.is_empty() {
        return;
    }
    let _ = write!(page, "\n## {title}\n\n{head}");
    for row in rows {
        page.push_str(&line(row));
        page.push('\n');
    }
}
