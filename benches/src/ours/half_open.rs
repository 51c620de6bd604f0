use std::time::Duration;

use mainstay_breaker::{Breaker, BreakerLayer, Clock, HalfOpen, ManualClock, OpenFor, Trip};
use tower::Layer;

use super::sync::ByPermit;
use super::{CONSECUTIVE, built, id};
use crate::catalog::Visitor;
use crate::guard::Guarded;
use crate::id::{Face, Path};
use crate::layered::{Bare, Layered};
use crate::period::Period;
use crate::work::{Alternating, Healthy};

pub(super) fn visit(visitor: &mut impl Visitor) {
    let id = |face, path, how| id(face, path, CONSECUTIVE, how);

    visitor.subject(id(Face::Sync, Path::HalfOpen, "permit, leaked"), || {
        Guarded::<_, Healthy>::new(ByPermit(half_open()))
    });
    visitor.subject(id(Face::Sync, Path::Period, "permit, leaked, manual clock"), || {
        let (breaker, time) = periodic();
        Period::<_, _, 1>::new(Guarded::<_, Alternating<1>>::new(ByPermit(breaker)), open_time_of(time))
    });
    visitor.subject(id(Face::Layer, Path::HalfOpen, "leaked"), || {
        Layered::<_, Healthy>::new(BreakerLayer::new(half_open()).layer(Bare))
    });
    visitor.subject(id(Face::Layer, Path::Period, "leaked, manual clock"), || {
        let (breaker, time) = periodic();
        let service = BreakerLayer::new(breaker).layer(Bare);
        Period::<_, _, 1>::new(Layered::<_, Alternating<1>>::new(service), open_time_of(time))
    });
}

const OPEN_TIME: Duration = Duration::from_secs(1);

/// Half-open for ever, by the real clock, which every probe has to read.
fn half_open() -> Breaker {
    let probes =
        HalfOpen { max_in_flight: 1, close_after: u32::MAX, reopen_after: 1, probe_timeout: OPEN_TIME };
    let open_for = OpenFor::fixed(Duration::from_millis(1));
    let breaker = built(Breaker::builder("bench").open_for(open_for).half_open(probes)).leak();
    breaker.trip();
    // Long enough for the coarse clock to see it too.
    std::thread::sleep(Duration::from_millis(20));
    breaker
}

fn periodic() -> (Breaker, ManualClock) {
    let (clock, time) = Clock::manual();
    let breaker = built(
        Breaker::builder("bench")
            .trip(Trip::consecutive_failures(1))
            .open_for(OpenFor::fixed(OPEN_TIME))
            .half_open(HalfOpen {
                max_in_flight: 1,
                close_after: 1,
                reopen_after: 1,
                probe_timeout: OPEN_TIME,
            })
            .clock(clock),
    );
    (breaker.leak(), time)
}

fn open_time_of(time: ManualClock) -> impl FnMut() + Clone + Send + 'static {
    move || time.advance(OPEN_TIME)
}
