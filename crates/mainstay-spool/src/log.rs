//! What happens, as events. None of them holds what was pushed, or what a driver said.

use crate::{DeathCause, Fault, Finding, Refusal};

macro_rules! event {
    ($level:ident, $($rest:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::$level!($($rest)*);
    };
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn refused(spool: &str, refusal: Refusal) {
    event!(debug, spool, reason = %refusal, "spool_refused");
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn died(spool: &str, cause: DeathCause, tries: u32) {
    event!(warn, spool, cause = cause.as_str(), tries, "spool_dead_letter");
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn fault(spool: &str, fault: Fault) {
    event!(error, spool, fault = %fault, "spool_store_fault");
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn found(spool: &str, finding: &Finding) {
    event!(warn, spool, kind = ?finding.kind, set_aside = %finding.set_aside.display(), recovered = finding.recovered, "spool_file_set_aside");
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn unavailable(spool: &str, pause: std::time::Duration) {
    event!(info, spool, ?pause, "spool_sink_unavailable");
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn drained(spool: &str, left: u64) {
    event!(info, spool, left, "spool_drained");
}
