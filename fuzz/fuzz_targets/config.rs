//! Whatever stands in a file and in variables: it is refused with errors that have a place, or it is shown so that it
//! loads again to the same fingerprint, and what it makes is accepted by the library.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_config::{Environment, Loader};

fuzz_target!(|text: &str| {
    // The first lines may be variables: `NAME=value`.
    let (mut variables, mut rest) = (Vec::new(), text);
    while let Some((line, after)) = rest.split_once('\n')
        && let Some((name, value)) = line.split_once('=')
        && !name.is_empty()
        && !name.contains([' ', ':', '#', '\0'])
    {
        variables.push((name, value));
        rest = after;
    }
    let environment = Environment::from_iter(variables);
    let loader = || Loader::new().environment(environment.clone()).allow_section("own");
    let loaded = match loader().text("fuzzed", rest).load() {
        Ok(loaded) => loaded,
        Err(errors) => {
            assert!(errors.iter().count() > 0);
            assert!(!errors.to_string().is_empty());
            return;
        }
    };
    for breaker in loaded.settings().breakers.values() {
        breaker.settings.validate().expect("what was read is valid");
    }
    let degradation = loaded.settings().degradation.clone();
    degradation.apply(mainstay_degrade::DegradationManager::builder()).build().expect("it builds");
    // References in what is shown are those of the same variables.
    let shown = loaded.show();
    let again = loader().text("shown", &shown).load();
    let again = again.unwrap_or_else(|errors| panic!("{errors}\n{shown}"));
    assert_eq!(again.fingerprint(), loaded.fingerprint(), "{shown}\n{:?}", loaded.diff(&again));
});
