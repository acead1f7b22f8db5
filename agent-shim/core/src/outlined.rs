//! A value whose end is out of line.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// Drops its value in a function of its own.
///
/// A verdict is `Pass` nearly always, and hooks drop it in line: with the ends of directives and claims in line too, the
/// compiler gives up on inlining and every call pays for a function that finds nothing to do.
#[derive(Debug)]
pub(crate) struct Outlined<T>(ManuallyDrop<T>);

impl<T> Outlined<T> {
    #[inline]
    pub(crate) fn new(value: T) -> Self {
        Self(ManuallyDrop::new(value))
    }
}

impl<T> Deref for Outlined<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Outlined<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Drop for Outlined<T> {
    #[inline]
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

#[cold]
#[inline(never)]
fn end<T>(value: &mut ManuallyDrop<T>) {
    // SAFETY: only `Outlined::drop` calls this, which runs once and after which the value can't be reached.
    unsafe { ManuallyDrop::drop(value) }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn the_value_is_dropped_once() {
        let value = Rc::new(5);
        let outlined = Outlined::new(Rc::clone(&value));
        assert_eq!((**outlined, Rc::strong_count(&value)), (5, 2));
        drop(outlined);
        assert_eq!(Rc::strong_count(&value), 1);
    }
}
