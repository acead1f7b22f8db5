//! What is worth keeping of what was found.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use squall_fuzz::{Door, corpus};

use super::campaign;

pub(super) fn run(doors: &[&'static Door], place: &Path) -> Result<()> {
    let mut all = 0;
    for door in doors {
        let (grown, _) = campaign::folders(door, place)?;
        campaign::unpack(door, &grown)?;
        let least = place.join(door.name).join("least");
        if least.exists() {
            fs::remove_dir_all(&least)?;
        }
        fs::create_dir_all(&least)?;
        let merged = Command::new(std::env::current_exe()?)
            .args(["one", door.name, "-set_cover_merge=1"])
            .args([&least, &grown])
            .stderr(Stdio::null())
            .status()?;
        ensure!(merged.success(), "{}: an input breaks it; fuzz it to see which", door.name);
        let inputs: Vec<Vec<u8>> = fs::read_dir(&least)?
            .map(|entry| Ok(fs::read(entry?.path())?))
            .collect::<Result<_>>()?;
        let count = inputs.len();
        let packed = corpus::packed(inputs);
        println!("{:14} {count:>6} inputs {:>8} bytes", door.name, packed.len());
        all += packed.len();
        fs::write(corpus::path(door), packed)?;
    }
    println!("bytes: {all}");
    Ok(())
}
