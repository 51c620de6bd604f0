//! The caller's trace, handed on: `traceparent` of the W3C.

use uuid::Uuid;

/// The header for a call that is made for whoever sent this one; none if it is not one.
pub(crate) fn child(traceparent: &str) -> Option<String> {
    let mut fields = traceparent.split('-');
    let (version, trace, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let hex = |text: &str, digits| {
        text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let zero = |text: &str| text.bytes().all(|b| b == b'0');
    let whole = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    if !whole || version == "ff" || zero(trace) || zero(parent) {
        return None;
    }
    let span = Uuid::new_v4().as_u64_pair().0;
    Some(format!("00-{trace}-{:016x}-{flags}", span.max(1)))
}
