//! Every input that was worth keeping, through its door again: what once held holds, and what was mended stays so.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use squall_fuzz::{DOORS, corpus};

/// What a repository should hold of them.
const INPUTS_MAX: usize = 2_000;
const BYTES_MAX: usize = 1024 * 1024;

#[test]
fn every_input_that_is_kept_is_taken_by_its_door() -> Result<()> {
    let (mut inputs, mut bytes) = (0, 0);
    let mut broken = Vec::new();
    for door in DOORS {
        let kept = corpus::kept(door)?;
        ensure!(!kept.is_empty(), "nothing is kept for the door {}", door.name);
        for (at, (broke, input)) in kept.iter().enumerate() {
            if std::panic::catch_unwind(|| door.open(input)).is_err() {
                broken.push(format!("{} {at} {broke:?}: {input:?}", door.name));
            }
        }
        inputs += kept.len();
        bytes += kept.iter().map(|(_, input)| input.len()).sum::<usize>();
    }
    println!("inputs: {inputs}, doors: {}, violations: {}", DOORS.len(), broken.len());
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    ensure!(
        inputs <= INPUTS_MAX && bytes <= BYTES_MAX,
        "{inputs} inputs of {bytes} bytes are too many"
    );
    Ok(())
}

#[test]
fn nothing_is_kept_for_a_door_that_is_not_there() -> Result<()> {
    let doors: BTreeSet<&str> = DOORS.iter().map(|door| door.name).collect();
    ensure!(doors.len() == DOORS.len(), "two doors have one name");
    for folder in ["corpus", "regressions"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&folder)? {
            let name = entry?.file_name();
            let name = name.to_str().context("a name that is no text")?;
            ensure!(doors.contains(name), "{}/{name} belongs to no door", folder.display());
        }
    }
    Ok(())
}
