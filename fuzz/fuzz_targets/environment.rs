//! Whatever stands in the variables of a process, under whatever names: each mistake is told with the name of the variable and
//! without its value, and what is loaded is shown so that it loads again to the same.
//!
//! The first byte picks the file that lies below. Then each line is a variable, `NAME=value`.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mainstay_config::{Environment, Loader, Origin, Section};

/// The files that lie below: none, some of everything, and one that takes values from variables.
const FILES: [&str; 4] = [
    "",
    include_str!("../../crates/mainstay-config/tests/full.yaml"),
    "circuit_breakers: { my-db: { timeout: '${T}' }, redis: {}, default: { ramp: 30s } }\n\
     health: { checks: { redis: { interval: '${T:-7s}', critical: true, scope: shared } } }\n\
     own: { port: 80, 'name of one': '${NAME}' }\n",
    "circuit_breakers: { agent_core: { timeout: 5s }, x: { trip: [{ failure_rate: 0.5 }] } }\n\
     degradation: { thresholds: { minor: { error_rate: 0.2 } } }\n",
];

/// What is kept out of sight.
const SECRET: &str = "sesame";

fuzz_target!(|bytes: &[u8]| {
    let Some((file, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let file = FILES[usize::from(*file) % FILES.len()];
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let variables: Vec<(&str, &str)> = lines.filter(|(name, _)| !name.is_empty()).take(32).collect();
    let environment = Environment::from_iter(variables.iter().copied());
    // What a reference brings in is kept out of sight, and what a program reads itself. Keys are no secrets, nor is a value that was said
    // by the name of a setting.
    let secret = |is_secret: fn(&str) -> bool| {
        variables.iter().all(|(name, value)| {
            !name.to_ascii_lowercase().contains(SECRET)
                && (!value.contains(SECRET) || is_secret(name) && is_plain(value))
        })
    };

    read_one_by_one(&environment, &variables, secret(|_| true));
    let hidden = secret(|name| {
        let name = name.to_ascii_lowercase();
        !["cb_", "enforce_cb_", "mainstay__"].iter().any(|prefix| name.starts_with(prefix))
    });

    let loader =
        |text: &str| Loader::new().allow_section("own").text("file", text).environment(environment.clone());
    let loaded = match loader(file).load() {
        Ok(loaded) => loaded,
        Err(errors) => {
            assert!(errors.iter().count() > 0);
            for error in errors.iter() {
                if let Origin::Variable(name) = &error.origin {
                    assert!(environment.get(name).is_some(), "{error}");
                    // Without what a terminal would act on.
                    let told = name.escape_debug().to_string();
                    assert!(&*told != &**name || error.to_string().contains(&told), "{error}");
                }
            }
            assert!(!hidden || !errors.to_string().contains(SECRET), "{errors}");
            return;
        }
    };
    let shown = loaded.show();
    assert!(!hidden || !shown.contains(SECRET), "{shown}");
    assert!(!hidden || !loaded.to_json().to_string().contains(SECRET), "{}", loaded.to_json());
    for breaker in loaded.settings().breakers.values() {
        breaker.settings.validate().expect("what was read is valid");
    }
    let again = loader(&shown).load().unwrap_or_else(|errors| panic!("{errors}\n{shown}"));
    assert_eq!(again.fingerprint(), loaded.fingerprint(), "{shown}\n{:?}", loaded.diff(&again));

    // Others' variables are none of our business.
    let others = [("PATH", "/bin"), ("CBX_REDIS", "1"), ("mainstay_", "x"), ("MAINSTAY_", "x")];
    let more = Environment::from_iter(variables.iter().copied().chain(others));
    let same =
        Loader::new().allow_section("own").text("file", file).environment(more).load().expect("it loads");
    assert_eq!(same.fingerprint(), loaded.fingerprint());
});

/// Whether a value is nothing but itself in YAML too.
fn is_plain(value: &str) -> bool {
    !value.contains(['{', ':', '[', '&', '*', '!', '$', '\'', '"', '\\'])
}

/// As a program reads its own variables.
fn read_one_by_one(environment: &Environment, variables: &[(&str, &str)], hidden: bool) {
    let mut section = Section::of_environment(environment);
    for (number, (name, _)) in variables.iter().enumerate() {
        match number % 8 {
            0 => drop(section.text(name).or("x".to_owned())),
            1 => drop(section.duration(name).or(Duration::ZERO)),
            2 => drop(section.bool(name).optional()),
            3 => drop(section.number::<u16>(name).optional()),
            4 => drop(section.number::<f64>(name).optional().map(|number| assert!(number.is_finite()))),
            5 => drop(section.address(name).optional()),
            6 => drop(section.endpoint(name, &["http", "https"]).optional()),
            _ => drop(section.secret(name, 32).optional()),
        }
    }
    if let Err(errors) = section.finish() {
        assert!(!hidden || !errors.to_string().contains(SECRET), "{errors}");
    }
}
