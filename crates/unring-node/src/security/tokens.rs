//! Which join tokens count, while one takes the place of another.

use std::time::Duration;

use unring_peer::{JoinToken, Keyring};

/// The tokens that count. Time is an argument: since the process started.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// As configured, the one in use first.
    configured: Vec<JoinToken>,
    /// The one that was in use before, and until when it is accepted.
    leaving: Option<(JoinToken, Duration)>,
}

impl Tokens {
    /// At the start: what is configured, and nothing before it.
    pub(super) fn new(configured: Vec<JoinToken>) -> Self {
        Self { configured, leaving: None }
    }

    /// Takes over what is configured now, and says whether that is anything new. The token that was in use is accepted for
    /// `overlap` from now on, and used beside the new one, so that nodes which have only one of the two still hear each
    /// other. A token that was configured as the second one goes at once, and so do all when none is configured any more.
    pub(super) fn replace(
        &mut self,
        now: Duration,
        overlap: Duration,
        configured: Vec<JoinToken>,
    ) -> bool {
        if configured == self.configured {
            return false;
        }
        let before = self.configured.first().filter(|before| !configured.contains(before)).cloned();
        if let Some(before) = before.filter(|_| !overlap.is_zero()) {
            self.leaving = Some((before, now.saturating_add(overlap)));
        }
        if self.leaving.as_ref().is_some_and(|(token, _)| configured.contains(token))
            || configured.is_empty()
        {
            self.leaving = None;
        }
        self.configured = configured;
        true
    }

    /// Lets go of the token that was in use before, and says whether there was one to let go of.
    pub(super) fn expire(&mut self, now: Duration) -> bool {
        let over = self.leaving.as_ref().is_some_and(|(_, until)| *until <= now);
        if over {
            self.leaving = None;
        }
        over
    }

    /// For how long the token that was in use before is still accepted.
    pub(super) fn overlap_left(&self, now: Duration) -> Option<Duration> {
        self.leaving.as_ref().map(|(_, until)| until.saturating_sub(now))
    }

    /// The keys of all that count; none where no token is configured.
    pub(super) fn keyring(&self) -> Option<Keyring> {
        let leaving = self.leaving.iter().map(|(token, _)| token);
        let all: Vec<_> = self.configured.iter().chain(leaving).cloned().collect();
        (!all.is_empty()).then(|| Keyring::new(&all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERLAP: Duration = Duration::from_secs(3600);
    const A: &str = "token-a-0123456789";
    const B: &str = "token-b-0123456789";
    const C: &str = "token-c-0123456789";

    fn list(texts: &[&str]) -> Vec<JoinToken> {
        texts.iter().map(|text| JoinToken::parse(text).unwrap()).collect()
    }

    /// Which of the three are accepted.
    fn accepted(tokens: &Tokens) -> Vec<&'static str> {
        let Some(keyring) = tokens.keyring() else { return Vec::new() };
        let mut all = vec![A, B, C];
        all.retain(|text| keyring.check_token(text.as_bytes()).is_ok());
        all
    }

    #[test]
    fn the_old_token_counts_for_as_long_as_said_and_no_longer() {
        let mut tokens = Tokens::new(list(&[A]));
        assert!(!tokens.replace(Duration::ZERO, OVERLAP, list(&[A])), "nothing new");
        assert!(tokens.replace(Duration::ZERO, OVERLAP, list(&[B])));
        assert_eq!(accepted(&tokens), [A, B]);
        let almost = OVERLAP - Duration::from_nanos(1);
        assert!(!tokens.expire(almost));
        assert_eq!(tokens.overlap_left(almost), Some(Duration::from_nanos(1)));
        assert!(tokens.expire(OVERLAP) && !tokens.expire(OVERLAP));
        assert_eq!(accepted(&tokens), [B]);
    }

    #[test]
    fn a_second_change_in_the_overlap_ends_the_first_token() {
        let mut tokens = Tokens::new(list(&[A]));
        tokens.replace(Duration::ZERO, OVERLAP, list(&[B]));
        tokens.replace(Duration::from_secs(1), OVERLAP, list(&[C]));
        assert_eq!(accepted(&tokens), [B, C]);
        tokens.replace(Duration::from_secs(2), OVERLAP, list(&[B]));
        assert_eq!(accepted(&tokens), [B, C], "back to the one before");
    }

    #[test]
    fn two_configured_ones_count_and_the_second_goes_at_once() {
        let mut tokens = Tokens::new(list(&[A, B]));
        assert_eq!(accepted(&tokens), [A, B]);
        tokens.replace(Duration::ZERO, OVERLAP, list(&[B, A]));
        assert_eq!((accepted(&tokens), tokens.overlap_left(Duration::ZERO)), (vec![A, B], None));
        tokens.replace(Duration::ZERO, OVERLAP, list(&[B]));
        assert_eq!(accepted(&tokens), [B]);
    }

    #[test]
    fn without_overlap_or_without_any_token_nothing_stays() {
        let mut tokens = Tokens::new(list(&[A]));
        tokens.replace(Duration::ZERO, Duration::ZERO, list(&[B]));
        assert_eq!(accepted(&tokens), [B]);
        tokens.replace(Duration::ZERO, OVERLAP, list(&[C]));
        tokens.replace(Duration::ZERO, OVERLAP, Vec::new());
        assert!(tokens.keyring().is_none());
    }
}
