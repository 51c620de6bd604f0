//! The `Retry-After` header, in and out.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue};

/// How long a response asks to be left alone. `None` without a valid `Retry-After`; of several valid ones the longest
/// counts, because it keeps to the others too.
pub fn asked(headers: &HeaderMap, now: impl Fn() -> SystemTime) -> Option<Duration> {
    headers.get_all(RETRY_AFTER).iter().filter_map(|value| parse(value, &now)).max()
}

/// Reads one value: seconds, or an HTTP date in any of its three forms.
///
/// A date that has passed at `now` is no wait; `now` is only asked for dates. Seconds that no `u64` can hold are
/// [`Duration::MAX`]. Anything else is `None`.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use mainstay_http::http::HeaderValue;
/// use mainstay_http::retry_after::parse;
///
/// let epoch = || SystemTime::UNIX_EPOCH;
/// assert_eq!(parse(&HeaderValue::from_static("120"), epoch), Some(Duration::from_secs(120)));
/// let date = HeaderValue::from_static("Thu, 01 Jan 1970 00:01:00 GMT");
/// assert_eq!(parse(&date, epoch), Some(Duration::from_secs(60)));
/// assert_eq!(parse(&HeaderValue::from_static("soon"), epoch), None);
/// ```
pub fn parse(value: &HeaderValue, now: impl Fn() -> SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if text.is_empty() {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that do not parse are too many. The largest number stands for all that are too large.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(if seconds == u64::MAX { Duration::MAX } else { Duration::from_secs(seconds) });
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now()).unwrap_or_default())
}

/// Writes a wait: whole seconds, rounded up, and at least 1, so that who keeps to it is never early.
pub fn value(wait: Duration) -> HeaderValue {
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    HeaderValue::from(seconds.max(1))
}
