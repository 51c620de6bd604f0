//! Verdicts and who gives them.

use std::time::Duration;

use mainstay_core::{Classified, Classify, ErrorsAreFailures, Verdict};

fn verdict<T, E>(classify: impl Classify<T, E>, result: Result<T, E>) -> Verdict {
    classify.classify(&result).verdict()
}

#[test]
fn by_default_errors_are_failures() {
    assert_eq!(verdict(ErrorsAreFailures, Ok::<_, ()>(1)), Verdict::Success);
    assert_eq!(verdict(ErrorsAreFailures, Err::<(), _>("refused")), Verdict::Failure);
}

#[test]
fn a_closure_can_return_a_verdict() {
    let classify = |result: &Result<u8, u8>| {
        if result.is_ok() { Verdict::Success } else { Verdict::Ignore }
    };
    assert_eq!(verdict(classify, Err(1)), Verdict::Ignore);
}

#[test]
fn a_closure_can_return_a_classified_with_a_retry_after() {
    let minute = Duration::from_secs(60);
    let classify = |_: &Result<(), ()>| Classified::failure().retry_after(minute);
    assert_eq!(classify.classify(&Err(())).asked_to_wait(), Some(minute));
}

#[test]
fn a_verdict_alone_asks_for_no_wait() {
    for verdict in [Verdict::Success, Verdict::Failure, Verdict::Ignore] {
        let classified = Classified::from(verdict);
        assert_eq!((classified.verdict(), classified.asked_to_wait()), (verdict, None));
    }
    assert_eq!(Classified::ignore(), Verdict::Ignore.into());
}
