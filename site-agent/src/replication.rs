//! What of a site's recordings crosses to the hub, when and how fast: as configured, and changed while the agent runs; and
//! whose turn it is, as the forecast says.
//!
//! Whoever acts on it asks for what holds [now](Replication::now). A stream that is not configured any more keeps the
//! policy that it had: what was never to leave the site does not leave it because its camera was taken out. That is
//! noted beside the archive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use tokio::sync::watch;
use wire::{LedgerId, Policies, Policy, Replicate, Seq, StreamId, UnixMicros};

use crate::config::{ClassLimit, SiteConfig, Window};
use crate::private_file;

/// What streams that were configured once are to do.
const FILE: &str = "replicate";

/// What holds.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which streams' bytes cross, and whose go first.
    pub policies: Policies,
    /// What classes of traffic may take; of a class the first that fits the hour counts.
    pub limits: Vec<ClassLimit>,
    /// When bytes of scheduled streams go.
    pub windows: Vec<Window>,
    /// Whose hours they speak of.
    pub zone: TimeZone,
}

impl Rules {
    fn new(config: &SiteConfig, policies: Policies) -> Self {
        let (limits, windows) = (config.uplink.limits.clone(), config.uplink.windows.clone());
        Self { policies, limits, windows, zone: config.site.time_zone.clone() }
    }

    /// The time of the day at the site.
    pub fn local(&self, at: UnixMicros) -> Time {
        Timestamp::from_microsecond(at.0).unwrap_or_default().to_zoned(self.zone.clone()).time()
    }

    /// May bytes of scheduled streams go at this time of the day?
    pub fn is_open(&self, local: Time) -> bool {
        self.windows.iter().any(|window| within((window.from, window.to), local))
    }
}

/// Is it between these two times, maybe past midnight?
pub fn within((from, to): (Time, Time), local: Time) -> bool {
    if from <= to { from <= local && local < to } else { from <= local || local < to }
}

/// What holds, for whoever acts on it.
#[derive(Debug)]
pub struct Replication {
    file: Option<PathBuf>,
    rules: watch::Sender<Arc<Rules>>,
    turns: watch::Sender<Arc<Turns>>,
}

/// Segments of the backlog that go next, the first first.
pub type Turns = Vec<(LedgerId, Seq)>;

impl Replication {
    /// As configured, and as noted beside the archive of streams that are configured no more.
    pub fn open(config: &SiteConfig, archive: &Path) -> io::Result<Self> {
        let opened = Self { file: Some(archive.join(FILE)), ..Self::fixed(config) };
        opened.replace(config)?;
        Ok(opened)
    }

    /// As configured; what is noted can't be read, so that of other streams nothing goes unasked.
    pub fn careful(config: &SiteConfig, others: impl IntoIterator<Item = StreamId>) -> Self {
        let mut policies = config.policies();
        for stream in others.into_iter().filter(|stream| !is_configured(config, stream)) {
            policies.set(stream, Policy { replicate: Replicate::OnDemand, ..Policy::default() });
        }
        Self::of(Rules::new(config, policies))
    }

    /// As configured, and nothing noted.
    pub fn fixed(config: &SiteConfig) -> Self {
        Self::of(Rules::new(config, config.policies()))
    }

    fn of(rules: Rules) -> Self {
        Self { file: None, rules: watch::Sender::new(Arc::new(rules)), turns: watch::Sender::default() }
    }

    /// Whose turn it is from now on.
    pub fn give_turns(&self, turns: Turns) {
        self.turns.send_replace(Arc::new(turns));
    }

    /// Whose turn it is, and to be told when that changes.
    pub fn turns(&self) -> watch::Receiver<Arc<Turns>> {
        self.turns.subscribe()
    }

    /// Everything crosses, at any time and as fast as it can.
    pub fn unlimited() -> Self {
        let (policies, zone) = (Policies::default(), TimeZone::UTC);
        Self::of(Rules { policies, limits: Vec::new(), windows: Vec::new(), zone })
    }

    /// What holds now.
    pub fn now(&self) -> Arc<Rules> {
        self.rules.borrow().clone()
    }

    /// To be told when that changes.
    pub fn changes(&self) -> watch::Receiver<Arc<Rules>> {
        self.rules.subscribe()
    }

    /// Another configuration holds from now on. What it says of policies is durable when this returns.
    pub fn replace(&self, config: &SiteConfig) -> io::Result<()> {
        let noted = self.noted()?;
        let mut policies = config.policies();
        for (stream, replicate) in noted.iter().filter(|(stream, _)| !is_configured(config, stream)) {
            policies.set(stream.clone(), Policy { replicate: *replicate, ..Policy::default() });
        }
        self.note(&noted, &policies)?;
        self.rules.send_replace(Arc::new(Rules::new(config, policies)));
        Ok(())
    }

