//! The folder of a cluster: one cluster at a time, nothing of an earlier one in it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::usage;

/// The file that says that a folder is a node's and may be deleted.
pub const NODE_CONFIG: &str = "unring.toml";

/// How long nodes of an earlier cluster get to end; a little more than a node's drain deadline of 5 s.
const LEFTOVER_DEADLINE: Duration = Duration::from_secs(7);

/// A folder, ours while this lives.
#[derive(Debug)]
pub struct ClusterDir {
    path: PathBuf,
    /// Unlocked by the kernel when it is closed, however this process ends.
    _lock: File,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// Another cluster runs in it.
    #[error("another dev-cluster runs in {}: end it, or give this one a folder of its own with --dir", .0.display())]
    Taken(PathBuf),
    /// A folder with a node's name does not look like a node's.
    #[error("{} is not a node's folder (it has no {NODE_CONFIG}): move it away", .0.display())]
    Foreign(PathBuf),
    /// The file system refuses.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl ClusterDir {
    /// Creates the folder if need be, locks it and ends the nodes that an earlier cluster left behind because it was
    /// killed.
    ///
    /// # Errors
    /// The folder is taken or cannot be written.
    pub fn open(path: &Path) -> Result<Self, DirError> {
        fs::create_dir_all(path).map_err(failed("create", path))?;
        let path = path.canonicalize().map_err(failed("resolve", path))?;
        let file = path.join("lock");
        let lock = File::create(&file).map_err(failed("create", &file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DirError::Taken(path)),
            Err(TryLockError::Error(source)) => return Err(failed("lock", &file)(source)),
        }
        end_leftovers(&path);
        Ok(Self { path, _lock: lock })
    }

    /// Where it is, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes what earlier clusters left, and makes sure that the nodes of these names have room.
    ///
    /// # Errors
    /// A folder of such a name is not a node's, or something cannot be deleted.
    pub fn clean<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), DirError> {
        for entry in fs::read_dir(&self.path).map_err(failed("list", &self.path))?.flatten() {
            let path = entry.path();
            if path.join(NODE_CONFIG).is_file() {
                fs::remove_dir_all(&path).map_err(failed("delete", &path))?;
            }
        }
        for name in ["cluster.json", "report.json"] {
            let path = self.path.join(name);
            if path.exists() {
                fs::remove_file(&path).map_err(failed("delete", &path))?;
            }
        }
        match names.into_iter().map(|name| self.path.join(name)).find(|path| path.exists()) {
            Some(foreign) => Err(DirError::Foreign(foreign)),
            None => Ok(()),
        }
    }

    /// Writes a file of this folder in one step: a reader sees all of it or the one before.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf, DirError> {
        let path = self.path.join(name);
        let fresh = self.path.join(format!("{name}.new"));
        fs::write(&fresh, content).map_err(failed("write", &fresh))?;
        fs::rename(&fresh, &path).map_err(failed("write", &path))?;
        Ok(path)
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirError {
    let path = path.to_owned();
    move |source| DirError::Io { what, path, source }
}

/// Ends the nodes whose configuration lies in this folder. It is locked, so whoever started them is gone.
fn end_leftovers(dir: &Path) {
    let leftovers: Vec<Pid> = leftovers(dir);
    let running = || {
        leftovers.iter().copied().filter(|&pid| usage::is_running(pid.as_raw_pid().unsigned_abs()))
    };
    for pid in running() {
        // It may have ended by itself in the meantime.
        let _ = kill_process(pid, Signal::TERM);
    }
    let deadline = Instant::now() + LEFTOVER_DEADLINE;
    while running().next().is_some() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    for pid in running() {
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn leftovers(dir: &Path) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pid =
        |entry: &fs::DirEntry| entry.file_name().to_str()?.parse().ok().and_then(Pid::from_raw);
    let serves_here = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
        words.windows(3).any(|words| is_node_of(dir, words))
    };
    processes.flatten().filter(|entry| serves_here(entry)).filter_map(|entry| pid(&entry)).collect()
}

/// Whether these are the arguments `serve --config DIR/NODE/unring.toml`.
fn is_node_of(dir: &Path, words: &[&[u8]]) -> bool {
    let &[b"serve", b"--config", file] = words else { return false };
    let Ok(file) = std::str::from_utf8(file) else { return false };
    let file = Path::new(file);
    file.ends_with(NODE_CONFIG) && file.parent().and_then(Path::parent) == Some(dir)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{ClusterDir, DirError, NODE_CONFIG, is_node_of};

    #[test]
    fn a_folder_serves_one_cluster_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let dir = ClusterDir::open(&temp.path().join("a/b")).unwrap();
        assert!(matches!(ClusterDir::open(dir.path()), Err(DirError::Taken(_))));
        let path = dir.path().to_owned();
        drop(dir);
        ClusterDir::open(&path).unwrap();
    }

    #[test]
    fn only_what_is_ours_is_deleted() {
        let temp = tempfile::tempdir().unwrap();
        let dir = ClusterDir::open(temp.path()).unwrap();
        for node in ["node-1", "old"] {
            fs::create_dir_all(dir.path().join(node).join("data")).unwrap();
            fs::write(dir.path().join(node).join(NODE_CONFIG), "").unwrap();
        }
        fs::create_dir(dir.path().join("photos")).unwrap();
        dir.write("report.json", "{}").unwrap();
        dir.clean(["node-1"]).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["lock", "photos"]);
        assert!(matches!(dir.clean(["photos"]), Err(DirError::Foreign(_))));
        assert!(dir.path().join("photos").exists());
    }

    #[test]
    fn only_a_node_of_this_folder_is_a_leftover() {
        let check = |words: [&str; 3]| is_node_of(Path::new("/t/c"), &words.map(str::as_bytes));
        assert!(check(["serve", "--config", "/t/c/node-1/unring.toml"]));
        assert!(!check(["serve", "--config", "/t/d/node-1/unring.toml"]));
        assert!(!check(["serve", "--config", "/t/c/unring.toml"]));
        assert!(!check(["vim", "-p", "/t/c/node-1/unring.toml"]));
    }
}
