//! The file of one life. Each line goes to the operating system at once, so that a killed process leaves all but its last.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use squall_drill_checker::files::{AgentLine, Begin, End, Felt, Who};
use squall_shim::Shim;

use crate::assignment::Assignment;

/// Nanoseconds of `CLOCK_BOOTTIME`.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    u64::try_from(nanos).unwrap_or_default()
}

/// What one life writes down.
pub(crate) struct Diary(File);

impl Diary {
    /// Opens the file of the life that `shim` has now.
    pub(crate) fn open(assignment: &Assignment, shim: &Shim, unarmed: bool) -> Result<Self> {
        let began_ns = now_ns();
        let Assignment { tenant, agent, folder, .. } = assignment;
        let name = format!("{agent}.{began_ns}.{}.jsonl", std::process::id());
        let path = Path::new(folder).join(name);
        let file = File::create_new(&path).with_context(|| format!("{}", path.display()))?;
        let mut diary = Self(file);
        diary.write(&AgentLine::Who(Who {
            tenant: tenant.clone(),
            agent: agent.clone(),
            incarnation: shim.registry().incarnation().to_string(),
            began_ns,
            unarmed,
        }))?;
        Ok(diary)
    }

    pub(crate) fn begin(&mut self, n: u64, tool: &str, trace: &str) -> Result<()> {
        let (tool, trace) = (tool.to_owned(), trace.to_owned());
        self.write(&AgentLine::Begin(Begin { n, at_ns: now_ns(), tool, trace }))
    }

    pub(crate) fn end(&mut self, n: u64, felt: Felt) -> Result<()> {
        self.write(&AgentLine::End(End { n, at_ns: now_ns(), felt }))
    }

    pub(crate) fn bye(&mut self) -> Result<()> {
        self.write(&AgentLine::Bye(now_ns()))
    }

    fn write(&mut self, line: &AgentLine) -> Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        Ok(self.0.write_all(&text)?)
    }
}
