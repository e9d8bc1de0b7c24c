//! The layers of an image that is opened to be written to: [the plan's](crate::storage::luks::plan::open) steps on this
//! machine. Dropped, the image is closed again by the plan that closes homes.

use super::{LuksOpened, NEARLY_FULL, not_mounted, probe};
use crate::job::{Context, Failure, Steps};
use crate::storage::HomeDirectory;
use crate::storage::luks::header::{self, Health};
use crate::storage::luks::perform::open::{Opens, reach};
use crate::storage::luks::perform::pinned;
use crate::storage::luks::plan::open::{Mount, Situation, Step, Way, Wish};
use crate::storage::luks::{file_system, plan, resize, sealed, segment};
use crate::storage::parts::below::Below;
use crate::storage::parts::room::Room;
use crate::storage::parts::tree::{self, Device, Ids, PrivateMount};
use crate::storage::parts::{image, mark};
use crate::sys::cryptsetup::Luks;
use records::opener;
use records::signature::Vouched;

impl Opens for LuksOpened {
    fn stands(&mut self) -> &mut Situation {
        &mut self.stands
    }

    fn perform(&mut self, step: Step, steps: &mut dyn Steps) -> Result<(), Failure> {
        match step {
            Step::LookAgain => mark::refuse_another(&self.image, self.place.mark(), &self.spec.machine),
            Step::Mark => self.mark(),
            Step::ReadBack => mark::refuse_overwritten(&self.image, self.place.mark(), &self.mark),
            Step::Level => self.level(steps),
            Step::Attach => self.attach(),
            Step::Decrypt => self.decrypt(steps),
            Step::TakeOver => self.take_over(),
            Step::Check => self.check(steps),
            Step::Mount => self.mount(steps),
            Step::GoOn => self.go_on(steps),
            Step::Show => self.show(),
            Step::KeepKey => {
                resize::key::keep(&self.spec, &self.volume_key, steps);
                Ok(())
            }
        }
    }

    fn not_vouched(&self) -> Failure {
        file_system::not_vouched(&self.spec)
    }
}

/// Keeps warnings for whoever asks for more than the header.
struct Silent<'a>(&'a mut Vec<String>);

impl Steps for Silent<'_> {
    fn enter(&mut self, _step: crate::job::Step) -> Result<(), Failure> {
        Ok(())
    }

    fn warn(&mut self, text: String) {
        self.0.push(text);
    }
}

impl LuksOpened {
    /// The header on disk, through the loop device.
    pub fn disk(&mut self) -> Result<&mut Luks, Failure> {
        let has_loop = !super::is_mounted(self.how) && self.stands.way == Way::Write;
        if has_loop && self.disk.is_none() {
            let mut untold = std::mem::take(&mut self.untold);
            let done = reach(self, Wish::Attached, &mut Silent(&mut untold));
            self.untold = untold;
            done?;
        }
        if self.disk.is_none() {
            let luks = Luks::of_active(&self.spec.mapper_name());
            self.disk = Some(luks.during("opening the header of the active home")?);
        }
        self.disk.as_mut().ok_or_else(|| Failure::fault("the header was not opened"))
    }

    fn mark(&mut self) -> Result<(), Failure> {
        self.place.look_again(&self.image);
        // Also where that fails: it may have written one of two.
        self.was_dirty = Some(image::is_dirty(&self.image));
        self.mark = mark::set(&self.image, self.place.mark(), &self.spec.machine)?;
        if self.place.mark() == mark::Spot::None {
            self.untold.push(opener::NO_ROOM.into());
        }
        Ok(())
    }

    fn level(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        self.level_image(plan::mend::Wish::Opened, steps)?;
        if self.header.first_copy == Health::Damaged {
            steps.warn(
                "The first copy of the encryption header was damaged; it was written anew from the second."
                    .into(),
            );
        }
        Ok(())
    }

    fn attach(&mut self) -> Result<(), Failure> {
        let window = self.header.window(&self.place);
        let device = Below::of(&self.image, &self.spec.image, window)?;
        self.disk = Some(Luks::load(device.path()).during("reading the encryption header")?);
        self.device = Some(device);
        Ok(())
    }

    fn decrypt(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        let how = segment::writing(&self.spec);
        let name = self.spec.mapper_name();
        let (Some(luks), Some(device)) = (&mut self.disk, &self.device) else {
            return Err(Failure::fault("the image was not attached"));
        };
        self.mapped = Some(segment::open(luks, device, &name, &self.volume_key, how, steps)?);
        Ok(())
    }

