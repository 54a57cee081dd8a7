//! The table in `docs/performance.md`, written by a run of all benches.

use std::fs;

use anyhow::{Context as _, Result};

use crate::report::Report;
use crate::run::root;

const BEGIN: &str = "<!-- written by `cargo xtask bench`: begin -->";
const END: &str = "<!-- written by `cargo xtask bench`: end -->";

/// Replaces what is between the markers.
pub(crate) fn write(reports: &[Report]) -> Result<()> {
    let file = root().join("docs/performance.md");
    let page = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let page = replaced(&page, &table(reports))
        .with_context(|| format!("{} has no markers for the table", file.display()))?;
    fs::write(&file, page).with_context(|| format!("write {}", file.display()))
}

fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn table(reports: &[Report]) -> String {
    let Some(first) = reports.first() else { return String::new() };
    let mut table = format!(
        "Taken on {}, at commit {}, by `cargo xtask bench`.\n\n\
         | bench | what | want | got | |\n|---|---|---|---|---|\n",
        first.machine, first.commit
    );
    let cell = |text: &str| text.replace('|', "\\|");
    for report in reports {
        for target in &report.targets {
            table += &format!(
                "| {} | {} | {} | {} | {} |\n",
                report.name,
                cell(&target.what),
                cell(&target.want),
                cell(&target.got),
                if target.ok { "met" } else { "**missed**" },
            );
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, replaced, table};
    use crate::report::Report;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let page = format!("# Speed\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replaced(&page, "new\n").unwrap();
        assert_eq!(new, format!("# Speed\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replaced(&new, "new\n").unwrap(), new);
        assert!(replaced("# Speed\n", "new\n").is_none());
    }

    #[test]
    fn a_row_for_each_target() {
        let mut report = Report::new("dedup");
        report.machine = "a machine".to_owned();
        report.commit = "0123".to_owned();
        report.target("bytes|entry", "<= 64", "48", true);
        report.target("against moka", ">= 5x", "4x", false);
        let wanted = "Taken on a machine, at commit 0123, by `cargo xtask bench`.\n\n\
            | bench | what | want | got | |\n|---|---|---|---|---|\n\
            | dedup | bytes\\|entry | <= 64 | 48 | met |\n| dedup | against moka | >= 5x | 4x | **missed** |\n";
        assert_eq!(table(&[report]), wanted);
    }
}
