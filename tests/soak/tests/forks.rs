//! Workers that are forked from a process whose shim has spoken already.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::park;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use futures::stream::select_all;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal, waitpid};
use squall_proto::subject::{Filter, Partition};
use squall_proto::vocabulary::id::Environment;
use squall_proto::vocabulary::limits::PARTITIONS;
use squall_proto::vocabulary::message::Request;
use squall_proto::wire::decode_request;
use squall_shim::Shim;
use squall_shim::core::Policy;
use squall_tests::nats::{Options, Server, connect};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// A forked worker that starts its parent's shim again, and then does nothing until it is killed.
struct Forked(Pid);

impl Forked {
    fn new(shim: &Shim) -> Result<Self> {
        // SAFETY: the child starts a shim, waits, and never leaves this branch.
        let pid = match unsafe { libc::fork() } {
            0 => {
                let started = set_parent_process_death_signal(Some(Signal::KILL)).is_ok()
                    && shim.after_fork().is_ok();
                if !started {
                    unsafe { libc::_exit(1) };
                }
                loop {
                    park();
                }
            }
            pid => pid,
        };
        Ok(Self(Pid::from_raw(pid).filter(|_| pid > 0).context("fork a worker")?))
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        // One that is gone already can't be killed, only waited for.
        let _ = kill_process(self.0, Signal::KILL);
        let _ = waitpid(Some(self.0), rustix::process::WaitOptions::empty());
    }
}

/// Requests are numbered in each life, so an answer in a common inbox would be taken for another request's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn siblings_are_answered_in_inboxes_of_their_own() -> Result<()> {
    let server = Server::start(&Options::default()).await?;
    let client = connect([server.url()]).await?;
    let mut asks = Vec::new();
    for number in 0..PARTITIONS {
        let partition = Partition::new(number).context("no such partition")?;
        asks.push(client.subscribe(Filter::Asks(partition).to_string()).await?);
    }
    client.flush().await?;
    let mut asks = select_all(asks);
    let mut inboxes = BTreeMap::new();
    let mut hellos = async |lives: usize| -> Result<BTreeSet<String>> {
        while inboxes.len() < lives {
            let message = asks.next().await.context("the connection ended")?;
            let Request::Hello(hello) = decode_request(&message.payload)? else { continue };
            let reply = message.reply.context("no reply subject")?.to_string();
            let (inbox, _) = reply.rsplit_once('.').context("no number")?;
            inboxes.insert(hello.incarnation, inbox.to_owned());
        }
        Ok(inboxes.values().cloned().collect())
    };
    let shim = Shim::builder("acme".parse()?, "prefork".parse()?)
        .policy(Policy::all(Environment::new("ci")?))
        .nats(server.url())
        .shared_account(true)
        .start()?;
    timeout(PATIENCE, hellos(1)).await.context("the parent says nothing")??;
    let _workers = [Forked::new(&shim)?, Forked::new(&shim)?];
    let different = timeout(PATIENCE, hellos(3)).await.context("a worker says nothing")??;
    ensure!(different.len() == 3, "{different:?}");
    Ok(())
}
