//! What an operator reads, and which callers a node is asked about.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;

use super::kit::Book;
use super::{A, B};
use crate::{
    Access, Admission, Caller, CertifiedUser, K3sAddress, K3sServer, Peers, Standing, Unavailable,
    limits,
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that are written meanwhile.
fn logged(act: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, act);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// Asks at this second; with a certificate, or without.
fn ask<P: Peers>(server: &K3sServer<P>, json: bool, known: bool, second: u64) {
    let user = CertifiedUser { name: "system:node:a".into(), groups: vec![] };
    let accept = if json { "application/json" } else { "*/*" };
    let request = Request::get("/v1-k3s/p2p").header("accept", accept);
    let (head, ()) = request.body(()).unwrap().into_parts();
    let (user, now) = (known.then_some(&user), Duration::from_secs(second));
    server.respond(&head, [10, 0, 0, 9].into(), user, now);
}

/// The lines of requests at these seconds.
fn lines(book: Book, json: bool, known: bool, seconds: &[u64]) -> Vec<String> {
    let server = K3sServer::new(book, Access::default(), None);
    logged(|| seconds.iter().for_each(|second| ask(&server, json, known, *second)))
}

#[test]
fn an_operator_of_k3s_recognises_the_lines() {
    let list = lines(Book::of(&[A, B]), true, true, &[0, 1, 2, 60]);
    let line = |withheld| {
        format!("DEBUG Serving p2p peer addrs [{A} {B}] to client at 10.0.0.9 withheld={withheld}")
    };
    assert_eq!(list, [line(0), line(2)], "one a minute");
    let text = lines(Book::of(&[A, B]), false, true, &[0]);
    assert_eq!(text, [format!("DEBUG Serving p2p peer addr {A} to client at 10.0.0.9 withheld=0")]);
    let stranger = lines(Book::of(&[A]), false, false, &[0, 30]);
    let want = "WARN Unauthorized: refused p2p peer addrs to client at 10.0.0.9 withheld=0";
    assert_eq!(stranger, [want]);
}

/// Too early to tell the first time.
struct Starting(AtomicUsize);

impl Peers for Starting {
    fn admit(&self, _: &Caller<'_>) -> Admission {
        Admission::Granted
    }
    fn addresses(&self, _: &Caller<'_>, _: usize) -> Result<Vec<K3sAddress>, Unavailable> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => Err(Unavailable::Starting),
            _ => Ok(vec![A.parse().unwrap()]),
        }
    }
}

#[test]
fn what_is_not_said_hides_nothing() {
    let server = K3sServer::new(Starting(AtomicUsize::new(0)), Access::default(), None);
    let lines = logged(|| {
        for (known, second) in [(true, 0), (true, 1), (false, 2)] {
            ask(&server, true, known, second);
        }
    });
    let (served, refused) = (lines[0].contains("Serving"), lines[1].contains("Unauthorized"));
    assert!(served && refused && lines.len() == 2, "{lines:?}");
}

#[test]
fn a_book_that_cannot_be_read_is_said_beside_what_was_served() {
    let failed = Book { addresses: Err(Unavailable::Failed("why".into())), ..Book::of(&[]) };
    let want = "WARN no p2p peer addrs for client at 10.0.0.9: why withheld=0";
    assert_eq!(lines(failed, true, true, &[0]), [want]);
    /// Answers, and then cannot.
    struct Breaking(AtomicUsize);
    impl Peers for Breaking {
        fn admit(&self, _: &Caller<'_>) -> Admission {
            Admission::Granted
        }
        fn addresses(&self, _: &Caller<'_>, _: usize) -> Result<Vec<K3sAddress>, Unavailable> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(vec![A.parse().unwrap()]),
                _ => Err(Unavailable::Failed("why".into())),
            }
        }
    }
    let server = K3sServer::new(Breaking(AtomicUsize::new(0)), Access::default(), None);
    let lines = logged(|| (0..3).for_each(|second| ask(&server, true, true, second)));
    assert_eq!((lines.len(), &*lines[1]), (2, want));
}

