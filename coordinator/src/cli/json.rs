//! Messages as JSON. Names and meanings of the fields are those of `proto/squall/v1`, so that they are documented once and
//! stay: the JSON mapping of Protocol Buffers with the names as written there, 64-bit numbers as texts, and nothing left
//! out for being zero.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use prost_reflect::{
    DescriptorPool, DynamicMessage, ReflectMessage, SerializeOptions, Value as Field,
};
use serde_json::Value;
use squall_proto::wire::{FILE_DESCRIPTOR_SET, v1};

use super::failure::{Exit, Failure};

/// 64-bit numbers are texts, as that mapping has it: readers that take numbers for doubles (jq) would round them.
const OPTIONS: SerializeOptions = SerializeOptions::new()
    .use_proto_field_name(true)
    .stringify_64_bit_integers(true)
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

/// Seconds of what JSON can write: moments of the years 1 to 9999, and 10,000 years either way.
const MOMENTS: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const LENGTHS: RangeInclusive<i64> = -315_576_000_000..=315_576_000_000;

/// The message as JSON. A moment or a length of time that JSON can't write is left out: the rest is worth reading.
///
/// # Errors
/// When the coordinator sent what JSON can't hold.
pub(super) fn of<M: Described>(message: &M) -> Result<Value, Failure> {
    let descriptor = POOL.get_message_by_name(M::NAME).expect("a test looks every name up");
    let mut message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())
        .expect("a message is read by its own descriptor");
    leave_out(&mut message);
    let value = message.serialize_with_options(serde_json::value::Serializer, &OPTIONS);
    value.map_err(|error| Failure::new(Exit::Failed, format!("write the answer as JSON: {error}")))
}

/// Leaves out what JSON can't write, however deep: messages nest as deep as their types do.
fn leave_out(message: &mut DynamicMessage) {
    let fields: Vec<_> = message.fields().map(|(field, _)| field).collect();
    for field in fields {
        let value = message.get_field_mut(&field);
        if let Some(items) = value.as_list_mut() {
            items.iter_mut().filter_map(Field::as_message_mut).for_each(leave_out);
        } else if value.as_message_mut().is_some_and(|inner| !is_writable(inner)) {
            message.clear_field(&field);
        }
    }
}

fn is_writable(message: &mut DynamicMessage) -> bool {
    let allowed = match message.descriptor().full_name() {
        "google.protobuf.Timestamp" => MOMENTS,
        "google.protobuf.Duration" => LENGTHS,
        _ => {
            leave_out(message);
            return true;
        }
    };
    let number = |name| message.get_field_by_name(name);
    let seconds = number("seconds").and_then(|seconds| seconds.as_i64());
    let nanos = number("nanos").and_then(|nanos| nanos.as_i32());
    seconds.is_some_and(|seconds| allowed.contains(&seconds))
        && nanos.is_some_and(|nanos| nanos.unsigned_abs() < 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_json_cannot_write_is_left_out_and_the_rest_is_there() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let held = prost_types::Duration { seconds: i64::MAX, nanos: i32::MIN };
        let sample = |time, what| v1::TimelineSample {
            time,
            agent: "planner".to_owned(),
            what,
            ..v1::TimelineSample::default()
        };
        let session = v1::Session { create_time: at(i64::MIN), ..v1::Session::default() };
        let report = v1::Report {
            session: Some(session),
            applied: 7,
            samples: vec![
                sample(at(i64::MAX), Some(v1::timeline_sample::What::Applied(held))),
                sample(at(1), None),
            ],
            ..v1::Report::default()
        };
        let json = of(&report).unwrap();
        assert_eq!(json["applied"], "7");
        assert!(json["samples"][0]["time"].is_null());
        assert_eq!(json["samples"][0]["agent"], "planner");
        assert_eq!(json["samples"][1]["time"], "1970-01-01T00:00:01Z");
    }

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
