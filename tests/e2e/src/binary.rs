//! The program under test.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// `unring` as cargo builds it, in the profile of this test: it is built if it is missing or older than its sources.
pub(crate) fn unring() -> &'static Path {
    static UNRING: OnceLock<PathBuf> = OnceLock::new();
    UNRING.get_or_init(|| {
        // Tests are in target/PROFILE/deps.
        let exe = env::current_exe().unwrap();
        let profile_dir = exe.parent().and_then(Path::parent).unwrap();
        let unring = profile_dir.join("unring");
        if !is_fresh(&unring) {
            build(profile_dir);
        }
        assert!(unring.exists(), "cargo did not build {}", unring.display());
        unring
    })
}

/// Whether it is younger than every source that cargo says it was built from.
fn is_fresh(unring: &Path) -> bool {
    let modified = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    let Some(built) = modified(unring) else { return false };
    let Ok(sources) = fs::read_to_string(unring.with_extension("d")) else { return false };
    // `target: source source ...`, with spaces in paths escaped.
    let sources = sources.split_once(": ").map(|(_, sources)| sources).unwrap_or_default();
    let mut sources = sources
        .replace("\\ ", "\0")
        .split_whitespace()
        .map(|path| path.replace('\0', " "))
        .collect::<Vec<_>>();
    sources.push(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock").to_owned());
    sources.iter().all(|path| modified(Path::new(path)).is_some_and(|changed| changed <= built))
}

/// Cargo's own lock keeps other processes from doing the same at the same time.
fn build(profile_dir: &Path) {
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--profile",
            profile,
            "--package",
            "unring-node",
            "--bin",
            "unring",
        ])
        .arg("--target-dir")
        .arg(profile_dir.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "cargo build of unring: {status}");
}
