//! Every state times every verb.

use super::*;

fn all_situations() -> impl Iterator<Item = Situation> {
    let doings = std::iter::once(None).chain(Work::ALL.map(Some));
    doings.flat_map(|doing| {
        Resting::ALL.into_iter().flat_map(move |resting| {
            [Lingering::No, Lingering::Yes].into_iter().flat_map(move |lingering| {
                [Held::No, Held::Yes].into_iter().flat_map(move |held| {
                    [Favour::Owner, Favour::Stranger].into_iter().map(move |favour| Situation {
                        state: State { resting, doing, lingering },
                        held,
                        favour,
                        waits: Waits::No,
                    })
                })
            })
        })
    })
}

#[test]
fn two_jobs_never_run_at_once() {
    for situation in all_situations().filter(|s| s.state.doing.is_some()) {
        for verb in Verb::ALL {
            let answer = verdict(situation, verb);
            assert!(!matches!(answer, Verdict::Start(_)), "{situation:?} {verb:?}");
        }
    }
}

#[test]
fn nothing_waits_for_a_home_at_rest() {
    for situation in all_situations().filter(|s| s.state.doing.is_none()) {
        for verb in Verb::ALL {
            assert_ne!(verdict(situation, verb), Verdict::Queue, "{situation:?} {verb:?}");
        }
    }
}

/// What the walk over disk and kernel (`storage/luks/model/joint.rs`) takes for granted.
#[test]
fn nothing_is_written_to_a_locked_home_before_it_is_unlocked_or_given_up() {
    let locked = |s: &Situation| s.state.resting == Resting::Locked && s.state.doing.is_none();
    for situation in all_situations().filter(locked) {
        for verb in Verb::ALL {
            let Verdict::Start(work) = verdict(situation, verb) else { continue };
            let may = matches!(work, Work::Unlocking(_) | Work::GivingUp | Work::Settling | Work::Checking);
            assert!(may, "{situation:?} {verb:?} {work:?}");
        }
    }
}

#[test]
fn a_mounted_home_is_never_removed_nor_mounted_twice() {
    for situation in all_situations() {
        let mounted = matches!(situation.state.resting, Resting::Active | Resting::Locked);
        for verb in Verb::ALL {
            let work = match verdict(situation, verb) {
                Verdict::Start(work) => work,
                Verdict::AtOnce if matches!(verb, Verb::Remove | Verb::Unregister) => Work::Removing,
                _ => continue,
            };
            let needs_unmounted =
                matches!(work, Work::Removing | Work::Creating | Work::Activating(_) | Work::Fixating(_));
            assert!(!(mounted && needs_unmounted), "{situation:?} {verb:?} {work:?}");
        }
    }
}

#[test]
fn nobody_who_wants_the_home_waits_for_a_change_of_size_or_for_snapshots() {
    let is_way_free = |work: Work| matches!(work, Work::Resizing | Work::Snapshotting);
    for situation in all_situations().filter(|s| s.state.doing.is_some_and(is_way_free)) {
        for verb in [Verb::Acquire, Verb::Activate, Verb::LockAll, Verb::DeactivateAll, Verb::GiveUp] {
            assert_eq!(verdict(situation, verb), Verdict::Yield, "{situation:?} {verb:?}");
        }
    }
    let stays = |work: Work| !is_way_free(work) && !work.gives_way();
    for situation in all_situations().filter(|s| s.state.doing.is_none_or(stays)) {
        assert!(Verb::ALL.iter().all(|verb| verdict(situation, *verb) != Verdict::Yield));
    }
}

#[test]
fn nobody_waits_for_or_is_refused_because_of_housekeeping() {
    let tending =
        |s: &Situation| s.state.doing.is_some_and(Work::gives_way) && s.state.resting == Resting::Active;
    for situation in all_situations().filter(tending) {
        let at_rest = Situation { state: State { doing: None, ..situation.state }, ..situation };
        for verb in Verb::ALL.into_iter().filter(|verb| *verb != Verb::Tend) {
            let leaves = matches!(verb, Verb::Release | Verb::HolderGone)
                && situation.state.doing == Some(Work::Tending(Care::Left));
            let expected = match verdict(at_rest, verb) {
                Verdict::Start(_) if leaves => Verdict::Queue,
                Verdict::Start(_) => Verdict::Yield,
                other => other,
            };
            assert_eq!(verdict(situation, verb), expected, "{situation:?} {verb:?}");
        }
    }
}

