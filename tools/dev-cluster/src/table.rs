//! The live table, as text.

use crate::topology::{NodeSpec, Topology, Upstream};
use crate::watch::{NodeWatch, Watch};

/// The columns; all but the first two and the last are numbers.
const HEADER: [&str; 12] = [
    "NODE",
    "UPSTREAM",
    "PEERS",
    "CONNS",
    "SERVED",
    "SENT",
    "DUP",
    "LOOP",
    "THROTTLED",
    "CPU %",
    "RSS MiB",
    "RING",
];

/// The table: one line for each node, cut to `width`; of more nodes than fit into `height` lines only the first.
pub fn render(topology: &Topology, watch: &Watch, width: usize, height: usize) -> Vec<String> {
    let nodes: Vec<[String; 12]> = topology
        .nodes
        .iter()
        .zip(watch.nodes())
        .map(|(spec, node)| row(topology, spec, node))
        .collect();
    // The header and, if need be, the line that says what is left out.
    let shown = if nodes.len() < height { nodes.len() } else { height.saturating_sub(2) };
    let left_out = nodes.len() - shown;
    let rows: Vec<[String; 12]> =
        [HEADER.map(str::to_owned)].into_iter().chain(nodes.into_iter().take(shown)).collect();
    let mut lines: Vec<String> = rows.iter().map(|row| line(row, &rows, width)).collect();
    if left_out > 0 {
        lines.push(format!("and {left_out} more"));
    }
    lines
}

/// Everything in one line, for a log.
pub fn summary(watch: &Watch) -> String {
    let nodes = watch.nodes();
    let sum = |count: fn(&NodeWatch) -> u64| nodes.iter().map(count).sum::<u64>();
    let least = |count: fn(&NodeWatch) -> usize| nodes.iter().map(count).min().unwrap_or(0);
    let most =
        |value: fn(&NodeWatch) -> Option<f64>| nodes.iter().filter_map(value).fold(0.0, f64::max);
    let rings: std::collections::BTreeSet<&str> =
        nodes.iter().flat_map(|node| &node.status().rings).map(|ring| ring.id.as_str()).collect();
    format!(
        "{}/{} answer, peers >= {}, connections >= {}, served {}, sent {}, duplicates {}, loops {}, throttled {}, \
         CPU <= {:.2} %, RSS <= {:.1} MiB, rings {}",
        nodes.iter().filter(|node| node.error.is_none()).count(),
        nodes.len(),
        least(|node| node.status().peers.len()),
        least(|node| node.status().libp2p.connected_peers.len()),
        sum(|node| node.status().exchange.served),
        sum(|node| node.status().exchange.sent),
        sum(|node| node.status().exchange.duplicates),
        sum(|node| node.status().exchange.loops),
        sum(|node| node.status().exchange.throttled),
        most(NodeWatch::current_cpu),
        most(|node| node.usage.map(|usage| usage.rss_mib)),
        rings.len(),
    )
}

fn row(topology: &Topology, spec: &NodeSpec, node: &NodeWatch) -> [String; 12] {
    let status = node.status();
    let exchange = &status.exchange;
    let number = |number: Option<f64>, digits: usize| {
        number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
    };
    [
        spec.name.clone(),
        upstreams(topology, spec),
        status.peers.len().to_string(),
        status.libp2p.connected_peers.len().to_string(),
        exchange.served.to_string(),
        exchange.sent.to_string(),
        exchange.duplicates.to_string(),
        exchange.loops.to_string(),
        exchange.throttled.to_string(),
        number(node.current_cpu(), 2),
        number(node.usage.map(|usage| usage.rss_mib), 1),
        ring(node),
    ]
}

fn upstreams(topology: &Topology, spec: &NodeSpec) -> String {
    let first = spec.upstreams.first().map(|upstream| match upstream {
        Upstream::Node(to) => topology.nodes.get(*to).map_or("", |node| &node.name),
        Upstream::Url(url) => url,
    });
    match (first, spec.upstreams.len()) {
        (None, _) => "-".to_owned(),
        (Some(first), 1) => first.to_owned(),
        (Some(first), more) => format!("{first} +{}", more - 1),
    }
}

