//! What may listen where a camera should.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

pub(crate) struct Odd {
    port: u16,
    seen: Arc<Mutex<(usize, String)>>,
    task: tokio::task::JoinHandle<()>,
}

/// Gives the same answer to every question.
pub(crate) async fn answering(answer: &'static str) -> Odd {
    Odd::start(Some(answer), false).await
}

/// Gives an answer and hangs up.
pub(crate) async fn answering_once(answer: &'static str) -> Odd {
    Odd::start(Some(answer), true).await
}

/// Accepts and says nothing.
pub(crate) async fn silent() -> Odd {
    Odd::start(None, false).await
}

impl Odd {
    async fn start(answer: Option<&'static str>, once: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<(usize, String)>>::default();
        let told = seen.clone();
        let task = tokio::spawn(async move {
            let mut lines = tokio::task::JoinSet::new();
            while let Ok((mut line, _)) = listener.accept().await {
                told.lock().unwrap().0 += 1;
                let told = told.clone();
                lines.spawn(async move {
                    let mut bytes = [0; 4096];
                    while let Ok(read @ 1..) = line.read(&mut bytes).await {
                        told.lock().unwrap().1.push_str(&String::from_utf8_lossy(&bytes[..read]));
                        if let Some(answer) = answer {
                            let _ = line.write_all(answer.as_bytes()).await; // who asked may be gone
                        }
                        if once {
                            break;
                        }
                    }
                });
            }
        });
        Self { port, seen, task }
    }

    /// With what would be a password in a query.
    pub(crate) fn url(&self) -> Url {
        format!("rtsp://127.0.0.1:{}/main?pwd=secret", self.port).parse().unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().0
    }

    pub(crate) fn seen(&self) -> String {
        self.seen.lock().unwrap().1.clone()
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.task.abort();
    }
}
