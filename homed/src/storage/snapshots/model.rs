//! The plan on a model of the subvolumes, cut at every step, with the home closed and opened in between or not.

use super::name::{Name, Origin};
use super::plan::{Other, Place, Standing, Step, in_order, put_back};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq)]
struct Subvolume {
    name: String,
    uuid: Uuid,
    writable: bool,
    /// What its files say.
    content: String,
    /// What its record says.
    record: u32,
}

/// The disk; steps go on until `left` are done.
#[derive(Debug, Clone)]
struct Disk {
    home: Subvolume,
    shown: Uuid,
    others: Vec<Subvolume>,
    next: u128,
    left: usize,
}

struct Cut;

/// Goes on with every step.
fn on() -> Result<(), Cut> {
    Ok(())
}

impl Disk {
    fn new() -> Self {
        let home = Subvolume {
            name: "alice".into(),
            uuid: Uuid::from_u128(1),
            writable: true,
            content: "first".into(),
            record: 1,
        };
        Self { shown: home.uuid, home, others: Vec::new(), next: 2, left: usize::MAX }
    }

    fn fresh(&mut self) -> Uuid {
        self.next += 1;
        Uuid::from_u128(self.next)
    }

    fn find(&mut self, name: &str) -> &mut Subvolume {
        self.others.iter_mut().find(|other| other.name == name).expect("it is there")
    }

    fn write(&mut self, content: &str) {
        let shown = self.shown;
        let is_it = |one: &&mut Subvolume| one.uuid == shown;
        let open = std::iter::once(&mut self.home).chain(&mut self.others).find(is_it).expect("open");
        assert!(open.writable, "what is open can be written to");
        open.content = content.to_owned();
    }

    fn reopen(&mut self) {
        self.shown = self.home.uuid;
    }

    /// Everything that anybody has ever written and that is still there.
    fn contents(&self) -> Vec<&str> {
        std::iter::once(&self.home).chain(&self.others).map(|one| one.content.as_str()).collect()
    }
}

impl Place for Disk {
    type Error = Cut;

    fn look(&mut self) -> Result<Standing, Cut> {
        let other =
            |one: &Subvolume| Other { name: one.name.clone(), uuid: one.uuid, writable: one.writable };
        Ok(Standing {
            home: self.home.uuid,
            shown: self.shown,
            others: self.others.iter().map(other).collect(),
        })
    }

    fn perform(&mut self, step: &Step) -> Result<(), Cut> {
        self.left = self.left.checked_sub(1).ok_or(Cut)?;
        match step {
            Step::Keep(name) => {
                let uuid = self.fresh();
                let kept = Subvolume { name: name.to_string(), uuid, writable: false, ..self.home.clone() };
                self.others.push(kept);
            }
            Step::Copy(name, working) => {
                let uuid = self.fresh();
                let source = self.find(&name.to_string()).clone();
                self.others.push(Subvolume { name: working.to_string(), uuid, writable: true, ..source });
            }
            Step::WriteRecord(working) => {
                let record = self.home.record;
                let copy = self.find(&working.to_string());
                assert!(copy.writable);
                copy.record = record;
            }
            Step::Exchange(working) => {
                let copy = self.find(&working.to_string()).clone();
                let home = std::mem::replace(&mut self.home, Subvolume { name: "alice".into(), ..copy });
                *self.find(&working.to_string()) = Subvolume { name: working.to_string(), ..home };
            }
            Step::Rename(working, name) => {
                assert!(
                    self.others.iter().all(|other| other.name != name.to_string()),
                    "a name is given once"
                );
                self.find(&working.to_string()).name = name.to_string();
            }
            Step::Seal(name) => {
                let shown = self.shown;
                let sealed = self.find(name);
                assert_ne!(sealed.uuid, shown, "what is open stays writable");
                sealed.writable = false;
            }
            Step::Delete(name) => {
                let shown = self.shown;
                assert_ne!(self.find(name).uuid, shown, "what is open is not deleted");
                self.others.retain(|other| other.name != *name);
            }
        }
        Ok(())
    }
}

fn kept(disk: &mut Disk, at: u64) -> Name {
    let name = Name { at, origin: Origin::Made, label: String::new() };
    assert!(disk.perform(&Step::Keep(name.clone())).is_ok());
    name
}

/// A home with a snapshot of its first state, which has another record by now.
fn scene() -> (Disk, Name) {
    let mut disk = Disk::new();
    let name = kept(&mut disk, 100);
    disk.write("second");
    disk.home.record = 2;
    (disk, name)
}

#[test]
fn a_restore_that_is_cut_anywhere_is_finished_or_taken_back_and_loses_nothing() {
    for is_reopened in [false, true] {
        for cut in 0..=5 {
            let (mut disk, name) = scene();
            disk.left = cut;
            let done = put_back(&mut disk, (&name, 200), &mut on).is_ok();
            disk.left = usize::MAX;
            if is_reopened {
                disk.reopen();
            }
            let Ok(standing) = in_order(&mut disk, &mut on) else { panic!("it can be put in order") };
            let case = format!("cut after {cut}, reopened: {is_reopened}: {disk:?}");
            assert!(disk.contents().contains(&"second") && disk.contents().contains(&"first"), "{case}");
            assert!(!disk.others.iter().any(|other| other.name.starts_with('.')), "{case}");
            assert_eq!(disk.home.record, 2, "{case}");
            let is_restored = disk.home.content == "first";
            assert_eq!(disk.others.len(), if is_restored { 2 } else { 1 }, "{case}");
            assert!(!done || is_restored, "{case}");
            assert_eq!(standing.waits_for_reopening(), is_restored && !is_reopened, "{case}");
            // Who works on with what was open finds it again.
            disk.write("third");
            disk.reopen();
            assert!(in_order(&mut disk, &mut on).is_ok());
            assert!(disk.contents().contains(&"third"), "{case}");
            assert!(disk.others.iter().all(|other| !other.writable), "{case}");
        }
    }
}

#[test]
fn the_same_snapshot_twice_and_what_was_before_it_are_restored() {
    let (mut disk, name) = scene();
    for (round, at) in (0..4).zip([200, 200, 201, 200]) {
        assert!(put_back(&mut disk, (&name, at), &mut on).is_ok());
        disk.reopen();
        assert_eq!(disk.home.content, "first", "{round}");
        disk.write(&format!("again {round}"));
    }
    assert_eq!(disk.others.len(), 5);
    let Ok(standing) = in_order(&mut disk, &mut on) else { panic!("in order") };
    let former = standing.snapshots().into_iter().find(|(name, _)| name.origin == Origin::Former);
    let former = former.expect("the former home").0;
    assert!(put_back(&mut disk, (&former, 300), &mut on).is_ok());
    assert_eq!(disk.home.content, "second");
}

#[test]
fn what_others_have_put_there_is_left_alone() {
    let (mut disk, name) = scene();
    let other = Subvolume { name: "backup of mine".into(), uuid: Uuid::from_u128(99), ..disk.home.clone() };
    disk.others.push(other.clone());
    assert!(put_back(&mut disk, (&name, 200), &mut on).is_ok());
    assert_eq!(disk.find("backup of mine"), &other);
}
