//! Reading what agents and servers wrote down.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use crate::referee::{Answers, Wire};

/// Everything that was written down.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Both sides of every connection.
    pub(crate) wires: Vec<Wire>,
    /// The agents' own answers.
    pub(crate) answers: Vec<Answers>,
}

impl Records {
    /// Reads the records in `folder`.
    ///
    /// # Errors
    /// When one can't be read. A half line at the end of a record is none: its writer was killed while it wrote.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut records = Self::default();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let agent = || name.split('.').next().unwrap_or_default().to_owned();
            if let Some(stem) = name.strip_suffix(".agent.jsonl") {
                let far = path.with_file_name(format!("{stem}.server.jsonl"));
                let far = if far.exists() { lines(&far)? } else { Vec::new() };
                records.wires.push(Wire { agent: agent(), near: lines(&path)?, far });
            } else if name.ends_with(".rounds.jsonl") {
                records.answers.push(Answers { agent: agent(), rounds: lines(&path)? });
            }
        }
        Ok(records)
    }
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let read = |line| serde_json::from_str(line);
    whole
        .lines()
        .map(read)
        .collect::<Result<_, _>>()
        .with_context(|| format!("read {}", path.display()))
}