#[test]
fn the_last_holder_does_not_pull_the_home_from_under_another() {
    for situation in all_situations().filter(|s| s.held == Held::Yes) {
        for verb in [Verb::HolderGone, Verb::Release] {
            let answer = verdict(situation, verb);
            assert!(!matches!(answer, Verdict::Start(_)), "{situation:?} {verb:?}");
        }
    }
}

#[test]
fn the_owner_waits_for_a_stranger_and_is_not_refused() {
    for situation in all_situations().filter(|s| s.state.doing.is_some_and(|work| !work.gives_way())) {
        let situation = Situation { favour: Favour::Stranger, held: Held::Yes, ..situation };
        for verb in Verb::ALL {
            assert!(!matches!(verdict(situation, verb), Verdict::Refuse(_)), "{situation:?} {verb:?}");
        }
    }
}

/// One line per verb; columns: unfixated absent inactive dirty active lingering locked open.
const AT_REST: &str = "
    Activate             fixate   Absent    mount    mount    AlreadyActive auth     Locked  mount
    ActivateIfReferenced fixate   Absent    mount    mount    AlreadyActive auth     Locked  mount
    Fixate               fixate-  AlreadyFixated AlreadyFixated AlreadyFixated AlreadyFixated AlreadyFixated AlreadyFixated  AlreadyFixated
    Authenticate         auth      Absent   auth     auth     auth     auth     Locked  auth
    Acquire              fixate+  Absent    mount+   mount+   auth+    auth+    unlock+  mount+
    Ref                  NotActive Absent   NotActive NotActive now    now      Locked  NotActive
    RefUnrestricted      now      now       now      now      now      now      now  now
    Release              so       so        so       so       unmount  unmount  giveup  unmount
    HolderGone           so       so        so       so       unmount  unmount  giveup  unmount
    Deactivate           NotActive NotActive NotActive NotActive unmount unmount Locked  unmount
    DeactivateAll        so       so        so       so       unmount  unmount  giveup  unmount
    StorageGone          so       so        so       so       unmount  unmount  giveup  unmount
    Create               create   create    create   create   Exists   Exists   Exists  create
    ChangePassword       Unfixated Absent   passwd   passwd   passwd   passwd   Locked  passwd
    Update               Unfixated Absent   update   update   update   update   Locked  update
    UpdateOffline        Unfixated update   update   update   update   update   Locked  update
    Check                check    check     check    check    check    check    check  check
    Repair               repair   Absent    repair   repair   Busy     Busy     Locked  repair
    Rescue               rescue   Absent    rescue   rescue   AlreadyActive AlreadyActive Locked  rescue
    Resize               Unfixated Absent   resize   resize   resize   resize   Locked  resize
    Fit                  so       so        so       so       resize   resize   so  so
    Remove               remove   remove    remove   remove   Busy     Busy     Locked  remove
    Unregister           Unfixated now      now      now      Busy     Busy     Locked  now
    Lock                 NotActive NotActive NotActive NotActive lock   lock   Locked  lock
    LockAll              so       so        so       so       lock     lock     so  lock
    Unlock               NotLocked NotLocked NotLocked NotLocked NotLocked NotLocked unlock  NotLocked
    Settle               settle   settle    settle   settle   settle   settle   settle  settle
    GiveUp               so       so        so       so       so       so       giveup  so
    Snapshot             NotActive Absent   NotActive NotActive snap  snap    Locked NotActive
    Tend                 so       so        so       so       tend     tend     so  so
    Later(Realize)       Exists   NotSupported Exists Exists  Busy     Busy     Busy  Exists";

#[test]
fn the_table_says_what_the_interface_promises() {
    let mut rows = AT_REST.lines().filter(|line| !line.trim().is_empty());
    for verb in Verb::ALL {
        let row = rows.next().expect("one row per verb");
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells[0], format!("{verb:?}"));
        let held = if verb == Verb::ActivateIfReferenced { Held::Yes } else { Held::No };
        for (column, expected) in columns().into_iter().zip(&cells[1..]) {
            let situation = Situation { state: column, held, favour: Favour::Owner, waits: Waits::No };
            assert_eq!(&short(verdict(situation, verb)), expected, "{verb:?} {column:?}");
        }
        assert_eq!(cells.len(), 9, "{row}");
    }
}

