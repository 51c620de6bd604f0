//! Terminals, pipes that are closed, and disks that are full.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::command::{Ended, Place, SAMPLE, ended};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const WRONG: (&str, &str) = ("wrong.yaml", "helth: {}\n");
const MISTAKE: &str = "error: wrong.yaml:1:1: helth: found the unknown key `helth`, expected a known key
  did you mean `health`?
1 mistake
";

/// What a command writes to a terminal.
fn on_a_terminal(command: &mut Command) -> String {
    let control = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&control).unwrap();
    unlockpt(&control).unwrap();
    let name = ptsname(&control, Vec::new()).unwrap().into_string().unwrap();
    let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut child =
        command.stdout(terminal.try_clone().unwrap()).stderr(terminal).env("TERM", "xterm").spawn().unwrap();
    // The command holds the terminal's other copies.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut written = Vec::new();
    // When the last one is closed, reading fails.
    let _ = File::from(control).read_to_end(&mut written);
    child.wait().unwrap();
    String::from_utf8(written).unwrap().replace("\r\n", "\n")
}

/// A standard output whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn there_are_colours_on_a_terminal_and_not_in_a_pipe() {
    let place = Place::with(&[WRONG, ("f.yaml", SAMPLE)]);
    let check = ["config", "check", "wrong.yaml"];
    let red = MISTAKE.replace("error:", "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m");
    assert_eq!(on_a_terminal(&mut place.command(&check)), red);
    assert_eq!(place.run(&check), Ended::new(78, "", MISTAKE));

    let show = ["config", "show", "f.yaml"];
    let shown = on_a_terminal(&mut place.command(&show));
    assert!(shown.contains("    enabled: true \u{1b}[90m# f.yaml:5\u{1b}[0m\n"), "{shown}");
    assert!(place.run(&show).out.contains("    enabled: true # f.yaml:5\n"));
}

#[test]
fn whoever_says_no_colours_gets_none_and_whoever_wants_them_gets_them_anywhere() {
    let place = Place::with(&[WRONG]);
    let check = ["config", "check", "wrong.yaml"];
    assert_eq!(on_a_terminal(place.command(&check).env("NO_COLOR", "1")), MISTAKE);
    assert_eq!(on_a_terminal(place.command(&check).args(["--color", "never"])), MISTAKE);
    let always = place.run(&["--color", "always", "config", "check", "wrong.yaml"]);
    assert!(always.err.starts_with("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m wrong.yaml:1:1: "), "{}", always.err);

    for (color, colours) in [("always", true), ("never", false)] {
        for words in [&["--help"][..], &["config", "diff"]] {
            let ended = place.run(&[words, &["--color", color]].concat());
            assert_eq!(format!("{ended:?}").contains("u{1b}["), colours, "{words:?} {color}");
        }
        let written = on_a_terminal(&mut place.command(&["--help", "--color", color]));
        assert_eq!(written.contains('\u{1b}'), colours);
    }
}

#[test]
fn what_stands_in_a_file_moves_no_cursor() {
    let wrong = "\"a\\e[31m\\nb\": 1\nhealth: { service: \"a\\e[31m\\nb\", \"c\\e[1m\": 1 }\n";
    let place = Place::with(&[("\u{1b}[31m.yaml", wrong), ("fine\u{1b}[31m.yaml", "")]);
    let written = on_a_terminal(&mut place.command(&["config", "check", "\u{1b}[31m.yaml"]));
    let ours = written.replace("\u{1b}[1m\u{1b}[31merror:\u{1b}[0m ", "error: ");
    assert!(!ours.contains('\u{1b}') && ours.lines().count() == 4, "{ours:?}");
    let written = on_a_terminal(&mut place.command(&["config", "check", "fine\u{1b}[31m.yaml"]));
    assert!(written.starts_with("fine\\u{1b}[31m.yaml: no mistakes"), "{written:?}");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly_with_the_same_code() {
    let place = Place::with(&[("f.yaml", SAMPLE), ("g.yaml", ""), WRONG]);
    for (words, code) in [
        (&["config", "show", "f.yaml"][..], 0),
        (&["config", "show", "f.yaml", "--format", "json"], 0),
        (&["config", "check", "f.yaml"], 0),
        (&["config", "check", "wrong.yaml", "--format", "json"], 78),
        (&["config", "diff", "f.yaml", "g.yaml"], 1),
        (&["config", "schema"], 0),
        (&["config", "keys"], 0),
        (&["completions", "bash"], 0),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        let child = place.command(words).stdout(closed()).stderr(Stdio::piped()).spawn().unwrap();
        assert_eq!(Ended::from(child.wait_with_output().unwrap()), Ended::new(code, "", ""), "{words:?}");
    }
    for (words, code) in [(&["config", "check", "wrong.yaml"][..], 78), (&["config"], 2), (&["probe"], 1)] {
        let child = place.command(words).stderr(closed()).stdout(Stdio::piped()).spawn().unwrap();
        assert_eq!(Ended::from(child.wait_with_output().unwrap()), Ended::new(code, "", ""), "{words:?}");
    }
}

#[test]
fn a_reader_of_the_first_line_is_enough() {
    let breakers: String = (0..500).map(|number| format!("  b{number}: {{ timeout: 1s }}\n")).collect();
    let place = Place::with(&[("f.yaml", &format!("circuit_breakers:\n{breakers}"))]);
    let mut command = place.command(&["config", "show", "f.yaml"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(1, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "circuit_breakers:\n");
    assert_eq!(Ended::from(child.wait_with_output().unwrap()), Ended::new(0, "", ""));
}

#[test]
fn an_output_that_cannot_be_written_ends_with_74() {
    let place = Place::with(&[("f.yaml", SAMPLE)]);
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    for words in [
        &["config", "show", "f.yaml"][..],
        &["config", "show", "f.yaml", "--fingerprint"],
        &["config", "schema"],
    ] {
        let child = place.command(words).stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
        let ended = Ended::from(child.wait_with_output().unwrap());
        assert_eq!(ended, Ended::new(74, "", "error: the output could not be written (no storage space)\n"));
    }
    assert_eq!(ended(place.command(&["--help"]).stdout(full())).code, 74);
}
