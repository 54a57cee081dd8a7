//! Rules for Rust files.

/// A file has one idea and below about 400 lines.
const MAX_LINES: usize = 450;

/// What is wrong with one file; its name is relative to the workspace.
pub(super) fn findings(name: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        findings.push(format!("{lines} lines, at most {MAX_LINES}: split it"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.starts_with("#[allow(") || line.starts_with("#![allow(") {
            findings.push(format!("line {number}: #[expect(lint, reason = \"..\")] instead"));
        }
    }
    if name.ends_with("src/lib.rs") {
        findings.extend(of_lib(text));
    }
    findings
}

/// `lib.rs` is documentation, `mod` and `pub use`, and no crate has unsafe code. An item for doctests alone is
/// documentation too.
fn of_lib(text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    if !text.contains("#![forbid(unsafe_code)]") {
        findings.push("no #![forbid(unsafe_code)]".to_owned());
    }
    if !text.contains("//!") && !text.contains("#![doc = include_str!") {
        findings.push("no documentation".to_owned());
    }
    let (mut statement, mut is_doctest) = (String::new(), false);
    for line in text.lines().map(str::trim) {
        if line.starts_with("//") || line.starts_with('#') && line.ends_with(']') {
            is_doctest |= line == "#[cfg(doctest)]";
            continue;
        }
        statement.push_str(line);
        if statement.ends_with(';') {
            let kinds = ["mod ", "pub mod ", "pub(crate) mod ", "pub use ", "extern crate "];
            let is_export = kinds.iter().any(|kind| statement.starts_with(kind));
            if !is_export && !std::mem::take(&mut is_doctest) {
                findings.push(format!("{statement:?} belongs into a module"));
            }
            statement.clear();
        }
    }
    if !statement.is_empty() {
        findings.push(format!("{statement:?} belongs into a module"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINES, findings};

    #[test]
    fn a_file_that_is_too_long_is_found() {
        assert!(findings("a.rs", &"\n".repeat(MAX_LINES)).is_empty());
        assert_eq!(findings("a.rs", &"\n".repeat(MAX_LINES + 1)).len(), 1);
    }

    #[test]
    fn lints_are_expected_and_not_allowed() {
        assert_eq!(findings("a.rs", "    #[allow(dead_code)]\n").len(), 1);
        assert_eq!(findings("a.rs", "#![allow(dead_code)]\n").len(), 1);
        assert!(findings("a.rs", "#[expect(dead_code, reason = \"x\")]\n").is_empty());
    }

    #[test]
    fn a_lib_is_docs_modules_and_exports() {
        let lib = "//! Docs.\n#![forbid(unsafe_code)]\n\n#[cfg(test)]\nmod tests;\npub mod a;\npub use a::{\n    B,\n    C,\n};\n";
        assert_eq!(findings("x/src/lib.rs", lib), [""; 0]);
        let extra = format!("{lib}\nconst A: u8 = 1;\n");
        assert_eq!(findings("x/src/lib.rs", &extra).len(), 1);
        let doctest = format!("{lib}#[cfg(doctest)]\nstruct Readme;\n");
        assert_eq!(findings("x/src/lib.rs", &doctest), [""; 0]);
        let function = format!("{lib}fn f() {{\n}}\n");
        assert_eq!(findings("x/src/lib.rs", &function).len(), 1);
        assert_eq!(findings("x/src/other.rs", &function).len(), 0);
    }

    #[test]
    fn a_lib_without_docs_that_may_be_unsafe_is_found_twice() {
        assert_eq!(findings("x/src/lib.rs", "mod a;\n").len(), 2);
    }
}
