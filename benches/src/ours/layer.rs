use mainstay_breaker::{Breaker, BreakerLayer, BreakerService};
use tower::Layer;

use super::{CONSECUTIVE, COUNT, DEFAULT, SLOW, TIME, arc, id, leaked, open};
use crate::catalog::Visitor;
use crate::id::{Face, Path};
use crate::layered::{Bare, ClonedPerCall, Layered};
use crate::work::{Healthy, OnePercent};

pub(super) fn visit(visitor: &mut impl Visitor) {
    for rule in [CONSECUTIVE, COUNT, TIME, DEFAULT, SLOW] {
        let id = |how| id(Face::Layer, Path::Closed, rule, how);
        visitor.subject(id("leaked"), || Layered::<_, Healthy>::new(layered(leaked(rule))));
        visitor.subject(id("arc"), || Layered::<_, Healthy>::new(layered(arc(rule))));
    }
    for rule in [CONSECUTIVE, COUNT, TIME] {
        visitor.subject(id(Face::Layer, Path::OnePercent, rule, "leaked"), || {
            Layered::<_, OnePercent>::new(layered(leaked(rule)))
        });
    }
    let id = |path, how| id(Face::Layer, path, CONSECUTIVE, how);
    visitor
        .subject(id(Path::Open, "leaked"), || Layered::<_, Healthy>::new(layered(open(leaked(CONSECUTIVE)))));
    visitor.subject(id(Path::Open, "arc"), || Layered::<_, Healthy>::new(layered(open(arc(CONSECUTIVE)))));
    visitor.subject(id(Path::Cloned, "leaked"), || {
        ClonedPerCall::<_, Healthy>::new(layered(leaked(CONSECUTIVE)))
    });
    visitor.subject(id(Path::Cloned, "arc"), || ClonedPerCall::<_, Healthy>::new(layered(arc(CONSECUTIVE))));
}

fn layered(breaker: Breaker) -> BreakerService<Bare> {
    BreakerLayer::new(breaker).layer(Bare)
}
