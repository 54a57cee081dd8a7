//! The part of Kademlia that lives in the network's loop: the routing table, what others tell, and what the driver asks for.

mod lists;

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use libp2p::kad::store::RecordStore as _;
use libp2p::kad::{
    self, BucketInserts, Caching, Event as KadEvent, KBucketKey, ProviderRecord, StoreInserts,
};
use libp2p::swarm::{InvalidProtocol, StreamProtocol};
use libp2p_identity::PeerId;
use multiaddr::Multiaddr;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, watch};

use crate::address;
use crate::config::MAX_ADDRESSES_PER_PEER;
use crate::handle::Wish;
use crate::kad::client::{Client, Command};
use crate::kad::config::{KadConfig, MAX_ANSWER_BYTES, REPLICATION};
use crate::kad::driver::{Driver, Heard};
use crate::kad::inbound::Asked;
use crate::kad::patience::Patience;
use crate::kad::router::{KadGauges, KadRouter};
use crate::kad::store::{Admission, Records};
use crate::kad::streams::Streams;
use crate::kad::table::Table;
use crate::kad::walker::Walker;
use crate::kad::wire::{self, Answer, Contact, Request};
use crate::swarm::Behaviour;
use crate::usage::Usage;

/// Commands of the driver that wait for the network's loop; then the driver waits, and nobody else.
const COMMAND_QUEUE: usize = 64;

/// Newcomers that the driver has not taken in yet; further ones are told when the sweep comes by.
const ARRIVAL_QUEUE: usize = 256;

/// Bytes of an answer to libp2p's walks: 20 peers with 8 addresses of 256 bytes are 42 kB.
const MAX_REFRESH_ANSWER: usize = 64 * 1024;

/// How often in its validity a record's end is looked for; until then it takes room, but nobody is told of it.
const EXPIRY_STEPS: u32 = 16;

/// Kademlia's place in the loop.
pub(crate) struct Server {
    local: PeerId,
    config: KadConfig,
    protocol: StreamProtocol,
    pub(crate) commands: mpsc::Receiver<Command>,
    sender: mpsc::Sender<Command>,
    gauges: Arc<KadGauges>,
    peers: watch::Sender<usize>,
    patience: Patience,
    /// Connected peers that said that they speak the protocol; bounded by the connections.
    present: HashSet<PeerId>,
    arrivals: mpsc::Sender<PeerId>,
    /// Until the driver takes it.
    arrived: Option<mpsc::Receiver<PeerId>>,
    next_expiry: Instant,
}

impl Server {
    /// The behaviours, and what they are steered with.
    pub(crate) fn new(
        local: PeerId,
        config: KadConfig,
        usage: Usage,
    ) -> Result<(Self, (Table, Streams)), InvalidProtocol> {
        let protocol = StreamProtocol::try_from_owned(config.protocol.to_owned())?;
        let replication = NonZeroUsize::new(REPLICATION).unwrap_or(kad::K_VALUE);
        let mut settings = kad::Config::new(protocol.clone());
        settings
            // Answers to its walks that refresh the table; honest ones have a few kilobytes.
            .set_max_packet_size(MAX_REFRESH_ANSWER)
            .set_replication_factor(replication)
            .set_kbucket_size(replication)
            .set_kbucket_inserts(BucketInserts::OnConnected)
            .set_substreams_timeout(config.request_timeout)
            .set_record_filtering(StoreInserts::FilterBoth)
            .set_provider_record_ttl(Some(config.store.validity))
            .set_caching(Caching::Disabled)
            .set_periodic_bootstrap_interval(Some(config.refresh_interval))
            // The sweep tells others of our keys, and nobody has values.
            .set_provider_publication_interval(None)
            .set_publication_interval(None)
            .set_replication_interval(None);
        let records = Records::new(local, config.store, rand::random());
        let mut kad = kad::Behaviour::with_config(local, records, settings);
        // Others are served by `Streams`.
        kad.set_mode(Some(kad::Mode::Client));
        let (sender, commands) = mpsc::channel(COMMAND_QUEUE);
        let (gauges, peers) = (Arc::<KadGauges>::default(), watch::Sender::new(0));
        let patience = Patience::default();
        let streams =
            Streams::new(protocol.clone(), Arc::clone(&gauges.refused), patience.clone(), usage);
        let next_expiry = Instant::now() + config.store.validity / EXPIRY_STEPS;
        let (arrivals, arrived) = mpsc::channel(ARRIVAL_QUEUE);
        let server = Self {
            local,
            config,
            protocol,
            commands,
            sender,
            gauges,
            peers,
            patience,
            present: HashSet::new(),
            arrivals,
            arrived: Some(arrived),
            next_expiry,
        };
        Ok((server, (Table::new(kad), streams)))
    }

