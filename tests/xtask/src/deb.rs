//! `cargo xtask deb`: the Debian package, `target/debian/homed_VERSION_ARCH.deb`.
//!
//! `dist/` mirrors the installed tree; programs, man page and completions are added to it. Packed with Debian's own
//! `dpkg-deb`; which libraries it needs, `dpkg-shlibdeps` reads from the programs. `--quick` makes the package that the
//! test machine gets: quick to build, and with the fault points that tests kill workers at.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::{prepare, steps};

/// What the fault points obey, and where tests plug in keys: a package that people install must not know them.
const OF_TESTS: [&[u8]; 3] = [b"/run/homed/fault", b"/run/homed/test-fido2", b"/run/homed/test-tpm2"];

/// Programs that know tests where they are built for them.
const TESTED: [&str; 2] = ["usr/lib/homed/worker", "usr/bin/homectl"];
/// The daemon, and what it may be linked with: libraries that only jobs need are none of its memory's.
const DAEMON: &str = "usr/lib/homed/homed";
const LIBRARIES: [&str; 3] = ["libc.so.6", "libgcc_s.so.1", "ld-linux-"];

/// How the programs are built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Build {
    /// For people.
    Release,
    /// For the test machine.
    Quick,
}

pub fn run(words: &[String]) -> Result<()> {
    let build = match words {
        [] => Build::Release,
        [quick] if quick == "--quick" => Build::Quick,
        _ => bail!("usage: cargo xtask deb [--quick]"),
    };
    prepare::package()?;
    let programs = compile(build)?;
    let root = steps::project().to_path_buf();
    let target = root.join("target/debian");
    let tree = target.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    copy_tree(&root.join("dist"), &tree, Path::new(""))?;
    install_programs(&programs, &tree)?;
    check_test_features(build, &tree)?;
    check_libraries(&tree)?;
    let control = control(&root, &tree)?;
    let deb = target.join(format!("homed_{}_{}.deb", env!("CARGO_PKG_VERSION"), architecture()?));
    fs::write(tree.join("DEBIAN/control"), control)?;
    pack(&tree, &deb)?;
    println!("{}", deb.display());
    Ok(())
}

/// Builds the programs; gives the folder they are in. The PAM module, the prompt and what desktops get are built by themselves: together
/// with the others they would be given their features of libraries, which have no place in other people's programs.
fn compile(build: Build) -> Result<PathBuf> {
    let (profile, features): (&[&str], &[&str]) = match build {
        Build::Release => (&["--release"], &[]),
        Build::Quick => (&[], &["--features", "homed/fault-points"]),
    };
    let programs = ["build", "--locked", "-p", "homed", "-p", "homectl"];
    steps::program("cargo", programs.iter().chain(profile).chain(features))?;
    for alone in ["pam_homed", "homed-prompt", "homed-desk"] {
        steps::program("cargo", ["build", "--locked", "-p", alone].iter().chain(profile))?;
    }
    let folder = if build == Build::Release { "release" } else { "debug" };
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| steps::project().join("target"), PathBuf::from);
    Ok(target.join(folder))
}

/// Copies folders, files and links; programs and scripts keep their mode, everything else is 0644.
fn copy_tree(from: &Path, to: &Path, below: &Path) -> Result<()> {
    fs::create_dir_all(to.join(below))?;
    let source = from.join(below);
    for entry in fs::read_dir(&source).with_context(|| format!("cannot read {}", source.display()))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            // The package's own files have a folder of their own in Debian's format.
            if name == Path::new("debian") {
                copy_control(&entry.path(), &to.join("DEBIAN"))?;
            } else {
                copy_tree(from, to, &name)?;
            }
        } else {
            install(&entry.path(), &to.join(&name), 0o644)?;
        }
    }
    Ok(())
}

fn copy_control(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let script = name != "control" && name != "conffiles";
        install(&entry.path(), &to.join(name), if script { 0o755 } else { 0o644 })?;
    }
    Ok(())
}

fn install(from: &Path, to: &Path, mode: u32) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn install_programs(built: &Path, tree: &Path) -> Result<()> {
    let library = format!("usr/lib/{}", output("dpkg-architecture", &["-qDEB_HOST_MULTIARCH"])?);
    let places = [
        ("homed", "usr/lib/homed/homed".to_owned(), 0o755),
        ("homed-worker", "usr/lib/homed/worker".to_owned(), 0o755),
        ("homectl", "usr/bin/homectl".to_owned(), 0o755),
        ("homed-prompt", "usr/lib/homed/prompt".to_owned(), 0o755),
        ("homed-desk", "usr/lib/homed/desk".to_owned(), 0o755),
        ("libpam_homed.so", format!("{library}/security/pam_homed.so"), 0o644),
    ];
    for (name, place, mode) in places {
        let place = tree.join(place);
        install(&built.join(name), &place, mode)?;
        steps::program("strip", ["--strip-unneeded".as_ref(), place.as_os_str()])?;
    }
    // Stacks that were written for the original name its module.
    let link = tree.join(&library).join("security/pam_systemd_home.so");
    std::os::unix::fs::symlink("pam_homed.so", link)?;
    let homectl = built.join("homectl");
    let generated = [
        ("man", "usr/share/man/man1/homectl.1"),
        ("bash", "usr/share/bash-completion/completions/homectl"),
        ("zsh", "usr/share/zsh/vendor-completions/_homectl"),
        ("fish", "usr/share/fish/vendor_completions.d/homectl.fish"),
    ];
    for (what, place) in generated {
        let place = tree.join(place);
        fs::create_dir_all(place.parent().context("a place has a folder")?)?;
        let made = Command::new(&homectl).arg(format!("--generate={what}")).output()?;
        ensure!(
            made.status.success(),
            "homectl --generate={what} failed: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        fs::write(place, made.stdout)?;
    }
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "CHANGELOG.md", "README.md", "docs/PAM.md"] {
        let file = Path::new(name).file_name().context("a file has a name")?;
        install(&steps::project().join(name), &tree.join("usr/share/doc/homed").join(file), 0o644)?;
    }
    Ok(())
}

