//! Steps of the wall clock, for coordinators and agents: a small library before the C library adds what a file says.
//! A nats-server is a Go program, which asks the kernel past any library: its clock is never stepped.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::house::Places;

/// The library.
const SOURCE: &str = include_str!("clock/step.c");

/// The wall clocks of processes.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    /// `None` where there is no C compiler.
    library: Option<PathBuf>,
    folder: PathBuf,
}

impl Clocks {
    /// Builds the library.
    ///
    /// # Errors
    /// When files can't be written.
    pub(crate) fn new(places: &Places) -> Result<Self> {
        let folder = places.folder.join("clocks");
        std::fs::create_dir_all(&folder)?;
        let (source, library) = (folder.join("step.c"), folder.join("step.so"));
        std::fs::write(&source, SOURCE)?;
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([&library, &source])
            .status()
            .is_ok_and(|status| status.success());
        Ok(Self { library: built.then_some(library), folder })
    }

    /// Whether clocks can be stepped.
    pub(crate) fn can_be_stepped(&self) -> bool {
        self.library.is_some()
    }

    fn file(&self, node: &str) -> PathBuf {
        self.folder.join(node)
    }

    /// What the environment of a process needs.
    ///
    /// # Errors
    /// When its file can't be written.
    pub(crate) fn environment(&self, node: &str) -> Result<Vec<(String, String)>> {
        let Some(library) = &self.library else { return Ok(Vec::new()) };
        let file = self.file(node);
        if !file.exists() {
            std::fs::write(&file, 0_i64.to_ne_bytes())?;
        }
        let text = |path: &PathBuf| path.display().to_string();
        Ok(vec![("LD_PRELOAD".to_owned(), text(library)), ("DRILL_CLOCK".to_owned(), text(&file))])
    }

    /// Sets how far a process's wall clock is off, in milliseconds.
    ///
    /// # Errors
    /// When its file can't be written.
    pub(crate) fn step(&self, node: &str, off_ms: i64) -> Result<()> {
        // In place: the processes have the file mapped.
        let file = File::options().write(true).open(self.file(node)).context("a clock's file")?;
        Ok(file.write_all_at(&off_ms.to_ne_bytes(), 0)?)
    }
}
