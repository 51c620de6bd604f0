//! A layer over another one.

use crate::breakers;
use crate::keys::BREAKER;
use crate::node::{Entry, Node};
use crate::shape::Shape;

/// Puts a tree over another one: maps deeply, everything else as a whole. A word takes the place of the other words for
/// the same thing, too.
pub(crate) fn merge(base: &mut Node, over: &Node, shape: Option<&'static Shape>) {
    if !(base.is_map() && over.is_map()) {
        *base = over.clone();
        return;
    }
    let is_breaker = shape.and_then(Shape::table).is_some_and(|table| std::ptr::eq(table, &BREAKER));
    if is_breaker
        && ["failure_threshold", "max_failures", "interval"].iter().any(|word| over.get(word).is_some())
    {
        breakers::in_words(base);
    }
    for (one, other) in shape.and_then(Shape::table).map_or(&[][..], |table| table.instead) {
        for (said, replaced) in [(one, other), (other, one)] {
            if over.at(said).is_some() {
                base.remove(replaced);
            }
        }
    }
    for Entry { key, node, .. } in over.entries() {
        let below = shape.and_then(|shape| shape.below(key));
        match base.get_mut(key) {
            Some(known) => merge(known, node, below),
            None => base.set(key, node.clone()),
        }
    }
}
