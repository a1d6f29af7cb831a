//! Reports, kept beside the vault: a folder for each drill, in it a report and a picture for each site.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use site_agent::private_file;
use wire::SiteId;
use wire::id::check_slug;

use super::report::Report;
use super::svg;

/// Where reports are.
#[derive(Clone, Debug)]
pub struct Store {
    dir: Arc<PathBuf>,
}

impl Store {
    /// In this folder, which need not exist yet.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir: Arc::new(dir) }
    }

    /// Keeps a report and its picture; each is there whole or not at all, the report last.
    pub fn keep(&self, report: &Report) -> io::Result<()> {
        let folder = self.dir.join(&report.id);
        fs::create_dir_all(&folder)?;
        private_file::replace(&folder, &format!("{}.svg", report.site), svg::draw(report).as_bytes())?;
        let text = serde_json::to_vec_pretty(report)?;
        private_file::replace(&folder, &format!("{}.json", report.site), &text)
    }

    /// The reports of a drill, site by site.
    pub fn reports(&self, id: &str) -> Vec<Report> {
        let Some(folder) = self.folder(id) else { return Vec::new() };
        let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
        let reports = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let read = reports.filter_map(|path| {
            let report = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Report>(&text).ok());
            if report.is_none() {
                tracing::warn!(path = %path.display(), "this report of a drill can't be read");
            }
            report
        });
        let by_site: BTreeMap<_, _> = read.map(|report| (report.site.clone(), report)).collect();
        by_site.into_values().collect()
    }

    /// One site's.
    pub fn report(&self, id: &str, site: &SiteId) -> Option<Report> {
        let text = fs::read(self.folder(id)?.join(format!("{site}.json"))).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The picture of one site's drill.
    pub fn picture(&self, id: &str, site: &str) -> Option<Vec<u8>> {
        check_slug(site).ok()?;
        fs::read(self.folder(id)?.join(format!("{site}.svg"))).ok()
    }

    /// Every drill that is kept, the latest first.
    pub fn ids(&self) -> Vec<String> {
        let folders = fs::read_dir(&*self.dir).into_iter().flatten().flatten();
        let mut ids: Vec<String> = folders.filter_map(|file| file.file_name().into_string().ok()).collect();
        ids.retain(|id| check_slug(id).is_ok());
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids
    }

    /// Names from outside are names, and no paths.
    fn folder(&self, id: &str) -> Option<PathBuf> {
        check_slug(id).ok().map(|()| self.dir.join(id))
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::good;
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("drills"));
        assert!(store.ids().is_empty() && store.reports("drill-1").is_empty());
        let report = good();
        let report_site = report.site.clone();
        store.keep(&report).unwrap();
        store.keep(&report).unwrap();
        assert_eq!((store.ids(), store.reports("drill-1")), (vec!["drill-1".to_owned()], vec![report]));
        assert_eq!(store.report("drill-1", &report_site), store.reports("drill-1").pop());
        assert_eq!(store.report("drill-2", &report_site), None);
        assert!(store.picture("drill-1", "shop-1").is_some_and(|svg| svg.starts_with(b"<svg")));
        for (id, site) in [("drill-1", "../shop-1"), ("../drills/drill-1", "shop-1"), ("drill-1", "shop-2")] {
            assert!(store.picture(id, site).is_none());
        }
        // One that was torn by hand is passed over.
        fs::write(dir.path().join("drills/drill-1/shop-2.json"), "{").unwrap();
        assert_eq!(store.reports("drill-1").len(), 1);
    }
}
