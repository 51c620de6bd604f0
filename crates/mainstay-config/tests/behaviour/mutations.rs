//! A valid file with one mistake in it: an error at the line of the mistake, and never a panic.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics fails, as it should"
)]

use mainstay_config::{Environment, Loader, Origin};
use proptest::prelude::*;

const FULL: &str = include_str!("../full.yaml");

/// The lines that end with a scalar, as (line, key with indent, value).
fn scalars() -> Vec<(usize, String, String)> {
    let lines = FULL.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            let (key, value) = line.split_once(": ")?;
            let scalar = !value.starts_with(['{', '[']);
            scalar.then(|| (index, key.to_owned(), value.to_owned()))
        })
        .collect()
}

fn keys() -> Vec<usize> {
    let lines = FULL.lines().enumerate();
    lines.filter(|(_, line)| line.contains(':')).map(|(index, _)| index).collect()
}

/// The file with one line replaced.
fn with_line(index: usize, line: &str) -> String {
    let lines = FULL.lines().enumerate();
    let lines: Vec<&str> = lines.map(|(at, old)| if at == index { line } else { old }).collect();
    lines.join("\n") + "\n"
}

/// The lines that are told.
fn told(text: &str) -> Vec<usize> {
    match Loader::new().text("full.yaml", text).load() {
        Ok(_) => Vec::new(),
        Err(errors) => errors
            .iter()
            .map(|error| match &error.origin {
                Origin::File { line, .. } => *line,
                other => panic!("{other}"),
            })
            .collect(),
    }
}

#[test]
fn the_file_has_no_mistakes() {
    assert!(told(FULL).is_empty(), "{:?}", told(FULL));
}

/// What no key takes.
fn bad_value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("-1".to_owned()),
        Just("~".to_owned()),
        Just("10 parsecs".to_owned()),
        Just("''".to_owned()),
        Just("{ no: key }".to_owned()),
        Just("[[]]".to_owned()),
        Just("1e400".to_owned()),
        Just("99999999999999999999999".to_owned()),
        Just("0x10".to_owned()),
        Just("' x'".to_owned()),
        Just("${UNSET_VARIABLE}".to_owned()),
        Just("!!str x".to_owned()),
        Just("400days".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn a_bad_value_is_told_at_its_line(place in prop::sample::select(scalars()), value in bad_value()) {
        let (index, key, _) = place;
        // Figures of one's own may be anything, and a name may be nearly anything.
        let free = ["until", "above", "below", "detail"].contains(&key.trim_start_matches([' ', '-']));
        let named = key.ends_with("service") && !["~", "''", "' x'", "[[]]", "-1"].contains(&value.as_str());
        let number = ["-1", "1e400", "99999999999999999999999", "' x'", "''", "10 parsecs", "0x10", "400days"].contains(&value.as_str());
        prop_assume!(!(free && number) && !(named && (number || !value.starts_with(['{', '[', '$', '!']))));
        let told = told(&with_line(index, &format!("{key}: {value}")));
        prop_assert!(told.contains(&(index + 1)), "line {}: {key}: {value} -> {told:?}", index + 1);
    }

    #[test]
    fn a_misspelt_key_is_told_at_its_line(index in prop::sample::select(keys()), at in 0usize..40, char in prop::char::range('a', 'z')) {
        let line = FULL.lines().nth(index).unwrap();
        let (key, rest) = line.split_once(':').unwrap();
        let indent = key.len() - key.trim_start_matches([' ', '-']).len();
        let word = &key[indent..];
        let at = at % (word.len() + 1);
        let misspelt = format!("{}{}{char}{}", &key[..indent], &word[..at], &word[at..]);
        // Names of breakers, checks, operations and workflows are free.
        let free = [
            "default", "payments", "database", "queue", "llm_service", "redis", "grpc", "network", "llm_call", "vector_search", "audit", "simple", "plan"];
        prop_assume!(!free.contains(&word));
        let told = told(&with_line(index, &format!("{misspelt}:{rest}")));
        prop_assert!(told.contains(&(index + 1)), "line {}: {misspelt}: {told:?}", index + 1);
    }

    #[test]
    fn a_line_that_is_said_twice_is_told_at_the_second(index in prop::sample::select(keys())) {
        let line = FULL.lines().nth(index).unwrap();
        prop_assume!(!line.trim_start().starts_with('-') && !line.ends_with(':'));
        let told = told(&with_line(index, &format!("{line}\n{line}")));
        prop_assert!(told.contains(&(index + 2)), "line {}: {told:?}", index + 2);
    }

    #[test]
    fn no_bytes_make_it_panic(text in "\\PC{0,200}", at in 0usize..4000, cut in 0usize..100) {
        let loader = |text: &str| Loader::new().text("f", text).allow_section("a").load().is_ok();
        loader(&text);
        let at = at % FULL.len();
        let end = (at + cut).min(FULL.len());
        loader(&format!("{}{text}{}", &FULL[..at], &FULL[end..]));
    }

    #[test]
    fn no_variable_makes_it_panic(
        name in prop_oneof![
            "MAINSTAY__[A-Z_]{0,30}",
            "CB_(REDIS|DB|GRPC|GRPC_CONN|HTTP)_[A-Z_]{0,12}",
            "(CB_REDIS|CB_GRPC_CONN)_(TIMEOUT|INTERVAL|MAX_REQUESTS)",
            "MAINSTAY__(CIRCUIT_BREAKERS|HEALTH|DEGRADATION)__(REDIS|CHECKS|THRESHOLDS|SEED)(__[A-Z]{1,5}){0,3}"
        ],
        value in "\\PC{0,40}"
    ) {
        let _ = Loader::new().environment(Environment::from_iter([(name, value)])).load();
    }
}
