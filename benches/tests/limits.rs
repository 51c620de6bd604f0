//! What the guard lets pass.

use mainstay_benches::instructions::Executed;
use mainstay_benches::limits::{Build, Judgement, Limits};

fn build() -> Build {
    Build { compiler: "rustc 1.95.0".to_owned(), target: "x86_64 linux".to_owned() }
}

fn executed(instructions: f64) -> Executed {
    Executed { instructions, locked: Some(0.0) }
}

fn limits() -> Limits {
    let paths = [("long".to_owned(), executed(1_000.0)), ("short, `level()`".to_owned(), executed(6.0))];
    Limits::new(build(), paths)
}

#[test]
fn a_path_may_execute_a_twentieth_more_and_no_more() {
    let limits = limits();
    let judge = |instructions| limits.judge("long", executed(instructions), 0.05);
    assert_eq!(judge(1_050.0), Judgement::Kept);
    assert_eq!(judge(1_051.0), Judgement::Rose);
    assert_eq!(judge(950.0), Judgement::Kept);
    assert_eq!(judge(949.0), Judgement::Fell);
}

#[test]
fn two_instructions_more_are_always_allowed() {
    let judge = |instructions| limits().judge("short, `level()`", executed(instructions), 0.05);
    assert_eq!(judge(8.0), Judgement::Kept);
    assert_eq!(judge(9.0), Judgement::Rose);
}

#[test]
fn one_locked_instruction_more_is_too_much() {
    let locks = Executed { instructions: 1_000.0, locked: Some(1.0) };
    assert_eq!(limits().judge("long", locks, 0.05), Judgement::MoreLocked);
    let nobody_knows = Executed { instructions: 1_000.0, locked: None };
    assert_eq!(limits().judge("long", nobody_knows, 0.05), Judgement::Kept);
}

#[test]
fn a_path_without_a_limit_is_told() {
    assert_eq!(limits().judge("new", executed(1.0), 0.05), Judgement::Unknown);
}

#[test]
fn another_compiler_gets_a_wider_margin_and_another_processor_none() {
    let limits = limits();
    assert_eq!(limits.margin(&build()), Some(0.05));
    assert_eq!(limits.margin(&Build { compiler: "rustc 1.99.0".to_owned(), ..build() }), Some(0.15));
    assert_eq!(limits.margin(&Build { target: "aarch64 linux".to_owned(), ..build() }), None);
}

#[test]
fn what_is_written_is_read_again() {
    let text = limits().write("Two lines\nof explanation");
    assert!(text.starts_with("# Two lines\n# of explanation\n"), "{text}");
    assert_eq!(Limits::parse(&text), Ok(limits()));
}

#[test]
fn a_line_that_nobody_understands_is_an_error() {
    assert!(Limits::parse("compiler: x\nmany 0 path").is_err());
}

#[test]
fn the_committed_limits_are_understood() {
    let limits = Limits::parse(include_str!("../limits.txt")).unwrap();
    assert!(limits.build.compiler.starts_with("rustc "), "{:?}", limits.build);
    assert!(limits.paths().count() > 30);
}
