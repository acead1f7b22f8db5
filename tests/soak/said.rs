//! What a host says on its standard output: one line of JSON each, written in one go, so that forked workers that share
//! the pipe never mix.

use std::io;

use serde::{Deserialize, Serialize};

/// A line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Calls of one turn.
    Block(Block),
    /// How it is doing, said every second.
    State(State),
    /// The last word of a forked worker.
    Worker(Worker),
    /// A forked worker is gone; by its parent.
    Gone(Gone),
}

/// Calls at the steady site in one turn: no fault that takes longer than a millisecond is injected into them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Where the calls were made.
    pub seam: String,
    /// Which turn of this host.
    pub turn: u64,
    /// How many.
    pub calls: u64,
    /// Half of them took no longer, in nanoseconds.
    pub median_ns: u64,
    /// 99 of 100 took no longer, in nanoseconds.
    pub p99_ns: u64,
    /// The longest, in nanoseconds.
    pub longest_ns: u64,
    /// Calls that took [`STALL_NS`] or longer.
    pub stalls: u64,
}

/// A call that takes this long was stopped by something: fifty times the longest fault at the steady site, and more than
/// twice what a claim may wait.
pub const STALL_NS: u64 = 50_000_000;

impl Block {
    /// The figures of calls that took so long each; `None` without any.
    #[must_use]
    pub fn of(seam: &str, turn: u64, mut took_ns: Vec<u64>) -> Option<Self> {
        took_ns.sort_unstable();
        let longest_ns = *took_ns.last()?;
        let rank = |share: usize| took_ns[(took_ns.len() - 1) * share / 100];
        Some(Self {
            seam: seam.to_owned(),
            turn,
            calls: took_ns.len() as u64,
            median_ns: rank(50),
            p99_ns: rank(99),
            longest_ns,
            stalls: took_ns.iter().filter(|took| **took >= STALL_NS).count() as u64,
        })
    }
}

/// What a host counted since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// Calls made, at all sites.
    pub calls: u64,
    /// Calls that a fault reached.
    pub injected: u64,
    /// Panics of the process, caught or not.
    pub panics: u64,
    /// Panics that the shim caught.
    pub caught: u64,
    /// Whether the shim has a connection.
    pub connected: bool,
}

/// What a forked worker did in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its part.
    pub part: Part,
    /// What it counted.
    pub state: State,
    /// Open file descriptors at its end.
    pub descriptors: u64,
    /// It was forked in the middle of a change of the shim, and stayed without chaos.
    pub midway: bool,
}

/// How a worker comes by a shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It starts one of its own.
    Own,
    /// It starts one of its own, with a journal that the worker before it left.
    OwnWithJournal,
    /// It starts its parent's shim again.
    Again,
    /// It uses its parent's shim, and never says that it was forked.
    Silent,
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Its part.
    pub part: Part,
    /// What was wrong with its end; `None` if it ended as it was meant to.
    pub wrong: Option<String>,
}

/// Says it. Nothing is kept back and no lock is taken, so that a forked child may do so at once.
///
/// # Errors
/// When nobody listens any more, or the line is too long to be written in one go.
pub fn say(said: &Said) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    // SAFETY: the pointer and the length are those of `line`.
    let written = unsafe { libc::write(libc::STDOUT_FILENO, line.as_ptr().cast(), line.len()) };
    match usize::try_from(written) {
        Err(_) => Err(io::Error::last_os_error()),
        Ok(written) if written < line.len() => Err(io::ErrorKind::WriteZero.into()),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_its_calls_quantiles_and_stalls() {
        let took = (1..=200).rev().map(|n| n * 1_000_000).collect();
        let block = Block::of("tower", 7, took).unwrap();
        assert_eq!((block.calls, block.turn), (200, 7));
        assert_eq!((block.median_ns, block.p99_ns), (100_000_000, 198_000_000));
        assert_eq!((block.longest_ns, block.stalls), (200_000_000, 151));
        assert_eq!(Block::of("tower", 7, Vec::new()), None);
    }
}
