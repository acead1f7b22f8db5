//! Mutations made by rote to the two pure crates, and those that no test notices.
//!
//! cargo-mutants makes them, one by one. What survives has to be killed by a test, or argued in `survivors.toml`: why it is
//! no mistake, or one that harms nobody.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::catalogue::home;

/// The crates: those that nothing but tests can show to be right.
const CRATES: [&str; 2] = ["squall-domain", "squall-shim-core"];

/// A survivor that is argued.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survivor {
    /// In which file.
    pub file: String,
    /// What is changed, in cargo-mutants' words.
    pub mutation: String,
    /// Why no test has to notice it.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Argued {
    #[serde(default, rename = "survivor")]
    survivors: Vec<Survivor>,
}

/// What is argued.
///
/// # Errors
/// When it can't be read.
pub fn argued() -> Result<Vec<Survivor>> {
    let path = home().join("survivors.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let argued: Argued =
        toml::from_str(&text).with_context(|| format!("understand {}", path.display()))?;
    Ok(argued.survivors)
}

/// Mutates both crates unless `compare`, and tells whether all survivors are argued.
///
/// # Errors
/// When cargo-mutants isn't there or fails, or there is nothing to compare.
pub fn run(root: &Path, compare: bool) -> Result<bool> {
    let argued = argued()?;
    let mut found = Vec::new();
    let (mut caught, mut slow) = (0, 0);
    for package in CRATES {
        let output = root.join("target/mutants/survivors").join(package);
        if !compare {
            mutate(root, package, &output)?;
        }
        let lists = output.join("mutants.out");
        let lines = |name: &str| -> Result<Vec<String>> {
            let path = lists.join(name);
            let text = fs::read_to_string(&path)
                .with_context(|| format!("read {}; was there a run?", path.display()))?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        caught += lines("caught.txt")?.len();
        caught += lines("previously_caught.txt").map_or(0, |lines| lines.len());
        slow += lines("timeout.txt")?.len();
        found.extend(lines("missed.txt")?);
    }
    let unargued: Vec<&String> =
        found.iter().filter(|line| !argued.iter().any(|survivor| survivor.is(line))).collect();
    for line in &unargued {
        println!("no test notices, and nobody argues: {line}");
    }
    println!("noticed by a test or the compiler: {caught}, by a test that no longer ends: {slow}");
    let (survivors, unargued) = (found.len(), unargued.len());
    println!("survivors: {survivors}, argued: {}, unargued: {unargued}", survivors - unargued);
    Ok(unargued == 0)
}

impl Survivor {
    /// Whether cargo-mutants' line, `file:line:column: what is changed`, names it.
    fn is(&self, line: &str) -> bool {
        let Some((place, mutation)) = line.split_once(": ") else { return false };
        place.split(':').next() == Some(&self.file) && mutation == self.mutation
    }
}

/// Two rounds: the library's own tests with few random cases notice most of them in a second, and all tests look at what is
/// left. Each round goes on with what the last one left, also of an earlier run.
fn mutate(root: &Path, package: &str, output: &Path) -> Result<()> {
    fs::create_dir_all(output).with_context(|| format!("make {}", output.display()))?;
    let rounds: [(&str, &[&str]); 2] = [("16", &["--cargo-arg=--lib"]), ("256", &[])];
    for (cases, options) in rounds {
        println!(
            "{package}: with {cases} random cases a test; what was found so far is in {}",
            output.display()
        );
        let done = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(root)
            .env("CARGO_TARGET_DIR", root.join("target/mutants/survivors/build"))
            .envs([("CARGO_PROFILE_DEV_DEBUG", "0"), ("PROPTEST_CASES", cases)])
            .envs([
                ("PROPTEST_MAX_SHRINK_ITERS", "0"),
                ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1"),
            ])
            .args(["mutants", "--iterate", "--no-shuffle", "--package", package, "--output"])
            .arg(output)
            .args(options)
            .status()
            .context("run cargo-mutants; install it with `cargo install --locked cargo-mutants`")?;
        // 0: nothing survived. 2: something did. 3: a test took too long, which is as good as noticed.
        ensure!(matches!(done.code(), Some(0 | 2 | 3)), "run cargo-mutants: it ended with {done}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_survivor_is_known_by_its_file_and_what_is_changed_wherever_it_stands() {
        let survivor = Survivor {
            file: "a/b.rs".to_owned(),
            mutation: "replace < with <= in f".to_owned(),
            why: "equal is the same".to_owned(),
        };
        assert!(survivor.is("a/b.rs:7:9: replace < with <= in f"));
        assert!(!survivor.is("a/b.rs:7:9: replace < with == in f"));
        assert!(!survivor.is("a/c.rs:7:9: replace < with <= in f"));
    }
}
