//! What is done with a home: by this program, by the daemon that starts, by systemd-homed.

use super::disk::{Folder, Home, Kept, World};
use super::words::{Cut, Ended, How, Rules, Verb};
use crate::job::Failure;
use crate::worker::life::plan::{self, Is, Life, Made, Situation, Step, Wish};

/// One run.
pub struct Run<'a> {
    pub world: &'a mut World,
    rules: Rules,
    cut: Option<Cut>,
    at: u32,
    /// The run is over, whatever is still called.
    dead: bool,
    /// The home that this run makes.
    home: Home,
    made_storage: bool,
    wrote_record: bool,
    takes_pictures: bool,
    removes: bool,
    flushed: bool,
}

/// Does a verb. How many operations there were comes with what became of it.
pub fn run(world: &mut World, verb: Verb, rules: Rules, cut: Option<Cut>) -> (Ended, u32) {
    world.count += 1;
    let home = world.count;
    let mut run = Run {
        world,
        rules,
        cut,
        at: 0,
        dead: false,
        home,
        made_storage: false,
        wrote_record: false,
        takes_pictures: false,
        removes: false,
        flushed: false,
    };
    let ended = run.verb(verb);
    let (at, dead) = (run.at, run.dead);
    if dead && cut.is_some_and(|(_, how)| how == How::Power) {
        world.power_cut();
    }
    (if dead { Ended::Cut } else { ended }, at)
}

fn failed<T>() -> Result<T, Failure> {
    Err(Failure::Fault(String::new()))
}

