//! Small random worlds of certificates, and a naive reference that decides on them.
//!
//! A world is plain data. The reference looks at that data alone: it walks every path there is and
//! asks of each whether all of it holds. It knows nothing of DER, of signatures or of the search.

use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::{Budget, Limits};
use avouch_core::credential::Credential;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::crypto::AwsLc;
use avouch_core::id::{Digest, TenantId};
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_testkit::NOW;
use avouch_testkit::certificate::{CA_NOT_AFTER, CertificateForge, NOT_BEFORE};
use avouch_testkit::crl::{CrlForge, Entry};
use avouch_testkit::extension;
use avouch_testkit::key::Key;
use avouch_testkit::moment::Moment;
use avouch_testkit::name::{GeneralName, Name};
use proptest::prelude::*;

/// How many CAs there are at most. Each has a key of its own; names are fewer, so that some CAs
/// look alike.
const CAS: usize = 4;
const NAMES: usize = 3;

/// A world, and a question about its one end entity.
#[derive(Clone, Debug)]
pub(crate) struct SmallWorld {
    /// The name of each CA.
    names: Vec<usize>,
    leaf: LeafPlan,
    intermediates: Vec<CaPlan>,
    pub(crate) anchors: Vec<CaPlan>,
}

/// The end entity: issued by a CA, for a host in one of two domains.
#[derive(Clone, Debug)]
struct LeafPlan {
    issuer: usize,
    in_first_domain: bool,
    is_expired: bool,
    is_forged: bool,
}

/// A certificate of a CA. That of an anchor is issued by itself.
#[derive(Clone, Debug)]
pub(crate) struct CaPlan {
    subject: usize,
    issuer: usize,
    is_ca: bool,
    is_expired: bool,
    is_forged: bool,
    path_length: Option<u64>,
    /// Whether names are constrained to the first domain, or to the second.
    permits_first_domain: Option<bool>,
}

/// A revocation list of a CA: whether each intermediate, and the leaf, is on it.
#[derive(Clone, Debug)]
pub(crate) struct CrlPlan {
    issuer: usize,
    revokes_leaf: bool,
    revokes: Vec<bool>,
    is_expired: bool,
    is_forged: bool,
}

impl CrlPlan {
    /// The same with everything revoked.
    pub(crate) fn revoking_all(&self) -> Self {
        Self {
            revokes_leaf: true,
            revokes: vec![true; self.revokes.len()],
            ..self.clone()
        }
    }
}

/// Any world in which most things are right.
pub(crate) fn small_world() -> impl Strategy<Value = SmallWorld> {
    let names = prop::collection::vec(0..NAMES, CAS);
    let intermediates = prop::collection::vec(ca_plan(), 0..12);
    let anchors = prop::collection::vec(anchor_plan(), 1..3);
    (names, leaf_plan(), intermediates, anchors).prop_map(
        |(names, leaf, intermediates, anchors)| SmallWorld {
            names,
            leaf,
            intermediates,
            anchors,
        },
    )
}

pub(crate) fn anchor_plan() -> impl Strategy<Value = CaPlan> {
    ca_plan().prop_map(|plan| CaPlan {
        issuer: plan.subject,
        is_forged: false,
        ..plan
    })
}

pub(crate) fn crl_plan() -> impl Strategy<Value = CrlPlan> {
    let revokes = prop::collection::vec(any::<bool>(), 12);
    (0..CAS, any::<bool>(), revokes, rarely(), rarely()).prop_map(
        |(issuer, revokes_leaf, revokes, is_expired, is_forged)| CrlPlan {
            issuer,
            revokes_leaf,
            revokes,
            is_expired,
            is_forged,
        },
    )
}

fn leaf_plan() -> impl Strategy<Value = LeafPlan> {
    (0..CAS, any::<bool>(), rarely(), rarely()).prop_map(
        |(issuer, in_first_domain, is_expired, is_forged)| LeafPlan {
            issuer,
            in_first_domain,
            is_expired,
            is_forged,
        },
    )
}

fn ca_plan() -> impl Strategy<Value = CaPlan> {
    let path_length = prop::option::weighted(0.25, 0..3_u64);
    let permits = prop::option::weighted(0.15, any::<bool>());
    let is_ca = prop::bool::weighted(0.95);
    (
        0..CAS,
        0..CAS,
        is_ca,
        rarely(),
        rarely(),
        path_length,
        permits,
    )
        .prop_map(
            |(subject, issuer, is_ca, is_expired, is_forged, path_length, permits)| CaPlan {
                subject,
                issuer,
                is_ca,
                is_expired,
                is_forged,
                path_length,
                permits_first_domain: permits,
            },
        )
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.05)
}

impl SmallWorld {
    /// What the core says.
    pub(crate) fn decide(&self, anchors: &[CaPlan], crls: &[CrlPlan]) -> Verdict {
        let question = Question {
            tenant: TenantId::local(),
            credential: Credential::X509(self.chain()),
            profile: Profile::Private,
            purpose: Purpose::Any,
            now: Time::parse(NOW).unwrap(),
            context: Context::default(),
        };
        let view = self.view(anchors, crls);
        let mut budget = Budget::new(Limits::default());
        avouch_core::decide(&question, &view, &AwsLc, &mut budget)
    }

