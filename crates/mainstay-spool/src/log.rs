//! What happens, as events. None of them holds what was pushed, or what a driver said.

use crate::{DeathCause, Fault, Finding, Refusal};

macro_rules! event {
    ($level:ident, $name:literal, $($rest:tt)*) => {
        #[cfg(feature = "tracing")]
        tracing::$level!(name: $name, target: "mainstay", $($rest)*);
    };
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn refused(spool: &str, refusal: Refusal) {
    event!(debug, "spool_refused", spool, reason = %refusal, "an item was not accepted");
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn died(spool: &str, cause: DeathCause, tries: u32) {
    event!(warn, "spool_dead_letter", spool, cause = cause.as_str(), tries, "an item could not be delivered");
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn fault(spool: &str, fault: Fault) {
    event!(error, "spool_store_fault", spool, fault = %fault, "the files of the spool could not be written");
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn found(spool: &str, finding: &Finding) {
    event!(
        warn, "spool_file_set_aside", spool, kind = ?finding.kind, set_aside = %finding.set_aside.display(),
        recovered = finding.recovered, "a file of the spool was not sound"
    );
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn unavailable(spool: &str, pause: std::time::Duration) {
    event!(info, "spool_sink_unavailable", spool, ?pause, "the sink could not take anything");
}

#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "only for events"))]
pub(crate) fn drained(spool: &str, left: u64) {
    event!(info, "spool_drained", spool, left, "the spool was shut down");
}
