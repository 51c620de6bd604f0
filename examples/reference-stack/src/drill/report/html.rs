//! The report as one page that needs nothing else: no network, and no script to be read. Maud escapes all that comes from the report.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::json;

use super::model::Report;
use super::plots::{LEFT, RIGHT, WIDTH, plots};
use super::tables;
use super::words::{span, tame};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// Nothing may be fetched, whatever stood in the page.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The whole page.
pub(crate) fn html(report: &Report) -> String {
    tame(&page(report).into_string())
}

fn page(report: &Report) -> Markup {
    let (word, detail) = report.headline();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { (word) ": " (report.name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.about {
                        span { "Outage drill “" (report.name) "”" }
                        span { (report.began) }
                        span { (span(report.length_ms)) }
                        span { "against " (report.against) }
                    }
                    h1.passed[report.passed].failed[!report.passed] { (word) span.detail { (detail) } }
                    (tables::what_failed(report))
                    p.story { (report.sentence()) }
                    (tables::measures(report))
                }
                section {
                    h2 { "Second by second" }
                    p.note { "Grounds are phases: something is broken in a darker one, and restored in the lighter one after it." }
                    div #plots { (plots(report)) }
                }
                section {
                    h2 { "Phase by phase" }
                    (tables::phases(report))
                }
                section {
                    h2 { "By class of request" }
                    p.note {
                        "Latencies in ms, of all requests, from when one was meant to be sent. " b { "Refused" } " is 503 with Retry-After; " b { "failed" }
                        " is anything else, also no answer in time. " b { "Open" } " is the p99 of those meant to be sent after the breakers had opened."
                    }
                    (tables::classes(report))
                }
                section {
                    h2 { "Tasks that were accepted" }
                    (tables::tasks(report))
                }
                section {
                    h2 { "What changed, and why" }
                    (tables::changes(report))
                }
                section {
                    h2 { "What had to hold" }
                    (tables::verdicts(report))
                }
                script #figures type="application/json" { (PreEscaped(figures(report))) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

/// What the script shows where the pointer is, as JSON that can end no element.
fn figures(report: &Report) -> String {
    let phases: Vec<_> = report
        .phases
        .iter()
        .map(|phase| json!({ "name": phase.name, "from": phase.from_ms, "to": phase.to_ms }))
        .collect();
    let stacks = report.stacks.iter().map(|stack| {
        let seconds: Vec<_> = stack
            .seconds
            .iter()
            .map(|s| json!([s.requests, s.answered, s.degraded, s.refused, s.failed, s.p50_ms, s.p99_ms]))
            .collect();
        json!({ "name": stack.name, "seconds": seconds })
    });
    let stacks: Vec<_> = stacks.collect();
    let length = super::plots::length_ms(report);
    let frame = json!({ "width": WIDTH, "left": LEFT, "right": RIGHT, "length": length });
    let text = json!({ "frame": frame, "phases": phases, "stacks": stacks }).to_string();
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
