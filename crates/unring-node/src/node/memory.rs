//! What a node remembers at its start: read from disk, and told to the engine before anybody can be heard.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use unring_exchange::{Engine, Now, Restored, Signatures};

use super::BuildError;
use crate::config::Config;
use crate::database::{Database, DatabaseError, Loaded, Opened, SetAside};
use crate::errors::chain;
use crate::exchange::wall_clock;
use crate::keeper::{Keeper, View, Writer, warn_of};
use crate::log::NODE;

/// What the disk holds, or why it cannot be read.
pub(super) struct Memory {
    data_dir: PathBuf,
    opened: Result<Opened, DatabaseError>,
}

impl Memory {
    /// # Errors
    /// When another node uses the folder or it is not to be written to, which somebody has to decide about. A file that is
    /// damaged or of a newer version is set aside; without space, or where the disk fails, the node starts without one.
    pub(super) fn open(data_dir: &Path) -> Result<Self, BuildError> {
        let opened = match Database::open_or_set_aside(data_dir, wall_clock()) {
            Err(error) if error.is_for_operator() => return Err(error.into()),
            opened => opened,
        };
        Ok(Self { data_dir: data_dir.to_path_buf(), opened })
    }

    /// No record of ours has a higher `seq`.
    pub(super) fn last_seq(&self) -> u64 {
        self.opened.as_ref().map_or(0, |opened| opened.loaded.seq)
    }

    /// Tells the engine, and goes on to keep what changes from here on.
    pub(super) fn restore(
        self,
        now: Now,
        config: &Config,
        engine: &mut Engine<Signatures>,
    ) -> (Arc<Keeper>, Writer) {
        let Self { data_dir, opened } = self;
        let mut view = View::default();
        let (database, mut loaded) = match opened {
            Ok(Opened { database, loaded, set_aside }) => {
                view.open = true;
                view.size = database.size();
                view.set_aside = set_aside.as_ref().map(|SetAside { to, .. }| to.clone());
                set_aside.iter().for_each(warn_of);
                (Some(database), loaded)
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(
                    target: NODE,
                    event = "database_refused",
                    error,
                    "the node starts without a database, and tries again all the time: until then it would know nobody after a restart"
                );
                view.failures = 1;
                view.last_error = Some((error, now.mono));
                (None, Loaded::default())
            }
        };
        let capacity = config.limits.book_capacity.get();
        view.unreadable = loaded.unreadable.len();
        view.records = loaded.book.len();
        // Nobody is served yet, so it may take its time; where it fails, the writer finds out again.
        let seq = engine.seq_to_persist();
        drop(database.as_ref().map(|database| database.set_seq(seq)));
        engine.on_seq_persisted(now, seq);
        let opened = database.map(|database| (database, &loaded));
        let mut writer = Writer::new(data_dir, capacity, opened, now);
        engine.restore_graves(now, std::mem::take(&mut loaded.graves));
        view.restored = engine.restore_book(now, std::mem::take(&mut loaded.book));
        writer.starts_from(engine.book_version());
        view.saved_version = engine.book_version();
        engine.restore_ring_memory(now, std::mem::take(&mut loaded.rings));
        announce(&view);
        let keeper = Keeper::new(loaded.joins, loaded.targets.clone(), loaded.met, view);
        let addresses: Vec<_> = config.upstreams.iter().map(ToString::to_string).collect();
        engine.set_upstreams(now, keeper.joins_since(&addresses, now.unix));
        engine.restore_targets(now, &loaded.targets);
        (keeper, writer)
    }
}

fn announce(view: &View) {
    let Restored { kept, expired, clock_skew, invalid, superseded, full, not_members } =
        view.restored;
    if kept + view.restored.skipped() + view.unreadable == 0 {
        return;
    }
    tracing::info!(
        target: NODE,
        event = "book_restored",
        kept,
        expired,
        clock_skew,
        invalid,
        superseded,
        full,
        not_members,
        unreadable = view.unreadable,
        "records of other nodes are back from disk"
    );
    if clock_skew > kept {
        tracing::warn!(
            target: NODE,
            event = "clock_behind",
            clock_skew,
            "most records on disk are from the future: check this host's clock"
        );
    }
}
