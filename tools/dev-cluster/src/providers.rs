//! Whether look-ups cross the cluster: each node provides a key of its own, which each other must find.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::brute::Graph;
use crate::cluster::{Cluster, Stop};
use crate::http;
use crate::watch::Watch;

/// By then each node must find the key of each other, counted from the first question: a key is told within a second of the first
/// connection, and a busy machine takes some.
pub const FOUND_WITHIN: Duration = Duration::from_secs(15);

/// Added to that for each question: thousands of them keep a machine busy for longer, which says nothing of the DHT.
const FOR_EACH: Duration = Duration::from_millis(10);

/// Questions at once where nothing is to be healed: those who are asked share the machine with whoever asks.
pub(crate) const FEW: usize = 4;

/// Questions at once after a partition, where one that is asked in vain takes up to 5 s and must not hold up the others. An admin
/// port has 64 places.
pub(crate) const MANY: usize = 32;

/// Nodes that one is asked for, those that follow it: all of them in a cluster of up to 65. All 200 of the largest would be 39 800
/// look-ups, a minute of work for the machine.
const MAX_ASKED_FOR: usize = 64;

/// A look-up ends after 5 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// Between two questions for the same key: that nobody was found is remembered for half a second.
const AGAIN: Duration = Duration::from_millis(500);

/// How soon a stop is noticed.
const STOP_POLL: Duration = Duration::from_millis(50);

/// What came of the last questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ProvidersReport {
    /// Pairs of a node and another one's key that were asked for.
    pub expected: usize,
    /// Of these, where the answer names the other one.
    pub found: usize,
    /// The time that the node took for it, in milliseconds: of half of them no more.
    pub p50_ms: Option<f64>,
    /// Of all but one in a hundred.
    pub p99_ms: Option<f64>,
}

impl ProvidersReport {
    /// It in a line, for people.
    pub fn line(&self) -> String {
        let Self { expected, found, .. } = self;
        let times = match (self.p50_ms, self.p99_ms) {
            (Some(p50), Some(p99)) => format!("; a look-up took p50 {p50} ms, p99 {p99} ms"),
            _ => String::new(),
        };
        format!("  keys of other nodes found in the DHT: {found} of {expected}{times}")
    }
}

/// The key that the node of this name provides.
pub fn key(name: &str) -> String {
    format!("dev-cluster/{name}")
}

/// Has a node provide its key beside those that its configuration names, unless it takes no part in the DHT.
pub fn configure(config: &mut Table, name: &str) {
    let dht = config.entry("dht").or_insert_with(|| Table::new().into());
    let Some(dht) = dht.as_table_mut() else { return };
    if dht.get("mode").and_then(Value::as_str) == Some("off") {
        return;
    }
    let mut keys = match dht.remove("advertise") {
        Some(Value::Array(keys)) => keys,
        other => other.into_iter().collect(),
    };
    keys.push(key(name).into());
    dht.insert("advertise".to_owned(), keys.into());
}

/// One node that is asked for the key of another.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Who is asked.
    pub(crate) asked: usize,
    /// Whose key it is.
    pub(crate) provider: usize,
    admin: SocketAddr,
    path: String,
    peer_id: String,
}

/// A key that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// How long the node looked for it, in milliseconds.
    pub(crate) took_ms: f64,
    /// How long after the first question.
    pub(crate) after: Duration,
}

/// Each question, and what came of it: why not, in the end.
pub(crate) type Answers = Vec<(Question, Result<Found, String>)>;

