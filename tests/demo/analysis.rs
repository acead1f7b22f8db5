//! The work that agents hand to a peer, and do themselves when the peer lets them down: reading diffs and clocks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Most rows of an answer.
const ROWS_MAX: usize = 5;

/// What a peer can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// Which files do these diffs change most?
    BusiestFiles,
    /// Who is at work at the times given?
    WhoIsAtWork,
}

/// A peer's answer, in the form that was agreed on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// One sentence.
    pub(crate) summary: String,
    /// The evidence, most important first.
    pub(crate) rows: Vec<(String, u64)>,
}

/// Answers `question` from `text`.
pub(crate) fn find(question: Question, text: &str) -> Finding {
    match question {
        Question::BusiestFiles => busiest_files(text),
        Question::WhoIsAtWork => who_is_at_work(text),
    }
}

fn busiest_files(diffs: &str) -> Finding {
    let mut lines_of: BTreeMap<&str, u64> = BTreeMap::new();
    let mut file = None;
    for line in diffs.lines() {
        if let Some(name) = line.strip_prefix("+++ b/").or_else(|| line.strip_prefix("--- a/")) {
            file = Some(name);
        } else if line.starts_with("diff ") || line.starts_with("commit ") {
            file = None;
        } else if let Some(name) = file
            && line.starts_with(['+', '-'])
            && !line.starts_with("+++ ")
            && !line.starts_with("--- ")
        {
            *lines_of.entry(name).or_default() += 1;
        }
    }
    let files = lines_of.len();
    let mut rows: Vec<_> = lines_of.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    rows.truncate(ROWS_MAX);
    let summary = match rows.first() {
        None => "No file changed.".to_owned(),
        Some((name, lines)) => {
            format!("{files} files changed; most of all {name}, by {lines} lines.")
        }
    };
    Finding { summary, rows }
}

/// Lines of `place hour`, hours from 0 to 23.
fn who_is_at_work(times: &str) -> Finding {
    let hours = times.lines().filter_map(|line| {
        let (place, hour) = line.rsplit_once(' ')?;
        Some((place.to_owned(), hour.parse::<u64>().ok()?))
    });
    let (mut working, away): (Vec<_>, Vec<_>) = hours.partition(|(_, hour)| (9..17).contains(hour));
    let summary = format!("{} at work, {} not.", working.len(), away.len());
    working.truncate(ROWS_MAX);
    Finding { summary, rows: working }
}
