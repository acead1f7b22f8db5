//! One spelling for each value of a closed set: in session files, on the command line, in tables and errors.

/// A closed set of values with one name each.
pub trait Named: Copy + PartialEq + 'static {
    /// All values, in the order in which they are documented.
    const ALL: &'static [Self];

    /// The name of this value.
    fn name(self) -> &'static str;

    /// The value with this name.
    #[must_use]
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.name() == name)
    }

    /// All names, for an error or a help text: `refuse, partial`.
    #[must_use]
    fn allowed() -> String {
        Self::ALL.iter().map(|value| value.name()).collect::<Vec<_>>().join(", ")
    }
}

/// Names the values of an enumeration. The match is exhaustive, so that a new value must be named.
macro_rules! names {
    ($kind:ident { $($value:ident => $name:literal),+ $(,)? }) => {
        impl $crate::vocabulary::named::Named for $kind {
            const ALL: &'static [Self] = &[$(Self::$value),+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $name),+
                }
            }
        }
    };
}
pub(crate) use names;