/// What people install knows nothing of tests; what tests install does, whatever else was built in the same folder meanwhile.
fn check_test_features(build: Build, tree: &Path) -> Result<()> {
    // The daemon knows them in neither.
    let never = [DAEMON].into_iter().filter(|_| build == Build::Release);
    for place in TESTED.into_iter().chain(never) {
        let program = fs::read(tree.join(place))?;
        let knows = |word: &&&[u8]| program.windows(word.len()).any(|window| window == **word);
        let is_of_tests = OF_TESTS.iter().any(|word| knows(&word));
        let wanted = build == Build::Quick;
        ensure!(
            is_of_tests == wanted,
            "{place} was built {} tests; run `cargo clean -p homed -p homectl` and try again",
            if is_of_tests { "for" } else { "without what is needed by" }
        );
    }
    Ok(())
}

/// What is linked is mapped into every process of the program, whether it uses it or not.
fn check_libraries(tree: &Path) -> Result<()> {
    let read = output("readelf", &["--dynamic", "--wide", &tree.join(DAEMON).display().to_string()])?;
    let needed = read.lines().filter(|line| line.contains("(NEEDED)"));
    let names: Vec<&str> = needed.filter_map(|line| line.split(['[', ']']).nth(1)).collect();
    ensure!(!names.is_empty(), "{DAEMON} is linked with nothing: {read}");
    for name in names {
        let may_be = LIBRARIES.iter().any(|library| name.starts_with(library));
        ensure!(may_be, "{DAEMON} is linked with {name}: what needs it belongs into the worker");
    }
    Ok(())
}

fn control(root: &Path, tree: &Path) -> Result<String> {
    let text = fs::read_to_string(root.join("dist/debian/control"))?;
    let size = output("du", &["-sk", &tree.display().to_string()])?;
    let size = size.split_whitespace().next().unwrap_or("0").to_owned();
    Ok(text
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@ARCH@", &architecture()?)
        .replace("@SIZE@", &size)
        .replace("@SHLIBS@", &libraries(tree)?))
}

fn architecture() -> Result<String> {
    output("dpkg", &["--print-architecture"])
}

/// The packages of the libraries that the programs are linked with.
fn libraries(tree: &Path) -> Result<String> {
    // dpkg-shlibdeps wants a source package around it; the smallest one will do.
    let scratch = tree.with_file_name("shlibdeps");
    fs::create_dir_all(scratch.join("debian"))?;
    fs::write(scratch.join("debian/control"), "Source: homed\n\nPackage: homed\nArchitecture: any\n")?;
    let mut command = Command::new("dpkg-shlibdeps");
    command.current_dir(&scratch).args(["-O", "--ignore-missing-info"]);
    for program in [
        "usr/lib/homed/homed",
        "usr/lib/homed/worker",
        "usr/lib/homed/prompt",
        "usr/lib/homed/desk",
        "usr/bin/homectl",
    ] {
        command.arg(format!("-e{}", tree.join(program).display()));
    }
    let module = output("dpkg-architecture", &["-qDEB_HOST_MULTIARCH"])?;
    command.arg(format!("-e{}", tree.join("usr/lib").join(module).join("security/pam_homed.so").display()));
    let answer = command.output().context("cannot run dpkg-shlibdeps")?;
    ensure!(answer.status.success(), "dpkg-shlibdeps: {}", String::from_utf8_lossy(&answer.stderr));
    let text = String::from_utf8(answer.stdout)?;
    let depends = text.lines().find_map(|line| line.strip_prefix("shlibs:Depends="));
    Ok(depends.context("dpkg-shlibdeps named no library")?.to_owned())
}

fn pack(tree: &Path, deb: &Path) -> Result<()> {
    let partial = deb.with_extension("deb.partial");
    let words = ["--build", "--root-owner-group", "-Zxz", "-z1"];
    let mut command = Command::new("dpkg-deb");
    command.args(words).arg(tree).arg(&partial);
    let answer = command.output().context("cannot run dpkg-deb")?;
    ensure!(answer.status.success(), "dpkg-deb: {}", String::from_utf8_lossy(&answer.stderr));
    fs::rename(&partial, deb)?;
    Ok(())
}

fn output(program: &str, words: &[&str]) -> Result<String> {
    let answer =
        Command::new(program).args(words).output().with_context(|| format!("cannot run {program}"))?;
    ensure!(answer.status.success(), "{program}: {}", String::from_utf8_lossy(&answer.stderr));
    Ok(String::from_utf8(answer.stdout)?.trim().to_owned())
}
