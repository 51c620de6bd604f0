//! Every subject there is.

use crate::id::Id;
use crate::subject::Subject;
use crate::{floor, ours};
#[cfg(feature = "full")]
use crate::{keys, peers};

/// Does something with each subject, knowing its type.
pub trait Visitor {
    /// Takes the subject named `id`; `make` makes it, warmed up and in the state its path names.
    fn subject<S: Subject>(&mut self, id: Id, make: impl Fn() -> S);
}

/// Hands over everything: the floor, ours, the peers, and sets of breakers by key.
pub fn visit(visitor: &mut impl Visitor) {
    floor::visit(visitor);
    ours::visit(visitor);
    #[cfg(feature = "full")]
    {
        peers::visit(visitor);
        keys::visit(visitor);
    }
}