    fn noted(&self) -> io::Result<BTreeMap<StreamId, Replicate>> {
        let Some(file) = &self.file else { return Ok(BTreeMap::new()) };
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            text => text?,
        };
        let line = |line: &str| {
            let (stream, word) = line.split_once(' ')?;
            Some((stream.parse().ok()?, Replicate::of_word(word)?))
        };
        // Guessing would let go what was to stay.
        let bad = |text: &str| io::Error::other(format!("{}: `{text}` makes no sense", file.display()));
        text.lines().map(|text| line(text).ok_or_else(|| bad(text))).collect()
    }

    fn note(&self, noted: &BTreeMap<StreamId, Replicate>, policies: &Policies) -> io::Result<()> {
        let Some((dir, name)) =
            self.file.as_deref().and_then(|file| Some((file.parent()?, file.file_name()?)))
        else {
            return Ok(());
        };
        let told = policies.iter().map(|(stream, policy)| (stream.clone(), policy.replicate));
        let told: BTreeMap<_, _> = told.filter(|(_, replicate)| *replicate != Replicate::Live).collect();
        if told == *noted {
            return Ok(());
        }
        let line = |(stream, replicate): (&StreamId, &Replicate)| format!("{stream} {}\n", replicate.word());
        let text: String = told.iter().map(line).collect();
        private_file::replace(dir, &name.to_string_lossy(), text.as_bytes())
    }
}

fn is_configured(config: &SiteConfig, stream: &StreamId) -> bool {
    config.cameras.iter().flat_map(|camera| &camera.streams).any(|known| known.id == *stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_site_with;

    fn config(dir: &Path, cameras: &[(&str, &str)]) -> SiteConfig {
        let file = dir.join("site.toml");
        let mut text =
            "[site]\nid = \"shop-1\"\n[[uplink.window]]\nfrom = \"22:00\"\nto = \"06:00\"\n".to_owned();
        for (camera, word) in cameras {
            text += &format!(
                "[[camera]]\nid = \"{camera}\"\n[[camera.stream]]\nname = \"main\"\nurl = \"rtsp://10.0.0.5/{camera}\"\n\
                 replicate = \"{word}\"\n"
            );
        }
        fs::write(&file, text).unwrap();
        load_site_with(&file, std::iter::empty()).unwrap().0
    }

    #[test]
    fn a_camera_that_is_taken_out_keeps_its_policy_and_one_that_comes_back_has_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let of = |cameras: &[(&str, &str)]| {
            let now = Replication::open(&config(dir.path(), cameras), dir.path()).unwrap().now();
            ["a", "b", "c"].map(|camera| now.policies.replicate(&format!("{camera}/main").parse().unwrap()))
        };
        use Replicate::{Live, Never, OnDemand, Scheduled};
        assert_eq!(of(&[("a", "never"), ("b", "live"), ("c", "on_demand")]), [Never, Live, OnDemand]);
        assert_eq!(of(&[("b", "live")]), [Never, Live, OnDemand]);
        assert_eq!(of(&[("a", "live"), ("b", "scheduled")]), [Live, Scheduled, OnDemand]);
        assert_eq!(of(&[]), [Live, Scheduled, OnDemand]);
    }

    #[test]
    fn what_makes_no_sense_lets_nothing_go() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "a/main perhaps\n").unwrap();
        let config = config(dir.path(), &[("b", "live")]);
        assert!(Replication::open(&config, dir.path()).is_err());
        let streams = ["a/main", "b/main"].map(|stream| stream.parse::<StreamId>().unwrap());
        let now = Replication::careful(&config, streams.clone()).now();
        let of = streams.map(|stream| now.policies.replicate(&stream));
        assert_eq!(of, [Replicate::OnDemand, Replicate::Live]);
    }

    #[test]
    fn a_change_is_told_and_one_without_consequence_leaves_the_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let replication = Replication::open(&config(dir.path(), &[("a", "never")]), dir.path()).unwrap();
        let mut changes = replication.changes();
        let written = fs::metadata(dir.path().join(FILE)).unwrap().modified().unwrap();
        assert!(!changes.has_changed().unwrap());
        replication.replace(&config(dir.path(), &[("a", "never"), ("b", "live")])).unwrap();
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().modified().unwrap(), written);
        replication.replace(&config(dir.path(), &[("a", "on_demand")])).unwrap();
        assert_eq!(replication.now().policies.replicate(&"a/main".parse().unwrap()), Replicate::OnDemand);
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), "a/main on_demand\n");
    }

    #[test]
    fn windows_are_hours_at_the_site() {
        let dir = tempfile::tempdir().unwrap();
        let mut rules = (*Replication::fixed(&config(dir.path(), &[])).now()).clone();
        let at = |hour, minute| Time::constant(hour, minute, 0, 0);
        rules.windows =
            vec![Window { from: at(22, 0), to: at(6, 0) }, Window { from: at(12, 0), to: at(13, 0) }];
        let open = [(21, 59), (22, 0), (0, 0), (5, 59), (6, 0), (12, 30), (13, 0)];
        let open = open.map(|(hour, minute)| rules.is_open(at(hour, minute)));
        assert_eq!(open, [false, true, true, true, false, true, false]);
        rules.zone = TimeZone::get("Asia/Tokyo").unwrap();
        // 2026-01-01T00:30Z
        assert_eq!(rules.local(UnixMicros(1_767_227_400_000_000)), at(9, 30));
    }
}
