//! The report of one site's drill: what was measured, and whether all was as it should be. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use decide::CameraId;
use decide::control::{Drill, DrillKind};
use serde::{Deserialize, Serialize};
use wire::{SiteId, StreamId, UnixMicros};

use super::course::{Course, Verdict};
use super::measure::{Compared, Recorded, Span, longest_hole};

/// A dead recorder is taken over within this, counted from its last beat (docs/design/quorum.md, goal 3).
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(10);
/// A way that is cut for less is not taken for cut by everybody: nothing may follow from it at all.
const NOTICED_AFTER: Duration = Duration::from_secs(25);
/// A drill whose time is over so much too soon was cut short.
const CUT_SHORT: Duration = Duration::from_secs(1);
/// Segments of one recorder may begin so much later than the one before ended: the time of a frame or two.
const SEAM: Duration = Duration::from_millis(500);

/// How a drill of one site went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Names what was rehearsed together.
    pub id: String,
    /// Which site.
    pub site: SiteId,
    /// Of which node's vault this is told.
    pub node: String,
    /// What failed.
    pub kind: DrillKind,
    /// Was it only made as if?
    pub shadow: bool,
    /// Who wanted it.
    pub by: String,
    /// For how long it was wanted.
    pub length_s: u64,
    /// Was all as it should be?
    pub ok: bool,
    /// What was not, for people.
    pub problems: Vec<String>,
    /// The instants.
    pub course: Course,
    /// From the last beat until every voter was asked.
    pub detect_ms: Option<u64>,
    /// From then until it was decided.
    pub decide_ms: Option<u64>,
    /// From then until the first durable frame of the slowest camera.
    pub record_ms: Option<u64>,
    /// From the end of the drill's time until authority was back.
    pub failback_ms: Option<u64>,
    /// The longest gap of a camera.
    pub gap_ms: Option<u64>,
    /// Frames that the standby missed or altered, while both recorded.
    pub frames_lost: u64,
    /// Frames that were compared.
    pub frames_compared: u64,
    /// Camera by camera.
    pub cameras: Vec<CameraReport>,
}

/// How one camera fared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CameraReport {
    /// Which stream of which camera.
    pub stream: StreamId,
    /// The standby's first frame that became durable.
    pub first_frame_us: Option<UnixMicros>,
    /// From the verdict until then.
    pub record_ms: Option<u64>,
    /// How long nobody recorded it; in a shadow drill, how long nobody would have.
    pub gap_ms: Option<u64>,
    /// From when to when that was.
    pub gap: Option<Span>,
    /// How the standby's frames compare with the site's.
    pub frames: Compared,
    /// Who recorded it when.
    pub recorded: Recorded,
}

/// What a report is made of.
pub struct Facts<'a> {
    /// Which site.
    pub site: &'a SiteId,
    /// Of which node's vault this is told.
    pub node: &'a str,
    /// What was wanted.
    pub drill: &'a Drill,
    /// What happened.
    pub course: Course,
    /// The cameras that the site had then.
    pub cameras: Vec<CameraId>,
    /// Who recorded each stream when.
    pub recorded: BTreeMap<StreamId, Recorded>,
    /// What was compared.
    pub compared: BTreeMap<StreamId, Compared>,
}

impl Report {
    /// Draws it up.
    pub fn new(facts: Facts<'_>) -> Self {
        let Facts { site, node, drill, course, cameras, recorded, compared } = facts;
        let order = &drill.order;
        let took_over = course.verdict == Some(Verdict::RecorderLost);
        let cameras: Vec<CameraReport> = cameras
            .iter()
            .filter_map(|camera| stream_of(camera, &recorded))
            .map(|stream| camera_report(stream, &course, order.shadow, &recorded, &compared))
            .collect();
        let between = |from: Option<UnixMicros>, to: Option<UnixMicros>| Some(ms(to?.since(from?)));
        let verdict_us = course.verdict_us.filter(|_| took_over);
        let mut report = Self {
            id: order.id.clone(),
            site: site.clone(),
            node: node.to_owned(),
            kind: order.kind,
            shadow: order.shadow,
            by: order.by.clone(),
            length_s: order.length.as_secs(),
            ok: false,
            problems: Vec::new(),
            detect_ms: between(course.last_beat_us, course.suspect_us),
            decide_ms: between(course.suspect_us, course.verdict_us),
            record_ms: verdict_us.and_then(|_| cameras.iter().filter_map(|camera| camera.record_ms).max()),
            failback_ms: between(course.over_us, course.home_us),
            gap_ms: cameras.iter().filter_map(|camera| camera.gap_ms).max(),
            frames_lost: cameras.iter().map(|camera| camera.frames.lost + camera.frames.altered).sum(),
            frames_compared: cameras.iter().map(|camera| camera.frames.compared).sum(),
            cameras,
            course,
        };
        report.problems = report.find_problems();
        report.ok = report.problems.is_empty();
        report
    }

