//! Results on disk: one JSON object a line, only ever appended to, so that a long benchmark can be ended and
//! gone on with at any time.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The file.
pub(crate) struct Results(PathBuf);

impl Results {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self(file)
    }

    pub(crate) fn file(&self) -> &Path {
        &self.0
    }

    /// All results, oldest first; none if there is no file. A line that is torn or of another version is
    /// as if it had not been measured.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> anyhow::Result<Vec<T>> {
        let text = match fs::read_to_string(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("read {}", self.0.display())),
        };
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// Adds one.
    pub(crate) fn append<T: Serialize>(&self, result: &T) -> anyhow::Result<()> {
        let write = || -> anyhow::Result<()> {
            fs::create_dir_all(self.0.parent().unwrap_or(Path::new(".")))?;
            let mut file = OpenOptions::new().create(true).append(true).read(true).open(&self.0)?;
            let mut line = if ends_in_a_line(&self.0)? { String::new() } else { "\n".to_owned() };
            line.push_str(&serde_json::to_string(result)?);
            line.push('\n');
            Ok(file.write_all(line.as_bytes())?)
        };
        write().with_context(|| format!("write {}", self.0.display()))
    }
}

/// A run that was killed may have left half a line, which must not spoil the next.
fn ends_in_a_line(file: &Path) -> std::io::Result<bool> {
    Ok(fs::read(file)?.last().is_none_or(|last| *last == b'\n'))
}

/// Where and of what something was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    /// The commit, with a `+` if files differed from it.
    pub(crate) commit: String,
    /// The largest UDP payload Holdfast sends.
    pub(crate) udp_payload_max: u16,
    /// What the kernel lets a TCP sender buffer at most.
    pub(crate) tcp_send_buffer_max: u64,
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let processor = processor.lines().find_map(|line| line.strip_prefix("model name"));
        let buffer = read("/proc/sys/net/ipv4/tcp_wmem");
        Self {
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            processor: processor.unwrap_or_default().trim_start_matches([' ', '\t', ':']).to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            commit: commit().unwrap_or_default(),
            udp_payload_max: wire::transport::Settings::default().udp_payload_max,
            tcp_send_buffer_max: buffer
                .split_whitespace()
                .last()
                .and_then(|max| max.parse().ok())
                .unwrap_or(0),
        }
    }
}

/// Of the checkout this was built from, wherever it is called.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let checkout = ["-C", env!("CARGO_MANIFEST_DIR")];
        let output = Command::new("git").args(checkout).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(git(&["rev-parse", "--short=10", "HEAD"])? + if changed { "+" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_add_up_and_survive_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let results = Results::new(dir.path().join("deep/wan.jsonl"));
        assert!(results.read::<u32>().unwrap().is_empty());
        results.append(&1).unwrap();
        results.append(&2).unwrap();
        assert_eq!(results.read::<u32>().unwrap(), [1, 2]);
        OpenOptions::new().append(true).open(results.file()).unwrap().write_all(b"{\"ca").unwrap();
        assert_eq!(results.read::<u32>().unwrap(), [1, 2]);
        results.append(&3).unwrap();
        assert_eq!(results.read::<u32>().unwrap(), [1, 2, 3]);
    }
}
