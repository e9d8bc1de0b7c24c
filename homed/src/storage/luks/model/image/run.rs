//! A process that does something with the image. The plans and the loops that run are the real ones.

use super::super::disk::File;
use super::{Copy, HEADER, Image, LARGE, Mark, SMALL, extent, room};
use crate::job::{Failure, Steps};
use crate::storage::There;
use crate::storage::examined::Headers;
use crate::storage::luks::model::verbs::How;
use crate::storage::luks::perform::mend::{Mends, reach};
use crate::storage::luks::plan::mend::{Situation, Step, Table as Found, Used, Which, Wish};
use crate::storage::luks::plan::without::{Mend, has};
use crate::storage::luks::resize::plan::{Facts, Goal, Operation};
use crate::storage::parts::gpt::Copies;
use crate::storage::parts::superblock::Kind;

/// What is done by this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Login,
    Repair,
    /// The same with a key: it goes on as a login does.
    RepairWithKey,
    /// The same, and it is said that another machine has it not open any more.
    RepairClosedThere,
    Grow,
    Shrink,
}

pub const VERBS: [Verb; 6] =
    [Verb::Login, Verb::Repair, Verb::RepairWithKey, Verb::RepairClosedThere, Verb::Grow, Verb::Shrink];

/// One process that does a verb.
pub struct Run {
    pub image: Image,
    cut: Option<(u32, How)>,
    /// Operations so far.
    pub done: u32,
    dead: bool,
    /// It is a repair: what it writes over is kept.
    rebuilds: bool,
    /// What is said of another machine that has marked it.
    there: There,
    /// The file of what was kept has its name.
    kept: File<bool>,
    /// What must never be, and was.
    pub broken: Option<String>,
}

struct Mute;

impl Steps for Mute {
    fn enter(&mut self, _step: crate::job::Step) -> Result<(), Failure> {
        Ok(())
    }

    fn warn(&mut self, _text: String) {}
}

fn failed<T>() -> Result<T, Failure> {
    Err(Failure::Fault(String::new()))
}

impl Run {
    pub fn new(image: Image, cut: Option<(u32, How)>) -> Self {
        Self {
            image,
            cut,
            done: 0,
            dead: false,
            rebuilds: false,
            there: There::Unknown,
            kept: File::new(false),
            broken: None,
        }
    }

    /// Whether it was done.
    pub fn verb(&mut self, verb: Verb) -> bool {
        let ended = match verb {
            Verb::Repair => self.repair(),
            Verb::RepairWithKey => self.repair().and_then(|()| self.repair_with_key()),
            Verb::RepairClosedThere => {
                self.there = There::Closed;
                self.repair().and_then(|()| self.repair_with_key())
            }
            Verb::Login => self.opened(|_| Ok(())),
            Verb::Grow => self.opened(|run| run.resize(LARGE)),
            Verb::Shrink => self.opened(|run| run.resize(SMALL)),
        };
        ended.is_ok()
    }

    fn tick(&mut self) -> Result<(), Failure> {
        let now = self.cut.filter(|(at, _)| *at == self.done).map(|(_, how)| how);
        self.done += 1;
        self.dead |= now.is_some_and(|how| how != How::Fail);
        if self.dead || now.is_some() { failed() } else { Ok(()) }
    }

    /// Changes something, and has it on disk.
    fn write<T: Clone>(&mut self, part: fn(&mut Image) -> &mut File<T>, content: T) -> Result<(), Failure> {
        self.change(part, content)?;
        self.tick()?;
        self.image.flush();
        Ok(())
    }

    fn change<T: Clone>(&mut self, part: fn(&mut Image) -> &mut File<T>, content: T) -> Result<(), Failure> {
        self.tick()?;
        if self.image.used {
            self.broken = Some("it was changed while somebody has it open".into());
        }
        if *self.image.mark.read() == Mark::Elsewhere && self.there == There::Unknown {
            self.broken = Some("it was changed while another machine has it open".into());
        }
        if self.rebuilds && !self.kept.on_disk() {
            self.broken = Some("it was written over, and what was there is not kept".into());
        }
        part(&mut self.image).write(content);
        Ok(())
    }

    /// As `mend.rs`.
    fn repair(&mut self) -> Result<(), Failure> {
        self.rebuilds = true;
        reach(self, Wish::Rebuilt, &mut Mute).map(drop)
    }

    /// As `worker/repair.rs`.
    fn repair_with_key(&mut self) -> Result<(), Failure> {
        if has(Mend::KeptWithKey) {
            reach(self, Wish::Kept, &mut Mute)?;
        }
        self.opened(|_| Ok(()))
    }

    /// As `opened.rs`: marked, level, attached, checked, its file system as large as its device, and closed in the end.
    fn opened(&mut self, act: impl FnOnce(&mut Self) -> Result<(), Failure>) -> Result<(), Failure> {
        if self.image.used || *self.image.mark.read() == Mark::Elsewhere {
            return failed();
        }
        self.write(|image| &mut image.mark, Mark::Here)?;
        let stands = reach(self, Wish::Opened, &mut Mute)?;
        self.heal_header()?;
        if stands.table.is_some_and(|table| table.copies.is_doubtful()) && self.image.fits() {
            reach(self, Wish::OpenedAndFits, &mut Mute)?;
        }
        if !self.image.fits() {
            return failed();
        }
        if *self.image.note.read() && !stands.is_longer() {
            self.fill()?;
        }
        act(self)?;
        self.write(|image| &mut image.mark, Mark::Nobody)
    }