    /// The time the picture shows: up to the end, because what was recorded later may not be here yet.
    pub fn span(&self) -> Span {
        let begun = self.course.begun_us;
        (begun - Duration::from_secs(5), self.course.ended_us.unwrap_or(begun) + Duration::from_millis(200))
    }

    fn find_problems(&self) -> Vec<String> {
        let mut problems = match self.kind {
            DrillKind::Recorder => self.not_taken_over(),
            DrillKind::Wan | DrillKind::Site => self.not_left_alone(),
        };
        if let Some(why) = &self.course.interrupted {
            problems.insert(0, format!("interrupted: {why}"));
        }
        if let Some(over) = self.course.over_us.filter(|_| self.course.interrupted.is_none())
            && over.since(self.course.begun_us) + CUT_SHORT < Duration::from_secs(self.length_s)
        {
            let why = "it was over before its time: somebody stopped it, or no camera answered the standby";
            problems.push(why.to_owned());
        }
        if self.cameras.is_empty() {
            problems.push("nothing was recorded of any camera".to_owned());
        }
        if self.course.home_us.is_none() && self.course.verdict.is_some_and(|found| found != Verdict::Frozen)
        {
            problems.push("the site did not come home".to_owned());
        }
        problems
    }

    /// What should have happened when a recorder died.
    fn not_taken_over(&self) -> Vec<String> {
        let course = &self.course;
        let mut problems = Vec::new();
        if course.suspect_us.is_none() {
            return vec!["the recorder was never missed: is its agent of an older version?".to_owned()];
        }
        if course.verdict != Some(Verdict::RecorderLost) {
            return vec!["no standby took over".to_owned()];
        }
        let took = course.last_beat_us.zip(course.verdict_us).map(|(from, to)| to.since(from));
        if let Some(took) = took.filter(|took| *took > TAKEN_OVER_WITHIN) {
            problems.push(format!("it took {:.1} s until a standby had authority", took.as_secs_f64()));
        }
        if course.host.as_ref().is_some_and(|host| host.as_str() != self.node) {
            let host = course.host.as_ref().map(ToString::to_string).unwrap_or_default();
            let node = &self.node;
            problems.push(format!("{host} recorded, in a vault of its own: {node} can't compare the frames"));
            return problems;
        }
        for camera in &self.cameras {
            let stream = &camera.stream;
            if camera.first_frame_us.is_none() {
                problems.push(format!("{stream} was not recorded by the standby"));
            } else if camera.frames.compared == 0 {
                problems.push(format!("{stream}: no frame could be compared"));
            }
            if camera.frames.lost + camera.frames.altered > 0 {
                let Compared { lost, altered, .. } = camera.frames;
                problems.push(format!("{stream}: the standby missed {lost} frames and altered {altered}"));
            }
        }
        problems
    }

    /// What should have happened when only the way to a site, or everything there, was lost: nothing.
    fn not_left_alone(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.course.moves > 0 {
            problems.push("a standby took over, though no camera could be reached".to_owned());
        }
        let noticed = self.course.verdict.is_some();
        if !noticed && Duration::from_secs(self.length_s) >= NOTICED_AFTER {
            problems.push("nobody noticed that the site was gone".to_owned());
        }
        let recorded_on = self.kind == DrillKind::Wan || self.shadow;
        for camera in self.cameras.iter().filter(|_| recorded_on) {
            if let Some((from, to)) = camera.gap {
                let gap = to.since(from).as_secs_f64();
                problems.push(format!("{}: its site did not record it for {gap:.1} s", camera.stream));
            }
        }
        problems
    }
}

