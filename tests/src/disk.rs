//! A disk that can hang: a file system in a file, frozen on demand. Whoever writes or syncs waits until it goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Enough for a control log; what isn't written takes no room.
const BYTES: u64 = 256 << 20;

/// A mounted one. It goes with this.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Makes one, and mounts it.
    pub fn mount(at: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at).with_context(|| format!("make {}", at.display()))?;
        let image = at.with_extension("disk");
        let file = std::fs::File::create(&image).context("make a disk")?;
        file.set_len(BYTES).context("make a disk")?;
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_ref()])?;
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), at])?;
        Ok(Self { at: at.to_owned() })
    }

    /// Nothing is written from here on.
    pub fn hang(&self) -> anyhow::Result<()> {
        run("fsfreeze", &["-f".as_ref(), self.at.as_ref()])
    }

    /// Everything that waited is written.
    pub fn go_on(&self) -> anyhow::Result<()> {
        run("fsfreeze", &["-u".as_ref(), self.at.as_ref()])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What waits for a disk that hangs can't even be killed.
        let _ = self.go_on();
        let _ = run("umount", &["-l".as_ref(), self.at.as_ref()]);
    }
}

fn run(program: &str, arguments: &[&Path]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("start {program}: run ops/setup.sh --tests"))?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
