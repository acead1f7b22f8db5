//! Messages as JSON. Names and meanings of the fields are those of `proto/squall/v1`, so that they are documented once and
//! stay: the JSON mapping of Protocol Buffers with the names as written there, numbers as numbers, and nothing left out
//! for being zero.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;
use squall_proto::wire::{FILE_DESCRIPTOR_SET, v1};

use super::failure::{Exit, Failure};

/// 64-bit numbers stay numbers: programs want to compare them.
const OPTIONS: SerializeOptions = SerializeOptions::new()
    .use_proto_field_name(true)
    .stringify_64_bit_integers(false)
    .skip_default_fields(false);

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the build wrote whole descriptors")
});

/// A message that commands answer with.
pub(super) trait Described: prost::Message {
    /// Its full name.
    const NAME: &'static str;
}

macro_rules! described {
    ($($message:ident),+ $(,)?) => {
        $(impl Described for v1::$message {
            const NAME: &'static str = concat!("squall.v1.", stringify!($message));
        })+

        #[cfg(test)]
        const NAMES: &[&str] = &[$(<v1::$message as Described>::NAME),+];
    };
}

described!(
    Session,
    ListSessionsResponse,
    LogEvent,
    Report,
    ListShimsResponse,
    Halt,
    ListExperimentTypesResponse
);

/// The message as JSON.
///
/// # Errors
/// When the coordinator sent what JSON can't hold: a moment outside the years 1 to 9999.
pub(super) fn of<M: Described>(message: &M) -> Result<Value, Failure> {
    let descriptor = POOL.get_message_by_name(M::NAME).expect("a test looks every name up");
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .expect("a message is read by its own descriptor");
    let value = message.serialize_with_options(serde_json::value::Serializer, &OPTIONS);
    value.map_err(|error| Failure::new(Exit::Failed, format!("write the answer as JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_a_descriptor() {
        for name in NAMES {
            assert!(POOL.get_message_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn fields_have_their_documented_names_and_zeros_are_written() {
        let session = v1::Session {
            name: "tenants/acme/sessions/first".to_owned(),
            state: v1::SessionState::Running.into(),
            create_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 }),
            budget: Some(v1::Budget { budget: 20, ..v1::Budget::default() }),
            ..v1::Session::default()
        };
        insta::assert_snapshot!(format!("{:#}", of(&session).unwrap()));
    }
}
