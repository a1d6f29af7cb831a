//! How each disk is, for status pages and metrics.

use std::fmt::Write;

use serde::Serialize;

use super::{Disk, DiskNumber};
use crate::archive::Archive;

/// How a disk is.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its folder.
    pub dir: String,
    /// Its number in the index; none, if it never was one of this archive's.
    pub number: Option<DiskNumber>,
    /// Is it written to?
    pub in_use: bool,
    /// A person said that it does not come back.
    pub given_up: bool,
    /// Why not.
    pub detail: String,
    /// Bytes free on it.
    pub free_bytes: Option<u64>,
    /// Bytes kept there for when it is full.
    pub ballast_bytes: u64,
    /// Segments that are wanted from the other side because it is not there.
    pub away: u64,
}

impl Archive {
    /// How its disks are, in order; the first has the index.
    pub fn disks_shown(&self) -> Vec<Shown> {
        let disks = self.disks().all();
        let mut shown: Vec<_> = disks.iter().map(|disk| self.shown(disk)).collect();
        for (dir, why) in self.disks().trouble().iter() {
            if !disks.iter().any(|disk| disk.dir() == dir) {
                shown.push(Shown {
                    dir: dir.display().to_string(),
                    number: None,
                    in_use: false,
                    given_up: false,
                    detail: why.clone(),
                    free_bytes: None,
                    ballast_bytes: 0,
                    away: 0,
                });
            }
        }
        shown
    }

    fn shown(&self, disk: &Disk) -> Shown {
        let in_use = disk.is_in_use();
        Shown {
            dir: disk.dir().display().to_string(),
            number: Some(disk.number()),
            in_use,
            given_up: self.disks().is_given_up(disk.number()),
            detail: disk.why_out().unwrap_or_default(),
            free_bytes: disk.room().free_bytes().ok().filter(|_| in_use),
            ballast_bytes: if in_use { disk.room().ballast_bytes() } else { 0 },
            // An index that can't be read is another's matter.
            away: if in_use { 0 } else { self.away_on(disk).unwrap_or(0) },
        }
    }

    /// For `/metrics`.
    pub fn disk_metrics(&self) -> String {
        let disks = self.disks_shown();
        let mut text = String::new();
        let mut put = |name: &str, help: &str, value: &dyn Fn(&Shown) -> Option<u64>| {
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "# HELP holdfast_archive_disk_{name} {help}\n# TYPE holdfast_archive_disk_{name} gauge"
            );
            for disk in &disks {
                if let Some(value) = value(disk) {
                    let _ = writeln!(text, "holdfast_archive_disk_{name}{{disk={:?}}} {value}", disk.dir);
                }
            }
        };
        put("in_use", "1 while the disk is written to.", &|disk| Some(disk.in_use.into()));
        put("free_bytes", "Bytes free on it.", &|disk| disk.free_bytes);
        put("ballast_bytes", "Bytes kept for when it is full.", &|disk| Some(disk.ballast_bytes));
        put("away_segments", "Segments wanted because it is not there.", &|disk| Some(disk.away));
        text
    }
}
