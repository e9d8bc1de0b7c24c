//! Where a new home is to lie: looked at before anything of it is made, and whatever opening it would refuse is refused
//! here, named for what it is.
//!
//! Paths say little: folders may be links, and the same one may be there twice (bind mounts). So two places are compared
//! as the kernel knows them, by device and inode of the folders they lie in ([`real`]).

use super::kind;
use super::parts::{gpt, image};
use super::spec::Spec;
use crate::job::{Context, Failure, refuse};
use crate::sys::blockdev;
use crate::sys::keeps::{self, Keeps};
use real::Real;
use records::{FullName, Refusal};
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

mod real;

/// Where the images of homes are looked for.
const HOME_ROOT: &str = "/home";

/// Where another home of this machine lies.
#[derive(Debug, Clone)]
pub struct Neighbour {
    /// Whose.
    pub user: String,
    /// Its storage.
    pub image: PathBuf,
    /// Its mount point.
    pub home_directory: PathBuf,
}

impl Neighbour {
    /// Where a home lies.
    pub fn of(spec: &Spec) -> Self {
        let home_directory = spec.home_directory.clone();
        // A place on a server is no path.
        let image = if spec.storage.is_on_server() { &spec.home_directory } else { &spec.image };
        Self { user: spec.user.clone(), image: image.clone(), home_directory }
    }
}

/// What may lie where the home is to be mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountPoint {
    /// Nothing.
    Empty,
    /// The folder that the new home is filled from: it is put away, or hidden, when the home is there.
    Original,
}

/// Refuses a place where the home could not be made, kept or opened. Nothing is changed.
pub fn examine(spec: &Spec, others: &[Neighbour], mount_point: MountPoint) -> Result<(), Failure> {
    let home = Real::of(&spec.home_directory).during("looking for the place of the home directory")?;
    if spec.storage.is_on_server() {
        // What is there its backend sees, with the password.
        refuse_mount_point(&home, mount_point)?;
        return others.iter().try_for_each(|other| refuse_beside(other, &home, &home));
    }
    let image = Real::of(&spec.image).during("looking for the place of the image")?;
    refuse_folder(&image, "image")?;
    refuse_kind(&image)?;
    refuse_what_is_there(spec, &image, others)?;
    refuse_mount_point(&home, mount_point)?;
    if image.is_within(&home) {
        return no(format!(
            "The image {} cannot lie in the home directory {}: it would be hidden below its own home.",
            spec.image.display(),
            spec.home_directory.display()
        ));
    }
    others.iter().try_for_each(|other| refuse_beside(other, &image, &home))?;
    refuse_name_of_another(spec, &image)
}

fn no<T>(sentence: String) -> Result<T, Failure> {
    refuse(Refusal::InvalidArgs, sentence)
}

/// The folder that something is to lie in has to be there.
fn refuse_folder(place: &Real, what: &str) -> Result<(), Failure> {
    let (asked, folder) = (place.asked.display(), place.existing.display());
    match place.missing.as_slice() {
        [] | [_] if place.is_in_a_folder() => Ok(()),
        [] | [_] => no(format!("{asked} cannot be the {what}: {folder} is not a folder.")),
        _ if place.existing == Path::new("/dev") => {
            no(format!("{asked} is not there, and a device is not made by that: is it plugged in?"))
        }
        [first, ..] => no(format!(
            "The folder for the {what} {asked} is not there: {folder} has no {:?}. Make it, or mount what holds it, first.",
            first.to_string_lossy()
        )),
    }
}

/// The file system has to keep what is made on it.
fn refuse_kind(image: &Real) -> Result<(), Failure> {
    let folder = image.folder();
    if image.missing.is_empty() {
        // What is there is named for what it is.
        return Ok(());
    }
    if folder == Path::new("/dev") {
        return no(format!(
            "{} is not there: is the device plugged in? In /dev no image file is kept.",
            image.asked.display()
        ));
    }
    let keeps = keeps::at(folder).during(format!("looking at {}", folder.display()))?;
    refuse_what_is_not_kept(keeps, folder, is_with_all_homes(folder))
}

/// Whether it is of the file system that homes lie on if nothing else is said.
fn is_with_all_homes(folder: &Path) -> bool {
    let device = |path: &Path| path.metadata().ok().map(|facts| facts.dev());
    device(folder).is_some() && device(folder) == device(Path::new(HOME_ROOT))
}

fn refuse_what_is_not_kept(keeps: Keeps, folder: &Path, is_with_all_homes: bool) -> Result<(), Failure> {
    let folder = folder.display();
    match keeps {
        Keeps::Files => Ok(()),
        // All homes of this machine are in memory (a live system): that was decided where /home was mounted.
        Keeps::UntilTheBoot(_) if is_with_all_homes => Ok(()),
        Keeps::UntilTheBoot(kind) => no(format!(
            "{folder} is in memory ({kind}): a home there would be gone after the next boot. Choose a folder on a disk."
        )),
        Keeps::Nothing(kind) => {
            no(format!("{folder} is no place for files ({kind}). Choose a folder on a disk."))
        }
        Keeps::ReadOnly => no(format!(
            "The file system at {folder} can only be read. Mount it for writing, or choose another folder."
        )),
    }
}

