//! What the hub is told of the cameras, with its number.
//!
//! The number rises whenever the content changes, and is kept beside the archive. It begins at the seconds
//! since 1970, so that a site that lost its disk goes on above what the hub knows.
//!
//! Beside it stands since which number each camera's log-ins are in use, so that the hub knows, without any of them,
//! when all were changed: 0 for those found when the file was begun, which may be older.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use prost::Message;
use wire::proto::{CameraConfiguration, Configuration};
use wire::{UnixMicros, frame};

use crate::config::{SiteConfig, accepted};
use crate::private_file;

const FILE: &str = "config-revision";

/// The configuration as it is sent; its number is durable when this returns.
pub fn numbered(config: &SiteConfig, dir: &Path, now: UnixMicros) -> io::Result<Configuration> {
    let mut told = accepted::configuration(config, 0);
    if told.encoded_len() > frame::CONTROL_BYTES_MAX / 2 {
        return Err(io::Error::other("it is too long to be sent"));
    }
    let digest = blake3::hash(&told.encode_to_vec()).to_hex().to_string();
    let known = known(dir)?;
    told.revision = match &known {
        Some(known) if known.digest == digest => known.revision,
        known => {
            let after = known.as_ref().map_or(1, |known| known.revision + 1);
            after.max(u64::try_from(now.0 / 1_000_000).unwrap_or(0))
        }
    };
    let before = known.as_ref().and_then(|known| known.log_ins.as_ref());
    let log_ins = log_ins(&told, before);
    told.log_ins_since = log_ins.values().map(|(since, _)| *since).min().unwrap_or(0);
    let new = Known { revision: told.revision, digest, log_ins: Some(log_ins) };
    if known.as_ref() != Some(&new) {
        // Only for this user: a digest lets passwords be guessed.
        private_file::replace(dir, FILE, new.to_text().as_bytes())?;
    }
    Ok(told)
}

/// By camera: since which number its log-ins are in use, and their digest.
type LogIns = BTreeMap<String, (u64, String)>;

#[derive(Debug, PartialEq, Eq)]
struct Known {
    revision: u64,
    digest: String,
    /// None in files of earlier versions.
    log_ins: Option<LogIns>,
}

/// Of the cameras that have any.
fn log_ins(told: &Configuration, before: Option<&LogIns>) -> LogIns {
    let of = |camera: &CameraConfiguration| {
        let log_ins: Vec<_> = camera.streams.iter().filter_map(|stream| stream.log_in.clone()).collect();
        if log_ins.is_empty() {
            return None;
        }
        let mut hash = blake3::Hasher::new();
        for log_in in log_ins {
            hash.update(&log_in.encode_length_delimited_to_vec());
        }
        let digest = hash.finalize().to_hex().to_string();
        let since = match before {
            None => 0,
            Some(before) => match before.get(&camera.id) {
                Some((since, same)) if *same == digest => *since,
                _ => told.revision,
            },
        };
        Some((camera.id.clone(), (since, digest)))
    };
    told.cameras.iter().filter_map(of).collect()
}

impl Known {
    fn to_text(&self) -> String {
        let log_ins = self.log_ins.iter().flatten();
        let lines = log_ins.map(|(camera, (since, digest))| format!("{camera} {since} {digest}\n"));
        format!("{} {}\nlog-ins\n{}", self.revision, self.digest, lines.collect::<String>())
    }

    fn of_text(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (revision, digest) = lines.next()?.split_once(' ')?;
        let log_in = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            Some((words.next()?, (words.next()?.parse().ok()?, words.next()?)))
        };
        let log_ins = lines.next().map(|_| lines.filter_map(log_in).collect());
        Some(Self { revision: revision.parse().ok()?, digest: digest.to_owned(), log_ins })
    }
}

/// The last number, and what had it. A file that makes no sense is none: the clock is then all
/// there is.
fn known(dir: &Path) -> io::Result<Option<Known>> {
    match fs::read_to_string(dir.join(FILE)) {
        Ok(text) => Ok(Known::of_text(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_site_with;

    const NOW: UnixMicros = UnixMicros(1_000_000_000);

    fn config(dir: &Path, url: &str) -> SiteConfig {
        let file = dir.join("site.toml");
        let text = format!(
            "[site]\nid = \"shop-1\"\n[[camera]]\nid = \"till-1\"\n[[camera.stream]]\nname = \"main\"\nurl = \"{url}\"\n"
        );
        fs::write(&file, text).unwrap();
        load_site_with(&file, std::iter::empty()).unwrap().0
    }

    #[test]
    fn the_number_rises_with_every_change_and_with_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let number = |url, now| numbered(&config(dir.path(), url), dir.path(), now).unwrap().revision;
        assert_eq!(number("rtsp://10.0.0.5/a", NOW), 1_000);
        assert_eq!(number("rtsp://10.0.0.5/a", UnixMicros(NOW.0 * 2)), 1_000);
        assert_eq!(number("rtsp://10.0.0.5/b", NOW), 1_001);
        assert_eq!(number("rtsp://10.0.0.5/a", UnixMicros(0)), 1_002, "a clock that was set back");
    }

    #[test]
    fn it_is_known_since_when_the_oldest_log_in_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let told = |passwords: [&str; 2]| {
            let mut config = config(dir.path(), "rtsp://10.0.0.5/a");
            let template = config.cameras[0].clone();
            config.cameras = ["till-1", "till-2"]
                .into_iter()
                .zip(passwords)
                .map(|(id, password)| {
                    let mut camera = crate::config::Camera { id: id.to_owned(), ..template.clone() };
                    let password = crate::config::Secret::new(password);
                    let log_in = crate::config::Credentials { username: "viewer".to_owned(), password };
                    camera.streams[0].credentials = Some(log_in);
                    camera
                })
                .collect();
            let told = numbered(&config, dir.path(), NOW).unwrap();
            (told.revision, told.log_ins_since)
        };
        assert_eq!(told(["a", "b"]), (1_000, 0), "they may be older than this file");
        assert_eq!(told(["a", "c"]), (1_001, 0), "one of them");
        assert_eq!(told(["d", "c"]), (1_002, 1_001), "all");
        assert_eq!(told(["d", "c"]), (1_002, 1_001), "also after a restart");
        let file = fs::read_to_string(dir.path().join(FILE)).unwrap();
        fs::write(dir.path().join(FILE), file.lines().next().unwrap()).unwrap();
        assert_eq!(told(["d", "c"]), (1_002, 0), "a file of an earlier version");
        assert_eq!(told(["e", "f"]), (1_003, 1_003));
    }

    #[test]
    fn a_site_that_lost_its_disk_goes_on_above() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let before = numbered(&config(one.path(), "rtsp://10.0.0.5/a"), one.path(), NOW).unwrap();
        let later = UnixMicros(NOW.0 + 5_000_000);
        let after = numbered(&config(other.path(), "rtsp://10.0.0.5/a"), other.path(), later).unwrap();
        assert!(after.revision > before.revision);
    }
}