#[test]
fn an_address_has_one_line_however_it_is_written() {
    let server = K3sServer::new(Book::of(&[A]), Access::default(), None);
    let lines = logged(|| {
        for address in ["10.0.0.9", "::ffff:10.0.0.9"] {
            let (head, ()) = Request::get("/v1-k3s/p2p").body(()).unwrap().into_parts();
            server.respond(&head, address.parse().unwrap(), None, Duration::ZERO);
        }
    });
    assert!(lines.len() == 1 && lines[0].contains(" 10.0.0.9 "), "{lines:?}");
}

#[test]
fn only_who_asks_for_addresses_is_spoken_of() {
    let book = || Counting([AtomicUsize::new(4), AtomicUsize::new(0)]);
    for (path, count) in [("/v1-k3s/p2p", 1), ("/cacerts", 0), ("/other", 0)] {
        let server = K3sServer::new(book(), Access::default(), None);
        let lines = logged(|| {
            let (head, ()) = Request::get(path).body(()).unwrap().into_parts();
            let answer = server.respond(&head, [10, 0, 0, 9].into(), None, Duration::ZERO);
            assert_eq!(answer.status().as_u16(), 429);
        });
        assert_eq!(lines.len(), count, "{path}: {lines:?}");
    }
}

#[test]
fn a_line_is_bounded() {
    let many = vec![A; limits::MAX_LOGGED_ADDRESSES + 3];
    let line = lines(Book::of(&many), true, true, &[0]).concat();
    assert_eq!(line.matches(A).count(), limits::MAX_LOGGED_ADDRESSES);
    assert!(line.contains(" and 3 more]"), "{line}");
}

/// Counts how often it is asked, and says another thing each time.
#[derive(Default)]
struct Counting([AtomicUsize; 2]);

impl Peers for Counting {
    fn admit(&self, caller: &Caller<'_>) -> Admission {
        let retry_after = Duration::from_secs(1);
        match (self.0[0].fetch_add(1, Ordering::Relaxed), caller.standing) {
            (4.., _) => Admission::Later { retry_after },
            (3, _) | (_, Standing::Unknown) => Admission::Forbidden,
            _ => Admission::Granted,
        }
    }
    fn addresses(&self, _: &Caller<'_>, most: usize) -> Result<Vec<K3sAddress>, Unavailable> {
        assert_eq!(most, limits::MAX_SERVED_ADDRESSES);
        self.0[1].fetch_add(1, Ordering::Relaxed);
        Ok(Vec::new())
    }
}

#[test]
fn everybody_is_charged_and_the_book_is_for_those_let_in() {
    let book = Arc::new(Counting::default());
    let server = K3sServer::new(Arc::clone(&book), Access::default(), None);
    let user = CertifiedUser { name: "a".into(), groups: vec![] };
    let ask = |path: &str, user| {
        let (head, ()) = Request::get(path).body(()).unwrap().into_parts();
        server.respond(&head, [10, 0, 0, 9].into(), user, Duration::ZERO).status().as_u16()
    };
    let asked = || [0, 1].map(|at: usize| book.0[at].load(Ordering::Relaxed));
    assert_eq!((ask("/v1-k3s/p2p", None), asked()), (401, [1, 0]));
    assert_eq!((ask("/other", Some(&user)), asked()), (404, [2, 0]));
    assert_eq!((ask("/v1-k3s/p2p", Some(&user)), asked()), (503, [3, 1]));
    assert_eq!((ask("/v1-rke2/p2p", Some(&user)), asked()), (403, [4, 1]));
    for (path, user) in [("/v1-k3s/p2p", None), ("/cacerts", None), ("/other", Some(&user))] {
        assert_eq!(ask(path, user), 429, "{path}");
    }
    assert_eq!(asked(), [7, 1]);
}
