//! `demo-recorder FILE COMMAND ...`: stands between an agent and a stdio MCP server, hands every line on unchanged, and
//! writes down when the server was given each call and when it answered.
//!
//! It ends with whichever side ends first, and takes the server with it. `demo-recorder tether COMMAND ...` records
//! nothing and only becomes the command, which then dies with whoever started it.

mod digest;
mod record;
mod tether;
mod writing;

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rustix::process::{Signal, set_parent_process_death_signal};

use record::What;
use tether::TETHER;
use writing::{Passage, Record, incoming, outgoing};

type Shared = Arc<Mutex<Record>>;

fn main() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut arguments = std::env::args_os();
    // Not the path of the running file: a build may have replaced that.
    let myself = arguments.next().context("this program has no name")?;
    let first = arguments.next().context("a file for the record is missing")?;
    if first == TETHER {
        return become_tethered(arguments);
    }
    let mut server = Command::new(myself);
    record(Path::new(&first), server.arg(TETHER).args(arguments))
}

/// Becomes the command, which gets SIGKILL when the process that started it is gone.
///
/// # Errors
/// When the command can't be started; otherwise it does not return.
fn become_tethered(mut command: impl Iterator<Item = OsString>) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let program = command.next().context("no command to tether")?;
    Err(Command::new(program).args(command).exec().into())
}

/// Stands between until one side ends.
fn record(file: &Path, server: &mut Command) -> Result<()> {
    let record = Record::open(file).with_context(|| format!("open {}", file.display()))?;
    let record = Arc::new(Mutex::new(record));
    let server = server.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = server.spawn().context("start the server")?;
    let (mut input, output) = pipes(&mut server)?;
    let towards = Arc::clone(&record);
    thread::spawn(move || {
        if let Err(error) = towards_server(&mut input, &towards) {
            eprintln!("demo-recorder: towards the server: {error}");
        }
        note(&towards, Some(What::HungUp), Passage::now());
        // Closing the server's input ends it, and with it this process.
        drop(input);
    });
    let result = from_server(output, &record);
    note(&record, Some(What::Closed), Passage::now());
    server.kill().ok();
    server.wait().ok();
    result.context("from the server")
}

fn pipes(server: &mut Child) -> Result<(ChildStdin, ChildStdout)> {
    let input = server.stdin.take().context("the server has no input")?;
    let output = server.stdout.take().context("the server has no output")?;
    Ok((input, output))
}

fn towards_server(input: &mut ChildStdin, record: &Shared) -> io::Result<()> {
    copy_lines(io::stdin().lock(), input, |line, passage| {
        let message = serde_json::from_slice::<TxJsonRpcMessage<RoleClient>>(line).ok();
        note(record, message.as_ref().and_then(outgoing), passage);
    })
}

fn from_server(output: ChildStdout, record: &Shared) -> io::Result<()> {
    copy_lines(BufReader::new(output), &mut io::stdout().lock(), |line, passage| {
        let message = serde_json::from_slice::<RxJsonRpcMessage<RoleClient>>(line).ok();
        note(record, message.as_ref().and_then(incoming), passage);
    })
}

/// Hands each line on at once; `seen` looks at it afterwards, so that writing the record delays nothing.
fn copy_lines(
    mut from: impl BufRead,
    to: &mut impl Write,
    seen: impl Fn(&[u8], Passage),
) -> io::Result<()> {
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        let passage = Passage::now();
        to.write_all(&line)?;
        to.flush()?;
        seen(&line, passage);
        line.clear();
    }
    Ok(())
}

fn note(record: &Shared, what: Option<What>, passage: Passage) {
    let Some(what) = what else { return };
    let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = record.add(&passage.of(what)) {
        eprintln!("demo-recorder: {error}");
    }
}
