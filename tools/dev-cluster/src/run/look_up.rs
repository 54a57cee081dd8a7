//! The nodes are asked for each other's keys.

use super::Run;
use crate::providers::{self, Answers, ProvidersReport};
use crate::watch::Watch;

impl Run<'_> {
    /// Asks the nodes for each other's keys. `None` where people wait for the end.
    pub(super) fn look_up(&mut self, watch: &Watch) -> Option<ProvidersReport> {
        if self.stop.is_wanted() || watch.all_ended() {
            return None;
        }
        let questions = providers::questions(&self.cluster, watch);
        let answers = providers::ask(&questions, self.plan.found_within, providers::FEW, self.stop);
        if self.stop.is_wanted() {
            return None;
        }
        self.not_found(&answers, "");
        Some(providers::report(&answers))
    }

    /// Says who does not find whose key; `when` begins with a blank.
    pub(super) fn not_found(&mut self, answers: &Answers, when: &str) {
        let nodes = self.cluster.nodes();
        let name = |node: usize| nodes.get(node).map_or("", |node| node.name());
        for (asked, missing) in providers::missing(answers, name) {
            let Some(node) = nodes.get(asked) else { continue };
            self.failures.push(format!(
                "{missing}{when}, expected that within {} s, of each node that joins or connections lead to; see dht and \
                 libp2p in {} and {}",
                self.plan.found_within.as_secs_f64(),
                node.status_file().display(),
                node.log().display()
            ));
        }
    }
}