impl Run<'_> {
    /// One operation: where a cut can be.
    fn tick(&mut self) -> Result<bool, Failure> {
        if self.dead {
            return failed();
        }
        let here = self.cut.filter(|(at, _)| *at == self.at).map(|(_, how)| how);
        self.at += 1;
        match here {
            None => Ok(true),
            Some(How::Late) => Ok(false),
            Some(How::Fail) => failed(),
            Some(How::Kill | How::Power) => {
                self.dead = true;
                failed()
            }
        }
    }

    /// A change: it is seen at once, and on disk with the flush.
    fn change(&mut self, act: impl Fn(&mut World), flush: impl Fn(&mut World)) -> Result<(), Failure> {
        self.tick()?;
        act(self.world);
        let is_told = self.tick();
        if self.rules.flushes && is_told.is_ok() {
            flush(self.world);
        }
        if is_told? { Ok(()) } else { failed() }
    }

    fn verb(&mut self, verb: Verb) -> Ended {
        let (known, storage) = (self.world.is_known(), self.world.storage.get());
        let done = match verb {
            // Whoever knows of a home makes no other; what lies there is named by the worker.
            Verb::Create if known || storage.is_some() => return Ended::Refused,
            Verb::Create => self.create(),
            Verb::Login if !known || storage.is_none() => return Ended::Refused,
            Verb::Login => self.login(),
            Verb::Remove if !known => return Ended::Refused,
            Verb::Remove => self.remove(),
            Verb::Repair if !known || storage.is_none() => return Ended::Refused,
            Verb::Repair => self.repair(),
            Verb::Copy if !known || storage.is_none() => return Ended::Refused,
            Verb::Copy => self.copy(),
            Verb::Pictures if self.world.record.get().is_none() || storage.is_none() => {
                return Ended::Refused;
            }
            Verb::Pictures => self.other_pictures(),
            Verb::Start => self.start(),
            Verb::TheirRemove if self.world.record.get().is_none() => return Ended::Refused,
            Verb::TheirRemove => self.their_remove(),
        };
        if done.is_ok() { Ended::Done } else { Ended::Failed }
    }

    /// As `worker/create.rs`.
    fn create(&mut self) -> Result<(), Failure> {
        let home = self.home;
        self.change(|world| world.waiting.set(Some(home)), |world| world.flush_pictures())?;
        self.takes_pictures = true;
        let planner = self.rules.planner;
        let made = plan::make(self, planner);
        // What was taken on and is not in place goes with the process that ends by itself.
        if !self.dead && self.world.waiting.get() == Some(home) {
            self.world.waiting.set(None);
            self.world.flush_pictures();
        }
        match made {
            Made::Whole | Made::WithoutPictures(_) => Ok(()),
            Made::TakenBack(failure) | Made::Left(failure, _) => Err(failure),
        }
    }

    /// As `worker/activate.rs`: the host's record of a home that it did not know, the pictures, the mount point.
    fn login(&mut self) -> Result<(), Failure> {
        let home = self.world.storage.get();
        // The mark that it is open is flushed, and with it the name of the image.
        self.tick()?;
        self.world.flush_storage();
        if self.world.record.get() == home {
            self.tick()?;
            if self.rules.flushes_what_is_there {
                self.world.flush_state();
                self.world.flush_pictures();
            }
        } else {
            self.change(|world| world.record.set(home), |world| world.flush_state())?;
        }
        if self.world.pictures.get() != home {
            // Not worth a refused login.
            let _ = self.change(|world| world.pictures.set(home), |world| world.flush_pictures());
        }
        self.change(|world| world.mount_point.set(true), |_| {})
    }

    fn remove(&mut self) -> Result<(), Failure> {
        self.world.promised = None;
        if self.world.storage.get().is_none() && !self.rules.absent_is_removed {
            self.change(|world| world.record.set(None), |world| world.flush_state())?;
            return self.change(|world| world.pictures.set(None), |world| world.flush_pictures());
        }
        self.removes = true;
        let planner = self.rules.planner;
        plan::reach(self, planner, Wish::Gone).map_err(|stopped| stopped.failure)?;
        self.world.others_removed = false;
        Ok(())
    }

    fn repair(&mut self) -> Result<(), Failure> {
        self.tick()?;
        self.world.flush_storage();
        if !self.rules.named_when_whole {
            self.change(|world| world.kept.set(Kept::Half), |world| world.flush_state())?;
            return self.change(|world| world.kept.set(Kept::Whole), |world| world.flush_state());
        }
        let begun = self.change(|world| world.unnamed.set(true), |world| world.flush_state());
        let named = begun.and_then(|()| {
            let name = |world: &mut World| {
                world.kept.set(Kept::Whole);
                world.unnamed.set(false);
            };
            self.change(name, |world| world.flush_state())
        });
        if named.is_err() && !self.dead {
            self.world.unnamed.set(false);
            self.world.flush_state();
        }
        named
    }

    /// As `storage/luks/opened/smaller.rs`: it has a name of its own before it takes the other's.
    fn copy(&mut self) -> Result<(), Failure> {
        self.world.unfinished.set(false);
        self.change(|world| world.unfinished.set(true), |_| {})?;
        let done = self.change(|world| world.unfinished.set(false), |world| world.flush_storage());
        if done.is_err() && !self.dead {
            self.world.unfinished.set(false);
            self.world.flush_storage();
        }
        done
    }

    /// As `worker/update.rs`.
    fn other_pictures(&mut self) -> Result<(), Failure> {
        let home = self.world.storage.get();
        self.change(|world| world.waiting.set(home), |world| world.flush_pictures())?;
        let swap = |world: &mut World| {
            world.pictures.set(home);
            world.waiting.set(None);
        };
        self.tick()?;
        self.world.flush_state();
        let done = self.change(swap, |world| world.flush_pictures());
        if done.is_err() && !self.dead {
            self.world.waiting.set(None);
            self.world.flush_pictures();
        }
        done
    }

    /// What a daemon takes away before anything else begins.
    fn start(&mut self) -> Result<(), Failure> {
        if !self.rules.sweeps {
            return Ok(());
        }
        let world = &mut *self.world;
        world.waiting.set(None);
        world.unnamed.set(false);
        if world.folder == Folder::HomeRoot {
            world.unfinished.set(false);
        }
        world.flush_state();
        world.flush_pictures();
        world.unfinished.flush();
        Ok(())
    }

    /// The image, the mount point, pictures, the record; nothing is flushed.
    fn their_remove(&mut self) -> Result<(), Failure> {
        (self.world.promised, self.world.others_removed) = (None, true);
        self.change(|world| world.storage.set(None), |_| {})?;
        self.change(|world| world.mount_point.set(false), |_| {})?;
        self.change(|world| world.pictures.set(None), |_| {})?;
        self.change(|world| world.record.set(None), |_| {})
    }

    fn make_storage(&mut self) -> Result<(), Failure> {
        // It is collected where another is begun.
        self.world.unfinished.set(false);
        if !self.world.nameless {
            self.change(|world| world.unfinished.set(true), |world| world.flush_storage())?;
        }
        let home = self.home;
        let name = |world: &mut World| {
            world.storage.set(Some(home));
            world.unfinished.set(false);
        };
        let named = self.change(name, |world| world.flush_storage());
        if named.is_err() && !self.dead {
            // `NewImage` takes both back.
            self.world.storage.set(None);
            self.world.unfinished.set(false);
            self.world.flush_storage();
        }
        named.map(|()| self.made_storage = true)
    }

    fn remove_storage(&mut self) -> Result<(), Failure> {
        if self.rules.unfinished_goes && self.world.unfinished.get() {
            self.change(|world| world.unfinished.set(false), |world| world.flush_storage())?;
        }
        if self.world.storage.get().is_some() {
            self.change(|world| world.storage.set(None), |world| world.flush_storage())?;
        } else if self.rules.flushes_what_is_there {
            self.tick()?;
            self.world.flush_storage();
        }
        (self.made_storage, self.removes) = (false, false);
        Ok(())
    }
}

