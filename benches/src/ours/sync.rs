use std::hint::black_box;

use mainstay_breaker::{Breaker, BreakerError};

use super::{CONSECUTIVE, COUNT, DEFAULT, SLOW, TIME, arc, id, leaked, open};
use crate::catalog::Visitor;
use crate::guard::{Guard, Guarded};
use crate::id::{Face, Path};
use crate::subject::{Answer, Failure, Outcome, Refusal};
use crate::work::{Healthy, OnePercent, ThirtyPercent};

pub(super) fn visit(visitor: &mut impl Visitor) {
    for rule in [CONSECUTIVE, COUNT, TIME, DEFAULT, SLOW] {
        let id = |how| id(Face::Sync, Path::Closed, rule, how);
        visitor.subject(id("permit, leaked"), || Guarded::<_, Healthy>::new(ByPermit(leaked(rule))));
        visitor.subject(id("permit, arc"), || Guarded::<_, Healthy>::new(ByPermit(arc(rule))));
        visitor.subject(id("call, leaked"), || Guarded::<_, Healthy>::new(ByCall(leaked(rule))));
        visitor.subject(id("call, arc"), || Guarded::<_, Healthy>::new(ByCall(arc(rule))));
    }
    for rule in [CONSECUTIVE, COUNT, TIME, DEFAULT] {
        visitor.subject(id(Face::Sync, Path::OnePercent, rule, "permit, leaked"), || {
            Guarded::<_, OnePercent>::new(ByPermit(leaked(rule)))
        });
    }
    for rule in [COUNT, TIME, DEFAULT] {
        visitor.subject(id(Face::Sync, Path::ThirtyPercent, rule, "permit, leaked"), || {
            Guarded::<_, ThirtyPercent>::new(ByPermit(leaked(rule)))
        });
    }
    let id = |how| id(Face::Sync, Path::Open, CONSECUTIVE, how);
    visitor.subject(id("permit, leaked"), || Guarded::<_, Healthy>::new(ByPermit(open(leaked(CONSECUTIVE)))));
    visitor.subject(id("permit, arc"), || Guarded::<_, Healthy>::new(ByPermit(open(arc(CONSECUTIVE)))));
    visitor.subject(id("call, leaked"), || Guarded::<_, Healthy>::new(ByCall(open(leaked(CONSECUTIVE)))));
}

/// Takes a permit, works, says how it went.
#[derive(Clone)]
pub(super) struct ByPermit(pub(super) Breaker);

impl Guard for ByPermit {
    #[inline]
    fn call(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Answer {
        match self.0.try_acquire() {
            Ok(permit) => {
                let result = work();
                match result {
                    Ok(_) => permit.success(),
                    Err(_) => permit.failure(),
                }
                result.answer()
            }
            // By reference: where it goes from here is not the breaker's.
            Err(ref rejected) => {
                black_box(rejected);
                Answer::Rejected
            }
        }
    }
}

/// Leaves all of it to [`Breaker::call`].
#[derive(Clone)]
pub(super) struct ByCall(pub(super) Breaker);

impl Guard for ByCall {
    #[inline]
    fn call(&self, work: impl FnOnce() -> Result<u64, Failure>) -> Answer {
        self.0.call(work).answer()
    }
}

impl Refusal for BreakerError<Failure> {
    #[inline]
    fn is_rejection(&self) -> bool {
        match self {
            BreakerError::Rejected(rejected) => {
                black_box(rejected);
                true
            }
            _ => false,
        }
    }
}
