//! Closed sets of values. 0 is "not given" in every enumeration of the contract.

use super::read::{Read, missing};
use super::v1;
use crate::vocabulary::blast_radius::{BlastRadius, Strictness};
use crate::vocabulary::call::{Point, Shape};
use crate::vocabulary::fault::{
    Behavior, Damage, FaultKind, LostPart, TruncationUnit, Unavailability,
};
use crate::vocabulary::message::RefusedWhy;
use crate::vocabulary::named::Named;
use crate::vocabulary::target::PercentageUnit;
use crate::vocabulary::violation::Check;

/// A closed set with a number for each value.
pub(super) trait Numbered: Copy {
    /// The number of this value, never 0.
    fn number(self) -> i32;
    /// The value with this number.
    fn from_number(number: i32) -> Option<Self>;
}

/// Both matches are exhaustive: a value that is new on one side fails to compile.
macro_rules! enumeration {
    ($kind:ident { $($value:ident),+ $(,)? }) => {
        impl From<$kind> for v1::$kind {
            fn from(value: $kind) -> Self {
                match value {
                    $($kind::$value => Self::$value),+
                }
            }
        }

        impl Numbered for $kind {
            fn number(self) -> i32 {
                v1::$kind::from(self).into()
            }

            fn from_number(number: i32) -> Option<Self> {
                match v1::$kind::try_from(number) {
                    $(Ok(v1::$kind::$value) => Some(Self::$value),)+
                    Ok(v1::$kind::Unspecified) | Err(_) => None,
                }
            }
        }

        impl Read<i32> for $kind {
            fn read(check: &mut Check, number: i32) -> Option<Self> {
                if number == 0 {
                    return missing(check);
                }
                let value = Self::from_number(number);
                check.require(value.is_some(), || format!("is {number}, which is not known"));
                value
            }
        }
    };
}

enumeration!(FaultKind {
    Latency,
    Error,
    ToolUnavailable,
    UncooperativeAgent,
    ContextTruncation,
    MalformedOutput,
});
enumeration!(Unavailability { Error, Timeout, NotFound, Disconnect });
enumeration!(Behavior { Refuse, Partial, Delay, WrongFormat });
enumeration!(LostPart { Start, Middle, End });
enumeration!(TruncationUnit { Characters, Messages });
enumeration!(Damage { Truncate, JsonBreak, Encoding, Empty, FieldsRemoved, WrongType });
enumeration!(PercentageUnit { Request, Trace, Agent });
enumeration!(BlastRadius { SingleRequest, SingleAgent, SingleTrace, SingleTenant, MultiTenant });
enumeration!(Strictness { Strict, StrictClaim, Eventual });
enumeration!(Point { Tool, Model, Agent });
enumeration!(Shape { Text, Json, McpJsonRpc });
enumeration!(RefusedWhy { Dry, OutstandingCap, OutOfScope, NotRunning, Throttled, Invalid });

/// The name that a draft has for `number`. An unknown number stands as itself, so that validation names its field.
pub(super) fn name<K: Numbered + Named>(number: i32) -> String {
    K::from_number(number).map_or_else(|| number.to_string(), |value| value.name().to_owned())
}

/// The name that a draft has for an optional field; `None` where it is not given.
pub(super) fn optional_name<K: Numbered + Named>(number: Option<i32>) -> Option<String> {
    number.filter(|number| *number != 0).map(name::<K>)
}

/// The number of a name in a draft; 0 after noting that there is no such name.
pub(super) fn number<K: Numbered + Named>(check: &mut Check, name: &str) -> i32 {
    let value = K::from_name(name);
    check.require(value.is_some(), || format!("is {name:?}; allowed are {}", K::allowed()));
    value.map_or(0, Numbered::number)
}

/// The number of an optional name in the field `field` of a draft.
pub(super) fn optional_number<K: Numbered + Named>(
    check: &mut Check,
    field: &str,
    name: Option<&str>,
) -> Option<i32> {
    name.map(|name| check.field(field, |check| number::<K>(check, name)))
}
