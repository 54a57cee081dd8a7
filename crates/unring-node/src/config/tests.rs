use std::io::Write as _;

use super::*;

fn read(
    toml: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &[&str])],
) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let mut settings = Settings::default();
    let show =
        |error: ConfigError| error.to_string().replace(file.path().to_str().unwrap(), "FILE");
    settings.add_file(file.path()).map_err(show)?;
    settings.add_variables(|name| {
        variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    });
    for (flag, values) in flags {
        let key = KEYS.iter().find(|key| key.flag() == *flag).unwrap();
        settings.add_flag(key, values.iter().map(|value| (*value).to_owned()).collect());
    }
    Config::read(&settings, Some("host1".into())).map_err(show)
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = read("", &[], &[]).unwrap();
    assert_eq!(config.name, "host1");
    assert_eq!(config.listen.grpc.to_string(), "0.0.0.0:5871");
    assert_eq!(config.listen.admin.to_string(), "127.0.0.1:5873");
    assert!((config.limits.cpu_budget.percent() - 5.0).abs() < 1e-9);
    assert_eq!(config.timing.record_ttl, Duration::from_secs(1800));
    assert!(config.upstreams.is_empty() && !config.insecure);
}

#[test]
fn file_then_environment_then_flags() {
    let file = "name = \"file\"\nupstreams = [\"a:1\"]\n[limits]\nbook_capacity = 20\n";
    let variables = [("UNRING_NAME", "variable"), ("UNRING_UPSTREAMS", "b:1, http://127.0.0.1:2")];
    let config = read(file, &variables, &[]).unwrap();
    assert_eq!(config.name, "variable");
    let upstreams: Vec<_> = config.upstreams.iter().map(ToString::to_string).collect();
    assert_eq!(upstreams, ["https://b:1", "http://127.0.0.1:2"]);
    assert_eq!(config.limits.book_capacity.get(), 20);
    let config = read(file, &variables, &[("name", &["flag"])]).unwrap();
    assert_eq!(config.name, "flag");
}

#[test]
fn a_bad_value_is_named_with_its_place_and_what_is_accepted() {
    let check =
        |toml: &str, expected: &str| assert_eq!(read(toml, &[], &[]).unwrap_err(), expected);
    check(
        "[limits]\ncpu_budget_percent = 200",
        "FILE: limits.cpu_budget_percent = 200 is not accepted: write 0.5 to 100, in percent of one core",
    );
    check(
        "[timing]\nrecord_ttl = \"1s\"",
        "FILE: timing.record_ttl = \"1s\" is not accepted: write 5s to 24h",
    );
    check(
        "upstreams = [\"https://a:1\", \"server2\"]",
        "FILE: upstreams = \"server2\" is not accepted: write https://HOST:PORT or http://HOST:PORT, at most 32",
    );
    check(
        "[listen]\ngrpc = \"here\"",
        "FILE: listen.grpc = \"here\" is not accepted: write ADDRESS:PORT",
    );
    check(
        "[listen]\nlibp2p = [\"/ip4/::1/tcp/1\"]",
        "FILE: listen.libp2p = \"/ip4/::1/tcp/1\" is not accepted: write /ip4|ip6/ADDRESS/tcp/PORT, at most 16",
    );
    let variable = read("", &[("UNRING_LOG_FORMAT", "xml")], &[]).unwrap_err();
    assert_eq!(
        variable,
        "environment variable UNRING_LOG_FORMAT: log.format = \"xml\" is not accepted: write auto, human or json"
    );
    let flag = read("", &[], &[("limits-slots-per-upstream", &["0"])]).unwrap_err();
    assert!(flag.starts_with("flag --limits-slots-per-upstream: "), "{flag}");
}

#[test]
fn an_unknown_key_is_named_with_the_one_that_was_meant() {
    let check = |toml: &str| read(toml, &[], &[]).unwrap_err();
    assert_eq!(
        check("[limits]\nbook_capasity = 20"),
        "FILE: there is no key \"limits.book_capasity\"; did you mean \"limits.book_capacity\"?"
    );
    assert_eq!(check("colour = 1"), "FILE: there is no key \"colour\"");
    assert_eq!(
        check("[listen.grpc]\nx = 1"),
        "FILE: listen.grpc = { x = 1 } is not accepted: write ADDRESS:PORT"
    );
    assert!(check("name = ").contains("is not valid TOML"));
}

#[test]
fn plaintext_beyond_loopback_needs_insecure() {
    let upstream = "upstreams = [\"http://10.0.0.1:5871\"]";
    assert!(read(upstream, &[], &[]).unwrap_err().contains("plaintext beyond loopback"));
    assert!(read(&format!("insecure = true\n{upstream}"), &[], &[]).is_ok());
    let listen = |address: &str| format!("[listen]\ngrpc = \"{address}\"\ngrpc_plaintext = true");
    assert!(read(&listen("0.0.0.0:1"), &[], &[]).unwrap_err().contains("listen.grpc_plaintext"));
    assert!(read(&listen("127.0.0.1:1"), &[], &[]).is_ok());
}

