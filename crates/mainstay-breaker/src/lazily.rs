//! Memory for what most breakers never need, so that a million of them may stand side by side.

use std::ops::{Deref, DerefMut};

/// A value that takes no memory of its own until it is first written. Until then it reads as [`Blank::blank`].
#[derive(Clone, Default)]
pub(crate) struct Lazily<T>(Option<Box<T>>);

pub(crate) trait Blank: Default + 'static {
    /// What [`Default`] makes, for everybody to read.
    fn blank() -> &'static Self;
}

impl<T> Lazily<T> {
    /// The value, if it has been written.
    pub(crate) fn written(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }
}

impl<T: Blank> Deref for Lazily<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => T::blank(),
        }
    }
}

impl<T: Blank> DerefMut for Lazily<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}
