//! Every subject there is.

use crate::id::Id;
use crate::subject::Subject;
use crate::{floor, keys, ours, peers};

/// Does something with each subject, knowing its type.
pub trait Visitor {
    /// Takes the subject named `id`; `make` makes it, warmed up and in the state its path names.
    fn subject<S: Subject>(&mut self, id: Id, make: impl Fn() -> S);
}

/// Hands over everything: the floor, ours, the peers, and sets of breakers by key.
pub fn visit(visitor: &mut impl Visitor) {
    floor::visit(visitor);
    ours::visit(visitor);
    peers::visit(visitor);
    keys::visit(visitor);
}