#[test]
fn sources_of_first_peers_are_checked_when_they_are_read() {
    let bootstrap = |toml: &str| read(&format!("[bootstrap]\n{toml}"), &[], &[]);
    let config = bootstrap(
        "peers = [\"/ip4/10.0.0.1/tcp/1\"]\ndns = [\"peers.svc.\", \"_a.b:7\"]\n\
         dnsaddr = [\"/dnsaddr/a.b\", \"c\"]\ndns_server = \"10.43.0.10\"\n\
         http = [\"http://a/id\"]\nlisten = \"127.0.0.1:1\"",
    );
    let config = config.unwrap().bootstrap;
    let names: Vec<_> = config.dns.iter().map(ToString::to_string).collect();
    assert_eq!(
        (names.as_slice(), config.dns[1].port),
        (&["peers.svc.".into(), "_a.b:7".into()][..], Some(7))
    );
    assert_eq!(config.dnsaddr, ["a.b", "c"]);
    assert_eq!(config.dns_server, Some("10.43.0.10:53".parse().unwrap()));
    for (toml, says) in [
        ("peers = [\"/dns4/a/tcp/1\"]", "with or without /p2p/ID"),
        ("dns = [\"10.0.0.1\"]", "NAME or NAME:PORT"),
        ("dns = [\"a:0\"]", "NAME or NAME:PORT"),
        ("dns = [\"a..b\"]", "NAME or NAME:PORT"),
        ("dnsaddr = [\"a b\"]", "write NAME"),
        ("dns_server = \"dns\"", "ADDRESS or ADDRESS:PORT"),
        ("http = [\"a:5000/id\"]", "http://HOST[:PORT]/PATH"),
        ("http = [\"https://a/id\"]", "needs bootstrap.http_ca"),
        ("http_ca = \"ca\"\nhttp_key = \"k\"", "needs bootstrap.http_certificate"),
        ("http_ca = \"ca\"\nhttp_certificate = \"c\"", "needs bootstrap.http_key"),
        ("http_certificate = \"c\"\nhttp_key = \"k\"", "needs bootstrap.http_ca"),
    ] {
        let error = bootstrap(toml).unwrap_err();
        assert!(error.contains(says), "{toml}: {error}");
    }
}

#[test]
fn keys_to_provide_are_bounded_texts_of_a_member_of_the_dht() {
    let advertise = |value: &str| read(&format!("[dht]\nadvertise = {value}"), &[], &[]);
    let keys = |value: &str| advertise(value).unwrap().dht.advertise;
    assert_eq!(keys("[\"canary/a\", \"b\"]"), ["canary/a", "b"]);
    assert_eq!(keys(&format!("\"{}\"", "x".repeat(1024))).len(), 1);
    assert_eq!(keys(&format!("{:?}", [&"x"; 64])).len(), 64);
    for bad in [
        "[\"\"]".to_owned(),
        format!("[\"{}\"]", "x".repeat(1025)),
        format!("{:?}", [&"x"; 65]),
        "[7]".to_owned(),
    ] {
        let error = advertise(&bad).unwrap_err();
        assert!(error.contains("write texts of 1 to 1024 bytes, at most 64"), "{error}");
    }
    let off = read("[dht]\nmode = \"off\"\nadvertise = \"x\"", &[], &[]).unwrap_err();
    assert_eq!(off, "dht.advertise is set and needs dht.mode = \"server\"");
}

#[test]
fn a_missing_file_is_named() {
    let error =
        Settings::default().add_file(std::path::Path::new("/nowhere/unring.toml")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/unring.toml"), "{error}");
}

#[test]
fn each_key_has_one_name_everywhere() {
    for key in KEYS {
        assert!(
            key.variable().starts_with("UNRING_") && !key.flag().contains(['.', '_']),
            "{key:?}"
        );
    }
    let mut flags: Vec<_> = KEYS.iter().map(Key::flag).collect();
    flags.sort();
    flags.dedup();
    assert_eq!(flags.len(), KEYS.len());
}

#[test]
fn the_environment_holds_one_token_or_two() {
    let read = |text: &str| {
        let config = Config::read(&Settings::default(), Some("host".into())).unwrap();
        config.with_tokens(text).map(|config| config.security.tokens)
    };
    let [one, two] = ["token-a-0123456789", "token-b-0123456789"];
    let parsed = |texts: &[&str]| -> Vec<_> {
        texts.iter().map(|text| unring_peer::JoinToken::parse(text).unwrap()).collect()
    };
    assert_eq!(read(one).unwrap(), parsed(&[one]));
    for between in [",", "\n", "\r\n", " , "] {
        assert_eq!(read(&format!("{one}{between}{two}\n")).unwrap(), parsed(&[one, two]));
    }
    assert!(matches!(read(" \n,"), Err(ConfigError::TokenCount { got: 0 })));
    let three = read(&[one, two, one].join(","));
    assert!(matches!(three, Err(ConfigError::TokenCount { got: 3 })));
    let short = read(&format!("{one},short")).unwrap_err();
    assert!(matches!(short, ConfigError::Token(_)) && !format!("{short:?}").contains("short,"));
}
