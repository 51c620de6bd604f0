//! A report that was kept as JSON, as text and as a page. The one in `tests/fixtures` is made up by `sample.rs`; after a change of either,
//! `BLESS=1 cargo test -p reference-stack --test report` writes it anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

mod page;
mod sample;

use serde_json::{Value, json};

use page::{Page, render, run};

/// Ends every element and attribute, and turns the text around.
const HOSTILE: &str =
    "</script></title></svg><script>alert(1)</script>&\"'><img src=x onerror=alert(2)>\u{1b}[31m\u{202e}";

fn strings<'v>(list: &'v Value, name: &str) -> Vec<&'v str> {
    list.as_array().unwrap().iter().map(|entry| entry[name].as_str().unwrap()).collect()
}

#[test]
fn the_fixture_is_the_sample() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/report.json");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, format!("{}\n", sample::report())).unwrap();
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(kept, sample::report());
}

#[test]
fn the_page_and_the_text_say_everything() {
    let report = sample::report();
    let (text, page) = render(&report);
    for said in [&text, &page.text()] {
        for phase in report["phases"].as_array().unwrap() {
            for name in ["name", "story"] {
                assert!(said.contains(phase[name].as_str().unwrap()), "{phase}\n{said}");
            }
        }
        for verdict in report["verdicts"].as_array().unwrap() {
            assert!(said.contains(verdict["name"].as_str().unwrap()), "{verdict}\n{said}");
            assert!(said.contains(verdict["figure"].as_str().unwrap()), "{verdict}\n{said}");
        }
        for stack in report["stacks"].as_array().unwrap() {
            let (lost, twice) = (&stack["tasks"]["lost"], &stack["tasks"]["twice"]);
            for id in [lost, twice].into_iter().flat_map(|ids| ids["first"].as_array().unwrap()) {
                assert!(said.contains(id.as_str().unwrap()), "{id}\n{said}");
            }
            let number = lost["number"].as_u64().unwrap();
            let more = number - lost["first"].as_array().unwrap().len() as u64;
            assert!(said.contains(&number.to_string()), "{number} lost\n{said}");
            assert!(more == 0 || said.contains(&format!("and {more} more")), "{more}\n{said}");
            for class in strings(&stack["phases"][0]["classes"], "name") {
                assert!(said.contains(class), "{class}\n{said}");
            }
            for change in stack["changes"].as_array().unwrap() {
                let words = change["cause"].as_str().unwrap().split_whitespace();
                assert!(words.into_iter().all(|word| said.contains(word)), "{change}\n{said}");
            }
        }
        assert!(said.contains("1 of 22 verdicts does not hold"), "{said}");
    }
    let widest = text.lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(widest.chars().count() <= 120, "{widest}");
}

#[test]
fn the_page_opens_without_a_network_and_shows_its_plots() {
    let (_, page) = render(&sample::report());
    let opened = page.open();
    let plots =
        ["Answered", "Latency, p99", "Latency, p50", "Not in full: with Mainstay", "Not in full: without"];
    for plot in plots.into_iter().chain(["Level of degradation: with Mainstay", "Breakers: with Mainstay"]) {
        assert!(opened.contains(&format!("aria-label=\"{plot},")), "no plot {plot:?}:\n{opened}");
    }
    // The answered share and both latencies of both stacks, and for each its name's stroke.
    assert_eq!(opened.matches("class=\"line stack-0\"").count(), 6);
    assert_eq!(opened.matches("class=\"line stack-1\"").count(), 6);
    assert_eq!(opened.matches("class=\"area failed\" d=").count(), 2);
    assert!(opened.contains("class=\"readout\""), "the script has run");
    assert!(!opened.contains("NaN"), "{opened}");
}

#[test]
fn nothing_is_fetched() {
    for report in [sample::report(), hostile()] {
        let (_, page) = render(&report);
        for place in page.places() {
            assert!(place.starts_with('#') || place == "data:,", "the page refers to {place:?}");
        }
        assert!(page.html.contains("default-src 'none'"));
    }
}

#[test]
fn hostile_names_are_text() {
    let (text, page) = render(&hostile());
    assert!(!text.chars().chain(page.html.chars()).any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'));
    // As many scripts as there are without.
    let elements = |page: &Page, name: &str| page.html.matches(name).count();
    let tame = render(&sample::report()).1;
    for name in ["<script", "</script", "</svg", "<img", "onerror=\""] {
        assert_eq!(elements(&page, name), elements(&tame, name), "{name}");
    }
    let opened = page.open();
    assert!(!opened.contains("<img"), "{opened}");
    assert!(opened.contains("class=\"readout\""), "the script can read its figures");
    assert!(page.text().contains("<img src=x onerror=alert(2)>"));
}

/// The sample with a hostile name in every place where there is one.
fn hostile() -> Value {
    fn spoil(value: &mut Value) {
        match value {
            Value::Array(entries) => entries.iter_mut().for_each(spoil),
            Value::Object(entries) => {
                entries.iter_mut().filter(|(name, _)| *name != "kind").for_each(|(_, entry)| spoil(entry))
            }
            Value::String(text) if !["level", "none", "open", "closed", "all"].contains(&text.as_str()) => {
                text.insert_str(0, HOSTILE);
            }
            _ => {}
        }
    }
    let mut report = sample::report();
    spoil(&mut report);
    report
}

#[test]
fn a_report_of_nothing_is_a_page_too() {
    let mut nothing =
        json!({ "name": "", "began": "", "against": "", "rate": 0, "length_ms": 0, "passed": true });
    for list in ["phases", "stacks", "verdicts"] {
        nothing[list] = json!([]);
    }
    let mut bare = nothing.clone();
    bare["stacks"] = json!([{ "name": "alone", "phases": [], "seconds": [], "changes": [], "tasks": null }]);
    for report in [nothing, bare] {
        let (text, page) = render(&report);
        assert!(text.contains("Nothing was judged") && page.text().contains("Nothing was judged"), "{text}");
        let opened = page.open();
        assert!(!opened.contains("NaN") && opened.contains("There were no phases."), "{opened}");
    }
}

/// Figures that do not fit together: more phases than a stack knows, seconds past the end, sums beyond the requests.
#[test]
fn a_report_that_contradicts_itself_is_shown_all_the_same() {
    let mut report = sample::report();
    report["length_ms"] = json!(1_000);
    report["stacks"][0]["phases"].as_array_mut().unwrap().truncate(3);
    report["stacks"][1]["seconds"][5] = json!({
        "requests": 1, "answered": 40, "degraded": 90, "refused": 90, "failed": 90, "p50_ms": 0.0, "p99_ms": -1.0,
    });
    report["phases"][4]["to_ms"] = json!(0);
    for phase in report["stacks"][1]["phases"].as_array_mut().unwrap() {
        phase["classes"][0]["requests"] = json!(u64::MAX);
    }
    let (_, page) = render(&report);
    let opened = page.open();
    assert!(
        opened.contains("all at once") && !opened.contains("NaN") && !opened.contains("=\"-"),
        "{opened}"
    );
}

#[test]
fn what_is_no_report_is_refused_by_its_name() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("wrong.json");
    std::fs::write(&file, "{\"name\": 3}").unwrap();
    for file in [file, place.path().join("missing.json")] {
        let output = run(&[file.as_os_str()]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(file.to_str().unwrap()), "{said}");
    }
}