    /// What asks and tells, and the router in front of it, for a node that others find at `external`.
    pub(crate) fn driver(
        &mut self,
        local: PeerId,
        external: Vec<Multiaddr>,
        wish: watch::Receiver<Wish>,
        kad: &mut Table,
    ) -> (Driver, KadRouter) {
        kad.store_mut().set_own_addresses(external.clone());
        let client = Client::new(
            self.sender.clone(),
            self.config.request_timeout,
            MAX_ANSWER_BYTES,
            wish.clone(),
        );
        let gauges = Arc::clone(&self.gauges);
        let (patience, config) = (self.patience.clone(), self.config);
        let walker = Walker { local, client, config, gauges: Arc::clone(&gauges), patience };
        let (finds_sender, finds) = mpsc::channel(COMMAND_QUEUE);
        let (router, advertised) =
            KadRouter::new(local, &self.config, rand::random(), finds_sender, wish, gauges);
        let own = Contact { peer: local, addresses: external };
        let arrived = self.arrived.take().unwrap_or_else(|| mpsc::channel(1).1);
        let heard = Heard { finds, advertised, peers: self.peers.subscribe(), arrived };
        (Driver::new(walker, own, heard, StdRng::seed_from_u64(rand::random())), router)
    }

    /// Does what the driver asks for.
    pub(crate) fn on_command(&self, behaviour: &mut Behaviour, command: Command) {
        match command {
            Command::Open(contact, reply) => {
                let Some(kad) = behaviour.kad.as_mut() else { return };
                let Some(streams) = behaviour.streams.as_mut() else { return };
                let peer = contact.peer;
                let table = kad.addresses(&peer);
                let usable = |address: &Multiaddr| kad.usable(address, &peer);
                let table = table.iter().filter_map(usable).collect();
                let addresses = contact.addresses.iter().filter_map(usable).collect();
                streams.open(Instant::now(), Contact { peer, addresses }, table, reply);
            }
            Command::Known(key, reply) => {
                let Some(kad) = behaviour.kad.as_mut() else { return };
                let held = kad.store_mut().providers(&key.clone().into());
                let providers =
                    held.into_iter().map(|one| Contact::new(one.provider, one.addresses));
                let providers = providers.collect();
                let key = KBucketKey::new(key);
                let closest = kad.find_closest_local_peers(&key, &self.local);
                let closer = closest.map(|peer| Contact::new(peer.node_id, peer.multiaddrs));
                // Whoever gave up needs no answer.
                drop(reply.send(Answer { closer: closer.collect(), providers }));
            }
            Command::Table(reply) => {
                let Some(kad) = behaviour.kad.as_mut() else { return };
                let mut peers = Vec::new();
                for bucket in kad.kbuckets() {
                    peers.extend(bucket.iter().map(|entry| *entry.node.key.preimage()));
                }
                drop(reply.send(peers));
            }
            Command::Own(keys, owned) => {
                if let Some(kad) = behaviour.kad.as_mut() {
                    kad.store_mut().set_own(keys, owned);
                }
            }
        }
    }

    /// A peer does not answer where it said that it is.
    pub(crate) fn on_unreachable(&self, behaviour: &mut Behaviour, peer: &PeerId) {
        let Some(kad) = behaviour.kad.as_mut() else { return };
        // It comes back when it connects, if it is not.
        if !self.present.contains(peer) {
            kad.remove_peer(peer);
            self.count_peers(kad);
        }
    }

    /// Does what a peer asks for. Returns how full the store is when that is worth an alarm.
    pub(crate) fn on_asked(&self, behaviour: &mut Behaviour, asked: Asked) -> Option<usize> {
        let kad = behaviour.kad.as_mut()?;
        let Asked { peer, request, reply } = asked;
        self.gauges.requests_served.fetch_add(1, Ordering::Relaxed);
        let mut answer = Answer::default();
        let mut alarm = None;
        match &request {
            Request::Ping => {}
            Request::FindNode(key) | Request::GetValue(key) => {
                answer.closer = closest(kad, key.clone(), &peer);
            }
            Request::GetProviders(key) => {
                answer.closer = closest(kad, key.clone(), &peer);
                let held = kad.store_mut().providers(&key.clone().into());
                let told = held.into_iter().filter(|one| !one.addresses.is_empty());
                let told = told.map(|one| Contact::new(one.provider, one.addresses));
                answer.providers = told.take(REPLICATION).collect();
            }
            Request::AddProvider { key, providers } => {
                // Nobody speaks for others.
                let (own, others): (Vec<_>, Vec<_>) =
                    providers.iter().partition(|one| one.peer == peer);
                let refused = u64::try_from(others.len()).unwrap_or(u64::MAX);
                self.gauges.records_refused.fetch_add(refused, Ordering::Relaxed);
                for one in own.into_iter().take(1) {
                    let addresses = one.addresses.clone();
                    let record = ProviderRecord::new(key.clone(), peer, addresses);
                    alarm = self.admit(kad, record).or(alarm);
                }
            }
        }
        // Whoever has gone needs no answer.
        drop(reply.send(wire::reply(&request, &answer)));
        alarm
    }

