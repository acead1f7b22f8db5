//! Which calls are under way at the moment, from the agents' own records.
//!
//! The operator freezes when no call is being held back, and aborts when one has been for a while and none has just
//! begun, so that no delay is cut to a length that nobody can tell from noise. What Squall knows of delays does not enter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::record::{Entry, What};

/// A reader of records that grow.
#[derive(Debug)]
pub(crate) struct Watch {
    folder: PathBuf,
    wires: BTreeMap<PathBuf, Wire>,
}

/// What was read of one agent's side.
#[derive(Debug, Default)]
struct Wire {
    read: u64,
    /// Ids of calls without an answer.
    open: BTreeMap<String, Open>,
}

#[derive(Debug)]
struct Open {
    tool: String,
    sent_ns: u64,
}

impl Watch {
    /// A watch over the records in `folder`.
    pub(crate) fn over(folder: PathBuf) -> Self {
        Self { folder, wires: BTreeMap::new() }
    }

    /// Since when calls of these tools are under way, in nanoseconds of `CLOCK_BOOTTIME`; `agent` narrows it to one.
    ///
    /// # Errors
    /// When a record can't be read.
    pub(crate) fn open_since(
        &mut self,
        tools: &BTreeSet<&str>,
        agent: Option<&str>,
    ) -> Result<Vec<u64>> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let of = name.split('.').next().unwrap_or_default();
            if name.ends_with(".agent.jsonl") && agent.is_none_or(|agent| agent == of) {
                self.wires.entry(path.clone()).or_default().read_on(&path)?;
            }
        }
        let is_of = |path: &Path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            agent.is_none_or(|agent| name.split('.').next() == Some(agent))
        };
        let wires = self.wires.iter().filter(|(path, _)| is_of(path));
        let open = wires.flat_map(|(_, wire)| wire.open.values());
        let open = open.filter(|call| tools.contains(call.tool.as_str()));
        Ok(open.map(|call| call.sent_ns).collect())
    }
}

impl Wire {
    /// Reads what was written since, up to the last whole line.
    fn read_on(&mut self, path: &Path) -> Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let Some((whole, _)) = text.rsplit_once('\n') else { return Ok(()) };
        self.read += whole.len() as u64 + 1;
        for line in whole.lines() {
            self.see(serde_json::from_str(line)?);
        }
        Ok(())
    }

    fn see(&mut self, entry: Entry) {
        match entry.what {
            What::Call { id, tool, message: _ } => {
                self.open.insert(id, Open { tool, sent_ns: entry.at_ns });
            }
            What::Answer { id, error: _, message: _ } | What::Cancel { id } => {
                self.open.remove(&id);
            }
            What::Closed | What::HungUp => self.open.clear(),
        }
    }
}
