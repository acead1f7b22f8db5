//! A copy of the repository's files, that patches are made to.
//!
//! Only files that differ are written, with the time of now: so cargo builds anew what a patch touches, and what is taken
//! back, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The copy.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    copy: PathBuf,
}

impl Tree {
    /// The copy in `workshop`, brought in line with the repository at `root`.
    ///
    /// # Errors
    /// When files can't be listed or copied.
    pub fn copy(root: &Path, workshop: &Path) -> Result<Self> {
        let tree = Self { root: root.to_owned(), copy: workshop.join("tree") };
        tree.restore()?;
        Ok(tree)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.copy
    }

    /// Makes it what the repository is: takes back whatever was changed.
    ///
    /// # Errors
    /// When files can't be listed or copied.
    pub fn restore(&self) -> Result<()> {
        let files = self.files()?;
        for file in &files {
            let (from, to) = (self.root.join(file), self.copy.join(file));
            let bytes = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
            if fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            let folder = to.parent().context("a file is in a folder")?;
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
            fs::write(&to, bytes).with_context(|| format!("write {}", to.display()))?;
        }
        remove_others(&self.copy, &self.copy, &files)
    }

    /// Makes a patch to it.
    ///
    /// # Errors
    /// When it doesn't fit.
    pub fn apply(&self, patch: &Path) -> Result<()> {
        // Not in a repository of its own, or git would look at the one around it and leave everything as it is.
        let above = self.copy.parent().context("the copy is in a folder")?;
        apply(Command::new("git").env("GIT_CEILING_DIRECTORIES", above), &self.copy, &[], patch)
    }

    /// Files that git keeps or would keep.
    fn files(&self) -> Result<BTreeSet<PathBuf>> {
        let listed = Command::new("git")
            .current_dir(&self.root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .context("run git ls-files")?;
        ensure!(listed.status.success(), "git ls-files: {}", text(&listed.stderr));
        let names = text(&listed.stdout);
        let files = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
        Ok(files.filter(|file| self.root.join(file).is_file()).collect())
    }
}

/// Whether a patch fits the repository as it is.
///
/// # Errors
/// When it doesn't.
pub fn fits(root: &Path, patch: &Path) -> Result<()> {
    apply(&mut Command::new("git"), root, &["--check"], patch)
}

fn apply(git: &mut Command, folder: &Path, options: &[&str], patch: &Path) -> Result<()> {
    let git = git.current_dir(folder).arg("apply").args(options).arg(patch);
    let done = git.output().context("run git apply")?;
    ensure!(
        done.status.success(),
        "{} doesn't fit: {}",
        patch.display(),
        text(&done.stderr).trim()
    );
    Ok(())
}

/// Removes what the repository doesn't have.
fn remove_others(folder: &Path, copy: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, copy, files)?;
        } else if !files.contains(path.strip_prefix(copy).context("it is in the copy")?) {
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
