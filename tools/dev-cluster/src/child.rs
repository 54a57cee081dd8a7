//! A child process that cannot outlive its owner.

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How often a process that should end is looked at.
const POLL: Duration = Duration::from_millis(10);

/// A process, killed and reaped when this is dropped, also by a panic.
#[derive(Debug)]
pub struct ChildGuard {
    child: Child,
    exit: Option<Exit>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its status.
    pub status: ExitStatus,
    /// Whether it had to be killed because it did not end in time.
    pub forced: bool,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.forced, self.status.code(), self.status.signal()) {
            (true, ..) => write!(f, "no exit before it was killed"),
            (_, Some(code), _) => write!(f, "exit code {code}"),
            (_, _, Some(signal)) => write!(f, "signal {signal}"),
            _ => write!(f, "{}", self.status),
        }
    }
}

impl ChildGuard {
    /// Starts `command` in a process group of its own: a Ctrl-C on the terminal reaches its owner alone, which then
    /// ends it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        Ok(Self { child, exit: None })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, `None` while it runs.
    pub fn exited(&mut self) -> Option<Exit> {
        if self.exit.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.exit = Some(Exit { status, forced: false });
        }
        self.exit
    }

    /// Asks it to end (SIGTERM); nothing happens when it has ended.
    pub fn terminate(&mut self) {
        // A process id is ours until its exit was read, so this cannot hit another process.
        if self.exited().is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // It may end at this moment; then there is nothing to ask.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits for its end until `deadline`, then kills it.
    ///
    /// # Errors
    /// The kernel does not let it be waited for.
    pub fn wait_until(&mut self, deadline: Instant) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.exited() {
                return Ok(exit);
            }
            if Instant::now() >= deadline {
                return self.kill(true);
            }
            thread::sleep(POLL);
        }
    }

    /// Kills it (SIGKILL) and waits for its end; `forced` says whether that is a failure of the process.
    ///
    /// # Errors
    /// The kernel does not let it be waited for.
    pub fn kill(&mut self, forced: bool) -> io::Result<Exit> {
        if let Some(exit) = self.exited() {
            return Ok(exit);
        }
        self.child.kill()?;
        let exit = Exit { status: self.child.wait()?, forced };
        self.exit = Some(exit);
        Ok(exit)
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // Nobody is left to tell; the kernel refuses only what has already ended.
        let _ = self.kill(true);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};

    use rustix::io::Errno;
    use rustix::process::{Pid, getpgid, test_kill_process};

    use super::ChildGuard;

    fn sleeping() -> ChildGuard {
        ChildGuard::spawn(Command::new("sleep").arg("60")).unwrap()
    }

    fn is_gone(pid: u32) -> bool {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        test_kill_process(pid) == Err(Errno::SRCH)
    }

    fn in_seconds(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn it_ends_when_asked() {
        let mut child = sleeping();
        assert_eq!(child.exited(), None);
        child.terminate();
        let exit = child.wait_until(in_seconds(10)).unwrap();
        assert_eq!((exit.to_string().as_str(), exit.forced), ("signal 15", false));
        assert_eq!(child.exited(), Some(exit), "an exit is remembered");
        child.terminate();
        assert_eq!(child.kill(true).unwrap(), exit, "nothing is sent to a process that has ended");
    }

    #[test]
    fn a_ctrl_c_on_the_terminal_does_not_reach_it() {
        let child = sleeping();
        let pid = Pid::from_raw(i32::try_from(child.pid()).unwrap());
        assert_eq!(getpgid(pid).ok(), pid, "it leads a process group of its own");
    }

    #[test]
    fn its_exit_code_is_kept() {
        let mut child = ChildGuard::spawn(Command::new("sh").args(["-c", "exit 3"])).unwrap();
        assert_eq!(child.wait_until(in_seconds(10)).unwrap().to_string(), "exit code 3");
    }

    #[test]
    fn one_that_does_not_listen_is_killed_at_the_deadline() {
        // Ignored signals stay ignored across exec.
        let mut child =
            ChildGuard::spawn(Command::new("sh").args(["-c", "trap '' TERM; exec sleep 60"]))
                .unwrap();
        let name = format!("/proc/{}/comm", child.pid());
        while std::fs::read_to_string(&name).unwrap() != "sleep\n" {}
        child.terminate();
        let exit = child.wait_until(Instant::now()).unwrap();
        assert!(exit.forced && exit.to_string() == "no exit before it was killed", "{exit}");
    }

    #[test]
    fn dropping_it_ends_it() {
        let child = sleeping();
        let pid = child.pid();
        assert!(!is_gone(pid));
        drop(child);
        assert!(is_gone(pid));
    }

    #[test]
    fn a_panic_of_the_owner_ends_it() {
        let child = sleeping();
        let pid = child.pid();
        let owner = std::thread::spawn(move || {
            let _child = child;
            panic!("the owner fails");
        });
        assert!(owner.join().is_err());
        assert!(is_gone(pid));
    }
}
