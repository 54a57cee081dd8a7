//! How much work an analysis may do. Counted in steps rather than time: there is no clock here, and every node has to come
//! to the same result.

/// Steps that may still be made. A step is a node or an arc looked at: a few nanoseconds.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    spent: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Budget { limit, spent: 0 }
    }

    /// Takes `steps`; `false` once there are none left. Whoever hears that stops soon, not at once: a little more is spent.
    pub(crate) fn spend(&mut self, steps: usize) -> bool {
        self.spent = self.spent.saturating_add(steps);
        !self.is_over()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.spent > self.limit
    }

    pub(crate) fn left(&self) -> usize {
        self.limit.saturating_sub(self.spent)
    }

    pub(crate) fn spent(&self) -> usize {
        self.spent
    }
}
