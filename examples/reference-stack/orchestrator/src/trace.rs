//! The caller's trace, handed on: `traceparent` and `tracestate` of the W3C.

use uuid::Uuid;

use crate::task::Work;

/// What is sent with the calls that are made for a task.
pub(crate) struct Trace {
    parent: String,
    state: Option<String>,
}

impl Trace {
    /// A child of the task's trace; none if it has none.
    pub(crate) fn of(work: &Work) -> Option<Self> {
        let parent = child(work.traceparent.as_deref()?)?;
        Some(Self { parent, state: work.tracestate.clone() })
    }

    /// What of it goes with a call, as headers or as metadata.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let state = self.state.as_deref().map(|state| ("tracestate", state));
        [("traceparent", self.parent.as_str())].into_iter().chain(state)
    }
}

fn child(traceparent: &str) -> Option<String> {
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
