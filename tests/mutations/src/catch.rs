//! One mutation after the other: made to the copy, checked until it is caught, and taken back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::catalogue::Mutation;
use crate::check::{Checkers, STOP_AT_FIRST, Verdict};
use crate::tree::Tree;

/// The copy, its checkers, and where counterexamples are kept.
#[derive(Debug)]
pub struct Hunt {
    tree: Tree,
    checkers: Checkers,
    workshop: PathBuf,
}

impl Hunt {
    /// In `target/mutants` of the repository at `root`.
    ///
    /// # Errors
    /// When it can't be copied there.
    pub fn begin(root: &Path) -> Result<Self> {
        let workshop = root.join("target/mutants");
        let tree = Tree::copy(root, &workshop)?;
        let checkers = Checkers::of(tree.path(), &workshop);
        Ok(Self { tree, checkers, workshop })
    }

    /// The checks must pass on the code as it is, or what they say of a mutated one means nothing.
    ///
    /// # Errors
    /// When one doesn't pass.
    pub fn baseline(&self, mutations: &[&Mutation]) -> Result<()> {
        let checks: BTreeSet<&str> =
            mutations.iter().flat_map(|mutation| &mutation.checks).map(String::as_str).collect();
        println!("the code as it is: building its checkers ...");
        self.checkers.build(checks.iter().copied()).context("build the code as it is")?;
        let said = self.workshop.join("baseline.txt");
        for check in checks {
            let begun = Instant::now();
            match self.checkers.run(check, &[], &said)? {
                Verdict::Passed => println!("the code as it is: {check}: passed, {}", took(begun)),
                Verdict::Violated(what) => {
                    bail!("{check} finds in the code as it is: {what}; see {}", said.display())
                }
                Verdict::Broken(why) => {
                    bail!("{check} fails on the code as it is: {why}; see {}", said.display())
                }
            }
        }
        Ok(())
    }

    /// Whether the mutation was caught, by one of its checks and for the expected reason. Says so.
    ///
    /// # Errors
    /// When the copy can't be brought back in order.
    pub fn catch(&self, mutation: &Mutation) -> Result<bool> {
        let Mutation { number, name, .. } = mutation;
        let begun = Instant::now();
        let caught = self.caught(mutation);
        self.tree.restore()?;
        match &caught {
            Ok(by) => println!("{number:02} {name}: caught by {by}; {}", took(begun)),
            Err(why) => println!("{number:02} {name}: NOT CAUGHT: {why:#}"),
        }
        Ok(caught.is_ok())
    }

    fn caught(&self, mutation: &Mutation) -> Result<String> {
        let said = self.workshop.join(format!("{:02}.txt", mutation.number));
        self.tree.apply(&mutation.patch()?)?;
        let mut passed = Vec::new();
        for check in &mutation.checks {
            self.checkers.build([check.as_str()].into_iter())?;
            match self.checkers.run(check, &[STOP_AT_FIRST], &said)? {
                Verdict::Passed => passed.push(check.as_str()),
                Verdict::Violated(what) if is_expected(mutation, &what) => {
                    return Ok(format!("{check}: {what}"));
                }
                Verdict::Violated(what) => {
                    bail!("{check} found something else: {what}; see {}", said.display())
                }
                Verdict::Broken(why) => bail!("{check} failed: {why}; see {}", said.display()),
            }
        }
        bail!("passed {}", passed.join(", "))
    }
}

/// Whether it begins with one of the expected names, as a whole: `I1` is not `I10`.
fn is_expected(mutation: &Mutation, what: &str) -> bool {
    mutation.expected.iter().any(|expected| {
        what.strip_prefix(expected.as_str())
            .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    })
}

fn took(begun: Instant) -> String {
    format!("{} s", begun.elapsed().as_secs())
}
