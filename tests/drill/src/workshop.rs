//! Where everything is that a drill starts: built first if cargo runs us.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::house::{Places, emptied};

/// Programs and folders.
#[derive(Clone, Debug)]
pub(crate) struct Workshop {
    /// Where things are.
    pub(crate) places: Places,
}

impl Workshop {
    /// Finds everything, and builds what is ours.
    ///
    /// # Errors
    /// Says what is missing.
    pub(crate) fn open(seed: u64) -> Result<Self> {
        // Before the build, which may put a new file in this one's place.
        let myself = env::current_exe()?;
        let programs = myself.parent().context("this program is in no folder")?.to_owned();
        build()?;
        for program in ["squall", "drill-agent"] {
            if !programs.join(program).is_file() {
                bail!("there is no {program} in {}: `make drill` builds it", programs.display());
            }
        }
        let target = programs.parent().context("the programs are in no target folder")?;
        let folder = target.join("drill").join(seed.to_string());
        emptied(&folder)?;
        let stores = folder.join("disks");
        Ok(Self { places: Places { folder, programs, stores } })
    }
}

/// What a drill starts must not be older than it.
fn build() -> Result<()> {
    let Some(cargo) = env::var_os("CARGO") else { return Ok(()) };
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--bins", "-p", "squall", "-p", "squall-drill"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .status()
        .context("run cargo")?;
    if !built.success() {
        bail!("the programs of the drill don't build");
    }
    Ok(())
}
