//! What goes into one message: clients of gRPC take 4 MiB unless they are told otherwise, and a longer one
//! is nothing at all to them.

use std::collections::BTreeMap;

use avouch_core::id::TrustDomain;
use prost::{Message, length_delimiter_len};

use crate::quiet::Quiet;

/// The longest message.
pub(crate) const LONGEST: usize = 4 << 20;

/// The most that all bundles of one kind may have of it, and the most that all revocation lists may: what is
/// left, half of it at least, is for identities.
pub(crate) const MOST_KNOWN: usize = LONGEST / 4;

/// What stands around each bundle in a message: the name of its trust domain as a SPIFFE ID, and lengths.
const AROUND: usize = 32;

/// So that nobody fills the log by what has no room.
static QUIET: Quiet = Quiet::new();

/// Those identities, the oldest first, that there is room for, in their order. Tenants take turns, so
/// that none fills the message alone; what is left out is told in the log. Each stands beside its tenant.
pub(crate) fn fitting<T: Ord, M: Message>(identities: Vec<(T, M)>, room: usize) -> Vec<M> {
    // The number of the field and the length stand before each.
    let length = |one: &M| {
        let own = one.encoded_len();
        1 + length_delimiter_len(own) + own
    };
    let lengths = identities.iter().map(|(tenant, one)| (tenant, length(one)));
    let has_room = with_room(lengths, room);
    let count = identities.len();
    let given = identities.into_iter().zip(has_room);
    let given: Vec<M> = given
        .filter_map(|((_, one), fits)| fits.then_some(one))
        .collect();
    let left_out = count - given.len();
    if left_out > 0 {
        QUIET.tell(|unsaid| {
            tracing::warn!(
                given = given.len(),
                left_out,
                unsaid,
                "a workload has more identities than go into one message of 4 MiB, so the newest of the tenants \
                 that have the most are left out; narrow the selectors of their entries"
            );
        });
    }
    given
}

/// What a workload knows of one trust domain: a bundle of it, or its revocation lists.
pub(crate) struct Known<'a, T> {
    pub(crate) trust_domain: &'a TrustDomain,
    /// Whose word it is.
    pub(crate) tenant: T,
    /// Whether the workload has an identity of this trust domain.
    pub(crate) is_own: bool,
    /// In bytes, as it is sent.
    pub(crate) length: usize,
}

/// Those trust domains of which there is no room in [`MOST_KNOWN`] for what is known, told in the log in
/// these words. Tenants take turns, each with what its workload has identities of and then with the shortest.
pub(crate) fn without_room<T: Ord + Clone>(
    mut known: Vec<Known<'_, T>>,
    words: &'static str,
) -> Vec<TrustDomain> {
    known.sort_by_key(|one| (!one.is_own, one.length));
    let lengths = known.iter().map(|one| {
        let around = one.trust_domain.as_str().len() + AROUND;
        (one.tenant.clone(), one.length + around)
    });
    let has_room = with_room(lengths, MOST_KNOWN);
    let mut left_out = Vec::new();
    for (one, _) in known.iter().zip(has_room).filter(|(_, fits)| !fits) {
        let (trust_domain, bytes) = (one.trust_domain, one.length);
        QUIET.tell(|unsaid| tracing::warn!(%trust_domain, bytes, unsaid, "{words}"));
        left_out.push(trust_domain.clone());
    }
    left_out
}

/// Which of these have room, by their lengths: the first of each tenant, then the second of each, and so on.
/// One that has none takes nothing from those after it.
fn with_room<T: Ord>(parts: impl Iterator<Item = (T, usize)>, room: usize) -> Vec<bool> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, usize, usize)> = Vec::new();
    for (place, (tenant, length)) in parts.enumerate() {
        let turn = counts.entry(tenant).or_default();
        turns.push((*turn, place, length));
        *turn += 1;
    }
    turns.sort_unstable();
    let mut has_room = vec![false; turns.len()];
    let mut left = room;
    for (_, place, length) in turns {
        if let (Some(rest), Some(fits)) = (left.checked_sub(length), has_room.get_mut(place)) {
            left = rest;
            *fits = true;
        }
    }
    has_room
}

#[cfg(test)]
mod tests {
    use avouch_api::grpc::workload::{Jwtsvid, JwtsvidResponse};

    use super::*;

    fn svid(id: &str) -> Jwtsvid {
        Jwtsvid {
            spiffe_id: format!("spiffe://{id}"),
            svid: "x".repeat(1_000),
            hint: String::new(),
        }
    }

    #[test]
    fn who_has_too_many_identities_gets_the_oldest_that_fit_and_no_tenant_takes_those_of_another() {
        // Each in a trust domain of its own: that makes no more of the share of a tenant.
        let flood = (0..5_000).map(|number| ("flood", svid(&format!("flood{number:04}.test/a"))));
        let few = (0..3).map(|number| ("demo", svid(&format!("demo.test/{number}"))));
        let svids: Vec<(&str, Jwtsvid)> = flood.chain(few).collect();
        let given = fitting(svids.clone(), LONGEST);
        let response = JwtsvidResponse {
            svids: given.clone(),
        };
        assert!(response.encoded_len() <= LONGEST);
        assert!(response.encoded_len() > LONGEST - 2_000);
        let of = |name: &str| {
            given
                .iter()
                .filter(|one| one.spiffe_id.contains(name))
                .count()
        };
        assert_eq!(of("demo.test"), 3);
        // The first is the one that is used where none is chosen, and it stays the first.
        let oldest = svids
            .iter()
            .take(of("flood"))
            .chain(svids.iter().rev().take(3).rev());
        assert!(given.iter().eq(oldest.map(|(_, one)| one)));
    }

    #[test]
    fn who_has_few_identities_gets_all_of_them() {
        let svids = vec![("a", svid("a.test/1")), ("b", svid("b.test/1"))];
        let all: Vec<Jwtsvid> = svids.iter().map(|(_, one)| one.clone()).collect();
        assert_eq!(fitting(svids, LONGEST), all);
    }

    #[test]
    fn what_is_known_of_a_trust_domain_and_is_too_long_takes_nothing_from_others() {
        let names: Vec<TrustDomain> = ["own.test", "long.test", "short.test", "other.test"]
            .iter()
            .map(|name| TrustDomain::parse(name).unwrap())
            .collect();
        let known = |place: usize, tenant, is_own, length| Known {
            trust_domain: &names[place],
            tenant,
            is_own,
            length,
        };
        let left_out = without_room(
            vec![
                known(0, "a", true, MOST_KNOWN / 2),
                known(1, "a", false, MOST_KNOWN),
                known(2, "a", false, 1_000),
                known(3, "b", false, MOST_KNOWN / 4),
            ],
            "there is no room",
        );
        assert_eq!(left_out, [names[1].clone()]);
    }
}
