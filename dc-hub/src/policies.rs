//! Which of sites' streams come by themselves, as each site last told: the timeline speaks of it also when the site is
//! out of reach, so it is kept beside the vault. The vault's digest leaves out what is not to come.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

use site_agent::archive::Archive;
use site_agent::private_file;
use wire::{Policies, Policy, Replicate, SiteId, StreamId};

/// All sites'.
pub struct SitePolicies {
    archive: Archive,
    dir: PathBuf,
    sites: Mutex<BTreeMap<SiteId, Policies>>,
}

impl SitePolicies {
    /// Reads what was kept in `dir`, making it if there is none. What can't be read is told anew by its site.
    pub fn open(archive: Archive, dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let mut sites = BTreeMap::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            let Some(site) = path.file_name().and_then(|name| SiteId::new(name.to_str()?).ok()) else {
                continue;
            };
            match read(&path) {
                Ok(policies) => drop(sites.insert(site, policies)),
                Err(error) => tracing::warn!(file = %path.display(), %error, "read what a site replicates"),
            }
        }
        sites.iter().for_each(|(site, policies)| archive.withhold(site, withheld(policies)));
        Ok(Self { archive, dir, sites: Mutex::new(sites) })
    }

    /// A site tells.
    pub fn told(&self, site: &SiteId, policies: Policies) {
        let mut sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        if sites.get(site) == Some(&policies) {
            return;
        }
        let line = |(stream, policy): (&StreamId, Policy)| format!("{stream} {}\n", policy.replicate.word());
        let text: String = policies.iter().map(line).collect();
        // Without the file it is only until the next start that this is known.
        if let Err(error) = private_file::replace(&self.dir, site.as_str(), text.as_bytes()) {
            tracing::error!(%site, %error, "keep what a site replicates");
        }
        self.archive.withhold(site, withheld(&policies));
        sites.insert(site.clone(), policies);
    }

    /// Whether a stream's bytes come by themselves.
    pub fn replicate(&self, site: &SiteId, stream: &StreamId) -> Replicate {
        let sites = self.sites.lock().unwrap_or_else(PoisonError::into_inner);
        sites.get(site).map_or(Replicate::Live, |policies| policies.replicate(stream))
    }

    /// All that a site told.
    pub fn of(&self, site: &SiteId) -> Policies {
        self.sites.lock().unwrap_or_else(PoisonError::into_inner).get(site).cloned().unwrap_or_default()
    }
}

fn withheld(policies: &Policies) -> BTreeSet<StreamId> {
    let stays = policies.iter().filter(|(_, policy)| policy.replicate.withholds());
    stays.map(|(stream, _)| stream.clone()).collect()
}

fn read(file: &Path) -> io::Result<Policies> {
    let line = |line: &str| {
        let (stream, word) = line.split_once(' ')?;
        let replicate = Replicate::of_word(word)?;
        Some((stream.parse().ok()?, Policy { replicate, ..Policy::default() }))
    };
    let text = fs::read_to_string(file)?;
    text.lines().map(|text| line(text).ok_or_else(|| io::Error::other(format!("`{text}`")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_site_told_is_known_after_a_restart_and_until_it_tells_something_else() {
        let dir = tempfile::tempdir().unwrap();
        let (site, stream) = (SiteId::new("shop-1").unwrap(), "till-1/main".parse::<StreamId>().unwrap());
        let archive = Archive::open(&dir.path().join("vault")).unwrap();
        let open = || SitePolicies::open(archive.clone(), dir.path().join("replicate")).unwrap();
        let policies = |replicate| -> Policies {
            [(stream.clone(), Policy { replicate, ..Policy::default() })].into_iter().collect()
        };
        assert_eq!(open().replicate(&site, &stream), Replicate::Live);
        for replicate in [Replicate::Never, Replicate::OnDemand, Replicate::Live] {
            open().told(&site, policies(replicate));
            assert_eq!(open().replicate(&site, &stream), replicate);
            assert_eq!(open().replicate(&SiteId::new("shop-2").unwrap(), &stream), Replicate::Live);
        }
        fs::write(dir.path().join("replicate/shop-1"), "till-1/main perhaps").unwrap();
        assert_eq!(open().replicate(&site, &stream), Replicate::Live, "the site tells again");
    }
}