/// Something has the image's name already.
fn refuse_what_is_there(spec: &Spec, image: &Real, others: &[Neighbour]) -> Result<(), Failure> {
    let path = image.asked.display();
    let Ok(facts) = blockdev::resolved(&image.asked).symlink_metadata() else { return Ok(()) };
    let kind = facts.file_type();
    if kind.is_file() {
        return refuse_file(spec, image, others);
    }
    if is_folder(spec) {
        return refuse(
            Refusal::HomeExists,
            format!("{path} exists already. It is left as it is: choose another path (--image-path=)."),
        );
    }
    if kind.is_dir() {
        return no(format!(
            "{path} is a folder, and not the name of a file. To keep the image in it: --image-path={}",
            image.asked.join(format!("{}.home", spec.name)).display()
        ));
    }
    if kind.is_block_device() {
        if let Some(other) = others.iter().find(|other| is_same(image, &other.image)) {
            return no(format!("{path} is the device of {}'s home.", other.user));
        }
        // What is on it is looked at by whoever claims it.
        return Ok(());
    }
    let what = if kind.is_symlink() {
        "a symbolic link: give the path that it points to"
    } else if kind.is_char_device() {
        "a character device"
    } else if kind.is_fifo() {
        "a FIFO"
    } else {
        "a socket"
    };
    no(format!("{path} exists already and is {what}."))
}

fn is_folder(spec: &Spec) -> bool {
    kind::of(spec.storage).is_some_and(|kind| kind.is_folder)
}

fn refuse_file(spec: &Spec, image: &Real, others: &[Neighbour]) -> Result<(), Failure> {
    let path = image.asked.display();
    if let Some(other) = others.iter().find(|other| is_same(image, &other.image)) {
        return no(format!("{path} is the image of {}'s home.", other.user));
    }
    match label(&image.asked) {
        Some(label) if gpt::Table::name_of(&spec.name) == label => refuse(
            Refusal::HomeExists,
            format!(
                "{path} exists already, and is an image of {label}'s home. If a create that was cut short has left it, \
                     delete it, or have it found in {HOME_ROOT}: there it opens with the password it was made with."
            ),
        ),
        Some(label) => no(format!("{path} exists already, and is an image of {label}'s home.")),
        None if is_swap(image) => no(format!("{path} is swap space.")),
        None => {
            no(format!("{path} exists already, and is not a home. It is left as it is: choose another path."))
        }
    }
}

fn is_same(place: &Real, other: &Path) -> bool {
    Real::of(other).is_ok_and(|other| place.is(&other))
}

/// Whose image a file is, as its partition table says.
fn label(path: &Path) -> Option<String> {
    let file = image::open(path, image::Access::Read).ok()?;
    let size = blockdev::length(&file).ok()?;
    let found = gpt::find(size, &mut |offset, length| image::bytes(&file, offset, length));
    found.map(|(table, _)| table.label)
}

fn is_swap(place: &Real) -> bool {
    let text = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    let paths = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    paths.into_iter().any(|path| is_same(place, Path::new(path)))
}

/// Opening the home makes the last folder of its mount point, and mounts there.
fn refuse_mount_point(home: &Real, mount_point: MountPoint) -> Result<(), Failure> {
    refuse_folder(home, "home directory")?;
    let path = home.asked.display();
    if !home.missing.is_empty() {
        let keeps = keeps::at(home.folder()).during(format!("looking at {}", home.folder().display()))?;
        // A folder in memory is made anew at each login.
        return match keeps {
            Keeps::UntilTheBoot(_) if home.folder() != Path::new("/dev") => Ok(()),
            other => refuse_what_is_not_kept(other, home.folder(), is_with_all_homes(home.folder())),
        };
    }
    let facts = home.asked.symlink_metadata().during(format!("looking at {path}"))?;
    if facts.is_symlink() {
        return no(format!("{path} is a symbolic link, and cannot be a home directory."));
    }
    if !facts.is_dir() {
        return no(format!("{path} exists already, and is not a folder: it cannot be a home directory."));
    }
    if home.is_mount_point() {
        return no(format!("Something is mounted at {path} already."));
    }
    if mount_point == MountPoint::Original {
        return Ok(());
    }
    let mut entries = File::open(&home.asked)
        .and_then(|_| std::fs::read_dir(&home.asked))
        .during(format!("looking into {path}"))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => no(format!("{path} exists already and is not empty. Move away what is in it.")),
    }
}

/// Other homes are not covered, and do not cover this one.
fn refuse_beside(other: &Neighbour, image: &Real, home: &Real) -> Result<(), Failure> {
    let (Ok(other_image), Ok(other_home)) = (Real::of(&other.image), Real::of(&other.home_directory)) else {
        return Ok(());
    };
    let (user, image_path, path) = (&other.user, image.asked.display(), home.asked.display());
    if home.is(&other_home) {
        return no(format!("{path} is the home directory of {user}."));
    }
    if image.is(&other_image) {
        return no(format!("{image_path} is the image of {user}'s home."));
    }
    if home.is_within(&other_home) {
        return no(format!(
            "{path} lies in the home directory of {user}, and is not there while that is closed."
        ));
    }
    if image.is_within(&other_home) {
        return no(format!("{image_path} lies in the home directory of {user}, who could remove it."));
    }
    if other_home.is_within(home) || other_image.is_within(home) {
        return no(format!(
            "{path} cannot be a home directory: {user}'s home lies in it, and would be hidden."
        ));
    }
    Ok(())
}

/// What is called `bob.home` in the home root is taken for the home of bob when the daemon starts.
fn refuse_name_of_another(spec: &Spec, image: &Real) -> Result<(), Failure> {
    let in_root =
        std::fs::metadata(HOME_ROOT).is_ok_and(|root| image.folder_id() == Some((root.dev(), root.ino())));
    let ending = format!(".{}", spec.storage.ending());
    let name = image.asked.file_name().and_then(|name| name.to_str());
    let stem = name.and_then(|name| name.strip_suffix(ending.as_str()));
    match stem.and_then(|stem| FullName::parse(stem).ok()) {
        Some(name) if in_root && name.to_string() != spec.name => no(format!(
            "An image called {} would be taken for the home of {name}. Call it {}{ending}, or choose another folder.",
            image.asked.display(),
            spec.name
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