    /// What the reference says: whether there is a path on which everything holds.
    pub(crate) fn is_believed(&self) -> bool {
        let leaf = &self.leaf;
        !leaf.is_forged && !leaf.is_expired && self.leads_to_anchor(leaf.issuer, &mut Vec::new())
    }

    /// Whether some path from `issuer` upwards, which continues `below`, holds.
    fn leads_to_anchor<'a>(&'a self, issuer: usize, below: &mut Vec<&'a CaPlan>) -> bool {
        let ends_here = |anchor: &&CaPlan| anchor.subject == issuer;
        let mut anchors = self.anchors.iter().filter(ends_here);
        if anchors.any(|anchor| self.holds(below, anchor)) {
            return true;
        }
        for next in &self.intermediates {
            let continues = next.subject == issuer && !next.is_forged;
            let is_new = below.iter().all(|seen| seen.subject != next.subject);
            if continues && is_new {
                below.push(next);
                let found = self.leads_to_anchor(next.issuer, below);
                below.pop();
                if found {
                    return true;
                }
            }
        }
        false
    }

    /// Whether each CA of a path is one, is valid, and permits what is below it.
    fn holds(&self, intermediates: &[&CaPlan], anchor: &CaPlan) -> bool {
        let cas: Vec<&CaPlan> = intermediates.iter().copied().chain([anchor]).collect();
        cas.iter().enumerate().all(|(index, ca)| {
            let counted = intermediates[..index]
                .iter()
                .filter(|below| self.names[below.subject] != self.names[below.issuer]);
            let below = counted.count() as u64;
            let permits_name = ca
                .permits_first_domain
                .is_none_or(|first| first == self.leaf.in_first_domain);
            ca.is_ca
                && !ca.is_expired
                && ca.path_length.is_none_or(|allowed| below <= allowed)
                && permits_name
        })
    }

    /// The end entity and the intermediates, as DER.
    fn chain(&self) -> Vec<Vec<u8>> {
        let leaf = &self.leaf;
        let host = if leaf.in_first_domain {
            "a.example.com"
        } else {
            "a.example.net"
        };
        let mut forge = CertificateForge::server(host)
            .serial(&[1])
            .valid(NOT_BEFORE, until(leaf.is_expired));
        if leaf.is_forged {
            forge = forge.wrong_signature();
        }
        let end_entity = forge.sign(&self.name(leaf.issuer), &key(leaf.issuer));
        let cas = self.intermediates.iter().zip(0_u8..);
        std::iter::once(end_entity)
            .chain(cas.map(|(plan, index)| self.ca(plan, &[2 + index])))
            .collect()
    }

    fn ca(&self, plan: &CaPlan, serial: &[u8]) -> Vec<u8> {
        let path_length = plan.path_length.filter(|_| plan.is_ca);
        let mut forge = CertificateForge::authority(self.name(plan.subject), &key(plan.subject))
            .serial(serial)
            .valid(NOT_BEFORE, until(plan.is_expired))
            .with(extension::basic_constraints(plan.is_ca, path_length));
        if let Some(first) = plan.permits_first_domain {
            let domain = if first { "example.com" } else { "example.net" };
            let permitted = [GeneralName::dns(domain)];
            forge = forge.with(extension::name_constraints(&permitted, &[]));
        }
        if plan.is_forged {
            forge = forge.wrong_signature();
        }
        forge.sign(&self.name(plan.issuer), &key(plan.issuer))
    }

    fn crl(&self, plan: &CrlPlan) -> Vec<u8> {
        let next = if plan.is_expired {
            "2024-05-30T00:00:00Z"
        } else {
            "2024-06-07T00:00:00Z"
        };
        let mut forge = CrlForge::complete().dates("2024-05-29T00:00:00Z", Some(Moment::at(next)));
        let serials =
            std::iter::once((plan.revokes_leaf, 1)).chain(plan.revokes.iter().copied().zip(2_u8..));
        for (is_revoked, serial) in serials {
            if is_revoked {
                forge = forge.revoke(Entry::new(&[serial], "2024-05-01T00:00:00Z"));
            }
        }
        if plan.is_forged {
            forge = forge.wrong_signature();
        }
        forge.sign(&self.name(plan.issuer), &key(plan.issuer))
    }

    fn view(&self, anchors: &[CaPlan], crls: &[CrlPlan]) -> View {
        let anchors = anchors.iter().enumerate().map(|(index, plan)| Anchor {
            name: format!("anchor {index}"),
            kind: AnchorKind::Certificate(Arc::new(
                Certificate::parse(&self.ca(plan, &[99])).unwrap(),
            )),
            stewardship: Stewardship::default(),
            constraints: Constraints::default(),
            tenant: TenantId::local(),
            source: None,
        });
        let crls = crls.iter().map(|plan| Crl::parse(&self.crl(plan)).unwrap());
        View::new(
            TenantId::local(),
            anchors.collect(),
            crls.collect(),
            Vec::new(),
            Digest::of(b"a small world"),
        )
    }

    fn name(&self, ca: usize) -> Name {
        Name::common_name(&format!("CA {}", self.names[ca]))
    }
}

fn key(ca: usize) -> Key {
    Key::ed25519(&format!("key of CA {ca}"))
}

fn until(is_expired: bool) -> &'static str {
    if is_expired {
        "2024-05-31T00:00:00Z"
    } else {
        CA_NOT_AFTER
    }
}
