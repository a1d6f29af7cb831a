use super::*;
use decide::control::{
    CameraSpec, DrillsAllowed, FailbackPolicy, HoldId, HoldOrder, Membership, Role, Stamp, Tier,
};
use decide::{CameraId, Term};

const NODE: NodeId = NodeId(1);

fn register() -> Register {
    Register::new(Own {
        node: NODE,
        host: HostId::new("hub-1").unwrap(),
        full: true,
        policy: Policy {
            streams_max: 8,
            rate_bps_max: 100_000_000,
            domain: "here".into(),
            uplink_bps: 20_000_000,
            failback: FailbackPolicy::Manual,
        },
    })
}

fn facts(site: &str, revision: u64) -> Facts {
    let spec = CameraSpec { priority: 1, main: BitsPerSecond(4_000_000), sub: None, single_session: false };
    let camera = CameraId::new(format!("{site}/door")).unwrap();
    let site = SiteId::new(site).unwrap();
    Facts {
        site,
        revision,
        tier: Tier::Warm,
        cameras: BTreeMap::from([(camera, spec)]),
        log_ins_since: None,
        neighbours: Default::default(),
        drills: Default::default(),
    }
}

/// Applies what it wants until it wants nothing; tells how many commands that took.
fn settle(register: &mut Register, state: &mut State) -> usize {
    let mut index = state.at().map_or(0, |at| at.index);
    let mut count = 0;
    for round in 1..100 {
        let commands = register.look(Boot(round * 10_000_000), None, state);
        if commands.is_empty() {
            return count;
        }
        for command in commands {
            index += 1;
            count += 1;
            let stamp = Stamp { index, term: Term(1), time: UnixMicros(0) };
            state.apply(stamp, &command).unwrap_or_else(|refusal| panic!("{command:?}: {refusal}"));
        }
    }
    panic!("it never has enough");
}

fn founded() -> State {
    let mut state = State::default();
    let begin =
        [Command::AddNode { node: NODE, role: Role::Full }, Command::Membership(Membership::of([NODE]))];
    for (index, command) in (1..).zip(&begin) {
        state.apply(Stamp { index, term: Term(1), time: UnixMicros(0) }, command).unwrap();
    }
    state
}

#[test]
fn a_site_that_connects_is_known_in_a_few_steps_and_then_no_more_is_said() {
    let (mut register, mut state) = (register(), founded());
    register.heard(facts("shop-1", 3));
    assert_eq!(settle(&mut register, &mut state), 5, "two hosts, the site, its vault, its cameras");
    let site = state.site(&SiteId::new("shop-1").unwrap()).unwrap();
    assert_eq!((site.revision, site.vault, site.cameras.len()), (3, Some(NODE), 1));
    assert_eq!(site.spec.prefer, [HostId::new("hub-1").unwrap()], "its vault's node");
    assert_eq!(settle(&mut register, &mut state), 0);
    register.heard(facts("shop-1", 4));
    assert_eq!(settle(&mut register, &mut state), 1, "a newer configuration");
    register.heard(facts("shop-1", 2));
    assert_eq!(settle(&mut register, &mut state), 0, "an older one");
}

#[test]
fn what_a_site_allows_of_drills_is_known_by_its_newest_word() {
    let (mut register, mut state) = (register(), founded());
    register.heard(Facts { drills: DrillsAllowed::Shadow, ..facts("shop-1", 3) });
    assert_eq!(settle(&mut register, &mut state), 6, "and what of drills it allows");
    let allowed = |state: &State| state.site(&SiteId::new("shop-1").unwrap()).unwrap().drills;
    assert_eq!(allowed(&state), DrillsAllowed::Shadow);
    register.heard(Facts { drills: DrillsAllowed::None, ..facts("shop-1", 2) });
    assert_eq!(settle(&mut register, &mut state), 0, "an older word");
    register.heard(facts("shop-1", 4));
    settle(&mut register, &mut state);
    assert_eq!(allowed(&state), DrillsAllowed::All);
}

#[test]
fn one_step_follows_the_other_at_once_and_none_is_proposed_twice_meanwhile() {
    let (mut register, mut state) = (register(), founded());
    register.heard(facts("shop-1", 1));
    let (mut now, mut index, mut count) = (Boot(1_000_000), 100, 0);
    while state.site(&SiteId::new("shop-1").unwrap()).is_none_or(|site| site.revision == 0) {
        let commands = register.look(now, None, &state);
        assert_eq!(register.look(now + STEP, None, &state), [], "it is under way");
        count += commands.len();
        for command in commands {
            index += 1;
            state.apply(Stamp { index, term: Term(1), time: UnixMicros(0) }, &command).unwrap();
        }
        now = now + 2 * STEP;
        assert!(register.poll_timeout() <= now, "it waits for something else");
        assert!(now < Boot(1_000_000) + AGAIN, "it takes too long");
    }
    assert_eq!(count, 5);
}

