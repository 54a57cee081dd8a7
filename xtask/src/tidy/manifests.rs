//! Rules for `Cargo.toml`. The files are written one key a line, so that lines are all that is read.

/// What is wrong with one manifest; its name is relative to the workspace.
pub(super) fn findings(name: &str, text: &str) -> Vec<String> {
    if name == "Cargo.toml" { of_workspace(text) } else { of_member(name, text) }
}

/// Crates of the workspace can be published: who depends on one says which version.
fn of_workspace(text: &str) -> Vec<String> {
    let own = text.lines().filter(|line| line.contains("path = \"crates/"));
    own.filter(|line| !line.contains("version = "))
        .map(|line| format!("no version: {line}"))
        .collect()
}

fn of_member(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let line = |wanted: &str| text.lines().any(|line| line.trim() == wanted);
    if !text.contains("[lints]\nworkspace = true") {
        findings.push("does not take the lints of the workspace".to_owned());
    }
    if !text.lines().any(|line| line.starts_with("description = \"")) {
        findings.push("no description".to_owned());
    }
    let is_crate = name.starts_with("crates/");
    if is_crate {
        for key in ["version", "edition", "rust-version", "license", "categories", "keywords"] {
            if !line(&format!("{key}.workspace = true")) {
                findings.push(format!("{key} is not that of the workspace"));
            }
        }
    } else if !line("publish = false") {
        findings.push("neither below crates/ nor publish = false".to_owned());
    }
    for dependency in dependencies(text).filter(|line| !line.contains("workspace = true")) {
        // A tool or test may use another one, which nobody publishes.
        if is_crate || !dependency.contains("path = ") {
            findings.push(format!("not a dependency of the workspace: {dependency}"));
        }
    }
    findings
}

/// The lines that name a dependency.
fn dependencies(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        if line.starts_with('[') {
            inside = line.trim_end_matches(']').ends_with("dependencies");
        }
        inside && line.contains(" = ") && !line.starts_with('#')
    })
}

#[cfg(test)]
mod tests {
    use super::findings;

    const CRATE: &str = "[package]\nname = \"x\"\ndescription = \"X\"\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
        categories.workspace = true\nkeywords.workspace = true\n\n[lints]\nworkspace = true\n";

    #[test]
    fn a_crate_takes_everything_from_the_workspace() {
        let with = |more: &str| findings("crates/x/Cargo.toml", &format!("{CRATE}{more}"));
        assert_eq!(with("[dependencies]\na = { workspace = true }\n"), [""; 0]);
        assert_eq!(with("[dependencies]\na = \"1\"\n").len(), 1);
        assert_eq!(with("[dev-dependencies]\na = { path = \"../a\" }\n").len(), 1);
        assert_eq!(findings("crates/x/Cargo.toml", "").len(), 8);
    }

    #[test]
    fn what_is_not_a_crate_is_not_published() {
        let tool = "[package]\ndescription = \"X\"\npublish = false\n\n[lints]\nworkspace = true\n";
        let uses_tool = format!("{tool}[dependencies]\nother = {{ path = \"../other\" }}\n");
        assert_eq!(findings("tools/x/Cargo.toml", &uses_tool), [""; 0]);
        assert_eq!(findings("tools/x/Cargo.toml", CRATE).len(), 1);
    }

    #[test]
    fn a_dependency_on_our_own_crates_has_a_version() {
        let good = "x = { path = \"crates/x\", version = \"0.1.0\" }\n";
        assert_eq!(findings("Cargo.toml", good), [""; 0]);
        assert_eq!(findings("Cargo.toml", "x = { path = \"crates/x\" }\n").len(), 1);
    }
}