impl Life for Run<'_> {
    fn look(&mut self) -> Result<Situation, Failure> {
        if self.dead {
            return failed();
        }
        let world = &*self.world;
        let record = world.record.get().is_some() && (!self.takes_pictures || self.wrote_record);
        Ok(Situation {
            storage: Is::from(self.made_storage || self.removes),
            record: Is::from(record),
            pictures: Is::from(world.pictures.get().is_some()),
            waiting: Is::from(self.takes_pictures && world.waiting.get().is_some()),
            kept: Is::from(world.kept.get() != Kept::None),
            mount_point: Is::from(world.mount_point.get()),
            flushed: Is::from(self.flushed),
        })
    }

    fn perform(&mut self, step: Step) -> Result<(), Failure> {
        let home = self.home;
        match step {
            Step::MakeStorage => self.make_storage(),
            Step::WriteRecord => {
                self.wrote_record = true;
                self.change(|world| world.record.set(Some(home)), |world| world.flush_state())
            }
            Step::PutPictures => {
                let put = |world: &mut World| {
                    world.pictures.set(Some(home));
                    world.waiting.set(None);
                };
                self.change(put, |world| world.flush_pictures())
            }
            Step::RemoveStorage => self.remove_storage(),
            Step::RemoveMountPoint => {
                self.change(|world| world.mount_point.set(false), |world| world.mount_point.flush())
            }
            Step::RemovePictures => {
                self.change(|world| world.pictures.set(None), |world| world.flush_pictures())
            }
            Step::RemoveKept => self.change(|world| world.kept.set(Kept::None), |world| world.flush_state()),
            Step::Flush => {
                self.tick()?;
                self.flushed = true;
                if self.rules.flushes_what_is_there {
                    self.world.flush_state();
                    self.world.flush_pictures();
                    self.world.mount_point.flush();
                }
                Ok(())
            }
            Step::RemoveRecord => self.change(|world| world.record.set(None), |world| world.flush_state()),
        }
    }
}
