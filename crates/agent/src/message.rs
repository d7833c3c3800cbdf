//! What goes into one message: clients of gRPC take 4 MiB unless they are told otherwise, and a longer one
//! is nothing at all to them.

use std::collections::BTreeMap;

use prost::{Message, length_delimiter_len};

use crate::quiet::Quiet;

/// The longest message.
pub(crate) const LONGEST: usize = 4 << 20;

/// So that nobody fills the log by what has no room.
static QUIET: Quiet = Quiet::new();

/// Those identities, the oldest first, that there is room for, in their order. Trust domains take turns, so
/// that none fills the message alone; what is left out is told in the log.
pub(crate) fn fitting<M: Message>(
    identities: Vec<M>,
    id: impl Fn(&M) -> &str,
    room: usize,
) -> Vec<M> {
    // The number of the field and the length stand before each.
    let length = |one: &M| {
        let own = one.encoded_len();
        1 + length_delimiter_len(own) + own
    };
    let all: usize = identities.iter().map(length).sum();
    if all <= room {
        return identities;
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut turns: Vec<(usize, usize)> = Vec::with_capacity(identities.len());
    for (place, one) in identities.iter().enumerate() {
        let turn = counts.entry(trust_domain(id(one))).or_default();
        turns.push((*turn, place));
        *turn += 1;
    }
    turns.sort_unstable();
    let mut has_room = vec![false; identities.len()];
    let mut left = room;
    for (_, place) in turns {
        let (Some(one), Some(fits)) = (identities.get(place), has_room.get_mut(place)) else {
            continue;
        };
        if length(one) > left {
            break;
        }
        left -= length(one);
        *fits = true;
    }
    let count = identities.len();
    let given = identities.into_iter().zip(has_room);
    let given: Vec<M> = given
        .filter_map(|(one, fits)| fits.then_some(one))
        .collect();
    let left_out = count - given.len();
    QUIET.tell(|unsaid| {
        tracing::warn!(
            given = given.len(),
            left_out,
            unsaid,
            "a workload has more identities than go into one message of 4 MiB, so the newest of the trust domains \
             that have the most are left out; narrow the selectors of their entries"
        );
    });
    given
}

fn trust_domain(id: &str) -> &str {
    let name = id.strip_prefix("spiffe://").unwrap_or(id);
    name.split('/').next().unwrap_or_default()
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
    fn who_has_too_many_identities_gets_the_oldest_that_fit_and_no_trust_domain_takes_those_of_another()
     {
        let flood = (0..5_000).map(|number| svid(&format!("flood.test/{number}")));
        let few = (0..3).map(|number| svid(&format!("demo.test/{number}")));
        let svids: Vec<Jwtsvid> = flood.chain(few).collect();
        let given = fitting(svids.clone(), |one| &one.spiffe_id, LONGEST);
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
            .take(of("flood.test"))
            .chain(svids.iter().rev().take(3).rev());
        assert!(given.iter().eq(oldest));
    }

    #[test]
    fn who_has_few_identities_gets_all_of_them() {
        let svids = vec![svid("a.test/1"), svid("b.test/1")];
        assert_eq!(fitting(svids.clone(), |one| &one.spiffe_id, LONGEST), svids);
    }
}
