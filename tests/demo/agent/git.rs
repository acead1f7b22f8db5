//! Following a repository: what came in lately, which files it changed most, and whether the tree is clean.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::analysis::Question;
use super::task::{Degraded, Desk, Given};

/// Commits that are looked at in turn.
const COMMITS: usize = 10;
/// Longest diff that is worth a second look, in bytes.
const DIFF_BYTES_MAX: usize = 64 * 1024;
/// Longest text that is handed to a peer, in characters.
const DELEGATED_CHARS_MAX: usize = 8 * 1024;

/// What the agent knows about its repository.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    path: String,
    commits: Vec<String>,
    diff: Option<String>,
    too_long: BTreeSet<String>,
    clean: Option<bool>,
}

impl Repository {
    /// Nothing is known yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.display().to_string(), ..Self::default() }
    }

    /// One round of work.
    ///
    /// # Errors
    /// When the policy gave up.
    pub(crate) async fn round(&mut self, desk: &mut Desk) -> Given<Value> {
        let mut degraded = Degraded::default();
        let commits = degraded.note(self.recent(desk).await?);
        let diff = degraded.note(self.change(desk, &commits).await?);
        let clean = degraded.note(self.state(desk).await?);
        let text: String = diff.chars().take(DELEGATED_CHARS_MAX).collect();
        let finding = degraded.note(desk.delegate(Question::BusiestFiles, &text).await?);
        Ok(degraded.with(json!({
            "repository": self.path,
            "newest": commits.first(),
            "commits": commits.len(),
            "clean": clean,
            "finding": finding,
        })))
    }

    async fn recent(&mut self, desk: &mut Desk) -> Given<Vec<String>> {
        let arguments = json!({ "repo_path": self.path, "max_count": COMMITS });
        let listed = desk.call("git_log", arguments, |text| some(hashes(text, "Commit: "))).await;
        match desk.second_way(listed)? {
            Ok(commits) => {
                self.commits = commits.clone();
                Ok((commits, false))
            }
            Err(_) if !self.commits.is_empty() => Ok((self.commits.clone(), true)),
            Err(_) => {
                let arguments = json!({ "repo_path": self.path, "revision": "HEAD" });
                let head =
                    desk.call("git_show", arguments, |text| some(hashes(text, "commit "))).await?;
                Ok((head, true))
            }
        }
    }

    async fn change(&mut self, desk: &mut Desk, commits: &[String]) -> Given<String> {
        let worth: Vec<_> = commits.iter().filter(|hash| !self.too_long.contains(*hash)).collect();
        let Some(hash) = worth.get(desk.round() % worth.len().max(1)) else {
            return Ok((self.diff.clone().unwrap_or_default(), false));
        };
        let arguments = json!({ "repo_path": self.path, "revision": hash });
        let shown = desk
            .call("git_show", arguments, |text| {
                text.starts_with(&format!("commit {hash}")).then(|| text.to_owned())
            })
            .await;
        match (desk.second_way(shown)?, &self.diff) {
            (Ok(diff), _) => {
                if diff.len() > DIFF_BYTES_MAX {
                    self.too_long.insert((*hash).clone());
                }
                self.diff = Some(diff.clone());
                Ok((diff, false))
            }
            (Err(_), Some(older)) => Ok((older.clone(), true)),
            (Err(failure), None) => Err(failure),
        }
    }

    async fn state(&mut self, desk: &mut Desk) -> Given<bool> {
        let arguments = json!({ "repo_path": self.path });
        let status = desk.call("git_status", arguments.clone(), cleanliness).await;
        match (desk.second_way(status)?, self.clean) {
            (Ok(clean), _) => {
                self.clean = Some(clean);
                Ok((clean, false))
            }
            (Err(_), Some(earlier)) => Ok((earlier, true)),
            (Err(_), None) => {
                let diff = desk.call("git_diff_unstaged", arguments, |text| {
                    text.split_once(':').map(|(_, diff)| diff.trim().is_empty())
                });
                Ok((diff.await?, true))
            }
        }
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn hashes(text: &str, before: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix(before))
        .filter(|hash| hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(str::to_owned)
        .collect()
}

/// Reads to the last line, so that a status that was cut short is not taken for one.
fn cleanliness(status: &str) -> Option<bool> {
    let branch = status.contains("On branch") || status.contains("HEAD detached");
    let clean = status.trim_end().ends_with("working tree clean");
    let changed = status.contains("Changes ") || status.contains("Untracked files:");
    (branch && (clean || changed)).then_some(clean)
}
