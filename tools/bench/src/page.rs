//! The table in `docs/performance.md`, written by every run that is not quick.

use std::fs;

use anyhow::{Context as _, Result};

use crate::report::{Report, Target};
use crate::run::root;

const BEGIN: &str = "<!-- written by `cargo xtask bench`: begin -->";
const END: &str = "<!-- written by `cargo xtask bench`: end -->";

/// Puts the rows of `reports` into the table, in the order of `benches`; rows of other benches stay if they were taken on
/// the same machine.
pub(crate) fn write(reports: &[Report], benches: &[&str]) -> Result<()> {
    let file = root().join("docs/performance.md");
    let page = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let page = replaced(&page, reports, benches)
        .with_context(|| format!("{} has no markers for the table", file.display()))?;
    fs::write(&file, page).with_context(|| format!("write {}", file.display()))
}

fn replaced(page: &str, reports: &[Report], benches: &[&str]) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (old, after) = rest.split_once(END)?;
    let table = table(old, reports, benches);
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn table(old: &str, reports: &[Report], benches: &[&str]) -> String {
    let Some(first) = reports.first() else { return old.trim_start().to_owned() };
    let head = format!(
        "Taken on {}, each by `cargo xtask bench NAME`.\n\n\
         | bench | commit | what | want | got | |\n|---|---|---|---|---|---|\n",
        first.machine
    );
    let kept = if old.trim_start().starts_with(&head) { old } else { "" };
    let rows = benches.iter().flat_map(|bench| -> Vec<String> {
        match reports.iter().find(|report| report.name == *bench) {
            Some(report) => rows(report),
            None => {
                let of_bench = format!("| {bench} |");
                let kept = kept.lines().filter(|line| line.starts_with(&of_bench));
                kept.map(|line| format!("{line}\n")).collect()
            }
        }
    });
    head + &rows.collect::<String>()
}

fn rows(report: &Report) -> Vec<String> {
    let cell = |text: &str| text.replace('|', "\\|");
    let row = |target: &Target| {
        let [what, want, got] = [&target.what, &target.want, &target.got].map(|text| cell(text));
        let verdict = if target.ok { "met" } else { "**missed**" };
        format!("| {} | {} | {what} | {want} | {got} | {verdict} |\n", report.name, report.commit)
    };
    report.targets.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, replaced};
    use crate::report::Report;

    const BENCHES: [&str; 3] = ["dedup", "cycle", "storm"];

    fn report(name: &str, machine: &str, got: &str, ok: bool) -> Report {
        let mut report = Report::new(name);
        report.machine = machine.to_owned();
        report.commit = "0123".to_owned();
        report.target("bytes|entry", "<= 64", got, ok);
        report
    }

    const HEAD: &str = "Taken on a machine, each by `cargo xtask bench NAME`.\n\n\
        | bench | commit | what | want | got | |\n|---|---|---|---|---|---|\n";
    const DEDUP: &str = "| dedup | 0123 | bytes\\|entry | <= 64 | 48 | met |\n";
    const STORM: &str = "| storm | 0123 | bytes\\|entry | <= 64 | 99 | **missed** |\n";

    fn page(table: &str) -> String {
        format!("# Speed\n{BEGIN}\n{table}{END}\nafter\n")
    }

    #[test]
    fn a_row_for_each_target_between_the_markers() {
        let report = report("storm", "a machine", "99", false);
        let new = replaced(&page("old\n"), std::slice::from_ref(&report), &BENCHES).unwrap();
        assert_eq!(new, page(&format!("{HEAD}{STORM}")));
        assert_eq!(replaced(&new, &[report], &BENCHES).unwrap(), new);
        assert!(replaced("# Speed\n", &[], &BENCHES).is_none());
        assert_eq!(replaced(&new, &[], &BENCHES).unwrap(), new);
    }

    #[test]
    fn other_benches_keep_their_rows_if_the_machine_is_the_same() {
        let old = page(&format!("{HEAD}{STORM}"));
        let dedup = report("dedup", "a machine", "48", true);
        let new = replaced(&old, &[dedup], &BENCHES).unwrap();
        assert_eq!(new, page(&format!("{HEAD}{DEDUP}{STORM}")));
        let elsewhere = report("dedup", "another", "48", true);
        let new = replaced(&old, &[elsewhere], &BENCHES).unwrap();
        assert!(new.contains("another") && !new.contains("storm"), "{new}");
    }
}
