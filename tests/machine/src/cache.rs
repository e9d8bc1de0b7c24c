//! Things built once and kept outside the checkout: `$XDG_CACHE_HOME/homed-test`, else `~/.cache/homed-test`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result};

/// The folder of everything that is kept.
pub fn folder() -> Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    Ok(cache.join("homed-test"))
}

/// Makes `path`, a file or a folder, unless it is there. `make` fills another name beside it, which then takes the
/// name in one step: others never see half of it. One process builds, the others wait for it.
pub fn once(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let parent = path.parent().context("a cached thing lies in a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let lock = File::create(with_suffix(path, ".lock"))?;
    lock.lock()?;
    if path.exists() {
        return Ok(());
    }
    let partial = with_suffix(path, ".partial");
    remove(&partial)?;
    make(&partial)?;
    File::open(&partial)?.sync_all()?;
    fs::rename(&partial, path)?;
    Ok(())
}

/// Removes a file or a folder, if it is there.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes what nobody has touched in `folder` for longer than `life`, by the time of change (`st_ctime`): what is copied there with
/// its times is as old as its source otherwise, and goes while somebody still works on it. What cannot be removed costs room,
/// nothing else.
pub fn forget_old(folder: &Path, life: Duration) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let changed = entry.metadata().ok().and_then(|data| u64::try_from(data.ctime()).ok());
        let age = changed.and_then(|seconds| (UNIX_EPOCH + Duration::from_secs(seconds)).elapsed().ok());
        if age.is_some_and(|age| age > life) {
            let _ = remove(&entry.path());
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_is_new_here_stays_however_old_its_source_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let tree = folder.path().join("a.tree");
        fs::create_dir(&tree).expect("a tree");
        let long_ago = SystemTime::now() - Duration::from_secs(1 << 20);
        File::open(&tree).and_then(|tree| tree.set_modified(long_ago)).expect("as its source");
        forget_old(folder.path(), Duration::from_secs(3600));
        assert!(tree.exists());
        forget_old(folder.path(), Duration::ZERO);
        assert!(!tree.exists());
    }
}
