//! Processes under test, their ends and their logs.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine before the test calls it stuck.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at something that takes time.
const LOOK: Duration = Duration::from_millis(10);

/// The program, without the configuration of whoever runs the tests.
pub(crate) fn unring() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unring"));
    clean(&mut command);
    command
}

/// Takes `UNRING_*` out of a command's environment and standard input away.
pub(crate) fn clean(command: &mut Command) {
    let variables = std::env::vars_os().map(|(name, _)| name);
    for name in variables.filter(|name| name.to_string_lossy().starts_with("UNRING_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
}

/// Waits until `look` finds something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(LOOK);
    }
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// It ended with `code` and one line that says all of `says`, and did not panic.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "errors go to standard error");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for text in says {
            assert!(self.stderr.contains(text), "no {text:?} in: {}", self.stderr);
        }
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let mut process = Process(command.spawn().unwrap());
    let status = wait_for("the end of the process", || process.0.try_wait().unwrap());
    let text = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    Ended { code: status.code(), stdout: text(out), stderr: text(err) }
}

/// A process that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with a configuration whose ports are free, or were a moment ago.
pub(crate) struct Setup {
    pub(crate) dir: TempDir,
    pub(crate) ports: [u16; 3],
}

impl Setup {
    /// On ports that the system chooses.
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), ports: [0; 3] }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes the configuration file, with `top` before the tables and `tables` behind them.
    pub(crate) fn configure(&self, top: &str, tables: &str) -> PathBuf {
        let [grpc, libp2p, admin] = self.ports;
        let data_dir = self.data_dir();
        let text = format!(
            "name = \"under-test\"\ndata_dir = {data_dir:?}\n{top}\n[listen]\ngrpc = \"127.0.0.1:{grpc}\"\n\
             libp2p = [\"/ip4/127.0.0.1/tcp/{libp2p}\"]\nadmin = \"127.0.0.1:{admin}\"\n{tables}\n"
        );
        let file = self.path("unring.toml");
        fs::write(&file, text).unwrap();
        file
    }

    /// The command that serves with this configuration.
    pub(crate) fn serve(&self, top: &str, tables: &str) -> Command {
        let mut command = unring();
        command.arg("serve").arg("--config").arg(self.configure(top, tables));
        command
    }

    /// Starts a node.
    pub(crate) fn start(self, top: &str, tables: &str) -> Node {
        let command = self.serve(top, tables);
        Node::start(self, command)
    }
}

/// A node that runs.
pub(crate) struct Node {
    process: Process,
    pub(crate) setup: Setup,
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) peer_id: String,
}

impl Node {
    /// Starts `command`, which serves with the configuration in `setup`, and waits until it says that it has started.
    pub(crate) fn start(setup: Setup, mut command: Command) -> Self {
        let log = File::create(setup.path("log")).unwrap();
        let mut process = Process(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let started = wait_for("the line that says \"started\"", || {
            let lines = log_lines(&setup.path("log"));
            if let Some(status) = process.0.try_wait().unwrap() {
                panic!("{status}: {}", fs::read_to_string(setup.path("log")).unwrap());
            }
            lines.into_iter().find(|line| line["fields"]["event"] == "started")
        });
        let field = |name: &str| started["fields"][name].as_str().unwrap().to_owned();
        let (grpc, admin) = (field("grpc").parse().unwrap(), field("admin").parse().unwrap());
        Self { process, grpc, admin, peer_id: field("peer_id"), setup }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Writes its configuration anew and has it read again (SIGHUP).
    pub(crate) fn reload(&self, top: &str, tables: &str) {
        self.setup.configure(top, tables);
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }

    /// The metric `unring_NAME` now.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let of_name = |line: &str| {
            line.strip_prefix("unring_")?.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()
        };
        text.lines().find_map(of_name).unwrap()
    }

    /// Status code and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut tcp = TcpStream::connect(self.admin).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(tcp, "GET {path} HTTP/1.0\r\nhost: test\r\n\r\n").unwrap();
        let mut response = String::new();
        tcp.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, body.to_owned())
    }

    pub(crate) fn status(&self) -> Value {
        let (code, body) = self.get("/statusz");
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) fn wait_until_ready(&self) {
        wait_for("readiness", || (self.get("/readyz").0 == 200).then_some(()));
    }

    /// The lines of its log with this event.
    pub(crate) fn events(&self, event: &str) -> Vec<Value> {
        let mut lines = log_lines(&self.setup.path("log"));
        lines.retain(|line| line["fields"]["event"] == event);
        lines
    }

    /// It still answers, has not panicked, and every line of its log is an object.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        assert_eq!(self.get("/healthz"), (200, "ok\n".to_owned()));
        assert_eq!(self.get("/readyz").0, 200);
        let text = fs::read_to_string(self.setup.path("log")).unwrap();
        assert!(!text.contains("panicked"), "{text}");
        for line in text.lines() {
            assert!(
                serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()),
                "{line}"
            );
        }
    }

    /// Tells it to stop and waits for its end: 0 after a drain.
    pub(crate) fn stop(mut self) -> Setup {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        let process = &mut self.process.0;
        let status = wait_for("the end of the drain", || process.try_wait().unwrap());
        assert_eq!(status.code(), Some(0));
        self.setup
    }
}

fn log_lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    // The last line may be half written.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Listeners on three free ports: whoever binds one of them fails.
pub(crate) fn taken() -> [TcpListener; 3] {
    [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap())
}

pub(crate) fn ports(listeners: &[TcpListener; 3]) -> [u16; 3] {
    listeners.each_ref().map(|listener| listener.local_addr().unwrap().port())
}
