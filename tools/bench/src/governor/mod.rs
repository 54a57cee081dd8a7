//! The governor: what an admission costs, how its controller responds, and whether a flooded node holds its budget.

mod admission;
mod flood;
mod loads;
mod node;
mod responses;

use anyhow::{Context as _, Result};

use crate::{Report, Run};

pub(crate) fn run(run: &Run) -> Result<Report> {
    let mut report = Report::new("governor");
    admission::run(run, &mut report)?;
    responses::run(run, &mut report)?;
    let unring = run.unring.as_deref().context("which program is the node? --unring")?;
    loads::run(run, unring, &mut report)?;
    Ok(report)
}