    fn fill(&mut self) -> Result<(), Failure> {
        let room = self.image.find().map_or(0, |(table, _)| room(&table));
        self.file_system(room)?;
        self.write(|image| &mut image.note, false)
    }

    /// As libcryptsetup does whenever it reads one.
    fn heal_header(&mut self) -> Result<(), Failure> {
        let [first, second] = [0, 1].map(|at| *self.image.headers[at].read());
        match first.cmp(&second) {
            std::cmp::Ordering::Less => self.write(|image| &mut image.headers[0], second),
            std::cmp::Ordering::Greater => self.write(|image| &mut image.headers[1], first),
            std::cmp::Ordering::Equal => Ok(()),
        }
    }

    /// As `resize/mod.rs`, with its operations.
    fn resize(&mut self, to: u64) -> Result<(), Failure> {
        let size = *self.image.length.read();
        let Some((table, Copies::Both)) = self.image.find() else { return failed() };
        let (kind, start, room) = (Kind::Btrfs, table.start, u64::MAX);
        let facts = Facts { kind, size, table: Some(table), start, header: HEADER, used: 0, room };
        let goal = match to.cmp(&size) {
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Less => Goal::Shrink(to),
            std::cmp::Ordering::Greater => Goal::Grow(to),
        };
        self.write(|image| &mut image.note, true)?;
        if matches!(goal, Goal::Shrink(_)) {
            self.file_system(facts.data(to))?;
        }
        for operation in facts.operations(goal) {
            match operation {
                Operation::Extend(to) | Operation::Cut(to) => self.set_length(to)?,
                Operation::SecondTable(table) if table.size == LARGE => {
                    self.write(|image| &mut image.second[1], Some(extent(&table)))?;
                }
                Operation::SecondTable(table) => {
                    self.write(|image| &mut image.second[0], Some(extent(&table)))?;
                }
                Operation::FirstTable(table) => self.write(|image| &mut image.first, Some(extent(&table)))?,
                Operation::FileSystem(bytes) => self.file_system(bytes)?,
                Operation::Loop(_) | Operation::Mapped(_) => {}
            }
        }
        self.write(|image| &mut image.note, false)
    }

    /// A file system has its device flushed before it says that it has another size, and so the file.
    fn file_system(&mut self, bytes: u64) -> Result<(), Failure> {
        self.tick()?;
        self.image.flush();
        self.image.inside = bytes;
        Ok(())
    }

    fn set_length(&mut self, to: u64) -> Result<(), Failure> {
        self.write(|image| &mut image.length, to)?;
        self.image.forget_beyond();
        Ok(())
    }

    fn write_table(&mut self, which: Which) -> Result<(), Failure> {
        let Some((table, copies)) = self.image.find() else { return failed() };
        if copies.is_doubtful() && !self.kept.on_disk() {
            self.broken = Some("a table is guessed and written, and what was there is not kept".into());
        }
        let extent = Some(extent(&table));
        let second: fn(&mut Image) -> &mut File<Copy> =
            if table.size > SMALL { |image| &mut image.second[1] } else { |image| &mut image.second[0] };
        if !has(Mend::OneTable) {
            self.change(|image| &mut image.first, extent)?;
            return self.write(second, extent);
        }
        match which {
            Which::First => self.write(|image| &mut image.first, extent),
            Which::Second => self.write(second, extent),
        }
    }
}

impl Mends for Run {
    fn look(&mut self) -> Result<Situation, Failure> {
        if self.dead {
            return failed();
        }
        let image = &self.image;
        let table = image.find();
        let headers = Headers { first: *image.headers[0].read(), second: *image.headers[1].read() };
        Ok(Situation {
            used: if self.rebuilds && image.used { Used::Yes } else { Used::No },
            unfinished: image.unfinished,
            elsewhere: (*image.mark.read() == Mark::Elsewhere).then_some(self.there),
            length: *image.length.read(),
            resizing: *image.note.read(),
            table: table.map(|(table, copies)| Found { size: table.size, sector: table.sector, copies }),
            headers: Some(headers),
            kept: *self.kept.read(),
        })
    }

    fn perform(&mut self, step: Step, _steps: &mut dyn Steps) -> Result<(), Failure> {
        match step {
            Step::RemoveUnfinished => {
                self.tick()?;
                self.image.unfinished = false;
                Ok(())
            }
            Step::ForgetElsewhere => self.write(|image| &mut image.mark, Mark::Nobody),
            Step::CutFile => {
                let Some((table, _)) = self.image.find() else { return failed() };
                self.set_length(table.size)
            }
            Step::Keep => {
                self.tick()?;
                self.image.flush();
                self.kept.write(true);
                self.tick().inspect_err(|_| self.kept.write(false))?;
                if has(Mend::KeptOnDisk) {
                    self.kept.flush();
                }
                Ok(())
            }
            Step::WriteTable(which) => self.write_table(which),
            Step::WriteHeader => self.heal_header(),
        }
    }

    fn in_use(&self) -> Failure {
        Failure::Fault("it is in use".into())
    }
}
