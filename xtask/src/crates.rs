//! The crates of the workspace, as cargo sees them.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::workspace;

/// One member of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Whether others may import it; tools and tests are for this workspace alone.
    pub(crate) is_published: bool,
    /// Its optional features, without `default`.
    pub(crate) features: Vec<String>,
}

/// All members, by name.
pub(crate) fn members() -> Result<Vec<Member>> {
    let output = workspace::cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parse(&output.stdout)
}

fn parse(metadata: &[u8]) -> Result<Vec<Member>> {
    let metadata: Value = serde_json::from_slice(metadata).context("read cargo's metadata")?;
    let packages = metadata["packages"].as_array().context("metadata without packages")?;
    let member = |package: &Value| {
        let features = package["features"].as_object().into_iter().flatten();
        Some(Member {
            name: package["name"].as_str()?.to_owned(),
            // Cargo writes `publish = false` as an empty list of registries.
            is_published: package["publish"].is_null(),
            features: features.map(|(name, _)| name.clone()).filter(|f| f != "default").collect(),
        })
    };
    let members: Option<Vec<_>> = packages.iter().map(member).collect();
    let mut members = members.context("a package without a name")?;
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::{Member, members, parse};

    #[test]
    fn what_is_not_published_is_told_from_what_is() {
        let text = br#"{"packages": [
            {"name": "tool", "publish": [], "features": {}},
            {"name": "lib", "publish": null, "features": {"default": [], "extra": []}}
        ]}"#;
        let member = |name: &str, is_published, features: &[&str]| Member {
            name: name.to_owned(),
            is_published,
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        };
        let want = vec![member("lib", true, &["extra"]), member("tool", false, &[])];
        assert_eq!(parse(text).unwrap(), want);
        assert!(parse(b"{}").is_err());
    }

    #[test]
    fn the_crates_are_published_and_nothing_else() {
        for member in members().unwrap() {
            let is_crate = crate::workspace::root().join("crates").join(&member.name).is_dir();
            assert_eq!(member.is_published, is_crate, "{}", member.name);
        }
    }
}
