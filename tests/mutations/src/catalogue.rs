//! The catalogue: which mutations there are, and what must catch each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// How many mutations the protocol names that the checks must catch, each on its own.
pub const MUTATIONS: usize = 27;

/// Where catalogue and patches are.
#[must_use]
pub fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All mutations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// In the order of their numbers.
    #[serde(rename = "mutation")]
    pub mutations: Vec<Mutation>,
}

/// One mutation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutation {
    /// Its number, 1 to [`MUTATIONS`].
    pub number: usize,
    /// What it makes wrong.
    pub name: String,
    /// Commands that are run one after the other until one catches it, as `sim --seeds 1000` or `model ledger`.
    pub checks: Vec<String>,
    /// How the lines begin in which a check may name what was violated. Anything else is another mistake.
    pub expected: Vec<String>,
    /// What a reader should know of how it is caught.
    #[serde(default)]
    pub note: String,
}

impl Catalogue {
    /// Reads it.
    ///
    /// # Errors
    /// When it can't be read, or lacks something.
    pub fn read() -> Result<Self> {
        let path = home().join("catalogue.toml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let catalogue: Self =
            toml::from_str(&text).with_context(|| format!("understand {}", path.display()))?;
        catalogue.check()?;
        Ok(catalogue)
    }

    fn check(&self) -> Result<()> {
        let numbers: Vec<usize> = self.mutations.iter().map(|mutation| mutation.number).collect();
        let all: Vec<usize> = (1..=MUTATIONS).collect();
        ensure!(
            numbers == all,
            "the catalogue has the mutations {numbers:?}, not 1 to {MUTATIONS}"
        );
        for mutation in &self.mutations {
            let Mutation { number, checks, expected, .. } = mutation;
            ensure!(!checks.is_empty(), "no check is to catch mutation {number}");
            ensure!(!expected.is_empty(), "mutation {number} violates nothing");
            mutation.patch()?;
        }
        Ok(())
    }

    /// The mutations with these numbers; all, if none is named.
    ///
    /// # Errors
    /// When there is no such mutation.
    pub fn only(&self, numbers: &[usize]) -> Result<Vec<&Mutation>> {
        let known: BTreeSet<usize> =
            self.mutations.iter().map(|mutation| mutation.number).collect();
        if let Some(unknown) = numbers.iter().find(|number| !known.contains(number)) {
            anyhow::bail!("there is no mutation {unknown}; there are 1 to {MUTATIONS}");
        }
        let wanted =
            |mutation: &&Mutation| numbers.is_empty() || numbers.contains(&mutation.number);
        Ok(self.mutations.iter().filter(wanted).collect())
    }
}

impl Mutation {
    /// Its patch, the one whose name begins with its number.
    ///
    /// # Errors
    /// When there isn't exactly one.
    pub fn patch(&self) -> Result<PathBuf> {
        let (folder, prefix) = (home().join("patches"), format!("{:02}-", self.number));
        let mut found: Vec<PathBuf> = Vec::new();
        for entry in
            std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?
        {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                found.push(entry.path());
            }
        }
        ensure!(found.len() == 1, "mutation {} has {} patches", self.number, found.len());
        found.pop().context("it has one")
    }
}