fn ring(node: &NodeWatch) -> String {
    if let Some(exit) = node.exit {
        return format!("ENDED: {exit}");
    }
    if let Some(error) = &node.error {
        return format!("SILENT: {error}");
    }
    let witness = |ring: &crate::statusz::Ring| {
        let names: Vec<&str> = ring
            .witness
            .iter()
            .chain(ring.witness.first())
            .map(|node| node.name.as_str())
            .collect();
        names.join(" -> ")
    };
    let rings: Vec<String> = node.status().rings.iter().map(witness).collect();
    if rings.is_empty() { "-".to_owned() } else { rings.join("; ") }
}

fn line(row: &[String; 12], rows: &[[String; 12]], width: usize) -> String {
    let mut text = String::new();
    for (column, cell) in row.iter().enumerate() {
        let widest = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0);
        match column {
            0 => text.push_str(&format!("{cell:<widest$}")),
            1 => text.push_str(&format!("  {cell:<widest$}")),
            // The last column may be as long as it likes: nothing has to stand in line behind it.
            11 => text.push_str(&format!("  {cell}")),
            _ => text.push_str(&format!("  {cell:>widest$}")),
        }
    }
    text.chars().take(width).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{render, summary};
    use crate::statusz::Page;
    use crate::topology::{Shape, Topology};
    use crate::usage::Usage;
    use crate::watch::{Sample, Watch};

    fn watched(nodes: usize) -> (Topology, Watch) {
        let mut watch = Watch::new(nodes);
        let page = Page {
            status: serde_json::from_str(include_str!("statusz/example.json")).unwrap(),
            json: Vec::new(),
        };
        let usage = Some(Usage { cpu_seconds: 0.0, rss_mib: 17.25, peak_rss_mib: 17.25 });
        let sample = Sample { at: Duration::ZERO, page: Ok(page), usage, exit: None };
        let later = |sample: &Sample| {
            let mut sample = sample.clone();
            sample.at = Duration::from_secs(1);
            sample.page.as_mut().unwrap().status.budget.p2p_cpu_seconds += 0.0123;
            sample
        };
        let second: Vec<Sample> = (0..nodes).map(|_| later(&sample)).collect();
        watch.record(vec![sample; nodes]);
        watch.record(second);
        (Shape::Mesh.build(nodes, 0), watch)
    }

    #[test]
    fn a_table_has_a_line_for_each_node() {
        let (topology, watch) = watched(3);
        assert_eq!(
            render(&topology, &watch, 120, 10),
            [
                "NODE    UPSTREAM   PEERS  CONNS  SERVED  SENT  DUP  LOOP  THROTTLED  CPU %  RSS MiB  RING",
                "node-1  node-2 +1      1      1       1     2    3     4          5   1.23     17.2  node-1 -> node-2 -> node-1",
                "node-2  node-1 +1      1      1       1     2    3     4          5   1.23     17.2  node-1 -> node-2 -> node-1",
                "node-3  node-1 +1      1      1       1     2    3     4          5   1.23     17.2  node-1 -> node-2 -> node-1",
            ]
        );
    }

    #[test]
    fn it_fits_the_terminal() {
        let (topology, watch) = watched(12);
        let lines = render(&topology, &watch, 30, 5);
        assert_eq!(lines.len(), 5);
        assert!(lines.iter().all(|line| line.chars().count() <= 30), "{lines:#?}");
        assert_eq!(lines[4], "and 9 more");
        assert_eq!(render(&topology, &watch, 30, 13).len(), 13);
        assert_eq!(render(&topology, &watch, 30, 0).len(), 2, "too small for anything");
    }

    #[test]
    fn a_node_that_is_gone_is_shown_as_gone() {
        let (topology, mut watch) = watched(1);
        let silent =
            Sample { at: Duration::ZERO, page: Err("timed out".into()), usage: None, exit: None };
        watch.record(vec![silent]);
        assert!(render(&topology, &watch, 200, 10)[1].ends_with("17.2  SILENT: timed out"));
        assert!(summary(&watch).starts_with("0/1 answer"));
    }

    #[test]
    fn a_summary_is_one_line() {
        let (_, watch) = watched(3);
        assert_eq!(
            summary(&watch),
            "3/3 answer, peers >= 1, connections >= 1, served 3, sent 6, duplicates 9, loops 12, throttled 15, \
             CPU <= 1.23 %, RSS <= 17.2 MiB, rings 1"
        );
    }
}
