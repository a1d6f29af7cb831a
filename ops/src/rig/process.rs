//! Processes of a rig: started in a namespace, tied to this one, their output kept.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// How long an orderly stop may take.
const STOP: Duration = Duration::from_secs(30);

/// A running process.
pub struct Process {
    name: &'static str,
    child: Child,
    lines: mpsc::Receiver<String>,
    log: std::path::PathBuf,
}

impl Process {
    /// Starts `command` (program and arguments), in a namespace if one is named. What it prints goes to
    /// the end of `log`.
    pub fn start(
        name: &'static str,
        command: &[String],
        namespace: Option<&str>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        // setpriv ties the process to this one's life, without unsafe code of ours.
        let mut line: Vec<String> = ["setpriv", "--pdeathsig", "KILL"].map(String::from).into();
        if let Some(namespace) = namespace {
            line.extend(["ip", "netns", "exec", namespace].map(String::from));
        }
        line.extend_from_slice(command);
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.with_context(|| format!("open {}", log.display()))?;
        let mut child = Command::new(&line[0])
            .args(&line[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let (sender, lines) = mpsc::channel();
        for output in [child.stdout.take().map(boxed), child.stderr.take().map(boxed)].into_iter().flatten() {
            let (sender, file) = (sender.clone(), file.try_clone().context("share the log")?);
            std::thread::spawn(move || keep(output, file, &sender));
        }
        Ok(Self { name, child, lines, log: log.to_owned() })
    }

    /// Waits for a line that contains `text`.
    pub fn await_line(&mut self, text: &str, limit: Duration) -> anyhow::Result<String> {
        let deadline = wire::clock::now() + limit;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(wire::clock::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(line) => seen.push(line),
                Err(why) => {
                    let how = match why {
                        RecvTimeoutError::Timeout => format!("within {} s", limit.as_secs()),
                        RecvTimeoutError::Disconnected => "before it ended".to_owned(),
                    };
                    let last: Vec<_> = seen.iter().rev().take(10).rev().cloned().collect();
                    bail!(
                        "{} did not say `{text}` {how}; the last it said, from {}:\n{}",
                        self.name,
                        self.log.display(),
                        last.join("\n")
                    );
                }
            }
        }
    }

    /// Its process id: that of `command` itself, since all before it only prepare and become it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends by itself; false if it doesn't in time.
    pub fn await_end(&mut self, limit: Duration) -> bool {
        let deadline = wire::clock::now() + limit;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(wire::clock::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().with_context(|| format!("kill {}", self.name))?;
        self.child.wait().with_context(|| format!("wait for {}", self.name))?;
        Ok(())
    }

    /// SIGTERM, and waits for a good end: both its outputs closed, and the status it left.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.signal("TERM")?;
        let deadline = wire::clock::now() + STOP;
        loop {
            let left = deadline.saturating_duration_since(wire::clock::now());
            match self.lines.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!(
                    "{} did not stop within {} s; see {}",
                    self.name,
                    STOP.as_secs(),
                    self.log.display()
                ),
            }
        }
        let status = self.child.wait().with_context(|| format!("wait for {}", self.name))?;
        let good = status.success() || status.code().is_none();
        ensure!(good, "{} ended with {status}; see {}", self.name, self.log.display());
        Ok(())
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) -> anyhow::Result<()> {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        ensure!(sent.context("start kill")?.success(), "{} is gone already", self.name);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn boxed(output: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(output)
}

/// Copies output to the log, line by line, and to whoever waits for one.
fn keep(output: Box<dyn Read + Send>, mut log: std::fs::File, lines: &mpsc::Sender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        let _ = lines.send(line);
    }
}

/// Where the programs are, and how they are called.
pub mod programs {
    use std::path::{Path, PathBuf};

    use anyhow::{Context, ensure};

    use super::super::CameraPlan;

    /// `site-agent` or `dc-hub` with a configuration.
    pub fn daemon(name: &str, config: &Path) -> anyhow::Result<Vec<String>> {
        let program = beside_this(name)?;
        Ok([&program, Path::new("run"), Path::new("--config"), config].map(text).into())
    }

    /// The camera server, listening at `address`; for ONVIF at the next port.
    pub fn cameras(
        address: &str,
        port: u16,
        logs: &Path,
        cameras: &[CameraPlan],
    ) -> anyhow::Result<Vec<String>> {
        let script = camera_script()?;
        let mut command: Vec<String> =
            ["/usr/bin/python3", &text(&script), "--address", address].map(String::from).into();
        command.extend([
            "--port".into(),
            port.to_string(),
            "--onvif-port".into(),
            (port + 1).to_string(),
            "--log-dir".into(),
            text(logs),
        ]);
        command.push("--die-with-parent".into());
        for camera in cameras {
            command.extend(["--camera".into(), format!("{}={}", camera.id, camera.spec)]);
        }
        Ok(command)
    }

    /// A program that was built together with this one; tests run one folder below.
    pub fn beside_this(name: &str) -> anyhow::Result<PathBuf> {
        let own = std::env::current_exe().context("find this program")?;
        let found =
            own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
        found
            .with_context(|| format!("{name} is not beside {}: build it first (ops/setup.sh)", own.display()))
    }

    fn camera_script() -> anyhow::Result<PathBuf> {
        let own = std::env::current_exe().context("find this program")?;
        let script = Path::new("ops/camera/camera_server.py");
        let mut places = own.ancestors().map(Path::to_owned).collect::<Vec<_>>();
        places.extend(std::env::current_dir());
        let found = places.iter().map(|place| place.join(script)).find(|path| path.is_file());
        let found =
            found.context("ops/camera/camera_server.py is not to be found: start from the checkout")?;
        ensure!(Path::new("/usr/bin/python3").exists(), "python3 is missing: run ops/setup.sh");
        Ok(found)
    }

    fn text(path: impl AsRef<Path>) -> String {
        path.as_ref().to_string_lossy().into_owned()
    }
}
