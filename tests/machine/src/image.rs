//! Disk images: a base of Debian stable, and the base with one more package installed.
//!
//! The root tree is kept beside the image: the kernel runs in it, because it may need a newer C library than the host's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::{cache, recipe};

/// Size of the machine's disk. The file is sparse.
const SIZE: &str = "8G";

/// Every change of our package makes another image; those older than this go when the next one is made.
const LAYER_LIFE: Duration = Duration::from_secs(2 * 3600);

/// What is installed on the machine's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// Debian without any home manager.
    Base,
    /// The base and our package: `$HOMED_DEB`, else the newest `target/debian/homed_*.deb`.
    Ours,
    /// The base and the original, systemd-homed of Debian stable.
    Peer,
    /// Ours, and desktops: X, a Wayland compositor, a greeter. For the machine with a screen.
    Desktop,
}

/// Which Debian it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Debian stable.
    Stable,
    /// The same with systemd, PAM, polkit and OpenSSH of Debian testing; the kernel is the same.
    Testing,
    /// Debian stable with the kernel of Debian 12, Linux 6.1: the oldest that homed is tried on. It boots four times slower.
    OldKernel,
}

impl Suite {
    /// What its kernel is told besides. The old one can only trace its processes, which is slow.
    pub(crate) fn kernel_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Stable | Self::Testing => &["seccomp=on"],
            Self::OldKernel => &[],
        }
    }
}

impl Image {
    /// The image's file for a machine in User-Mode Linux, built if it is not there.
    pub fn file(self) -> Result<PathBuf> {
        self.file_of(Suite::Stable)
    }

    /// The same of that Debian.
    pub fn file_of(self, suite: Suite) -> Result<PathBuf> {
        match suite {
            Suite::Stable => self.on(&Base { folder: folder()?, tree: tree()? }),
            Suite::Testing => self.on_made(testing()?),
            Suite::OldKernel => self.on_made(old_kernel()?),
        }
    }

    fn on_made(self, folder: PathBuf) -> Result<PathBuf> {
        self.on(&Base { tree: folder.join("made/tree"), folder })
    }

    /// The image's file for a machine with a screen, built if it is not there.
    pub fn screen_file(self) -> Result<PathBuf> {
        let folder = screen()?;
        self.on(&Base { tree: folder.join("boot/tree"), folder })
    }

    fn on(self, base: &Base) -> Result<PathBuf> {
        match self {
            Self::Base => base.image(),
            Self::Ours => base.layer(&our_package()?),
            Self::Peer => base.layer(&peer_package(&base.tree)?),
            Self::Desktop => base.desktop()?.layer(&our_package()?),
        }
    }
}

/// A root tree, and the folder where images made of it are kept.
struct Base {
    folder: PathBuf,
    tree: PathBuf,
}

/// The root tree of the base, built if it is not there.
pub fn tree() -> Result<PathBuf> {
    let folder = folder()?;
    let tree = folder.join("tree");
    cache::once(&tree, |partial| {
        let log = folder.join("build.log");
        eprintln!(
            "machine: downloading and building the root tree, once (a minute or two; see {})",
            log.display()
        );
        let recipe = folder.join("recipe");
        recipe::write(&recipe)?;
        run(
            Command::new("sh").arg(recipe.join("build.sh")).arg(&recipe).arg(partial),
            &folder.join("build.log"),
        )
    })?;
    Ok(tree)
}

/// The root tree that the kernel of that Debian's machine runs in, built if it is not there.
pub fn tree_of_kernel(suite: Suite) -> Result<PathBuf> {
    match suite {
        Suite::Stable | Suite::Testing => tree(),
        Suite::OldKernel => Ok(old_kernel()?.join("made/tree")),
    }
}

/// The folder of all that this recipe makes.
pub fn folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join(recipe::digest()))
}

/// The folder of the machine with a screen: `boot/` has its tree, kernel and initrd, built if they are not there.
pub fn screen() -> Result<PathBuf> {
    let folder = folder()?.join(format!("screen-{}", recipe::screen_digest()));
    let base = tree()?;
    cache::once(&folder.join("boot"), |partial| {
        let log = folder.join("build.log");
        eprintln!("machine: adding a kernel for the machine with a screen, once (see {})", log.display());
        let recipe = folder.join("recipe");
        recipe::write_screen(&recipe)?;
        run(Command::new("sh").arg(recipe.join("build.sh")).arg(&recipe).arg(&base).arg(partial), &log)
    })?;
    Ok(folder)
}

/// The folder of Debian testing: `made/` has its tree, and what systemd's packages bring of integration tests, built if
/// they are not there.
fn testing() -> Result<PathBuf> {
    let folder = folder()?.join(format!("testing-{}", recipe::testing_digest()));
    let base = tree()?;
    cache::once(&folder.join("made"), |partial| {
        let log = folder.join("build.log");
        eprintln!("machine: building the tree of Debian testing, once (some minutes; see {})", log.display());
        let recipe = folder.join("recipe");
        recipe::write_testing(&recipe)?;
        run(Command::new("sh").arg(recipe.join("build.sh")).arg(&base).arg(partial), &log)
    })?;
    Ok(folder)
}