/// The stream of a camera that the standby recorded; if none, the site's first.
fn stream_of<'a>(camera: &CameraId, recorded: &'a BTreeMap<StreamId, Recorded>) -> Option<&'a StreamId> {
    let of = || recorded.iter().filter(|(stream, _)| stream.camera() == camera.local());
    let by_standby = of().find(|(_, recorded)| !recorded.standby.is_empty());
    by_standby.or_else(|| of().find(|(_, recorded)| !recorded.site.is_empty())).map(|(stream, _)| stream)
}

fn camera_report(
    stream: &StreamId,
    course: &Course,
    shadow: bool,
    recorded: &BTreeMap<StreamId, Recorded>,
    compared: &BTreeMap<StreamId, Compared>,
) -> CameraReport {
    let recorded = recorded.get(stream).cloned().unwrap_or_default();
    let silent = course.last_beat_us.unwrap_or(course.begun_us);
    let first = recorded.standby.iter().find(|span| span.1 > silent).map(|span| span.0.max(silent));
    let ended = course.ended_us.unwrap_or(UnixMicros::MAX);
    let gap = match first.filter(|_| shadow) {
        // It would have been dead from its last beat on.
        Some(first) => Some((silent, first)),
        None => {
            longest_hole([recorded.site.clone(), recorded.standby.clone()].concat(), (course.begun_us, ended))
        }
    };
    let gap = gap.filter(|(from, to)| shadow && first.is_some() || to.since(*from) > SEAM);
    CameraReport {
        stream: stream.clone(),
        first_frame_us: first,
        record_ms: first.zip(course.verdict_us).map(|(first, verdict)| ms(first.since(verdict))),
        gap_ms: first.map(|_| gap.map_or(0, |(from, to)| ms(to.since(from)))),
        gap,
        frames: compared.get(stream).copied().unwrap_or_default(),
        recorded,
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use decide::HostId;
    use decide::control::DrillOrder;

    use super::*;

    fn at(second: f64) -> UnixMicros {
        UnixMicros(1_750_000_000_000_000 + (second * 1e6) as i64)
    }

    fn stream(camera: &str) -> StreamId {
        StreamId::new(camera, "main").unwrap()
    }

    /// A recorder that was taken over as it should.
    fn course() -> Course {
        Course {
            begun_us: at(0.0),
            last_beat_us: Some(at(0.0)),
            suspect_us: Some(at(2.0)),
            verdict_us: Some(at(2.2)),
            verdict: Some(Verdict::RecorderLost),
            host: Some(HostId::new("hub-1").unwrap()),
            over_us: Some(at(30.0)),
            heard_us: Some(at(30.5)),
            failback_us: Some(at(31.0)),
            home_us: Some(at(33.0)),
            ended_us: Some(at(34.0)),
            moves: 1,
            interrupted: None,
        }
    }

    /// Of two cameras; the first is `till-1`.
    fn drawn_up(
        (kind, shadow): (DrillKind, bool),
        course: Course,
        recorded: Recorded,
        compared: Compared,
    ) -> Report {
        let order = DrillOrder {
            id: "drill-1".into(),
            kind,
            shadow,
            length: Duration::from_secs(30),
            by: "<ada>".into(),
        };
        let camera = |name: &str| CameraId::new(format!("shop-1/{name}")).unwrap();
        let other = Recorded { site: vec![(at(-60.0), at(40.0))], standby: recorded.standby.clone() };
        Report::new(Facts {
            site: &SiteId::new("shop-1").unwrap(),
            node: "hub-1",
            drill: &Drill { index: 9, order, begun: None, over: true },
            course,
            cameras: vec![camera("till-1"), camera("door-1")],
            recorded: BTreeMap::from([(stream("till-1"), recorded), (stream("door-1"), other)]),
            compared: [stream("till-1"), stream("door-1")].map(|stream| (stream, compared)).into(),
        })
    }

    fn beside() -> Recorded {
        Recorded { site: vec![(at(-60.0), at(40.0))], standby: vec![(at(2.7), at(33.5))] }
    }

    const FRAMES: Compared = Compared { compared: 750, lost: 0, altered: 0 };

    pub(in crate::drills) fn good() -> Report {
        drawn_up((DrillKind::Recorder, true), course(), beside(), FRAMES)
    }

    #[test]
    fn a_good_shadow_drill_tells_what_would_have_been() {
        let report = good();
        assert!(report.ok, "{:?}", report.problems);
        let figures =
            (report.detect_ms, report.decide_ms, report.record_ms, report.gap_ms, report.failback_ms);
        assert_eq!(figures, (Some(2_000), Some(200), Some(500), Some(2_700), Some(3_000)));
        assert_eq!((report.frames_compared, report.frames_lost), (1_500, 0));
    }

    #[test]
    fn for_real_the_gap_is_what_nobody_recorded() {
        let recorded = Recorded {
            site: vec![(at(-60.0), at(0.3)), (at(30.2), at(40.0))],
            standby: vec![(at(2.7), at(33.5))],
        };
        let report = drawn_up((DrillKind::Recorder, false), course(), recorded, FRAMES);
        assert!(report.ok, "{:?}", report.problems);
        assert_eq!(report.cameras[0].gap_ms, Some(2_400));
        assert_eq!(report.cameras[1].gap_ms, Some(0), "this one was recorded all the time");
    }

    #[test]
    fn every_reason_against_is_told() {
        let shadow = (DrillKind::Recorder, true);
        let problem = |course: Course, recorded: Recorded, compared: Compared, says: &str| {
            let report = drawn_up(shadow, course, recorded, compared);
            assert!(
                !report.ok && report.problems.iter().any(|problem| problem.contains(says)),
                "{report:#?}"
            );
        };
        problem(Course { suspect_us: None, ..course() }, beside(), FRAMES, "never missed");
        problem(
            Course { verdict: Some(Verdict::Dark), ..course() },
            beside(),
            FRAMES,
            "no standby took over",
        );
        problem(Course { verdict_us: Some(at(10.1)), ..course() }, beside(), FRAMES, "it took 10.1 s");
        let other = HostId::new("hub-2").ok();
        problem(
            Course { host: other, ..course() },
            beside(),
            FRAMES,
            "hub-2 recorded, in a vault of its own",
        );
        problem(Course { home_us: None, ..course() }, beside(), FRAMES, "did not come home");
        problem(course(), beside(), Compared { lost: 2, ..FRAMES }, "missed 2 frames and altered 0");
        problem(course(), beside(), Compared { altered: 1, ..FRAMES }, "missed 0 frames and altered 1");
        problem(course(), beside(), Compared::default(), "no frame could be compared");
        problem(Course { over_us: Some(at(9.0)), ..course() }, beside(), FRAMES, "before its time");
        let interrupted = Course { interrupted: Some("another leader".to_owned()), ..course() };
        problem(interrupted, beside(), FRAMES, "interrupted: another leader");
        let alone = Recorded { standby: Vec::new(), ..beside() };
        problem(course(), alone, FRAMES, "till-1/main was not recorded by the standby");
    }

    #[test]
    fn a_cut_way_is_good_if_nobody_takes_over_and_the_site_records_on() {
        let wan = (DrillKind::Wan, false);
        let dark = Course { verdict: Some(Verdict::Dark), moves: 0, ..course() };
        let alone = Recorded { site: vec![(at(-60.0), at(40.0))], standby: Vec::new() };
        let report = drawn_up(wan, dark.clone(), alone.clone(), Compared::default());
        assert!(report.ok, "{:?}", report.problems);
        assert_eq!((report.gap_ms, report.record_ms), (None, None));
        let taken = drawn_up(wan, Course { moves: 1, ..dark.clone() }, alone.clone(), Compared::default());
        assert!(taken.problems[0].contains("a standby took over"), "{:?}", taken.problems);
        let missed = Course { verdict: None, verdict_us: None, ..dark.clone() };
        let missed = drawn_up(wan, missed, alone, Compared::default());
        assert!(missed.problems[0].contains("nobody noticed"), "{:?}", missed.problems);
        let torn = Recorded { site: vec![(at(-60.0), at(5.0)), (at(9.0), at(40.0))], standby: Vec::new() };
        let report = drawn_up(wan, dark, torn, Compared::default());
        assert_eq!(report.problems, ["till-1/main: its site did not record it for 4.0 s"]);
    }
}
