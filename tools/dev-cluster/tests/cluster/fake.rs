//! A stand-in for a program: a script that starts this test binary.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that is there until it is dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Fake {
    /// A program of this name. What `other_commands` of the shell do not end runs the test `body` with its arguments.
    ///
    /// A shell writes the script, because a file that this process itself had open for writing could be inherited by a
    /// child that another test starts at that moment, and then it cannot be run ("text file busy").
    pub(crate) fn new(name: &str, other_commands: &str, body: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        let script = format!(
            "#!/bin/sh\n{other_commands}\nexec '{}' --exact --nocapture -- {body} \"$@\" > /dev/null\n",
            std::env::current_exe().unwrap().display()
        );
        let mut shell = Command::new("sh");
        let write = "printf %s \"$1\" > \"$2\" && chmod +x \"$2\"";
        shell.args(["-c", write, "sh"]).arg(script).arg(&path);
        assert!(shell.status().unwrap().success());
        Self { _dir: dir, path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