/// What is to be asked: the nodes that run and take part in the DHT, for the key of each other that joins or connections lead to.
pub(crate) fn questions(cluster: &Cluster, watch: &Watch) -> Vec<Question> {
    let ids = cluster.peer_ids();
    let takes_part = |node: usize| {
        let seen = watch.nodes().get(node);
        seen.is_some_and(|seen| seen.exit.is_none() && seen.status().dht.is_some())
    };
    let connections = watch.nodes().iter().enumerate().flat_map(|(from, seen)| {
        let live = &seen.status().libp2p.connected_peers;
        live.iter().filter_map(move |peer| Some((from, ids.iter().position(|id| id == peer)?)))
    });
    let joins = cluster.topology().graph();
    let count = cluster.nodes().len();
    let pairs = (0..count).flat_map(|from| (0..count).map(move |to| (from, to)));
    let links = pairs.filter(|&(from, to)| joins.joins(from, to)).chain(connections);
    let graph = Graph::new(count, links);
    let nodes = cluster.nodes().iter().enumerate().filter(|&(node, _)| takes_part(node));
    let questions = nodes.flat_map(|(asked, node)| {
        let others = graph.component(asked);
        // From the next one on, so that each key is asked for as often as the others.
        let next = (1..count).map(move |step| (asked + step) % count);
        let others = next.filter(move |other| others.contains(other) && takes_part(*other));
        others.take(MAX_ASKED_FOR).filter_map(move |provider| {
            let name = cluster.nodes().get(provider)?.name();
            let path = format!("/dht?key={}", key(name));
            let peer_id = ids.get(provider)?.clone();
            Some(Question { asked, provider, admin: node.ports().admin, path, peer_id })
        })
    });
    questions.collect()
}

/// Asks each until it is answered with its provider, for `within` in all and a moment for each; so many at once. A stop ends it.
pub(crate) fn ask(
    questions: &[Question],
    within: Duration,
    at_once: usize,
    stop: &Stop,
) -> Answers {
    let began = Instant::now();
    let within = within + FOR_EACH * u32::try_from(questions.len()).unwrap_or(u32::MAX);
    let answers = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for share in 0..at_once.min(questions.len()) {
            let share: Vec<_> = questions.iter().skip(share).step_by(at_once).collect();
            let answers = &answers;
            scope.spawn(move || {
                let mut told = ask_in_turn(&share, began, within, stop);
                answers.lock().unwrap_or_else(PoisonError::into_inner).append(&mut told);
            });
        }
    });
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_by_key(|(question, _)| (question.asked, question.provider));
    answers
}

fn ask_in_turn(share: &[&Question], began: Instant, within: Duration, stop: &Stop) -> Answers {
    let mut told = Vec::new();
    let mut open: Vec<_> =
        share.iter().map(|question| (*question, "it was not asked in time".to_owned())).collect();
    let mut next = began;
    while !open.is_empty() {
        while Instant::now() < next && !stop.is_wanted() {
            thread::sleep(STOP_POLL);
        }
        next = Instant::now() + AGAIN;
        open.retain_mut(|(question, said)| {
            let left = within.saturating_sub(began.elapsed());
            if left.is_zero() || stop.is_wanted() {
                told.push(((*question).clone(), Err(std::mem::take(said))));
                return false;
            }
            match question.ask(left) {
                Ok(took_ms) => {
                    let found = Found { took_ms, after: began.elapsed() };
                    told.push(((*question).clone(), Ok(found)));
                    false
                }
                Err(error) => {
                    *said = error;
                    true
                }
            }
        });
    }
    told
}

impl Question {
    /// How long the node took to find the provider, in milliseconds, or what it said instead.
    fn ask(&self, left: Duration) -> Result<f64, String> {
        let answer = http::get(self.admin, &self.path, left.min(ANSWER_TIMEOUT));
        let answer = answer.map_err(|error| crate::error_chain(&error))?;
        if answer.status != 200 {
            let said = String::from_utf8_lossy(&answer.body);
            return Err(format!("HTTP {}: {}", answer.status, said.trim()));
        }
        let page: Page = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        match page.providers.iter().any(|provider| provider.peer_id == self.peer_id) {
            true => Ok(page.took_ms),
            false => Err("nobody, or others".to_owned()),
        }
    }
}

/// What a node says at `/dht`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    providers: Vec<Provider>,
    took_ms: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Provider {
    peer_id: String,
}

