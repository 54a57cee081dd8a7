//! The end of a process whose starter is gone.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Ends this process when `input` does, which is a pipe that whoever started it holds open, and after `lifetime` at the
/// latest. The kernel closes a pipe however its owner ends.
///
/// # Errors
/// No thread for it: then the process must not start.
pub fn end_with_parent(
    mut input: impl Read + Send + 'static,
    lifetime: Duration,
    end: impl Fn() + Clone + Send + 'static,
) -> io::Result<()> {
    let at_lifetime = end.clone();
    thread::Builder::new().name("lifetime".into()).spawn(move || {
        thread::sleep(lifetime);
        at_lifetime();
    })?;
    thread::Builder::new().name("parent".into()).spawn(move || {
        let mut nothing = [0; 64];
        loop {
            match input.read(&mut nothing) {
                Ok(read) if read > 0 => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        end();
    })?;
    Ok(())
}

/// Lets this process have `wanted` files open, or as many as it may: a nested request takes a connection in and one out.
///
/// # Errors
/// The kernel refuses.
pub fn raise_open_files(wanted: u64) -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(wanted, |most| most.min(wanted));
    match current {
        Some(current) if current < wanted => {
            Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })?)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::end_with_parent;

    const LONG: Duration = Duration::from_secs(60);

    fn watched(lifetime: Duration) -> (io::PipeWriter, mpsc::Receiver<()>) {
        let (input, owner) = io::pipe().unwrap();
        let (ended, end) = mpsc::sync_channel(2);
        end_with_parent(input, lifetime, move || ended.send(()).unwrap()).unwrap();
        (owner, end)
    }

    use std::io;

    #[test]
    fn it_ends_when_the_pipe_of_its_parent_is_closed_and_not_before() {
        let (mut owner, end) = watched(LONG);
        owner.write_all(b"words do not matter").unwrap();
        assert_eq!(
            end.recv_timeout(Duration::from_millis(50)),
            Err(mpsc::RecvTimeoutError::Timeout)
        );
        drop(owner);
        end.recv_timeout(LONG).unwrap();
    }

    #[test]
    fn it_ends_with_its_lifetime() {
        let (owner, end) = watched(Duration::from_millis(10));
        end.recv_timeout(LONG).unwrap();
        drop(owner);
    }
}
