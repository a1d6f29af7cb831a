//! The bearer token: drawn at the first start, kept in a file only its owner reads.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

/// Shorter ones can be guessed.
const CHARACTERS_MIN: usize = 16;

/// What callers must show. It is never printed.
#[derive(Clone)]
pub struct Token(Arc<str>);

impl Token {
    /// Takes a token as configured.
    pub fn new(text: &str) -> anyhow::Result<Self> {
        let good = text.len() >= CHARACTERS_MIN && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !good {
            bail!("a token has at least {CHARACTERS_MIN} printable characters and no spaces");
        }
        Ok(Self(text.into()))
    }

    /// Reads `http-token` in `dir`; makes it if there is none.
    pub fn load_or_make(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("http-token");
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        match made {
            Ok(mut file) => {
                let drawn = [wire::clock::random_id(), wire::clock::random_id()].concat();
                let text: String = drawn.iter().map(|byte| format!("{byte:02x}")).collect();
                let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
                written.with_context(|| format!("write {}", path.display()))?;
                Self::new(&text)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Self::load(&path),
            Err(error) => Err(error).with_context(|| format!("make {}", path.display())),
        }
    }

    fn load(path: &Path) -> anyhow::Result<Self> {
        let context = || format!("read token {}", path.display());
        let mode = fs::metadata(path).with_context(context)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "others can read the token; run chmod 600 on it and renew it");
        }
        Self::new(fs::read_to_string(path).with_context(context)?.trim()).with_context(context)
    }

    /// The text, for whoever calls the API from this machine.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Is it this? Takes equally long whatever differs.
    pub(super) fn is(&self, shown: &str) -> bool {
        blake3::hash(self.0.as_bytes()) == blake3::hash(shown.as_bytes())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_and_only_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let made = Token::load_or_make(dir.path()).unwrap();
        let read = Token::load_or_make(dir.path()).unwrap();
        assert_eq!(made.reveal(), read.reveal());
        assert_eq!(made.reveal().len(), 64);
        let mode = fs::metadata(dir.path().join("http-token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(made.is(read.reveal()) && !made.is("") && !made.is(&made.reveal()[1..]));
    }

    #[test]
    fn an_empty_file_is_no_token() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("http-token"), "\n").unwrap();
        assert!(Token::load_or_make(dir.path()).is_err());
    }
}
