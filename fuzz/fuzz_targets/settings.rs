//! Whatever is written in a settings file: it is refused with an error, or it builds a breaker that works, and it is
//! written and read again as the same settings.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mainstay_breaker::{Breaker, Clock, Settings};

fuzz_target!(|bytes: &[u8]| {
    let Ok(settings) = serde_json::from_slice::<Settings>(bytes) else { return };
    settings.validate().expect("what was read is valid");
    let written = serde_json::to_string(&settings).expect("settings can be written");
    let again: Settings = serde_json::from_str(&written).expect("what was written can be read");
    assert_eq!(again, settings, "through {written}");

    let (clock, time) = Clock::manual();
    let breaker =
        Breaker::builder("fuzzed").settings(settings.clone()).clock(clock).build().expect("it builds");
    for round in 0..40u64 {
        if let Ok(permit) = breaker.try_acquire() {
            match round % 4 {
                0 => permit.success(),
                1 | 2 => permit.failure(),
                _ => drop(permit),
            }
        }
        time.advance(Duration::from_millis(round * round * 1000));
        breaker.snapshot();
    }
    breaker.trip();
    breaker.reconfigure(settings).expect("valid settings are accepted");
    // However long an open time was asked for, it ends: a year is the longest, five minutes the least cap.
    time.advance(Duration::from_secs(2 * 365 * 24 * 60 * 60));
    breaker.try_acquire().expect("it recovers").success();
});
