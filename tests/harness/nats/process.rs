//! A child process that never outlives this one, and its folder.
//!
//! Linux kills a child when the *thread* that made it ends (`PR_SET_PDEATHSIG`), and a test's thread ends with the test.
//! So every child is made by one thread that lives as long as the process.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, mpsc};

use anyhow::{Context, Result};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process, set_parent_process_death_signal, waitpid,
};

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

struct Order {
    command: Command,
    answer: mpsc::Sender<std::io::Result<Child>>,
}

static PARENT: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (orders, inbox) = mpsc::channel::<Order>();
    std::thread::spawn(move || {
        for Order { mut command, answer } in inbox {
            // Whoever ordered waits for it.
            let _ = answer.send(command.spawn());
        }
    });
    orders
});

impl Process {
    pub(super) fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let output = File::create(folder.join("output.log"))?;
        let mut command = Command::new(binary);
        command
            .args(["--config", "nats.conf"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        // SAFETY: between fork and exec only one system call is made, which is async-signal-safe.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let (answer, child) = mpsc::channel();
        PARENT.send(Order { command, answer }).ok().context("the parent thread is gone")?;
        let child = child.recv().context("the parent thread is gone")?;
        Ok(Self { child: child.with_context(|| format!("start {}", binary.display()))? })
    }

    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(super) fn stop(mut self) {
        self.signal(Signal::TERM);
        let _ = self.child.wait();
    }

    /// Waits until its last thread stands still: on a busy machine that takes longer than an append.
    pub(super) fn freeze(&self) {
        self.signal(Signal::STOP);
        let pid = Pid::from_child(&self.child);
        let stopped = waitpid(Some(pid), WaitOptions::UNTRACED);
        assert!(
            matches!(stopped, Ok(Some((_, status))) if status.stopped()),
            "it did not stop: {stopped:?}"
        );
    }

    pub(super) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // One that ended already is not there to be signalled.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ends a frozen one, too; one that ended already can't be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const FOLDER_PREFIX: &str = "squall-nats-";

/// A folder that goes when it is dropped. What a killed test left behind is swept when the next one starts.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
}

impl Store {
    pub(super) fn new() -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        static SWEPT: LazyLock<()> = LazyLock::new(sweep);
        LazyLock::force(&SWEPT);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{FOLDER_PREFIX}{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // What stays is swept by the next test run.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Removes folders of processes that are gone: statics are never dropped, so shared servers leave theirs.
fn sweep() {
    let Ok(folders) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for folder in folders.flatten() {
        let name = folder.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(FOLDER_PREFIX)) else {
            continue;
        };
        let pid = rest.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(pid).exists() {
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}
