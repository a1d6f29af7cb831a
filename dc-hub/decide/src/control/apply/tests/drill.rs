//! Drills begin where all is well, one at a time, and end in two steps.

use super::*;
use crate::control::{DRILL_MAX, DrillKind, DrillOrder, DrillsAllowed, Plan, Refusal, SiteSpec, Tier};
use crate::fixtures::{secs, site_spec};
use crate::ids::NodeId;
use crate::standby::Stage;
use wire::UnixMicros;

fn order(kind: DrillKind, shadow: bool) -> DrillOrder {
    DrillOrder { id: "drill-1".into(), kind, shadow, length: secs(30), by: "ada".into() }
}

fn drill(kind: DrillKind, shadow: bool) -> Command {
    Command::Drill { site: site(1), order: order(kind, shadow) }
}

fn over(drill: u64, by: Option<&str>) -> Command {
    Command::DrillOver { site: site(1), drill, by: by.map(str::to_owned) }
}

fn drilled(drill: u64, good: bool, by: Option<u64>) -> Command {
    Command::Drilled { site: site(1), drill, good, node: by.map(NodeId) }
}

fn last(log: &Log) -> &crate::control::LastDrill {
    &log.state.site(&site(1)).unwrap().drilled[&DrillKind::Recorder]
}

fn running(log: &Log) -> u64 {
    log.state.site(&site(1)).unwrap().drill.as_ref().unwrap().index
}

#[test]
fn a_drill_begins_is_over_and_ends() {
    let mut log = Log::fleet(1);
    log.time = UnixMicros(7);
    log.must(drill(DrillKind::Recorder, true));
    let index = running(&log);
    assert_eq!(index, log.index);
    assert_eq!(
        log.apply(Command::EndDrill { site: site(1), drill: index }),
        Err(Refusal::NoDrill(site(1))),
        "its time is not over: the site would be told nothing"
    );
    log.must(over(index, None));
    assert_eq!(log.apply(over(index, None)), Err(Refusal::AlreadySo));
    log.must(Command::EndDrill { site: site(1), drill: index });
    assert_eq!(log.state.site(&site(1)).unwrap().drill, None);
    let measured = |good| drilled(index, good, Some(1));
    log.must(measured(true));
    assert_eq!(log.apply(measured(true)), Err(Refusal::AlreadySo));
    let known = log.state.site(&site(1)).unwrap();
    assert_eq!(known.last_good_drill, Some(UnixMicros(7)));
    assert_eq!(known.drilled[&DrillKind::Recorder].good, Some(true));
    // A later one that is not good takes nothing from that.
    log.time = UnixMicros(8);
    log.must(drill(DrillKind::Recorder, true));
    let later = running(&log);
    log.must(drilled(later, false, Some(1)));
    let known = log.state.site(&site(1)).unwrap();
    assert_eq!(
        (known.last_good_drill, known.drilled[&DrillKind::Recorder].good),
        (Some(UnixMicros(7)), Some(false))
    );
    assert_eq!(log.apply(measured(true)), Err(Refusal::NoDrill(site(1))), "it is not the last one any more");
}

#[test]
fn a_drill_begins_only_where_all_is_well() {
    let refused = |prepare: &dyn Fn(&mut Log), why: Refusal| {
        let mut log = Log::fleet(2);
        prepare(&mut log);
        assert_eq!(log.apply(drill(DrillKind::Recorder, false)), Err(why));
    };
    refused(&|log| _ = suspect(log, 1), Refusal::NotHome { site: site(1), stage: Stage::Suspect });
    refused(&|log| _ = activate(log, 1), Refusal::NotHome { site: site(1), stage: Stage::Recording });
    let maintenance = Plan::Maintenance { until: UnixMicros(9), by: "ada".into() };
    let plan = Command::Declare { site: site(1), plan: Some(maintenance) };
    refused(&|log| drop(log.must(plan.clone())), Refusal::IsPlanned(site(1)));
    refused(&|log| drop(log.must(Command::Place { site: site(1), host: None })), Refusal::NoStandby(site(1)));
    let none = SiteSpec { tier: Tier::None, ..site_spec(1) };
    refused(
        &|log| drop(log.must(Command::SetSite { site: site(1), spec: none.clone() })),
        Refusal::NoStandby(site(1)),
    );
    let freeze = Command::Freeze { sites: [site(1)].into(), of: 2 };
    refused(&|log| drop(log.must(freeze.clone())), Refusal::Frozen(site(1)));
    refused(&|log| drop(log.must(Command::RevokeSite { site: site(1) })), Refusal::SiteRevoked(site(1)));
    refused(
        &|log| drop(log.must(drill(DrillKind::Wan, true))),
        Refusal::DrillRunning { site: site(1), drill: Log::fleet(2).index + 1 },
    );
    let mut log = Log::fleet(1);
    for length in [secs(4), DRILL_MAX + secs(1)] {
        let order = DrillOrder { length, ..order(DrillKind::Wan, true) };
        assert_eq!(log.apply(Command::Drill { site: site(1), order }), Err(Refusal::DrillLength(length)));
    }
}

