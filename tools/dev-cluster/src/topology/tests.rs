use super::{Shape, SplitMix64, Topology, Upstream};
use crate::topology_file::FileError;

fn joins(topology: &Topology) -> Vec<(usize, usize)> {
    let graph = topology.graph();
    let all = (1..=graph.nodes()).flat_map(|from| (1..=graph.nodes()).map(move |to| (from, to)));
    all.filter(|&(from, to)| graph.joins(from - 1, to - 1)).collect()
}

#[test]
fn shapes_join_as_their_names_say() {
    type Joins = &'static [(usize, usize)];
    let table: [(Shape, usize, Joins); 10] = [
        (Shape::Ring, 1, &[(1, 1)]),
        (Shape::Ring, 2, &[(1, 2), (2, 1)]),
        (Shape::Ring, 4, &[(1, 2), (2, 3), (3, 4), (4, 1)]),
        (Shape::Line, 1, &[]),
        (Shape::Line, 4, &[(1, 2), (2, 3), (3, 4)]),
        (Shape::Star, 1, &[]),
        (Shape::Star, 4, &[(2, 1), (3, 1), (4, 1)]),
        (Shape::Tree, 6, &[(2, 1), (3, 1), (4, 2), (5, 2), (6, 3)]),
        (Shape::Mesh, 1, &[]),
        (Shape::Mesh, 3, &[(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)]),
    ];
    for (shape, nodes, expected) in table {
        let topology = shape.build(nodes, 0);
        assert_eq!(joins(&topology), expected, "{shape:?} of {nodes}");
        assert_eq!(topology.joins(), expected.len(), "{shape:?} of {nodes}");
        assert_eq!(topology.name, shape.name());
        assert_eq!(Shape::from_name(shape.name()), Some(shape));
    }
    assert_eq!(Shape::from_name("torus"), None);
}

#[test]
fn a_seed_is_a_topology() {
    assert_eq!(Shape::Random.build(12, 5), Shape::Random.build(12, 5));
    assert_ne!(Shape::Random.build(12, 5), Shape::Random.build(12, 6));
    // Frozen: a run can be repeated years later from its seed.
    let frozen = [(1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3), (3, 3), (4, 1), (4, 3), (4, 4)];
    assert_eq!(joins(&Shape::Random.build(4, 1)), frozen);
    assert_eq!(joins(&Shape::Random.build(1, 1)), [(1, 1)]);
    for seed in 0..200 {
        for node in Shape::Random.build(7, seed).nodes {
            assert!((1..=3).contains(&node.upstreams.len()), "seed {seed}: {node:?}");
        }
    }
}

#[test]
fn the_generator_is_splitmix64() {
    let mut dice = SplitMix64(1_234_567);
    assert_eq!(dice.next(), 6_457_827_717_110_365_317);
    assert_eq!(dice.next(), 3_203_168_211_198_807_973);
}

#[test]
fn a_file_names_nodes_urls_and_extra_configuration() {
    let text = r#"
        [[node]]
        name = "a"
        upstreams = ["b", "https://127.0.0.1:7000"]
        [node.config.timing]
        record_ttl = "5s"

        [[node]]
        name = "b"
    "#;
    let topology = Topology::from_toml("my.toml", text).unwrap();
    assert_eq!(topology.name, "my.toml");
    let url = Upstream::Url("https://127.0.0.1:7000".to_owned());
    assert_eq!(topology.nodes[0].upstreams, [Upstream::Node(1), url]);
    assert_eq!(topology.nodes[0].config["timing"]["record_ttl"].as_str(), Some("5s"));
    assert!(topology.nodes[1].upstreams.is_empty());
    assert_eq!((topology.joins(), topology.has_literal_upstreams()), (2, true));
    assert_eq!(joins(&topology), [(1, 2)], "where the URL leads is not known");
}

#[test]
fn the_file_of_the_readme_is_one() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let topology = Topology::from_toml("README", rest.split_once("```").unwrap().0).unwrap();
    assert_eq!((topology.nodes.len(), topology.joins()), (2, 2));
}

#[test]
fn a_file_that_makes_no_sense_is_refused() {
    let check = |text: &str, expected: &str| {
        let error: FileError = Topology::from_toml("my.toml", text).unwrap_err();
        assert!(error.to_string().contains(expected), "{text:?}: {error}");
    };
    check("", "0 nodes: expected 1 to 200");
    check("node = 3", "not a topology");
    check("[[node]]\nname = 'a'\nupstream = ['a']", "not a topology");
    check("[[node]]\nname = '../a'", r#"node "../a": a name has"#);
    check("[[node]]\nname = ''", "a name has");
    check("[[node]]\nname = 'a'\n[[node]]\nname = 'a'", r#"node "a" is there twice"#);
    check("[[node]]\nname = 'a'\nupstreams = ['c']", r#"upstream "c" is no node"#);
    check("[[node]]\nname = 'a'\nupstreams = ['a', 'a']", r#"upstream "a" is there twice"#);
    check("[[node]]\nname = 'a'\n[node.config]\nname = 'b'", "config.name is set by the cluster");
    check("[[node]]\nname = 'a'\n[node.config.listen]\ngrpc = ''", "config.listen.grpc is set");
    let many: String = (0..201).map(|n| format!("[[node]]\nname = 'n{n}'\n")).collect();
    check(&many, "201 nodes");
}
