//! The certificate authority of one's own, and what it signs.
//!
//! Keys are ECDSA P-256. A certificate says one thing: this is site *s*, or this is hub node *n*, as a
//! DNS name that no DNS needs to know. Sites may only dial, hubs may only be dialled.

use std::path::Path;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};
use wire::transport::{hub_dns_names, site_dns_name};
use wire::{SiteId, UnixMicros};

use super::place::File;

/// Long enough that a site is not lost because the authority ran out.
const CA_DAYS: i64 = 3653;
/// The most that is commonly accepted.
const LEAF_DAYS: i64 = 825;

pub(super) const CA: &str = "ca.pem";
pub(super) const CA_KEY: &str = "ca-key.pem";

/// Who signs.
pub(super) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    now: OffsetDateTime,
}

impl Authority {
    /// Makes a new one.
    pub(super) fn new(now: UnixMicros) -> Result<Self> {
        let now = date(now)?;
        let key = KeyPair::generate().context("make the authority's key")?;
        let mut params = params(now, CA_DAYS, "Holdfast CA", Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).context("sign the authority's certificate")?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key), now })
    }

    /// Takes the one in `folder`.
    pub(super) fn open(folder: &Path, now: UnixMicros) -> Result<Self> {
        let read = |name| {
            let file = folder.join(name);
            std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
        };
        let (certificate, key) = (read(CA)?, read(CA_KEY)?);
        let key = KeyPair::from_pem(&key).with_context(|| format!("understand {CA_KEY}"))?;
        let issuer =
            Issuer::from_ca_cert_pem(&certificate, key).with_context(|| format!("understand {CA}"))?;
        Ok(Self { certificate, issuer, now: date(now)? })
    }

    /// Its own files.
    pub(super) fn files(&self) -> Vec<File> {
        vec![
            File::public(CA, self.certificate.clone()),
            File::private(CA_KEY, self.issuer.key().serialize_pem()),
        ]
    }

    /// The files that make a daemon a hub node.
    pub(super) fn hub(&self, name: &str) -> Result<Vec<File>> {
        let dns_names = hub_dns_names(name).context("name the hub node")?;
        // Sites call it, and it calls other hub nodes.
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.leaf("hub", name, dns_names.to_vec(), usages)
    }

    /// The files that make a daemon a site.
    pub(super) fn site(&self, id: &SiteId) -> Result<Vec<File>> {
        self.leaf("site", id.as_str(), vec![site_dns_name(id)], vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    fn leaf(
        &self,
        kind: &str,
        name: &str,
        dns_names: Vec<String>,
        usages: Vec<ExtendedKeyUsagePurpose>,
    ) -> Result<Vec<File>> {
        let key = KeyPair::generate().with_context(|| format!("make a key for {kind} {name}"))?;
        let mut params = params(self.now, LEAF_DAYS, name, dns_names)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("sign the certificate of {kind} {name}"))?;
        Ok(vec![
            File::public(CA, self.certificate.clone()),
            File::public(format!("{kind}.pem"), certificate.pem()),
            File::private(format!("{kind}-key.pem"), key.serialize_pem()),
        ])
    }
}

fn params(now: OffsetDateTime, days: i64, name: &str, dns_names: Vec<String>) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(dns_names).context("put names into a certificate")?;
    // From yesterday: a site's clock may be behind.
    params.not_before = now - Duration::DAY;
    params.not_after = now + Duration::days(days);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn date(now: UnixMicros) -> Result<OffsetDateTime> {
    let nanos = i128::from(now.0) * 1000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).context("read the clock: it is out of range")
}
