//! Exports as they are frozen, with hostile texts, and within limits.

use std::{collections::BTreeSet, time::Duration};

use super::{ExportLimits, Format, Picture};
use crate::{Config, Detector, Join, Topology, model::NodeId};

fn join<N: NodeId>(address: &str, targets: &[N], since_unix_ms: u64) -> Join<N> {
    let targets: BTreeSet<N> = targets.iter().cloned().collect();
    Join { address: address.to_owned(), targets, since_unix_ms }
}

fn topology<N: NodeId>(local: N, nodes: Vec<(N, &str, Vec<Join<N>>)>) -> Topology<N> {
    let mut detector = Detector::new(Config::new(local));
    for (node, name, joins) in nodes {
        detector.set_joins(Duration::ZERO, node, name.to_owned(), joins).unwrap();
    }
    detector.poll(Duration::ZERO, 0);
    detector.topology()
}

/// A ring of three with a leaf, a shared address, a join that was not reached yet, and a node that is only named.
fn small() -> Topology<&'static str> {
    let nodes = vec![
        (
            "12D3KooW-aaaaaaaa",
            "server1",
            vec![join("https://server2:6443", &["12D3KooW-bbbbbbbb"], 10)],
        ),
        (
            "12D3KooW-bbbbbbbb",
            "server2",
            vec![join("https://server3:6443", &["12D3KooW-cccccccc"], 20)],
        ),
        (
            "12D3KooW-cccccccc",
            "server3",
            vec![join("https://server1:6443", &["12D3KooW-aaaaaaaa"], 30)],
        ),
        (
            "12D3KooW-dddddddd",
            "agent",
            vec![
                join("https://10.0.0.9:6443", &[], 5),
                join("https://vip:6443", &["12D3KooW-aaaaaaaa", "12D3KooW-eeeeeeee"], 7),
            ],
        ),
    ];
    topology("12D3KooW-aaaaaaaa", nodes)
}

#[test]
fn exports_are_frozen() {
    let topology = small();
    for (format, frozen) in [
        (Format::Text, include_str!("snapshots/small.txt")),
        (Format::Dot, include_str!("snapshots/small.dot")),
        (Format::Mermaid, include_str!("snapshots/small.mmd")),
        (Format::Json, include_str!("snapshots/small.json")),
    ] {
        let written = topology.export(format);
        assert_eq!(written, frozen, "{format}:\n{written}");
    }
}

/// Names and addresses that try to leave their place in each format.
const HOSTILE: [&str; 8] = [
    "\"];\n}\ndigraph evil {",
    "\\\"] -> x [label=\"\\",
    "a\"]\n  n0 --> n1\n  click n0 \"javascript:alert(1)\"",
    "%%{init: {\"securityLevel\": \"loose\"}}%%",
    "</script><script>alert(1)</script>",
    "\u{202e}gnp.exe\u{2066}",
    "#quot;&quot; `*b*` \u{0}\u{7f}\u{85}\u{2028}",
    "\",\"cut\":true,\"x\":\"",
];

fn hostile() -> Topology<String> {
    let id = |at: usize| format!("{at}{}", HOSTILE[at]);
    let nodes = (0..HOSTILE.len()).map(|at| {
        let to = id((at + 1) % HOSTILE.len());
        (id(at), HOSTILE[at], vec![join(HOSTILE[(at + 3) % HOSTILE.len()], &[to], 1)])
    });
    topology(id(0), nodes.collect())
}

#[test]
fn hostile_json_is_exact() {
    let topology = hostile();
    let json = topology.export(Format::Json);
    assert!(json.is_ascii() && !json.contains(['<', '>', '&']), "{json}");
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (at, node) in topology.nodes.iter().enumerate() {
        assert_eq!(read["nodes"][at]["id"], *node.id);
        assert_eq!(read["nodes"][at]["name"], *node.name);
        assert_eq!(read["joins"][at]["address"], *node.joins[0].address);
        assert_eq!(read["joins"][at]["targets"][0], **node.joins[0].targets.first().unwrap());
        assert_eq!(read["rings"][0]["witness"][at], *node.id);
    }
    assert_eq!(read["joins"].as_array().unwrap().iter().filter(|j| j["cut"] == true).count(), 1);
    assert_eq!((&read["truncated"], &read["rings"][0]["cut_count"]), (&false.into(), &1.into()));
}

/// The lines are those of a harmless topology, and each quoted text ends where it should.
#[test]
fn hostile_texts_stay_in_their_place() {
    let topology = hostile();
    let picture = topology.picture(ExportLimits::WIDE);
    let mut harmless = picture.clone();
    for node in &mut harmless.nodes {
        (node.id, node.name) = ("id".to_owned(), "name".to_owned());
    }
    harmless.joins.iter_mut().for_each(|join| join.address = "address".to_owned());
    for format in [Format::Text, Format::Dot, Format::Mermaid] {
        let (written, expected) = (written(&picture, format), written(&harmless, format));
        assert!(!written.chars().any(|c| c != '\n' && super::is_deceptive(c)), "{written:?}");
        assert_eq!(written.lines().count(), expected.lines().count(), "{written}");
        if format == Format::Text {
            continue;
        }
        for (line, expected) in written.lines().zip(expected.lines()) {
            let (line, expected) = (outside_quotes(line), outside_quotes(expected));
            assert_eq!(line, expected, "in {format}");
        }
    }
    let mermaid = written(&picture, Format::Mermaid);
    assert!(!mermaid.contains(['%', '{', '`', '<', '&', '\\']), "{mermaid}");
}

