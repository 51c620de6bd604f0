//! `Retry-After`, in and out, for whatever a server sends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue};
use mainstay_http::retry_after::{asked, parse, value};
use proptest::prelude::*;

const EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

fn parsed(text: &str) -> Option<Duration> {
    parse(&HeaderValue::from_str(text).unwrap(), || EPOCH)
}

#[test]
fn seconds_are_digits_and_nothing_else() {
    assert_eq!(parsed("0"), Some(Duration::ZERO));
    assert_eq!(parsed("007"), Some(Duration::from_secs(7)));
    assert_eq!(parsed("  5\t"), Some(Duration::from_secs(5)));
    for text in ["", " ", "+5", "-5", "5.0", "5s", "1_000", "1 000", "٣", "NaN", "inf"] {
        assert_eq!(
            HeaderValue::from_str(text).ok().and_then(|value| parse(&value, || EPOCH)),
            None,
            "{text}"
        );
    }
}

#[test]
fn numbers_too_large_are_the_longest_wait() {
    assert_eq!(parsed("18446744073709551614"), Some(Duration::from_secs(u64::MAX - 1)));
    for text in ["18446744073709551615", "18446744073709551616", &"9".repeat(1000)] {
        assert_eq!(parsed(text), Some(Duration::MAX));
    }
}

#[test]
fn a_date_that_has_passed_is_no_wait() {
    let now = EPOCH + Duration::from_secs(784_111_777);
    for (text, wait) in [("Sun, 06 Nov 1994 08:49:37 GMT", 0), ("Sun, 06 Nov 1994 08:49:38 GMT", 1)] {
        assert_eq!(parse(&HeaderValue::from_static(text), || now), Some(Duration::from_secs(wait)));
    }
    assert_eq!(
        parse(&HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"), || now),
        Some(Duration::ZERO)
    );
}

#[test]
fn what_is_written_is_whole_seconds_and_at_least_one() {
    for (wait, text) in [
        (Duration::ZERO, "1"),
        (Duration::from_nanos(1), "1"),
        (Duration::from_secs(1), "1"),
        (Duration::from_millis(1001), "2"),
        (Duration::from_secs(15), "15"),
        (Duration::MAX, "18446744073709551615"),
    ] {
        assert_eq!(value(wait), text);
    }
}

#[test]
fn a_clock_is_only_asked_for_dates() {
    let no_clock = || panic!("asked for the time");
    assert_eq!(parse(&HeaderValue::from_static("60"), no_clock), Some(Duration::from_secs(60)));
    assert_eq!(parse(&HeaderValue::from_static("soon"), no_clock), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let _ = parse(&value, || EPOCH);
        }
    }

    #[test]
    fn what_looks_like_a_date_is_read_without_harm(
        text in "(Mon|Thu|Sun|Sunday|Xyz),? ?[0-9]{1,2}[ -](Jan|Feb|Nov|Foo)[ -][0-9]{2,4} [0-9:]{5,8}( GMT)?|(Sun|Thu) (Nov|Feb) [ 0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} [0-9]{4}"
    ) {
        let _ = parsed(&text);
    }

    #[test]
    fn who_keeps_to_what_is_written_is_never_early(wait in any::<Duration>()) {
        prop_assert!(parse(&value(wait), || EPOCH).unwrap() >= wait);
    }

    #[test]
    fn a_date_is_as_far_away_as_it_says(now in 0..4_000_000_000_u64, ahead in 0..4_000_000_000_u64) {
        let (now, wait) = (EPOCH + Duration::from_secs(now), Duration::from_secs(ahead));
        let text = httpdate::fmt_http_date(now + wait);
        prop_assert_eq!(parse(&HeaderValue::from_str(&text).unwrap(), || now), Some(wait));
    }

    #[test]
    fn the_longest_of_several_counts(waits in proptest::collection::vec(any::<Option<u32>>(), 0..5)) {
        let mut headers = HeaderMap::new();
        for wait in &waits {
            let value = wait.map_or(HeaderValue::from_static("soon"), HeaderValue::from);
            headers.append(RETRY_AFTER, value);
        }
        let longest = waits.iter().flatten().max().map(|secs| Duration::from_secs(u64::from(*secs)));
        prop_assert_eq!(asked(&headers, || EPOCH), longest);
    }
}
