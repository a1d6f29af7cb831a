//! A running agent reads its configuration again, at SIGUSR1 (`systemctl reload site-agent`).
//!
//! What holds at once is what crosses to the hub, when and how fast: `replicate`, `priority`, `uplink.limit` and
//! `uplink.window`. The rest waits for a restart. A configuration that can't be used changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config;
use crate::replication::Replication;

/// Listens for the signal; from here on it doesn't end the process.
pub fn listen() -> anyhow::Result<Signal> {
    signal(SignalKind::user_defined1()).context("listen for SIGUSR1")
}

/// Reads the file at each signal, for ever.
pub async fn run(mut asked: Signal, file: PathBuf, replication: Arc<Replication>) {
    while asked.recv().await.is_some() {
        let (file, replication) = (file.clone(), replication.clone());
        if tokio::task::spawn_blocking(move || reload(&file, &replication)).await.is_err() {
            tracing::error!("reading the configuration again has panicked; the old one holds");
        }
    }
}

fn reload(file: &std::path::Path, replication: &Replication) {
    let (config, warnings) = match config::load_site(file) {
        Ok(read) => read,
        Err(problems) => {
            problems.iter().for_each(|problem| tracing::error!("{problem}"));
            tracing::error!(file = %file.display(), "the configuration is not usable; the old one holds");
            return;
        }
    };
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    match replication.replace(&config) {
        Ok(()) => tracing::info!(
            file = %file.display(),
            "replicate, priority, uplink.limit and uplink.window hold as written now; other changes, at the next start"
        ),
        Err(error) => tracing::error!(%error, "note what is to cross; the old configuration holds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Replicate;

    #[test]
    fn a_good_file_holds_and_a_bad_one_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("site.toml");
        let write = |word: &str| {
            let camera =
                "[[camera]]\nid = \"a\"\n[[camera.stream]]\nname = \"main\"\nurl = \"rtsp://10.0.0.5/a\"\n";
            std::fs::write(&file, format!("[site]\nid = \"shop-1\"\n{camera}replicate = \"{word}\"\n"))
                .unwrap();
        };
        write("never");
        let (config, _) = config::load_site(&file).unwrap();
        let replication = Replication::open(&config, dir.path()).unwrap();
        let holds = || replication.now().policies.replicate(&"a/main".parse().unwrap());
        write("sometimes");
        reload(&file, &replication);
        assert_eq!(holds(), Replicate::Never);
        write("on_demand");
        reload(&file, &replication);
        assert_eq!(holds(), Replicate::OnDemand);
    }
}
