//! A node of js-libp2p, as a process that is spoken to over its input and output.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::root;

/// It runs until it is dropped.
pub(super) struct Js {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(super) address: String,
}

impl Drop for Js {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop((self.process.kill(), self.process.wait()));
    }
}

/// What npm brought, or why there is nothing.
pub(super) fn install() -> Result<Result<PathBuf, String>> {
    for program in ["node", "npm"] {
        let found = Command::new(program).arg("--version").stdin(Stdio::null()).output();
        if let Err(error) = found {
            return Ok(Err(format!("no {program}: {error}")));
        }
    }
    let (from, folder) = (root().join("tests/interop/js"), root().join("target/bench/js"));
    fs::create_dir_all(&folder).context("create a folder for js-libp2p")?;
    for name in ["package.json", "package-lock.json", "member.mjs"] {
        let file = from.join(name);
        if let Err(error) = fs::copy(&file, folder.join(name)) {
            return Ok(Err(format!("{}: {error}", file.display())));
        }
    }
    let (lock, installed) = (folder.join("package-lock.json"), folder.join("installed-lock.json"));
    if fs::read(&installed).is_ok_and(|had| fs::read(&lock).is_ok_and(|wanted| had == wanted)) {
        return Ok(Ok(folder));
    }
    let mut npm = Command::new("npm");
    npm.current_dir(&folder).args(["ci", "--silent", "--ignore-scripts", "--no-audit"]);
    let output = npm.stdin(Stdio::null()).output().context("run npm")?;
    if !output.status.success() {
        return Ok(Err("npm brought no js-libp2p".to_owned()));
    }
    fs::copy(lock, installed).context("note what was installed")?;
    Ok(Ok(folder))
}

impl Js {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let mut command = Command::new("node");
        command.current_dir(folder).arg("member.mjs");
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start node")?;
        let input = process.stdin.take().context("it has an input")?;
        let output = BufReader::new(process.stdout.take().context("it has an output")?);
        let mut js = Self { process, input, output, address: String::new() };
        js.address = js.answer("listening")?;
        Ok(js)
    }

    fn answer(&mut self, word: &str) -> Result<String> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).context("read from js-libp2p")?;
        ensure!(read > 0, "js-libp2p ended");
        match line.trim_end().split_once(' ').unwrap_or((line.trim_end(), "")) {
            (said, rest) if said == word => Ok(rest.to_owned()),
            _ => bail!("js-libp2p said {:?}", line.trim_end()),
        }
    }

    fn tell(&mut self, command: &str, word: &str) -> Result<String> {
        writeln!(self.input, "{command}").context("write to js-libp2p")?;
        self.answer(word)
    }

    pub(super) fn connect(&mut self, address: &str) -> Result<()> {
        self.tell(&format!("connect {address}"), "connected").map(drop)
    }

    pub(super) fn peers(&mut self) -> Result<usize> {
        Ok(self.tell("peers", "peers")?.parse()?)
    }

    /// Returns when all are told.
    pub(super) fn advertise(&mut self, keys: &[String]) -> Result<()> {
        self.tell(&format!("advertise {}", keys.join(" ")), "advertised").map(drop)
    }

    /// How long it took, and whether anybody was found.
    pub(super) fn lookup(&mut self, key: &str) -> Result<(Duration, bool)> {
        let answer = self.tell(&format!("lookup {key}"), "found")?;
        let (ms, found) = answer.split_once(' ').unwrap_or((&answer, ""));
        Ok((Duration::from_secs_f64(ms.parse::<f64>()? / 1000.0), !found.is_empty()))
    }

    /// CPU time so far.
    pub(super) fn cpu(&mut self) -> Result<Duration> {
        Ok(Duration::from_secs_f64(self.tell("cpu", "cpu")?.parse::<f64>()? / 1000.0))
    }

    /// Stops it in the middle of what it does, as a host that hangs: its connections stay open and nobody answers.
    pub(super) fn freeze(&self) -> Result<()> {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args(["-STOP", &pid]).status().context("run kill")?;
        ensure!(status.success(), "it could not be stopped");
        Ok(())
    }

    pub(super) fn peer(&self) -> Option<&str> {
        self.address.rsplit_once("/p2p/").map(|(_, peer)| peer)
    }
}
