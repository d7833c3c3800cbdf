//! How long what is signed may live, as it was settled at any time: whoever looks for what has not ended
//! looks back as far, whatever is settled now.

use avouch_core::time::Time;

use crate::intent::CredentialKind;

/// For how long a lifetime is kept after the last that may live as long has ended, in seconds: more than
/// the clocks of servers differ by, and than the time between two reports of one.
const MARGIN: i64 = 2 * 86_400;

/// How long something of a kind may live at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime {
    /// Of what.
    pub kind: LifetimeKind,
    /// For how many seconds.
    pub seconds: u32,
    /// When that was last so.
    pub last: Time,
}

impl Lifetime {
    /// Whether something that may live as long has perhaps not ended at a time.
    pub fn counts_at(&self, at: Time) -> bool {
        self.last.plus(MARGIN).plus(i64::from(self.seconds)) >= at
    }
}

/// What lives equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LifetimeKind {
    /// SVIDs, and tokens that are given in exchange.
    Svid,
    /// Certificates of the components of a cluster.
    Component,
}

impl LifetimeKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Svid, Self::Component];

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Svid => "svid",
            Self::Component => "component",
        }
    }
}

/// What is looked for among what was recorded.
#[derive(Clone, Copy, Debug)]
pub struct Lasting<'a> {
    /// Recorded at this time or later.
    pub from: Time,
    /// Not ended at this time.
    pub at: Time,
    /// For identities of this trust domain; of any if there is none.
    pub trust_domain: Option<&'a avouch_core::id::TrustDomain>,
}

impl Lasting<'_> {
    /// The identities that are meant stand from the first on, and before the second, in the order of
    /// bytes.
    pub(crate) fn subjects(&self) -> (String, String) {
        match self.trust_domain {
            // After a slash comes a zero; the identity of a trust domain itself is nobody's credential.
            Some(name) => (format!("spiffe://{name}/"), format!("spiffe://{name}0")),
            None => (String::new(), "spiffe:0".to_owned()),
        }
    }
}

/// How much of one kind has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Living {
    /// Of which kind.
    pub kind: CredentialKind,
    /// How many.
    pub count: u64,
    /// When the last of them ends.
    pub until: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_back_from_their_names() {
        for kind in LifetimeKind::ALL {
            assert_eq!(LifetimeKind::parse(kind.name()), Some(kind));
        }
    }

    #[test]
    fn a_lifetime_counts_until_all_that_may_live_as_long_has_ended() {
        let lifetime = Lifetime {
            kind: LifetimeKind::Svid,
            seconds: 3_600,
            last: Time::from_unix(1_000),
        };
        let end = lifetime.last.plus(3_600);
        assert!(lifetime.counts_at(end) && lifetime.counts_at(end.plus(MARGIN)));
        assert!(!lifetime.counts_at(end.plus(MARGIN + 1)));
    }

    #[test]
    fn identities_of_a_trust_domain_stand_together_and_no_others_among_them() {
        let name = avouch_core::id::TrustDomain::parse("a.test").unwrap();
        let lasting = Lasting {
            from: Time::from_unix(0),
            at: Time::from_unix(0),
            trust_domain: Some(&name),
        };
        let (first, end) = lasting.subjects();
        let is_meant = |id: &str| first.as_str() <= id && id < end.as_str();
        assert!(is_meant("spiffe://a.test/x") && is_meant("spiffe://a.test/~"));
        for other in [
            "spiffe://a.test.example/x",
            "spiffe://a.tes/x",
            "spiffe://a.test-b/x",
            "spiffe://a.test0/x",
        ] {
            assert!(!is_meant(other), "{other}");
        }
        let (first, end) = Lasting {
            trust_domain: None,
            ..lasting
        }
        .subjects();
        assert!(first.as_str() <= "spiffe://0" && "spiffe://zzz/~" < end.as_str());
    }
}