/// The folder of the old kernel: `made/tree` has it and its modules, built if it is not there.
fn old_kernel() -> Result<PathBuf> {
    let folder = folder()?.join(format!("old-kernel-{}", recipe::old_kernel_digest()));
    let base = tree()?;
    cache::once(&folder.join("made"), |partial| {
        let log = folder.join("build.log");
        eprintln!("machine: adding the kernel of Debian 12, once (see {})", log.display());
        let recipe = folder.join("recipe");
        recipe::write_old_kernel(&recipe)?;
        run(Command::new("sh").arg(recipe.join("build.sh")).arg(&base).arg(partial), &log)
    })?;
    Ok(folder)
}

/// The folder with systemd's integration tests, as the package of that Debian has them.
pub fn upstream_tests(suite: Suite) -> Result<PathBuf> {
    let name = match suite {
        Suite::Stable | Suite::OldKernel => "stable",
        Suite::Testing => "testing",
    };
    Ok(testing()?.join("made/units").join(name).join("usr/lib/systemd/tests"))
}

impl Base {
    fn image(&self) -> Result<PathBuf> {
        let image = self.folder.join("base.img");
        cache::once(&image, |partial| pack(&self.tree, partial))?;
        Ok(image)
    }

    /// The base with a desktop's packages.
    fn desktop(&self) -> Result<Self> {
        let folder = self.folder.join(format!("desktop-{}", recipe::desktop_digest()));
        let tree = folder.join("tree");
        cache::once(&tree, |partial| {
            let log = folder.join("build.log");
            eprintln!("machine: adding desktops, once (some minutes; see {})", log.display());
            let recipe = folder.join("recipe");
            recipe::write_desktop(&recipe)?;
            run(
                Command::new("sh").arg(recipe.join("build.sh")).args([&recipe, &self.tree]).arg(partial),
                &log,
            )
        })?;
        Ok(Self { folder, tree })
    }

    /// The base with `package` installed, known by the package's digest.
    fn layer(&self, package: &Path) -> Result<PathBuf> {
        let content = fs::read(package).with_context(|| format!("cannot read {}", package.display()))?;
        let digest = recipe::hexadecimal(&Sha256::digest(&content))[..16].to_owned();
        let layers = self.folder.join("layers");
        let image = layers.join(format!("{digest}.img"));
        cache::once(&image, |partial| {
            cache::forget_old(&layers, LAYER_LIFE);
            eprintln!("machine: building an image with {}", package.display());
            let tree = layers.join(format!("{digest}.tree"));
            cache::remove(&tree)?;
            let script = folder()?.join("recipe/layer.sh");
            run(
                Command::new("sh").arg(script).arg(&self.tree).arg(package).arg(&tree),
                &layers.join(format!("{digest}.log")),
            )?;
            pack(&tree, partial)?;
            cache::remove(&tree)
        })?;
        Ok(image)
    }
}

fn pack(tree: &Path, image: &Path) -> Result<()> {
    let log = image.with_extension("mke2fs.log");
    run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-d"]).arg(tree).arg(image).arg(SIZE), &log)
}

/// Our package: `$HOMED_DEB`, else the newest `target/debian/homed_*.deb`.
pub fn our_package() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("HOMED_DEB") {
        return Ok(PathBuf::from(path));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debian");
    newest(&folder, "homed_").with_context(|| {
        format!(
            "no homed_*.deb in {}: make it with `cargo xtask deb`, or name one in HOMED_DEB",
            folder.display()
        )
    })
}

fn peer_package(tree: &Path) -> Result<PathBuf> {
    newest(&tree.join("opt/peer"), "systemd-homed_").context("the root tree lacks the original's package")
}

fn newest(folder: &Path, prefix: &str) -> Option<PathBuf> {
    let packages = fs::read_dir(folder).ok()?.flatten().filter(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with(prefix) && name.ends_with(".deb")
    });
    packages
        .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok())
        .map(|entry| entry.path())
}

/// Runs a step of a build; its noise goes to a log, whose end is told if the step fails.
pub(crate) fn run(command: &mut Command, log: &Path) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "building the test machine's image needs root: type `sudo -E env PATH=$PATH cargo xtask image`"
    );
    let file = fs::File::create(log)?;
    let status = command
        .stdin(std::process::Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !status.success() {
        let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
        bail!(
            "{command:?} failed ({status}); all of its output is in {}, it ends:\n{}",
            log.display(),
            end_of(&text)
        );
    }
    Ok(())
}

/// The last lines of a log.
pub(crate) fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
