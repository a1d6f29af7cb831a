//! Network namespaces: work inside them, make and remove them.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Netns {
    /// The one of this process.
    Own,
    /// One that `ip netns` knows.
    Named(String),
}

impl From<&str> for Netns {
    /// `-` is this process's own.
    fn from(name: &str) -> Self {
        match name {
            "-" => Self::Own,
            name => Self::Named(name.to_owned()),
        }
    }
}

impl std::fmt::Display for Netns {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own => formatter.write_str("this process's namespace"),
            Self::Named(name) => write!(formatter, "namespace {name}"),
        }
    }
}

impl Netns {
    /// Is it there?
    pub fn exists(&self) -> bool {
        self.file().is_none_or(|file| file.exists())
    }

    /// Does `work` inside, on a thread of its own that ends with it. Sockets and devices opened there stay
    /// in the namespace, wherever they are used.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        self.open()?.inside(work)
    }

    /// Keeps it, even if its name is removed meanwhile.
    pub(crate) fn open(&self) -> anyhow::Result<Open> {
        let open = |file: PathBuf| File::open(&file).with_context(|| format!("open {}", file.display()));
        Ok(Open(self.file().map(open).transpose()?))
    }

    /// Runs `ip` for it.
    pub(crate) fn ip(&self, arguments: &[&str]) -> anyhow::Result<()> {
        match self {
            Self::Own => ip(arguments),
            Self::Named(name) => ip(&[&["-n", name], arguments].concat()),
        }
    }

    fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Own => None,
            Self::Named(name) => Some(Path::new("/run/netns").join(name)),
        }
    }
}

/// A namespace that stays as long as this.
pub(crate) struct Open(Option<File>);

impl Open {
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        let thread = move || -> anyhow::Result<T> {
            if let Some(namespace) = &self.0 {
                let kind = Some(rustix::thread::LinkNameSpaceType::Network);
                rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)
                    .context("enter a network namespace: this needs root")?;
            }
            Ok(work())
        };
        let done = std::thread::scope(|scope| scope.spawn(thread).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// A namespace that is removed when this is dropped.
#[derive(Debug)]
pub struct Made(String);

impl Made {
    /// Makes one, with its loopback up.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        ip(&["netns", "add", name]).context("make a network namespace: this needs root")?;
        let made = Self(name.to_owned());
        made.netns().ip(&["link", "set", "lo", "up"])?;
        Ok(made)
    }

    /// The namespace.
    pub fn netns(&self) -> Netns {
        Netns::Named(self.0.clone())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "delete", &self.0]) {
            eprintln!("holdfast-wan: {error:#}");
        }
    }
}

/// Removes namespaces `hfw-<pid>-…` whose process is dead.
pub fn sweep() -> anyhow::Result<()> {
    let Ok(folder) = std::fs::read_dir("/run/netns") else { return Ok(()) };
    for entry in folder {
        let name = entry.context("list the network namespaces")?.file_name();
        let Some(name) = name.to_str() else { continue };
        let owner = name.strip_prefix("hfw-").and_then(|rest| rest.split('-').next());
        if let Some(owner) = owner
            && !Path::new("/proc").join(owner).exists()
        {
            ip(&["netns", "delete", name])?;
        }
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let Ok(output) = Command::new("ip").args(arguments).output() else {
        bail!("start ip: it comes with the package iproute2");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(())
}