/// What came of all questions, in numbers.
pub(crate) fn report(answers: &Answers) -> ProvidersReport {
    let mut times: Vec<f64> =
        answers.iter().filter_map(|(_, found)| Some(found.as_ref().ok()?.took_ms)).collect();
    times.sort_by(f64::total_cmp);
    // Nearest rank: of so many in a hundred no more.
    let percentile = |percent: usize| {
        let rank = (times.len() * percent).div_ceil(100);
        times.get(rank.checked_sub(1)?).map(|ms| (ms * 10.0).round() / 10.0)
    };
    ProvidersReport {
        expected: answers.len(),
        found: times.len(),
        p50_ms: percentile(50),
        p99_ms: percentile(99),
    }
}

/// Who does not find whose keys: a sentence for each that was asked. `name` is what a node is called.
pub(crate) fn missing<'a>(
    answers: &Answers,
    name: impl Fn(usize) -> &'a str,
) -> Vec<(usize, String)> {
    let mut missing: BTreeMap<usize, (Vec<&str>, &str)> = BTreeMap::new();
    for (question, found) in answers {
        let Err(said) = found else { continue };
        let (keys, _) = missing.entry(question.asked).or_insert_with(|| (Vec::new(), said));
        keys.push(name(question.provider));
    }
    let sentence = |(asked, (keys, said)): (usize, (Vec<&str>, &str))| {
        let (name, keys) = (name(asked), keys.join(", "));
        (
            asked,
            format!("{name} does not find the key of {keys} in the DHT (the last answer: {said})"),
        )
    };
    missing.into_iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::{Answers, Duration, Found, Question, configure, missing, report};

    fn configured(config: &str) -> toml::Table {
        let mut config = toml::from_str(config).unwrap();
        configure(&mut config, "a");
        config
    }

    #[test]
    fn a_node_provides_its_key_beside_its_own_unless_it_takes_no_part() {
        let check = |before: &str, after: &str| {
            assert_eq!(configured(before), toml::from_str(after).unwrap());
        };
        check("x = 1", "x = 1\ndht.advertise = ['dev-cluster/a']");
        check("dht.advertise = 'b'", "dht.advertise = ['b', 'dev-cluster/a']");
        check("dht.advertise = ['b']", "dht.advertise = ['b', 'dev-cluster/a']");
        check("dht.mode = 'off'", "dht.mode = 'off'");
    }

    fn answers(found: &[(usize, usize, Result<f64, &str>)]) -> Answers {
        let answer = |&(asked, provider, found): &(usize, usize, Result<f64, &str>)| {
            let (admin, path) = (([127, 0, 0, 1], 1).into(), String::new());
            let question = Question { asked, provider, admin, path, peer_id: String::new() };
            let found = found.map(|took_ms| Found { took_ms, after: Duration::ZERO });
            (question, found.map_err(str::to_owned))
        };
        found.iter().map(answer).collect()
    }

    #[test]
    fn times_are_those_of_what_was_found() {
        let mut found: Vec<_> = (1..=200).map(|ms| (0, 1, Ok(f64::from(ms)))).collect();
        found.push((1, 0, Err("nobody")));
        let told = report(&answers(&found));
        assert_eq!((told.expected, told.found), (201, 200));
        assert_eq!((told.p50_ms, told.p99_ms), (Some(100.0), Some(198.0)));
        let one = report(&answers(&found[6..7]));
        assert_eq!((one.p50_ms, one.p99_ms), (Some(7.0), Some(7.0)));
        let none = report(&answers(&found[200..]));
        assert_eq!((none.expected, none.found, none.p50_ms), (1, 0, None));
        assert_eq!(none.line(), "  keys of other nodes found in the DHT: 0 of 1");
    }

    #[test]
    fn who_does_not_find_whose_key_is_named_once() {
        let names = ["a", "b", "c"];
        let told = answers(&[
            (0, 1, Err("nobody, or others")),
            (0, 2, Err("HTTP 504: silent")),
            (1, 2, Ok(1.0)),
            (2, 0, Err("it was not asked in time")),
        ]);
        let a = "a does not find the key of b, c in the DHT (the last answer: nobody, or others)";
        let c =
            "c does not find the key of a in the DHT (the last answer: it was not asked in time)";
        assert_eq!(missing(&told, |node| names[node]), [(0, a.to_owned()), (2, c.to_owned())]);
    }
}
