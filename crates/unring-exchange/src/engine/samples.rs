//! Samples of the book that answers share.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{MAX_SAMPLE_AGE, MAX_SAMPLE_BYTES, MAX_SAMPLE_USES, MAX_SAMPLES};
use crate::records::Sample;

/// Samples to answer with, in turn.
///
/// A request gets a sample of its own as long as there is room for it here; only those that come in quicker succession
/// share. Each sample is drawn as if it were the only one, so that every node is as likely in every answer; what sharing
/// costs is that some answers are the same.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    kept: VecDeque<Kept>,
    bytes: usize,
    /// No more are kept: there are enough, or the next one is too large.
    is_full: bool,
    /// The state of the book that they are of.
    revision: u64,
}

#[derive(Debug)]
struct Kept {
    sample: Arc<Sample>,
    bytes: usize,
    /// Nothing was left to chance, so that one is as good as another.
    is_all: bool,
    since: Duration,
    uses: u32,
}

impl Kept {
    fn is_used_up(&self, now: Duration) -> bool {
        let is_old = now.saturating_sub(self.since) >= MAX_SAMPLE_AGE;
        !self.is_all && (is_old || self.uses >= MAX_SAMPLE_USES)
    }
}

impl Samples {
    /// The sample whose turn it is. None when a new one is to be drawn from the book, which is at `revision`.
    pub(crate) fn next(&mut self, now: Duration, revision: u64) -> Option<Arc<Sample>> {
        if self.revision != revision {
            *self = Self { revision, ..Self::default() };
        }
        if !self.is_full {
            return None;
        }
        let mut next = self.kept.pop_front()?;
        if next.is_used_up(now) {
            self.bytes -= next.bytes;
            return None;
        }
        next.uses += 1;
        let sample = Arc::clone(&next.sample);
        self.kept.push_back(next);
        Some(sample)
    }

    /// Keeps a sample that has just been drawn and given to one answer, if there is room. `is_all`: it holds the whole book.
    pub(crate) fn keep(&mut self, now: Duration, sample: &Arc<Sample>, is_all: bool) {
        let bytes = sample.wire_bytes();
        let fits = self.bytes + bytes <= MAX_SAMPLE_BYTES;
        if fits {
            self.bytes += bytes;
            let sample = Arc::clone(sample);
            self.kept.push_back(Kept { sample, bytes, is_all, since: now, uses: 1 });
        }
        self.is_full = !fits || is_all || self.kept.len() >= MAX_SAMPLES;
    }
}

#[cfg(test)]
mod tests {
    use unring_peer::{Identity, NodeRecord, SignedRecord};

    use super::*;

    const NOW: Duration = Duration::from_secs(7);

    fn sample(name_bytes: usize) -> Arc<Sample> {
        let identity = Identity::generate();
        let mut record = NodeRecord::new(identity.peer_id(), "n".repeat(name_bytes));
        record.ttl = Duration::from_secs(60);
        Arc::new(Sample::new(vec![SignedRecord::sign(&identity, record).expect("valid")]))
    }

    /// Draws what is wanted, and says how often that was.
    fn drawn(samples: &mut Samples, now: Duration, revision: u64, answers: usize) -> usize {
        let mut drawn = 0;
        for _ in 0..answers {
            if samples.next(now, revision).is_none() {
                samples.keep(now, &sample(1), false);
                drawn += 1;
            }
        }
        drawn
    }

    #[test]
    fn the_first_answers_share_nothing_and_the_others_in_turn() {
        let mut samples = Samples::default();
        assert_eq!(drawn(&mut samples, NOW, 1, MAX_SAMPLES), MAX_SAMPLES);
        let turn = |samples: &mut Samples| -> Vec<_> {
            (0..MAX_SAMPLES).map(|_| Arc::as_ptr(&samples.next(NOW, 1).expect("kept"))).collect()
        };
        let first = turn(&mut samples);
        assert_eq!(turn(&mut samples), first);
        assert!((1..first.len()).all(|at| !first[..at].contains(&first[at])), "each once");
    }

    #[test]
    fn a_sample_is_given_so_often_and_so_long() {
        let all = MAX_SAMPLES * usize::try_from(MAX_SAMPLE_USES).expect("few");
        let mut samples = Samples::default();
        assert_eq!(drawn(&mut samples, NOW, 1, all), MAX_SAMPLES);
        assert_eq!(drawn(&mut samples, NOW, 1, all), MAX_SAMPLES, "all are used up");
        let later = NOW + MAX_SAMPLE_AGE;
        assert_eq!(drawn(&mut samples, later, 1, 2 * MAX_SAMPLES), MAX_SAMPLES, "all are old");
    }

    #[test]
    fn a_change_of_the_book_ends_them_all() {
        let mut samples = Samples::default();
        samples.next(NOW, 1);
        samples.keep(NOW, &sample(1), true);
        for _ in 0..2 * MAX_SAMPLE_USES {
            assert!(samples.next(NOW + 2 * MAX_SAMPLE_AGE, 1).is_some(), "the whole book");
        }
        assert!(samples.next(NOW, 2).is_none());
    }

    #[test]
    fn bytes_are_bounded() {
        let record = sample(63).records()[0].clone();
        let half = MAX_SAMPLE_BYTES / 2 / record.wire_bytes();
        let large = || Arc::new(Sample::new(vec![record.clone(); half]));
        let mut samples = Samples::default();
        samples.next(NOW, 1);
        for expected in [1, 2, 2, 2] {
            samples.keep(NOW, &large(), false);
            assert_eq!(samples.kept.len(), expected);
            assert!(samples.bytes <= MAX_SAMPLE_BYTES);
        }
        assert!(samples.next(NOW, 1).is_some(), "those that are kept are given");
        assert!(samples.next(NOW + MAX_SAMPLE_AGE, 1).is_none());
        assert!(samples.bytes <= MAX_SAMPLE_BYTES / 2);
    }
}
