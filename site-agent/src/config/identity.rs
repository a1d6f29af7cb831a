//! Who a daemon is: certificate and key, and whom it believes. The same section at sites and hubs.

use std::path::PathBuf;

use serde::Deserialize;

use super::check::Check;
use super::leaf::Text;

/// The files that say who a daemon is; [`wire::transport::Identity`] loads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// Who signs certificates that are believed.
    pub ca: PathBuf,
    /// This daemon's certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The section as written.
#[derive(Deserialize, Default)]
#[serde(expecting = "a section, [identity]", default)]
pub struct IdentitySection {
    ca: Option<Text>,
    certificate: Option<Text>,
    key: Option<Text>,
}

/// The file names used when the section does not say.
pub struct IdentityDefaults {
    /// Of the certificate.
    pub certificate: &'static str,
    /// Of the private key.
    pub key: &'static str,
}

impl IdentitySection {
    /// Resolves the paths; with `needed`, the files must be readable.
    pub fn check(self, defaults: &IdentityDefaults, needed: bool, check: &mut Check) -> IdentityFiles {
        let identity = IdentityFiles {
            ca: check.path("identity.ca", self.ca, super::defaults::CA),
            certificate: check.path("identity.certificate", self.certificate, defaults.certificate),
            key: check.path("identity.key", self.key, defaults.key),
        };
        if needed {
            let files = [
                ("identity.ca", &identity.ca),
                ("identity.certificate", &identity.certificate),
                ("identity.key", &identity.key),
            ];
            for (key, file) in files {
                check.readable(key, file, "`holdfast init` makes it; copy it here, readable by this user");
            }
        }
        check.private("identity.key", &identity.key);
        identity
    }
}
