//! What people use today: rsync over ssh, and rclone over SFTP, both to one OpenSSH server with throw-away
//! keys. They copy the files that ours sends, and need not sync them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ops::rig::{Process, wait_until};

use super::case::{Contender, Times};
use super::line::{self, HUB, Line};
use super::watch::{Watched, watch};
use crate::cpu::tree;

const SSH_PORT: u16 = 2222;
const START: Duration = Duration::from_secs(10);

/// A server's and a user's key, and a server's configuration.
pub(crate) struct Ssh {
    dir: PathBuf,
}

impl Ssh {
    /// Makes them in `dir`.
    pub(crate) fn make(dir: &Path) -> anyhow::Result<Self> {
        for program in ["/usr/sbin/sshd", "/usr/bin/ssh-keygen", "/usr/bin/rsync", "/usr/bin/rclone"] {
            ensure!(Path::new(program).exists(), "{program} is missing: run ops/setup.sh --bench");
        }
        let dir = dir.join("ssh");
        fs::create_dir_all(&dir).context("make a folder for keys")?;
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "holdfast-bench", "-f"]).arg(dir.join(key));
            ensure!(keygen.status().context("start ssh-keygen")?.success(), "ssh-keygen failed");
        }
        let public = |key: &str| {
            fs::read_to_string(dir.join(format!("{key}.pub"))).context("read the key that was made")
        };
        let write = |name: &str, text: &str| fs::write(dir.join(name), text).context("write ssh's files");
        write("authorized_keys", &public("user")?)?;
        write("known_hosts", &format!("[{HUB}]:{SSH_PORT} {}", public("host")?))?;
        write("sshd_config", &server_config(&dir))?;
        // Where it keeps what has no rights; a package's service would make it.
        fs::create_dir_all("/run/sshd").context("make /run/sshd")?;
        Ok(Self { dir })
    }

    fn start(&self, line: &Line) -> anyhow::Result<Process> {
        let config = self.dir.join("sshd_config");
        let command: Vec<String> =
            ["/usr/sbin/sshd", "-D", "-e", "-f", &text(&config)].map(String::from).into();
        let log = self.dir.join("sshd.log");
        let mut sshd = Process::start("sshd", &command, Some(&line::name(&line.hub)), &log)?;
        sshd.await_line("Server listening", START)?;
        Ok(sshd)
    }

    fn rsync(&self, from: &Path, to: &Path) -> Vec<String> {
        let (key, hosts) = (text(&self.dir.join("user")), text(&self.dir.join("known_hosts")));
        let ssh = format!(
            "ssh -F none -i {key} -p {SSH_PORT} -o UserKnownHostsFile={hosts} -o StrictHostKeyChecking=yes \
             -o BatchMode=yes -o Compression=no"
        );
        let (from, to) = (format!("{}/", text(from)), format!("root@{HUB}:{}/", text(to)));
        ["rsync", "-r", "--whole-file", "--no-compress", "-e", &ssh, &from, &to].map(String::from).into()
    }

    /// Without the comparison of hashes, which would cost it a round trip a file.
    fn rclone(&self, from: &Path, to: &Path) -> Vec<String> {
        let (key, hosts) = (text(&self.dir.join("user")), text(&self.dir.join("known_hosts")));
        let port = SSH_PORT.to_string();
        let hub = HUB.to_string();
        let to = format!(":sftp:{}", text(to));
        let from = text(from);
        let options = [
            ("--config", "/dev/null"),
            ("--sftp-host", &hub),
            ("--sftp-port", &port),
            ("--sftp-user", "root"),
            ("--sftp-key-file", &key),
            ("--sftp-known-hosts-file", &hosts),
        ];
        let mut command = vec!["rclone".to_owned(), "copy".to_owned(), from, to];
        command
            .extend(options.iter().flat_map(|(option, value)| [(*option).to_owned(), (*value).to_owned()]));
        command.push("--sftp-disable-hashcheck".to_owned());
        command
    }

    /// Lets a peer copy `files` over a line, and watches.
    pub(crate) fn run(
        &self,
        contender: Contender,
        line: &Line,
        times: &Times,
        files: &Path,
    ) -> anyhow::Result<Watched> {
        let target =
            tempfile::Builder::new().prefix("copy-").tempdir_in(&self.dir).context("make a folder")?;
        let (command, tcp) = match contender {
            Contender::RsyncCubic => (self.rsync(files, target.path()), "cubic"),
            Contender::RsyncBbr => (self.rsync(files, target.path()), "bbr"),
            Contender::RcloneCubic => (self.rclone(files, target.path()), "cubic"),
            Contender::RcloneBbr => (self.rclone(files, target.path()), "bbr"),
            Contender::Ours => bail!("ours is no peer"),
        };
        line.set_tcp(tcp)?;
        let sshd = self.start(line)?;
        let log = self.dir.join(format!("{}.log", contender.key()));
        let sender = Process::start("sender", &command, Some(&line::name(&line.site)), &log)?;
        let programs = [("sender", sender.id()), ("receiver", sshd.id())];
        let watched = watch(line, times, &programs, || bytes_below(target.path()));
        let used = line.tcp()?;
        end(sender, sshd);
        let watched = watched.with_context(|| format!("see {}", log.display()))?;
        ensure!(
            !used.is_empty() && used.iter().all(|used| used == tcp),
            "its connections use {used:?} and not {tcp}; see {}",
            log.display()
        );
        Ok(watched)
    }
}

/// Kills the sender and all it started, lets the server's sessions notice, then ends the server.
fn end(sender: Process, sshd: Process) {
    kill_tree(sender.id());
    drop(sender);
    let alone = || Ok(tree(sshd.id()).len() == 1);
    if wait_until("the server's sessions have ended", START, alone).is_err() {
        kill_tree(sshd.id());
    }
}

fn kill_tree(root: u32) {
    for process in tree(root) {
        // One that is gone already is no loss.
        let _ = Command::new("kill").args(["-KILL", &process.to_string()]).stderr(Stdio::null()).status();
    }
}

fn server_config(dir: &Path) -> String {
    let file = |name: &str| text(&dir.join(name));
    format!(
        "Port {SSH_PORT}\nListenAddress {HUB}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
         PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         UsePAM no\nStrictModes no\nMaxStartups 100\nUseDNS no\nCompression no\n\
         Subsystem sftp internal-sftp\n",
        file("host"),
        file("authorized_keys")
    )
}

/// Sizes of all files, also those that still grow.
fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).context("list what has arrived")?.flatten() {
        // One that was renamed meanwhile counts at the next look.
        let Ok(about) = entry.metadata() else { continue };
        bytes += if about.is_dir() { bytes_below(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_files_count() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("deep")).unwrap();
        fs::write(dir.path().join("deep/.1.mp4.Xk3f"), [0; 70]).unwrap();
        fs::write(dir.path().join("2.mp4"), [0; 30]).unwrap();
        assert_eq!(bytes_below(dir.path()).unwrap(), 100);
    }
}
