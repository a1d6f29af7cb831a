//! A certificate authority for one run, and what it signs: the transport knows no connection without.

use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use wire::SiteId;
use wire::transport::{Identity, hub_dns_names, site_dns_name};

/// Both ends'.
pub(crate) struct Keys {
    pub(crate) site: Identity,
    pub(crate) hub: Identity,
}

impl Keys {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for keys")?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().context("make the authority's key")?;
        let authority = CertifiedIssuer::self_signed(params, key).context("sign the authority")?;
        let roots = folder.path().join("authority.pem");
        std::fs::write(&roots, authority.pem()).with_context(|| format!("write {}", roots.display()))?;
        let site = SiteId::new("line").context("name the site")?;
        Ok(Self {
            site: sign(&authority, folder.path(), vec![site_dns_name(&site)])?,
            hub: sign(&authority, folder.path(), hub_dns_names("line").context("name the hub")?.into())?,
        })
    }
}

fn sign(
    authority: &CertifiedIssuer<'static, KeyPair>,
    folder: &Path,
    names: Vec<String>,
) -> Result<Identity> {
    let key = KeyPair::generate().context("make a key")?;
    let mut params = CertificateParams::new(names).context("name a party")?;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, authority).context("sign a party's certificate")?;
    let [roots, cert_file, key_file] =
        ["authority.pem", "party.pem", "party.key"].map(|name| folder.join(name));
    std::fs::write(&cert_file, certificate.pem()).context("write a certificate")?;
    std::fs::write(&key_file, key.serialize_pem()).context("write a key")?;
    Ok(Identity::load(&roots, &cert_file, &key_file)?)
}
