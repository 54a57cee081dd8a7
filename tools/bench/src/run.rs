//! Where a bench runs, and how long.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// What every bench is given.
#[derive(Clone, Debug)]
pub struct Run {
    /// A run of seconds that shows that the bench still works. Its numbers are not published.
    pub quick: bool,
    /// The program `unring`, for benches that start real nodes.
    pub unring: Option<PathBuf>,
    /// The folder of the programs of this build; other tools of the workspace are beside `unring`.
    pub programs: PathBuf,
}

/// How criterion samples one contender in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampling {
    pub(crate) warm_up: Duration,
    pub(crate) measurement: Duration,
}

impl Run {
    /// `full`, or `quick` in a quick run.
    pub fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    pub(crate) fn sampling(&self) -> Sampling {
        let ms = Duration::from_millis;
        self.pick(
            Sampling { warm_up: ms(300), measurement: ms(1000) },
            Sampling { warm_up: ms(20), measurement: ms(100) },
        )
    }

    /// `target/bench/NAME.json`.
    pub(crate) fn json(name: &str) -> PathBuf {
        root().join("target/bench").join(format!("{name}.json"))
    }

    /// Where a chart goes: with the documents, or in `target/bench` when the run is quick.
    pub(crate) fn svg(&self, name: &str) -> PathBuf {
        root().join(self.pick("docs/bench", "target/bench")).join(format!("{name}.svg"))
    }
}

/// The workspace's root folder.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package)
}