    fn admit(&self, kad: &mut Table, record: ProviderRecord) -> Option<usize> {
        let provider = record.provider;
        let store = kad.store_mut();
        let admission = store.admit(Instant::now(), record);
        let kept = matches!(admission, Admission::Kept | Admission::Replaced);
        let gauges = &self.gauges;
        let counter = if kept { &gauges.records_kept } else { &gauges.records_refused };
        counter.fetch_add(1, Ordering::Relaxed);
        if !kept {
            tracing::debug!(%provider, ?admission, "record refused");
        }
        count_records(gauges, store);
        store.take_alarm().then(|| {
            gauges.alarms.fetch_add(1, Ordering::Relaxed);
            store.len()
        })
    }

    /// A peer said what it speaks and where it is: all that libp2p's own behaviour knows of one that connected to us.
    pub(crate) fn on_identified(
        &mut self,
        behaviour: &mut Behaviour,
        peer: PeerId,
        protocols: &[StreamProtocol],
        addresses: &[Multiaddr],
    ) {
        let Some(kad) = behaviour.kad.as_mut() else { return };
        if !protocols.contains(&self.protocol) {
            return;
        }
        let usable = addresses.iter().filter_map(|address| kad.usable(address, &peer));
        let told: Vec<Multiaddr> = usable.take(MAX_ADDRESSES_PER_PEER).collect();
        for address in &told {
            kad.add_address(&peer, address.clone());
        }
        // What it no longer says it is no longer told of, so that its entry does not grow for ever.
        let mut stale = kad.addresses(&peer);
        stale.retain(|known| !told.is_empty() && !told.contains(&address::without_peer(known)));
        for address in &stale {
            kad.remove_address(&peer, address);
        }
        self.count_peers(kad);
        let arrives = self.present.insert(peer);
        self.gauges.connected.store(self.present.len(), Ordering::Relaxed);
        if arrives && self.arrivals.try_send(peer).is_err() {
            tracing::debug!(%peer, "many peers came at once: this one is told by the sweep");
        }
    }

    /// The last connection to a peer is gone.
    pub(crate) fn on_disconnected(&mut self, peer: &PeerId) {
        self.present.remove(peer);
        self.gauges.connected.store(self.present.len(), Ordering::Relaxed);
    }

    /// What libp2p's behaviour reports.
    pub(crate) fn on_event(&self, behaviour: &mut Behaviour, event: &KadEvent) {
        if let (KadEvent::RoutingUpdated { .. }, Some(kad)) = (event, behaviour.kad.as_mut()) {
            self.count_peers(kad);
        }
    }

    /// When [`expire`](Self::expire) is to be called.
    pub(crate) fn next_expiry(&self) -> Instant {
        self.next_expiry
    }

    /// Forgets the records whose time is over.
    pub(crate) fn expire(&mut self, behaviour: &mut Behaviour, now: Instant) {
        let step = (self.config.store.validity / EXPIRY_STEPS).max(Duration::from_millis(1));
        self.next_expiry = now + step;
        if let Some(kad) = behaviour.kad.as_mut() {
            kad.store_mut().expire(now);
            count_records(&self.gauges, kad.store_mut());
        }
    }

    /// Records that are kept at most.
    pub(crate) fn capacity(&self) -> usize {
        self.config.store.records
    }

    fn count_peers(&self, kad: &mut Table) {
        let count = kad.kbuckets().map(|bucket| bucket.num_entries()).sum();
        self.gauges.peers.store(count, Ordering::Relaxed);
        self.peers.send_if_modified(|known| std::mem::replace(known, count) != count);
    }
}

fn count_records(gauges: &KadGauges, store: &Records) {
    gauges.records.store(store.len(), Ordering::Relaxed);
    gauges.providers.store(store.providers_held(), Ordering::Relaxed);
}

/// The peers of the table that are closest to `key`, but for `asker`.
fn closest(kad: &mut Table, key: Vec<u8>, asker: &PeerId) -> Vec<Contact> {
    let key = KBucketKey::new(key);
    let closest = kad.find_closest_local_peers(&key, asker);
    let contacts = closest.map(|peer| Contact::new(peer.node_id, peer.multiaddrs));
    contacts.filter(|contact| !contact.addresses.is_empty()).take(REPLICATION).collect()
}
