//! `soak-host`: an agent as hosts are built, with a shim or, as its twin, without. It works until its input is closed.
//!
//! Two things a host may do that a library must not mind: SIGPIPE has its default action here, and panics are counted
//! however they end.

mod blocking;
mod prefork;
mod tasks;
mod threads;
mod tools;

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use rustix::process::{Signal, set_parent_process_death_signal};
use squall_shim::Shim;
use squall_shim::core::Policy;
use squall_shim::vocabulary::id::Environment;
use squall_soak::said::State;
use squall_soak::turn::Lane;

/// An agent of the soak.
#[derive(Debug, Parser)]
struct Setting {
    /// What it is.
    kind: Kind,
    /// Without a shim.
    #[arg(long)]
    bare: bool,
    /// The NATS server.
    #[arg(long)]
    nats: String,
    /// Where journals lie.
    #[arg(long)]
    folder: PathBuf,
    /// Its turn among all hosts.
    #[arg(long)]
    lane: u64,
    /// How many hosts there are.
    #[arg(long)]
    lanes: u64,
    /// Where its choices come from.
    #[arg(long)]
    seed: u64,
}

/// What hosts there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Tasks on a runtime, through the seams for tower and rmcp.
    Tasks,
    /// A parent that forks workers.
    Prefork,
    /// 64 threads at the same sites.
    Threads,
}

impl Setting {
    fn lane(&self) -> Lane {
        Lane { number: self.lane, of: self.lanes }
    }

    /// A shim named `name`, with a journal of that name if `journaled`; `None` in a twin.
    fn shim(&self, name: &str, journaled: bool) -> Result<Option<Shim>> {
        if self.bare {
            return Ok(None);
        }
        let mut builder = Shim::builder("acme".parse()?, name.parse()?)
            .policy(Policy::all(Environment::new("soak")?))
            .nats(self.nats.clone())
            .shared_account(true);
        if journaled {
            builder = builder.journal(self.folder.join(format!("{name}.journal")));
        }
        Ok(Some(builder.start()?))
    }
}

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts every panic, also those that somebody catches.
fn count_panics() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        tell(panic);
    }));
}

/// How a host is doing that made and changed so many calls.
fn state(shim: Option<&Shim>, calls: u64, injected: u64) -> State {
    let status = shim.map(Shim::status);
    State {
        calls,
        injected,
        panics: PANICS.load(Ordering::Relaxed),
        caught: status.as_ref().map_or(0, |status| status.panics),
        connected: status.and_then(|status| status.link).is_some_and(|link| link.connected),
    }
}

/// Set once the input is closed.
fn end_of_input() -> Arc<AtomicBool> {
    let end = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&end);
    std::thread::spawn(move || {
        // However reading ends, there is nobody any more.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ending.store(true, Ordering::Release);
    });
    end
}

fn main() -> Result<()> {
    let setting = Setting::parse();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // SAFETY: the default action is a valid one, and no other thread is there yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    count_panics();
    match setting.kind {
        Kind::Tasks => tasks::run(&setting),
        Kind::Prefork => prefork::run(&setting),
        Kind::Threads => threads::run(&setting),
    }
}