#[test]
fn whom_people_prefer_is_kept() {
    let (mut register, mut state) = (register(), founded());
    register.heard(facts("shop-1", 1));
    settle(&mut register, &mut state);
    let site = SiteId::new("shop-1").unwrap();
    let prefer = vec![HostId::new("hub-2").unwrap(), HostId::new("hub-1").unwrap()];
    let spec = SiteSpec { prefer: prefer.clone(), ..state.site(&site).unwrap().spec.clone() };
    let at = Stamp { index: 100, term: Term(1), time: UnixMicros(0) };
    state.apply(at, &Command::SetSite { site: site.clone(), spec }).unwrap();
    assert_eq!(settle(&mut register, &mut state), 0);
    assert_eq!(state.site(&site).unwrap().spec.prefer, prefer);
}

#[test]
fn a_site_with_a_hub_nodes_name_gets_no_standby_and_disturbs_nobody() {
    let (mut register, mut state) = (register(), founded());
    register.heard(facts("hub-1", 1));
    register.heard(facts("shop-1", 1));
    settle(&mut register, &mut state);
    assert!(state.site(&SiteId::new("hub-1").unwrap()).is_none());
    assert!(state.site(&SiteId::new("shop-1").unwrap()).is_some());
}

#[test]
fn a_site_whose_vault_is_elsewhere_is_that_nodes_to_speak_of() {
    let (mut register, mut state) = (register(), founded());
    register.heard(facts("shop-1", 1));
    settle(&mut register, &mut state);
    let other = Own { node: NodeId(2), host: HostId::new("hub-2").unwrap(), ..register.own.clone() };
    let mut other = Register::new(Own { policy: Policy { uplink_bps: 1, ..other.policy.clone() }, ..other });
    other.heard(facts("shop-1", 9));
    let stamp = Stamp { index: 100, term: Term(1), time: UnixMicros(0) };
    state.apply(stamp, &Command::AddNode { node: NodeId(2), role: Role::Full }).unwrap();
    assert_eq!(settle(&mut other, &mut state), 1, "its own host, and nothing of the site");
    assert_eq!(state.site(&SiteId::new("shop-1").unwrap()).unwrap().revision, 1);
}

#[test]
fn the_vault_of_a_node_that_was_taken_out_goes_to_the_one_that_has_the_session() {
    let (mut register, mut state) = (register(), founded());
    register.heard(facts("shop-1", 1));
    settle(&mut register, &mut state);
    let out = [
        Command::AddNode { node: NodeId(2), role: Role::Full },
        Command::Membership(Membership::of([NODE, NodeId(2)])),
        Command::Membership(Membership::of([NodeId(2)])),
    ];
    for (index, command) in (100..).zip(&out) {
        state.apply(Stamp { index, term: Term(1), time: UnixMicros(0) }, command).unwrap();
    }
    let own = Own { node: NodeId(2), host: HostId::new("hub-2").unwrap(), ..register.own.clone() };
    let mut other = Register::new(own);
    other.heard(facts("shop-1", 9));
    settle(&mut other, &mut state);
    let site = state.site(&SiteId::new("shop-1").unwrap()).unwrap();
    assert_eq!((site.vault, site.revision), (Some(NodeId(2)), 9));
}

#[test]
fn before_the_log_knows_the_node_nothing_is_said() {
    let mut register = register();
    register.heard(facts("shop-1", 1));
    assert!(register.look(Boot(1), None, &State::default()).is_empty());
}

fn hold(state: &mut State, until: UnixMicros) -> (SiteId, u64) {
    let site = SiteId::new("shop-1").unwrap();
    let index = state.at().unwrap().index + 1;
    let order = HoldOrder {
        cameras: Default::default(),
        from: UnixMicros(0),
        to: UnixMicros(1),
        until,
        reason: "theft".into(),
        by: "ada".into(),
    };
    let stamp = Stamp { index, term: Term(1), time: UnixMicros(0) };
    state.apply(stamp, &Command::PlaceHold { site: site.clone(), order }).unwrap();
    (site, index)
}

#[test]
fn a_sites_word_is_proposed_at_once_and_only_if_it_confirms_something() {
    let (mut register, mut state) = (register(), founded());
    register.heard(facts("shop-1", 1));
    settle(&mut register, &mut state);
    let before = state.holds_digest(state.site(&SiteId::new("shop-1").unwrap()).unwrap());
    let (site, _) = hold(&mut state, UnixMicros(10));
    let now = Boot(2_000_000_000);
    register.look(now, None, &state);
    register.keeps(site.clone(), before);
    assert_eq!(register.look(now, None, &state), [], "said before it was told");
    let digest = state.holds_digest(state.site(&site).unwrap());
    register.keeps(site.clone(), digest);
    assert_eq!(register.look(now, None, &state), [Command::HoldsKept { site, digest: digest.0 }]);
    assert_eq!(register.look(now, None, &state), [], "once for each word");
}

#[test]
fn a_hold_that_ended_goes_from_the_log_a_day_later_by_a_clock_that_is_believed() {
    let (mut register, mut state) = (register(), founded());
    register.heard(facts("shop-1", 1));
    settle(&mut register, &mut state);
    let (site, index) = hold(&mut state, UnixMicros(10));
    let day_later = UnixMicros(10 + 86_400_000_000);
    let over = Command::HoldOver { site, hold: HoldId(index) };
    for (at, wall, expected) in
        [(3, None, vec![]), (4, Some(UnixMicros(day_later.0 - 1)), vec![]), (5, Some(day_later), vec![over])]
    {
        assert_eq!(register.look(Boot(at * 1_000_000_000), wall, &state), expected, "{wall:?}");
    }
}
