//! libp2p connections follow the book.

use unring_routing_kad::{Event, EventReceiver, WantedPeer};

use super::Parts;
use crate::exchange::wall_clock;
use crate::log::NODE;

/// Keeps the network told whom to stay connected to.
pub(super) async fn follow_book(parts: &Parts) {
    loop {
        let wanted = parts.exchange.read(|engine, now| {
            // Who was connected when the node stopped did prove who it is: it comes before what was only heard of.
            let mut corroborated = parts.network.connected();
            corroborated.extend(parts.exchange.keeper().met_before());
            corroborated.extend(engine.upstreams(now).into_iter().flat_map(|up| up.targets));
            let peers = engine.peers(now).into_iter().map(|peer| {
                let record = peer.record.record();
                let addresses =
                    record.addresses.iter().map(|address| address.as_multiaddr().clone());
                let hearsay = !corroborated.contains(&record.peer_id);
                WantedPeer { peer: record.peer_id, addresses: addresses.collect(), hearsay }
            });
            peers.filter(|wanted| !wanted.addresses.is_empty()).collect::<Vec<_>>()
        });
        // The operator's own word for where peers are.
        let found = parts.sources.peers().into_iter().map(|(peer, addresses)| WantedPeer {
            peer,
            addresses: addresses.iter().map(|address| address.as_multiaddr().clone()).collect(),
            hearsay: false,
        });
        parts.network.set_peers(wanted.into_iter().chain(found).collect());
        tokio::select! {
            () = parts.exchange.book_changed() => {}
            () = parts.sources.peers_changed() => {}
        }
    }
}

/// Tells the engine how many peers are connected.
pub(super) async fn follow_connections(parts: &Parts) {
    let mut connected = parts.network.watch_connected();
    loop {
        let peers = connected.borrow_and_update().clone();
        let count = peers.len();
        parts.exchange.keeper().connected(peers, wall_clock());
        if count > 0 {
            parts.first_connected.get_or_init(|| parts.exchange.now().mono);
        }
        parts.exchange.event(|state, now| state.engine.set_connected_peers(now, count));
        if connected.changed().await.is_err() {
            return;
        }
    }
}

/// Writes what happens in the network to the log.
pub(super) async fn log_events(mut events: EventReceiver) {
    while let Some(event) = events.recv().await {
        match event {
            Event::Connected { peer } => tracing::info!(%peer, "connected"),
            Event::Disconnected { peer, cause } => tracing::info!(%peer, cause, "disconnected"),
            Event::DialFailed { peer, failure } => {
                tracing::debug!(%peer, error = %failure, "dial failed")
            }
            Event::Listening { address } => tracing::debug!(%address, "libp2p listens"),
            Event::StoreAlmostFull { records, limit } => {
                tracing::warn!(
                    target: NODE,
                    event = "dht_store_almost_full",
                    records,
                    limit,
                    "the store of what other nodes have is almost full: above the limit they are refused, and their content is found less often; raise dht.max_records"
                );
            }
            Event::Missed { count } => tracing::debug!(count, "network events missed"),
        }
    }
}
