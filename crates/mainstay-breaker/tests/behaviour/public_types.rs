//! What the compiler promises about the public types.

use std::error::Error;
use std::fmt::Debug;

use mainstay_breaker::*;

fn sent_and_shared<T: Send + Sync + Debug + 'static>() {}
fn copied<T: Copy>() {}
fn cloned<T: Clone>() {}

#[test]
fn everything_public_can_be_sent_shared_and_shown() {
    sent_and_shared::<Breaker>();
    sent_and_shared::<BreakerBuilder>();
    sent_and_shared::<Permit<'static>>();
    sent_and_shared::<OwnedPermit>();
    sent_and_shared::<Settings>();
    sent_and_shared::<HalfOpen>();
    sent_and_shared::<Trip>();
    sent_and_shared::<Window>();
    sent_and_shared::<Snapshot>();
    sent_and_shared::<Transition>();
    sent_and_shared::<Transitions>();
    sent_and_shared::<Rejected>();
    sent_and_shared::<BreakerError<std::io::Error>>();
    sent_and_shared::<TimedOut>();
    sent_and_shared::<Run<'static, std::future::Ready<Result<(), ()>>, ErrorsAreFailures>>();
    sent_and_shared::<(State, Stage, Control, Cause, RejectReason, Totals, RuleSnapshot, HalfOpenSnapshot)>();
    sent_and_shared::<(Clock, ManualClock, Name, OpenFor, Registry, Watch, ConfigError, Classified, Verdict)>(
    );
}

#[test]
fn what_rejections_and_transitions_carry_is_copied() {
    copied::<(Rejected, Transition, Cause, Name, State, Stage, Control, RejectReason)>();
    copied::<(Trip, Window, OpenFor, HalfOpen, Verdict, Classified, Totals)>();
}

#[test]
fn what_is_read_can_be_kept() {
    cloned::<(Breaker, Settings, Snapshot, ConfigError, BreakerError<String>)>();
}

#[test]
fn what_goes_wrong_is_an_error() {
    fn error<T: Error + Send + Sync + 'static>() {}
    error::<Rejected>();
    error::<Cause>();
    error::<TimedOut>();
    error::<ConfigError>();
    error::<BreakerError<String>>();
    error::<BreakerError<Box<dyn Error + Send + Sync>>>();
}

#[test]
fn the_error_of_a_call_bounds_nothing_in_its_type() {
    struct Anything;
    assert!(BreakerError::Inner(Anything).into_inner().is_some());
}

#[test]
fn a_breaker_shows_its_name_and_state() {
    let breaker = Breaker::new("shown").unwrap();
    assert!(format!("{breaker:?}").contains("shown") && format!("{breaker:?}").contains("Closed"));
    assert!(format!("{:?}", breaker.try_acquire().unwrap()).contains("shown"));
}
