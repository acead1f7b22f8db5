//! Where everything is that the demo starts: built first if cargo runs us, fetched by `make tools`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

/// Programs and folders.
#[derive(Clone, Debug)]
pub(crate) struct Workshop {
    /// The repository: what the agents work on, and where the tools are.
    pub(crate) repository: PathBuf,
    /// Records, logs and the log of the coordinator; emptied at each start.
    pub(crate) run: PathBuf,
    /// Where the report goes.
    pub(crate) report: PathBuf,
    /// `nats-server`.
    pub(crate) nats_server: PathBuf,
    /// `mcp-server-git`.
    pub(crate) git_server: PathBuf,
    /// `mcp-server-time`.
    pub(crate) time_server: PathBuf,
    programs: PathBuf,
}

impl Workshop {
    /// Finds everything, and builds what is ours.
    ///
    /// # Errors
    /// Says what is missing and how to get it.
    pub(crate) fn open() -> Result<Self> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
        // Before the build, which may put a new file in this one's place.
        let myself = env::current_exe()?;
        let programs = myself.parent().context("this program is in no folder")?.to_owned();
        build(&programs)?;
        let demo = programs.parent().context("the programs are in no target folder")?.join("demo");
        let run = demo.join("run");
        if run.exists() {
            fs::remove_dir_all(&run).with_context(|| format!("empty {}", run.display()))?;
        }
        fs::create_dir_all(run.join("records"))?;
        let tools = repository.join(".tools");
        Ok(Self {
            nats_server: tool("SQUALL_NATS_SERVER", &tools, "nats-server")?,
            git_server: tool("SQUALL_MCP_SERVER_GIT", &tools, "mcp-server-git")?,
            time_server: tool("SQUALL_MCP_SERVER_TIME", &tools, "mcp-server-time")?,
            repository: repository.to_owned(),
            report: demo.join("report.json"),
            run,
            programs,
        })
    }

    /// One of our own programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// Where agents and servers write down what they see.
    pub(crate) fn records(&self) -> PathBuf {
        self.run.join("records")
    }
}

/// `cargo run --bin demo` builds this program only; what it starts must not be older than it.
fn build(programs: &Path) -> Result<()> {
    let Some(cargo) = env::var_os("CARGO") else { return Ok(()) };
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--bins", "-p", "squall", "-p", "squall-tests"]);
    if programs.ends_with("release") {
        build.arg("--release");
    }
    let built = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().context("run cargo")?;
    if !built.success() {
        bail!("the programs of the demo don't build");
    }
    Ok(())
}

fn tool(variable: &str, tools: &Path, name: &str) -> Result<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Ok(path.into());
    }
    let places = [tools.join("venv/bin"), tools.join("bin"), tools.to_owned()];
    let found = places.into_iter().map(|place| place.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not in .tools; `make tools` fetches it"))
}
