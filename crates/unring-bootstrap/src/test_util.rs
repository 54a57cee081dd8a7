//! A DNS server for tests, on loopback: a zone that can be changed while it is asked.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A record of the zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A text, in strings of 255 bytes.
    Txt(String),
}

impl Record {
    /// As RFC 1035 and RFC 3596 number it.
    fn kind(&self) -> u16 {
        match self {
            Self::A(_) => 1,
            Self::Txt(_) => 16,
            Self::Aaaa(_) => 28,
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::A(ip) => ip.octets().to_vec(),
            Self::Aaaa(ip) => ip.octets().to_vec(),
            Self::Txt(text) => {
                let string = |part: &[u8]| {
                    let length = u8::try_from(part.len()).unwrap_or(u8::MAX);
                    [&[length], part].concat()
                };
                text.as_bytes().chunks(255).flat_map(string).collect()
            }
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    zone: Mutex<BTreeMap<String, Vec<Record>>>,
    silent: AtomicBool,
    stop: AtomicBool,
    asked: AtomicUsize,
}

/// Answers questions over UDP until it is dropped.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// How often it is looked whether to stop.
const LOOK: Duration = Duration::from_millis(20);

impl DnsServer {
    /// With an empty zone.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(LOOK))?;
        let (address, shared) = (socket.local_addr()?, Arc::<Shared>::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve(&socket, &theirs));
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Where it is asked.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the records of a name; without any it exists no more.
    pub fn set(&self, name: &str, records: Vec<Record>) {
        let mut zone = self.shared.zone.lock().unwrap_or_else(PoisonError::into_inner);
        if records.is_empty() {
            zone.remove(name);
        } else {
            zone.insert(name.to_owned(), records);
        }
    }

    /// Lets it answer nobody, or everybody again.
    pub fn be_silent(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::Relaxed);
    }

    /// Questions so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::Relaxed)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it panicked of is on standard error.
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 1024];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        shared.asked.fetch_add(1, Ordering::Relaxed);
        if shared.silent.load(Ordering::Relaxed) {
            continue;
        }
        let zone = shared.zone.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(answer) = buffer.get(..length).and_then(|query| answer(query, &zone)) {
            // Whoever asked may be gone.
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// RFC 1035 section 4: header, question, answers.
fn answer(query: &[u8], zone: &BTreeMap<String, Vec<Record>>) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = query.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?);
    let question = query.get(12..at + 4)?;
    let records = zone.get(&labels.join("."));
    let name_error: u16 = if records.is_none() { 3 } else { 0 };
    let found: Vec<_> =
        records.into_iter().flatten().filter(|record| record.kind() == kind).collect();
    let mut answer = query.get(..2)?.to_vec();
    // A response, recursion desired and available.
    answer.extend((0x8180_u16 | name_error).to_be_bytes());
    let count = u16::try_from(found.len()).ok()?;
    answer.extend([1, count, 0, 0].into_iter().flat_map(u16::to_be_bytes));
    answer.extend(question);
    for record in found {
        let data = record.data();
        // The name is that of the question; class IN; a minute to live.
        answer.extend([0xc0, 12]);
        answer.extend(record.kind().to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 60]);
        answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}
