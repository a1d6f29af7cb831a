//! A file that comes into being whole or not at all: written as `FILE.part`, then renamed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

/// A file being written. Dropped unfinished, it leaves nothing.
pub(super) struct PartFile {
    target: PathBuf,
    path: PathBuf,
    file: File,
    force: bool,
    done: bool,
}

impl PartFile {
    /// Begins a file. What is there already stays unless `force` is given.
    pub(super) fn begin(target: &Path, force: bool) -> anyhow::Result<Self> {
        let (Some(name), false) = (target.file_name(), target.is_dir()) else {
            bail!("{} is a folder: name a file in it", target.display())
        };
        refuse_what_exists(target, force)?;
        let mut part = name.to_owned();
        part.push(".part");
        let path = target.with_file_name(part);
        let verb = || format!("write {}", path.display());
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).with_context(verb)?;
        // A left-over of a run that was killed is written over, the work of one that lives is not.
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            bail!("{} is being written by another export", path.display());
        }
        file.set_len(0).with_context(verb)?;
        Ok(Self { target: target.to_owned(), path, file, force, done: false })
    }

    /// Where it is until it is finished.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it durable, and `target`.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.file.sync_all().with_context(|| format!("write {}", self.path.display()))?;
        refuse_what_exists(&self.target, self.force)?;
        fs::rename(&self.path, &self.target).with_context(|| format!("make {}", self.target.display()))?;
        self.done = true;
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .with_context(|| format!("sync {}", folder.display()))
    }

    /// Leaves what there is as `FILE.part`.
    pub(super) fn keep(mut self) {
        self.done = true;
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn refuse_what_exists(target: &Path, force: bool) -> anyhow::Result<()> {
    let exists = target.symlink_metadata().is_ok();
    ensure!(force || !exists, "{} exists already; --force writes over it", target.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.mp4");
        let part = dir.path().join("a.mp4.part");
        fs::write(&part, "left by a killed run").unwrap();
        let mut file = PartFile::begin(&target, false).unwrap();
        let error = PartFile::begin(&target, false).err().unwrap();
        assert!(error.to_string().contains("another export"), "{error}");
        file.write_all(b"half").unwrap();
        drop(file);
        assert!(!part.exists() && !target.exists());

        let mut file = PartFile::begin(&target, false).unwrap();
        file.write_all(b"whole").unwrap();
        file.finish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"whole");
        assert!(!part.exists());
        assert!(PartFile::begin(&target, false).err().unwrap().to_string().contains("--force"));
        PartFile::begin(&target, true).unwrap().finish().unwrap();
        assert!(PartFile::begin(dir.path(), true).err().unwrap().to_string().contains("is a folder"));
    }
}