fn written(picture: &Picture, format: Format) -> String {
    let mut text = String::new();
    picture.write(format, &mut text).unwrap();
    text
}

/// The line without what is in quotes, by the rules of DOT, of which Mermaid needs less.
fn outside_quotes(line: &str) -> String {
    let (mut outside, mut inside) = (String::new(), false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if inside => drop(chars.next()),
            '"' => inside = !inside,
            c if !inside => outside.push(c),
            _ => {}
        }
    }
    assert!(!inside, "{line}");
    outside
}

/// 300 nodes in a line that ends in a ring of three, which has the greatest ids.
fn line_with_ring() -> Topology<u32> {
    let joins = |node: u32| {
        let to = if node == 299 { 297 } else { node + 1 };
        vec![join(&format!("{to}:1"), &[to], node.into())]
    };
    topology(0, (0..300).map(|node| (node, "", joins(node))).collect())
}

#[test]
fn what_is_left_out_is_counted_and_rings_stay_longest() {
    let topology = line_with_ring();
    let all = topology.picture(ExportLimits::WIDE);
    assert!(!all.is_truncated() && all.nodes.len() == 300 && all.joins.len() == 300);
    for (nodes, edges, rings) in [(300, 300, 0), (10, 300, 1), (4, 3, 1), (4, 1, 1), (2, 9, 1)] {
        let limits = ExportLimits { nodes, edges, rings, ..ExportLimits::WIDE };
        let picture = topology.picture(limits);
        assert_eq!(picture.nodes.len(), nodes.min(300));
        assert!(picture.joins.len() <= edges && picture.rings.len() <= rings);
        let left_out = picture.left_out;
        assert_eq!(left_out.nodes + picture.nodes.len(), 300);
        assert_eq!(left_out.joins + picture.joins.len(), 300);
        assert_eq!(left_out.rings + picture.rings.len(), 1);
        assert!(picture.is_truncated());
        // The local node and the ring are the last to go, and of the ring's joins the one to cut.
        assert_eq!(picture.rings.len(), usize::from(nodes >= 4 && rings > 0), "{limits:?}");
        assert!(picture.nodes[0].local);
        if rings > 0 && nodes >= 4 {
            assert!(picture.joins[picture.rings[0].cuts[0]].cut);
            assert_eq!(picture.joins.iter().filter(|join| join.on_ring).count(), edges.min(3));
        }
        assert!(written(&picture, Format::Text).contains("\ntruncated: "));
        let json: serde_json::Value =
            serde_json::from_str(&written(&picture, Format::Json)).unwrap();
        assert_eq!(json["truncated"], true);
        assert_eq!(json["left_out"]["nodes"], left_out.nodes);
    }
}

#[test]
fn a_ring_of_which_members_are_not_shown_says_so() {
    let mesh = |node: u32| {
        (0..20).filter(move |to| *to != node).map(|to| join(&format!("{to}"), &[to], 1))
    };
    let topology = topology(0, (0..20).map(|node| (node, "", mesh(node).collect())).collect());
    let picture = topology.picture(ExportLimits { nodes: 5, ..ExportLimits::WIDE });
    let ring = &picture.rings[0];
    assert_eq!((ring.members.len(), ring.member_count, ring.cut_count), (5, 20, 190));
    assert_eq!(ring.cuts.len(), 10, "those among the five");
    assert!(picture.is_truncated());
}

#[test]
fn no_export_is_longer_than_allowed() {
    let topology = line_with_ring();
    for format in Format::ALL {
        let full = topology.export_within(format, ExportLimits::WIDE).len();
        for bytes in [0, 100, 300, 1000, 5000, full - 1, full] {
            let limits = ExportLimits { bytes, ..ExportLimits::WIDE };
            let text = topology.export_within(format, limits);
            assert!(text.len() <= bytes);
            let says_truncated =
                text.contains("truncated: ") || text.contains("\"truncated\":true");
            assert_eq!(says_truncated, bytes < full && !text.is_empty(), "{text}");
            assert!(bytes < 1000 || text.contains("297"), "the ring stays: {text}");
        }
    }
}

#[test]
fn the_readme_shows_what_is_written() {
    let topology = topology(
        1,
        vec![
            (1, "server1", vec![join("server2:7946", &[2], 10)]),
            (2, "server2", vec![join("server3:7946", &[3], 20)]),
            (3, "server3", vec![join("server1:7946", &[1], 30)]),
        ],
    );
    let readme = include_str!("../../README.md");
    let (_, block) = readme.split_once("```mermaid\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    assert_eq!(topology.export(Format::Mermaid), block);
}

#[test]
fn mermaid_draws_what_it_gets() {
    let mesh = |node: u32| {
        let others = (0..60).filter(|to| *to != node);
        others.take(30).map(|to| join(&"x".repeat(500), &[to], 1)).collect()
    };
    let topology = topology(0, (0..60).map(|node| (node, "", mesh(node))).collect());
    let text = topology.export(Format::Mermaid);
    assert!(text.len() <= 50_000);
    assert!(text.lines().filter(|line| line.contains("-->")).count() <= 500);
    assert!(text.contains("truncated: "));
}

#[test]
fn formats_are_read_as_they_are_written() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    assert_eq!("svg".parse::<Format>(), Err(super::UnknownFormat));
}
