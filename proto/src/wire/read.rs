//! How messages are read: every violation is collected with the path of its field, and a list over its limit is refused
//! before any of its items is looked at.

use crate::vocabulary::violation::{Check, Violations};

/// Something that can be read from its message (or field) `W`.
pub(super) trait Read<W>: Sized {
    /// The value, or `None` after noting what is wrong.
    fn read(check: &mut Check, wire: W) -> Option<Self>;
}

/// Reads a whole message.
pub(super) fn whole<W, T: Read<W>>(wire: W) -> Result<T, Violations> {
    let mut check = Check::new();
    let value = T::read(&mut check, wire);
    check.finish(value)
}

/// Reads the field `name`.
pub(super) fn field<W, T: Read<W>>(check: &mut Check, name: &str, wire: W) -> Option<T> {
    check.field(name, |check| T::read(check, wire))
}

/// Reads the field `name`, which must be there.
pub(super) fn required<W, T: Read<W>>(check: &mut Check, name: &str, wire: Option<W>) -> Option<T> {
    check.field(name, |check| match wire {
        Some(wire) => T::read(check, wire),
        None => missing(check),
    })
}

/// Reads the field `name`, which may be absent. The outer option is `None` when it is there and wrong.
#[expect(clippy::option_option, reason = "absent and wrong are different things")]
pub(super) fn optional<W, T: Read<W>>(
    check: &mut Check,
    name: &str,
    wire: Option<W>,
) -> Option<Option<T>> {
    match wire {
        Some(wire) => field(check, name, wire).map(Some),
        None => Some(None),
    }
}

/// Reads the list `name` of at most `max` items.
pub(super) fn list<W, T: Read<W>>(
    check: &mut Check,
    name: &str,
    wire: Vec<W>,
    max: usize,
) -> Option<Vec<T>> {
    let wire = bounded(check, name, wire, max)?;
    check.each(name, wire, T::read).into_iter().collect()
}

/// The list `name` as it came, unless it has more than `max` items.
pub(super) fn bounded<W>(
    check: &mut Check,
    name: &str,
    wire: Vec<W>,
    max: usize,
) -> Option<Vec<W>> {
    let count = wire.len();
    let fits = count <= max;
    check.field(name, |check| {
        check.require(fits, || format!("has {count} entries; allowed are {max}"));
    });
    fits.then_some(wire)
}

/// The first `max` items of the list `name`, after noting that there are more: what stands in them is checked too.
pub(super) fn first<W>(check: &mut Check, name: &str, mut wire: Vec<W>, max: usize) -> Vec<W> {
    let count = wire.len();
    check.field(name, |check| {
        check.require(count <= max, || format!("has {count} entries; allowed are {max}"));
    });
    wire.truncate(max);
    wire
}

/// Reads the number `name`, which must be within `min` to `max`.
pub(super) fn within<N>(check: &mut Check, name: &str, number: N, min: N, max: N) -> Option<N>
where
    N: Copy + PartialOrd + std::fmt::Display,
{
    let fits = min <= number && number <= max;
    check.field(name, |check| {
        check.require(fits, || format!("is {number}; allowed is {min} to {max}"));
    });
    fits.then_some(number)
}

/// Reads the text `name` for people: at most `max` bytes, and nothing that moves a terminal's cursor.
pub(super) fn text(check: &mut Check, name: &str, text: String, max: usize) -> Option<String> {
    let bytes = text.len();
    let printable = !text.contains(char::is_control);
    check.field(name, |check| {
        check.require(bytes <= max, || format!("has {bytes} bytes; allowed are {max}"));
        check.require(printable, || "holds a control character".to_owned());
    });
    (bytes <= max && printable).then_some(text)
}

/// `text` as [`text`] will accept it: a message must not be lost because its explanation is long.
pub(super) fn for_people(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)]
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Notes that the field is missing. A newer sender may have set a field that this version does not know.
pub(super) fn missing<T>(check: &mut Check) -> Option<T> {
    check.wrong("is missing, or of a kind that this version does not know");
    None
}

/// The public way into [`Read`]: `TryFrom` for whole messages.
macro_rules! try_from_wire {
    ($($wire:ident => $kind:ty),+ $(,)?) => {
        $(impl TryFrom<$crate::wire::v1::$wire> for $kind {
            type Error = $crate::vocabulary::violation::Violations;

            fn try_from(wire: $crate::wire::v1::$wire) -> Result<Self, Self::Error> {
                $crate::wire::read::whole(wire)
            }
        })+
    };
}
pub(super) use try_from_wire;