#[test]
fn a_person_ends_early_only_what_the_site_can_hear_of() {
    for (kind, shadow, hears) in [
        (DrillKind::Recorder, false, true),
        (DrillKind::Wan, true, true),
        (DrillKind::Wan, false, false),
        (DrillKind::Site, false, false),
    ] {
        let mut log = Log::fleet(1);
        log.must(drill(kind, shadow));
        let index = running(&log);
        let came = log.apply(over(index, Some("ada")));
        assert_eq!(came.is_ok(), hears, "{kind:?} {shadow}");
        if !hears {
            assert_eq!(came, Err(Refusal::CantHear(site(1))));
            log.must(over(index, None));
        }
    }
}

#[test]
fn a_drill_that_is_not_meant_is_left_alone_and_a_revoked_site_has_none() {
    let mut log = Log::fleet(2);
    log.must(drill(DrillKind::Recorder, true));
    let index = running(&log);
    assert_eq!(log.apply(over(index + 1, None)), Err(Refusal::NoDrill(site(1))));
    let other = Command::DrillOver { site: site(2), drill: index, by: None };
    assert_eq!(log.apply(other), Err(Refusal::NoDrill(site(2))));
    log.must(Command::RevokeSite { site: site(1) });
    assert_eq!(log.state.site(&site(1)).unwrap().drill, None);
}

#[test]
fn a_drill_through_which_more_than_one_node_led_is_interrupted_and_not_good() {
    let quiet = |log: &mut Log| log.must(over(running(log), None));
    for when in 0..3 {
        let mut log = Log::fleet(1);
        log.must(drill(DrillKind::Recorder, true));
        let index = running(&log);
        log.term += u64::from(when == 0);
        quiet(&mut log);
        log.term += u64::from(when == 1);
        log.must(Command::EndDrill { site: site(1), drill: index });
        log.term += u64::from(when == 2);
        log.must(drilled(index, true, Some(1)));
        let interrupted = when < 2;
        assert_eq!((last(&log).interrupted, last(&log).good), (interrupted, Some(!interrupted)), "{when}");
        let good = log.state.site(&site(1)).unwrap().last_good_drill;
        assert_eq!(good.is_some(), !interrupted, "who led while it was measured changes nothing");
    }
}

#[test]
fn that_nobody_told_of_a_drill_counts_until_somebody_does() {
    let mut log = Log::fleet(1);
    log.must(drill(DrillKind::Recorder, true));
    let index = running(&log);
    log.must(over(index, None));
    log.must(Command::EndDrill { site: site(1), drill: index });
    log.must(drilled(index, false, None));
    assert_eq!((last(&log).good, last(&log).told_by), (Some(false), None));
    assert_eq!(log.apply(drilled(index, false, None)), Err(Refusal::AlreadySo));
    log.must(drilled(index, true, Some(2)));
    assert_eq!((last(&log).good, last(&log).told_by), (Some(true), Some(NodeId(2))));
    assert_eq!(log.apply(drilled(index, false, None)), Err(Refusal::AlreadySo), "it was told of");
    assert_eq!(last(&log).order.as_ref().map(|order| order.id.as_str()), Some("drill-1"));
}

#[test]
fn a_sites_operator_refuses_drills_and_the_others_go_on() {
    let allow = |allowed| Command::AllowDrills { site: site(1), allowed };
    let mut log = Log::fleet(2);
    assert_eq!(log.apply(allow(DrillsAllowed::All)), Err(Refusal::AlreadySo));
    for (allowed, real, shadow) in [(DrillsAllowed::Shadow, false, true), (DrillsAllowed::None, false, false)]
    {
        log.must(allow(allowed));
        for (over_shadow, goes) in [(false, real), (true, shadow)] {
            let came = log.clone().apply(drill(DrillKind::Recorder, over_shadow));
            let refused = Err(Refusal::DrillForbidden { site: site(1), allowed });
            assert_eq!(came.is_ok(), goes);
            assert!(goes || came == refused, "{came:?}");
        }
        let other = Command::Drill { site: site(2), order: order(DrillKind::Recorder, false) };
        log.clone().must(other);
    }
    let why = Refusal::DrillForbidden { site: site(1), allowed: DrillsAllowed::Shadow }.to_string();
    assert!(why.contains("drills for real") && why.contains("standby.drills"), "{why}");
}
