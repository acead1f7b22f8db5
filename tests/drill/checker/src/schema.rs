//! The `.proto` files, read when the checker runs, and messages as they describe them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _, Value,
};

/// Where the contract stands.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../proto");
/// Its file with the stored records; it names the others.
const ROOT: &str = "squall/v1/journal.proto";

/// What stored bytes mean.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Of a record of a session.
    pub session: MessageDescriptor,
    /// Of a record of a lever.
    pub lever: MessageDescriptor,
}

impl Schema {
    /// Reads the `.proto` files.
    ///
    /// # Errors
    /// When they are not there, or don't hold the records.
    pub fn read() -> Result<Self> {
        let files = protox::compile([Path::new(FOLDER).join(ROOT)], [PathBuf::from(FOLDER)])
            .context("read the .proto files")?;
        let pool = DescriptorPool::from_file_descriptor_set(files)?;
        let message = |name: &str| pool.get_message_by_name(name).context(name.to_owned());
        Ok(Self {
            session: message("squall.v1.StoredSessionRecord")?,
            lever: message("squall.v1.StoredLeverRecord")?,
        })
    }
}

/// A message whose fields are asked for by name. A name that the schema lacks is an error, not a default.
#[derive(Clone, Debug)]
pub(crate) struct Fields(DynamicMessage);

impl Fields {
    pub(crate) fn decode(message: &MessageDescriptor, bytes: &[u8]) -> Result<Self> {
        let message = DynamicMessage::decode(message.clone(), bytes)?;
        // A field that the schema doesn't know could be anything.
        anyhow::ensure!(message.unknown_fields().next().is_none(), "unknown fields");
        Ok(Self(message))
    }

    fn value(&self, name: &str) -> Result<Value> {
        let value = self.0.get_field_by_name(name).with_context(|| format!("no field {name}"))?;
        Ok(value.into_owned())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.has_field_by_name(name)
    }

    pub(crate) fn number(&self, name: &str) -> Result<u64> {
        let value = self.value(name)?;
        let number = value.as_u64().or_else(|| value.as_u32().map(u64::from));
        number
            .or_else(|| u64::try_from(value.as_enum_number()?).ok())
            .with_context(|| format!("{name} is no number"))
    }

    pub(crate) fn small(&self, name: &str) -> Result<u32> {
        u32::try_from(self.number(name)?).with_context(|| format!("{name} is too large"))
    }

    /// `None` where the field is absent.
    pub(crate) fn optional(&self, name: &str) -> Result<Option<u32>> {
        if self.has(name) { self.small(name).map(Some) } else { Ok(None) }
    }

    pub(crate) fn text(&self, name: &str) -> Result<String> {
        Ok(self.value(name)?.as_str().with_context(|| format!("{name} is no text"))?.to_owned())
    }

    pub(crate) fn optional_text(&self, name: &str) -> Result<Option<String>> {
        if self.has(name) { self.text(name).map(Some) } else { Ok(None) }
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>> {
        let texts = self.value(name)?;
        let texts = texts.as_list().with_context(|| format!("{name} is no list"))?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        texts.iter().map(|value| text(value).context("no text")).collect()
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        Ok(self.value(name)?.as_bytes().with_context(|| format!("{name} is no bytes"))?.to_vec())
    }

    pub(crate) fn hex(&self, name: &str) -> Result<String> {
        Ok(self.bytes(name)?.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(crate) fn message(&self, name: &str) -> Result<Self> {
        anyhow::ensure!(self.has(name), "{name} is missing");
        let value = self.value(name)?;
        Ok(Self(value.as_message().with_context(|| format!("{name} is no message"))?.clone()))
    }

    /// `None` where the field is absent.
    pub(crate) fn maybe(&self, name: &str) -> Result<Option<Self>> {
        if self.has(name) { self.message(name).map(Some) } else { Ok(None) }
    }

    pub(crate) fn messages(&self, name: &str) -> Result<Vec<Self>> {
        let list = self.value(name)?;
        let list = list.as_list().with_context(|| format!("{name} is no list"))?;
        let message = |value: &Value| value.as_message().cloned().map(Self);
        list.iter().map(|value| message(value).context("no message")).collect()
    }

    /// The name of the field of the `oneof` called `name` that is set.
    pub(crate) fn which(&self, name: &str) -> Result<String> {
        let descriptor = self.0.descriptor();
        let oneof = descriptor.oneofs().find(|oneof| oneof.name() == name).context("no oneof")?;
        let mut set = oneof.fields().filter(|field| self.0.has_field(field));
        Ok(set.next().with_context(|| format!("nothing of {name} is set"))?.name().to_owned())
    }

    /// A map from text to number.
    pub(crate) fn numbers_by_name(
        &self,
        name: &str,
    ) -> Result<std::collections::BTreeMap<String, u32>> {
        let map = self.value(name)?;
        let map = map.as_map().with_context(|| format!("{name} is no map"))?;
        map.iter()
            .map(|(key, value)| {
                let key = key.as_str().context("no text")?.to_owned();
                Ok((key, value.as_u32().context("no number")?))
            })
            .collect()
    }
}