fn columns() -> [State; 8] {
    let state = |resting, lingering| State { resting, doing: None, lingering };
    [
        state(Resting::Unfixated, Lingering::No),
        state(Resting::Absent, Lingering::No),
        state(Resting::Inactive, Lingering::No),
        state(Resting::Dirty, Lingering::No),
        state(Resting::Active, Lingering::No),
        state(Resting::Active, Lingering::Yes),
        state(Resting::Locked, Lingering::No),
        state(Resting::Open, Lingering::No),
    ]
}

fn short(verdict: Verdict) -> String {
    match verdict {
        Verdict::AtOnce => "now".into(),
        Verdict::AlreadySo => "so".into(),
        Verdict::Queue => "queue".into(),
        Verdict::Yield => "yield".into(),
        Verdict::Refuse(refusal) => format!("{refusal:?}").trim_start_matches("Home").to_owned(),
        Verdict::Start(work) => match work {
            Work::Fixating(Purpose::Record) => "fixate-",
            Work::Fixating(Purpose::Itself) => "fixate",
            Work::Fixating(Purpose::Reference) => "fixate+",
            Work::Activating(Purpose::Itself | Purpose::Record) => "mount",
            Work::Activating(Purpose::Reference) => "mount+",
            Work::Authenticating(Purpose::Itself | Purpose::Record) => "auth",
            Work::Authenticating(Purpose::Reference) => "auth+",
            Work::Deactivating => "unmount",
            Work::Creating => "create",
            Work::Removing => "remove",
            Work::ChangingPassword => "passwd",
            Work::Updating => "update",
            Work::Checking => "check",
            Work::Repairing => "repair",
            Work::Rescuing => "rescue",
            Work::Resizing => "resize",
            Work::Locking => "lock",
            Work::Unlocking(Purpose::Itself | Purpose::Record) => "unlock",
            Work::Unlocking(Purpose::Reference) => "unlock+",
            Work::Settling => "settle",
            Work::GivingUp => "giveup",
            Work::Snapshotting => "snap",
            Work::Tending(_) => "tend",
        }
        .into(),
    }
}

/// A wait for a touch keeps nobody from what would be done at once if nobody waited, but for what anybody can begin. It is
/// no reason to do what would be refused, and nothing starts beside it.
#[test]
fn whoever_waits_for_a_person_makes_way() {
    for situation in all_situations() {
        let waits = Situation { waits: Waits::ForPerson, ..situation };
        let at_rest = Situation { state: State { doing: None, ..situation.state }, ..situation };
        let is_asking =
            |work| matches!(work, Work::Activating(_) | Work::Authenticating(_) | Work::Unlocking(_));
        for verb in Verb::ALL.into_iter().filter(|_| situation.state.doing.is_some_and(is_asking)) {
            let (answer, free) = (verdict(waits, verb), verdict(at_rest, verb));
            match verb {
                Verb::Lock | Verb::LockAll => assert_eq!(answer, Verdict::Yield, "{waits:?} {verb:?}"),
                Verb::Acquire | Verb::Authenticate | Verb::Release | Verb::HolderGone | Verb::Check => {
                    assert_eq!(answer, verdict(situation, verb), "{waits:?} {verb:?}");
                }
                Verb::Unlock | Verb::Deactivate | Verb::Activate | Verb::Update | Verb::Remove => {
                    let makes_way = matches!(free, Verdict::Start(_));
                    assert_eq!(answer == Verdict::Yield, makes_way, "{waits:?} {verb:?}");
                    assert!(makes_way || answer == free, "{waits:?} {verb:?}");
                }
                _ => assert!(!matches!(answer, Verdict::Start(_)), "{waits:?} {verb:?}"),
            }
        }
    }
}

#[test]
fn each_way_of_taking_a_record_over_has_the_originals_word() {
    let name = |purpose| {
        let doing = Some(Work::Fixating(purpose));
        State { resting: Resting::Unfixated, doing, lingering: Lingering::No }.name()
    };
    assert_eq!(
        [Purpose::Record, Purpose::Itself, Purpose::Reference].map(name),
        ["fixating", "fixating-for-activation", "fixating-for-acquire"]
    );
}