    fn take_over(&mut self) -> Result<(), Failure> {
        let Some(device) = &self.taken_over else { return Err(Failure::fault("there is no device")) };
        self.mapped = Some(pinned::take_over(device, &self.volume_key)?);
        Ok(())
    }

    fn check(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        self.repair_cut_table(steps)?;
        let Some(mapped) = &self.mapped else { return Err(Failure::fault("the device was not opened")) };
        let found = probe(mapped, &self.spec)?;
        if self.stands.way == Way::Write {
            file_system::check(&found, mapped.path())?;
        }
        self.found = Some(found);
        Ok(())
    }

    fn mount(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        let (Some(mapped), Some(found)) = (&self.mapped, &self.found) else {
            return Err(Failure::fault("the device was not opened"));
        };
        let Some(vouched) = self.vouched else { return Err(self.not_vouched()) };
        let device = Device { kind: found.kind, path: mapped.path() };
        let way = file_system::way(found.kind, &self.spec, vouched);
        let mount = PrivateMount::new(device, &way, vouched).or_else(|failure| {
            // Where the disk outside has no block left, nothing is damaged, and there is still something to read.
            let full = Room::of(&self.image).is_ok_and(|room| room.missing() > 0 && room.free < NEARLY_FULL);
            let read_only = file_system::read_only(found.kind, &self.spec, vouched);
            let mount = full.then(|| PrivateMount::new(device, &read_only, vouched).ok()).flatten();
            let Some(mount) = mount else { return not_mounted(device, &self.spec, vouched, failure) };
            let why = failure.text();
            steps.warn(format!("The disk is full, and the home can only be read ({why}): free some space."));
            Ok(mount)
        })?;
        self.mount = Some(mount);
        Ok(())
    }

    fn go_on(&mut self, steps: &mut dyn Steps) -> Result<(), Failure> {
        if self.stands.way == Way::TakeOver {
            sealed::go_on(&self.spec, steps)?;
        }
        let Some(mount) = &self.mount else { return Err(Failure::fault("the home was not mounted")) };
        let home = match mount.open(&self.spec.name) {
            Ok(fd) => HomeDirectory::new(fd)?,
            Err(error) => {
                let why = format!("there is no {:?} inside ({error})", self.spec.name);
                return header::damaged(&self.spec, &why);
            }
        };
        self.settle_size(home.reopen()?, steps);
        self.directory = Some(home);
        Ok(())
    }

    fn show(&mut self) -> Result<(), Failure> {
        let (Some(home), Some(uid)) = (self.directory.take(), self.shown_as) else {
            return Err(Failure::fault("the home was not mounted"));
        };
        let Some(mount) = self.mount.take() else { return Err(Failure::fault("the home is shown already")) };
        tree::make_target(&self.spec.home_directory)?;
        let ids = Ids { stored: home.owner(), exposed: uid };
        let directory = home.reopen()?;
        drop(home);
        mount.expose(directory, ids, &self.spec.home_directory)
    }

    /// Has the file system repaired by its own program, and closes the image. It may not be whole then: its next use checks it.
    pub fn repair_file_system(mut self, vouched: Vouched, steps: &mut dyn Steps) -> Result<(), Failure> {
        reach(&mut self, Wish::Decrypted, steps)?;
        let Some(mapped) = &self.mapped else { return Err(Failure::fault("the device was not opened")) };
        let found = probe(mapped, &self.spec)?;
        steps.enter(crate::job::Step::RepairFileSystem)?;
        file_system::repair(found.kind, mapped.path(), vouched)?;
        self.let_go();
        self.was_dirty = None;
        sealed::let_go(&self.spec, &self.image, false, steps)
    }

    /// Lets go of all layers; the kernel takes them down, from the top.
    pub(super) fn let_go(&mut self) {
        self.directory = None;
        (self.mount, self.mapped, self.disk, self.device) = (None, None, None, None);
        self.stands = Situation::begin(self.stands.way, self.stands.vouched);
    }
}

impl Drop for LuksOpened {
    fn drop(&mut self) {
        if self.stands.mount == Mount::Shown {
            return;
        }
        self.let_go();
        if let Some(was_dirty) = self.was_dirty {
            sealed::take_back(&self.spec, &self.image, !was_dirty);
        }
    }
}
