//! How a node shows who it is without a join token: one file for each method.
//!
//! ```text
//! attestor, an object of the tenant ── read ──► Attestation
//! evidence and statement ──────────── check ──► Attested: a name and facts ──► a node is known
//! ```
//!
//! Whom an attestor believes is a trust document, and the core decides under it. Whoever asks has
//! shown nothing yet, so sizes and counts are looked at before any work, and the work is bounded.

mod attestor;
mod decision;
mod k8s_psat;
mod refusals;
mod sshpop;
mod token_review;
mod tpm;
mod x509pop;

use std::sync::Arc;

use avouch_api::attestation::statement;
use avouch_api::grpc::node::evidence::Shown;
use avouch_api::grpc::node::{Evidence, Intention};
use avouch_core::id::{Digest, TenantId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::random::{Mark, Random};
use avouch_issuer::signing_request::SigningRequest;
use avouch_store::{
    AttemptId, AttestorId, Change, NodeId, NodeRecord, Object, Selector, SingleUse, UseKind, Used,
};

use super::renewals::{Asking, How};
use super::{Membership, Which, meanwhile, node_id};
use crate::fault::{Fault, Refused};
use crate::fetch::{Fetched, Request};
use crate::plane::Plane;
use crate::quotas::Bounded;
use crate::tenant::Tenant;

pub(crate) use attestor::Known;
use attestor::{Attestor, Rejoin};
pub(crate) use refusals::{RefusedNode, RefusedNodes, ToldOfRefused};
pub(crate) use tpm::leaves_its_key;
pub use tpm::{Opened, Sealing};

/// The longest signing request in bytes; one with a P-256 key has 200.
pub(crate) const LONGEST_SIGNING_REQUEST: usize = 4 << 10;

/// The most facts of one node.
const MOST_FACTS: usize = 64;

/// For how many seconds more something counts as shown than it is believed: what clocks may differ.
const TOLERANCE: i64 = 300;

/// The longest life of what does not say how long it lives: more than the year for which Kubernetes makes
/// tokens of its own at the most.
const LONGEST_LIFE: i64 = 400 * 86_400;

/// Why what a node shows is of no use.
const SHOWN: &str = "it was shown before, or is no newer than what was";

/// A way in which a node shows who it is, as one attestor has it.
pub(super) trait Attestation: Send + Sync {
    /// Which node shows this, and what is known of it then. `statement` is what it had to sign.
    fn check(&self, shown: &Shown, moment: &Moment<'_>) -> Result<Attested, Refused>;

    /// What the node has to open before, if anything: nothing it shows proves more.
    fn sealing(&self, _: &Shown) -> Result<Option<Sealing>, Refused> {
        Ok(None)
    }

    /// What has to be asked elsewhere before, if anything.
    fn question(&self, _: &Shown) -> Result<Option<Request>, Reason> {
        Ok(None)
    }
}

/// For whom and when something is checked.
pub(super) struct Moment<'a> {
    /// The tenant whose attestor is asked.
    pub(super) tenant: &'a Tenant,
    /// What the node had to sign.
    pub(super) statement: &'a [u8],
    /// Now.
    pub(super) now: Time,
    /// The key that the identity is for, as a DER `SubjectPublicKeyInfo`.
    pub(super) node_key: &'a [u8],
    /// What was answered to the question that had to be asked before.
    pub(super) answer: Option<&'a Fetched>,
    /// That the node has opened what it had to open before.
    pub(super) opened: Option<&'a Opened>,
}

/// A node that has shown who it is.
#[derive(Debug)]
pub(super) struct Attested {
    /// The last part of its name: the same for the same node, and for no other under this attestor.
    pub(super) name: String,
    /// What is known of it.
    pub(super) facts: Facts,
    /// What it showed, if the same can be shown again.
    pub(super) made: Option<Made>,
}

/// Something that whoever has seen it can show, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    /// When it was made.
    pub(super) at: Time,
    /// Until when it is believed, if it says so.
    pub(super) until: Option<Time>,
    pub(super) digest: Digest,
}

/// What is known of a node, as selectors.
#[derive(Debug, Default)]
pub(super) struct Facts(Vec<Selector>);

impl Facts {
    /// Notes a fact. What cannot be a selector, and what is beyond all measure, is passed over: an
    /// absent fact never matches.
    pub(super) fn note(&mut self, name: &str, value: &str) {
        if self.0.len() < MOST_FACTS
            && let Some(fact) = Selector::parse(&format!("{name}:{value}"))
        {
            self.0.push(fact);
        }
    }
}

/// The ways there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// A token that Kubernetes projects into a pod.
    K8sPsat,
    /// A host certificate of SSH and its key.
    SshPop,
    /// Keys of a TPM.
    Tpm,
    /// A certificate and its key.
    X509Pop,
}

impl Method {
    const ALL: [(&'static str, Self); 4] = [
        ("k8s_psat", Self::K8sPsat),
        ("sshpop", Self::SshPop),
        ("tpm", Self::Tpm),
        ("x509pop", Self::X509Pop),
    ];

    /// The name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::K8sPsat => "k8s_psat",
            Self::SshPop => "sshpop",
            Self::Tpm => "tpm",
            Self::X509Pop => "x509pop",
        }
    }
}

impl Plane {
    /// Random bytes for a node to sign.
    pub(crate) fn challenge(&self) -> Result<[u8; 32], Fault> {
        let mut challenge = [0; 32];
        self.random.fill(&mut challenge)?;
        Ok(challenge)
    }

    /// Whether there is what a node means to be attested by.
    ///
    /// # Errors
    ///
    /// `issue.attestor_unknown`, also where there is no such tenant, or what failed on our side.
    pub fn check_intention(&self, intention: &Intention) -> Result<(), Refused> {
        self.attestor(intention).map(drop)
    }

    /// What has to be asked elsewhere before a node can be attested, and for which tenant. The shell
    /// asks, so that who waits for an answer takes nobody's turn.
    ///
    /// # Errors
    ///
    /// As for [`Plane::attest`].
    pub fn question_about(
        &self,
        intention: &Intention,
        evidence: &Evidence,
    ) -> Result<Option<(TenantId, Request)>, Refused> {
        let (tenant, attestor) = self.attestor(intention)?;
        let Some(shown) = &evidence.shown else {
            return Ok(None);
        };
        let question = attestor.attestation.question(shown)?;
        Ok(question.map(|question| (tenant.id().clone(), question)))
    }

    /// What a node has to open before it can be attested, if anything.
    ///
    /// # Errors
    ///
    /// As for [`Plane::attest`].
    pub fn sealing_for(
        &self,
        intention: &Intention,
        evidence: &Evidence,
    ) -> Result<Option<Sealing>, Refused> {
        let (_, attestor) = self.attestor(intention)?;
        match &evidence.shown {
            Some(shown) => attestor.attestation.sealing(shown),
            None => Ok(None),
        }
    }

    /// Lets the node join that shows who it is. `challenge` was made for this call alone, `answer` is
    /// what came of the question that had to be asked before, and `opened` that the node has opened
    /// what it was sent.
    ///
    /// # Errors
    ///
    /// Why it is not believed, or what failed on our side.
    pub fn attest(
        &self,
        intention: &Intention,
        challenge: &[u8],
        evidence: &Evidence,
        answer: Option<&Fetched>,
        opened: Option<&Opened>,
    ) -> Result<Membership, Refused> {
        let (tenant, attestor) = self.attestor(intention)?;
        let size = evidence.signing_request.len();
        if size > LONGEST_SIGNING_REQUEST {
            return Err(Reason::InputSize {
                part: "certification request",
                size,
                allowed: LONGEST_SIGNING_REQUEST,
            }
            .into());
        }
        let shown = evidence.shown.as_ref().ok_or_else(|| {
            let detail = "there is nothing of it";
            malformed(attestor.method, detail)
        })?;
        let request = SigningRequest::read(&evidence.signing_request)?;
        let server = self.server_id().trust_domain().as_str();
        let moment = Moment {
            tenant: &tenant,
            statement: &statement(server, intention, challenge, &evidence.signing_request),
            now: self.now(),
            node_key: request.public_half().info(),
            answer,
            opened,
        };
        let attested = attestor.attestation.check(shown, &moment)?;
        self.take_in(&tenant, &intention.attestor, &attestor, &attested, &request)
    }

    fn attestor(&self, intention: &Intention) -> Result<(Arc<Tenant>, Arc<Attestor>), Refused> {
        let tenant = self.tenant_named(&intention.tenant)?;
        let id = AttestorId::parse(&intention.attestor);
        let found = tenant.zip(id).and_then(|(tenant, id)| {
            let record = tenant.read(|snapshot| snapshot.attestors.get(&id).cloned());
            Some((tenant, record?))
        });
        let found = found.map(|(tenant, record)| {
            let attestor = self.attestors.get(&tenant, &record)?;
            Ok::<_, Fault>((tenant, attestor))
        });
        let found = found.transpose()?;
        let of_method =
            found.filter(|(_, attestor)| attestor.method.name() == intention.method.as_str());
        of_method.ok_or_else(|| {
            let named = |text: &str| text.chars().take(64).collect();
            Reason::IssueAttestorUnknown {
                tenant: named(&intention.tenant),
                attestor: named(&intention.attestor),
                method: named(&intention.method),
            }
            .into()
        })
    }

    /// Makes a node known that has shown who it is, with one change that nothing else comes between.
    fn take_in(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        attestor: &Attestor,
        attested: &Attested,
        request: &SigningRequest,
    ) -> Result<Membership, Refused> {
        let method = attestor.method.name();
        let name = AttestorId::parse(name).ok_or_else(|| bug("a known attestor has no name"))?;
        let id = NodeId::parse(&format!("{name}-{}", attested.name));
        let id = id.ok_or_else(|| malformed(attestor.method, "its name is none for a node"))?;
        let spiffe_id = node_id(tenant, &id)?;
        let public_half = request.for_svid(&spiffe_id, &[])?;
        let check = || -> Result<Option<NodeRecord>, Refused> {
            let before = tenant.read(|snapshot| snapshot.nodes.get(&id).cloned());
            match &before {
                Some(before) => check_rejoin(before, attestor, &name, attested)?,
                None => self.check_room(tenant, Bounded::Nodes)?,
            }
            Ok(before)
        };
        let known = check()?.as_ref().map(Which::of);
        if let Some(which) = known {
            let asking = Asking {
                node: spiffe_id.clone(),
                which,
                how: How::ShowsItself,
            };
            self.admit_renewal(tenant, asking, None)?;
        }
        let mark = || Ok(Mark::new(&self.random)?);
        let joining = match known {
            Some(which) => which.rejoining(mark, self.now())?,
            None => Which::joining(mark()?, self.now()),
        };
        // Signed before the node is known; handed out only after.
        let membership = self.sign_node(tenant, &spiffe_id, public_half, joining)?;
        let used = match (attestor.rejoin, attested.made) {
            (Rejoin::Fresh | Rejoin::Never, Some(made)) => vec![self.use_of_evidence(made)?],
            (Rejoin::Always, _) | (_, None) => Vec::new(),
        };
        // What it has shown is used up with the change that makes it known: neither is there alone.
        let ((), told) = self.settle_and_use(tenant, &used, || {
            let now = self.now();
            let before = check()?;
            // What was signed is for who it was then.
            if before.as_ref().map(Which::of) != known {
                return Err(meanwhile(&spiffe_id).into());
            }
            let node = NodeRecord {
                id: id.clone(),
                spiffe_id: spiffe_id.clone(),
                attested_by: method.to_owned(),
                attestor: Some(name.clone()),
                facts: attested.facts.0.clone(),
                created: before.as_ref().map_or(now, |before| before.created),
                mark: joining.mark.map(Mark::number),
                since: joining.since,
                attested: now,
                evidence_made: attested
                    .made
                    .map(|made| made.at)
                    .max(before.and_then(|before| before.evidence_made)),
                banned: None,
            };
            Ok(((), vec![Change::Put(Object::Node(node))]))
        })?;
        for one in told {
            if let Used::Before { at: since } = one {
                let (node, detail) = (spiffe_id.to_string(), SHOWN);
                return Err(Reason::IssueNodeJoined {
                    node,
                    since,
                    detail,
                }
                .into());
            }
        }
        Ok(membership)
    }

    /// That what can be shown again is taken once, also where the node that has shown it was evicted
    /// since.
    fn use_of_evidence(&self, made: Made) -> Result<SingleUse, Fault> {
        let mut attempt = [0; 16];
        self.random.fill(&mut attempt)?;
        Ok(SingleUse {
            kind: UseKind::Token,
            digest: Digest::of_list([b"evidence of a node".as_slice(), made.digest.as_bytes()]),
            attempt: AttemptId::from_bytes(attempt),
            at: self.now(),
            until: match made.until {
                Some(until) => until.plus(TOLERANCE),
                None => self.now().plus(LONGEST_LIFE),
            },
        })
    }
}

/// Whether a node that is known may join again with what it shows now.
/// A name that another attestor gave is another node's, whatever both are called.
fn check_rejoin(
    before: &NodeRecord,
    attestor: &Attestor,
    name: &AttestorId,
    now: &Attested,
) -> Result<(), Reason> {
    let node = before.spiffe_id.to_string();
    if before.banned.is_some() {
        let detail = "it is banned";
        return Err(Reason::IssueNodeNotAdmitted { node, detail });
    }
    let is_its_own = before.attestor.as_ref() == Some(name);
    if before.attested_by != attestor.method.name() || !is_its_own {
        return Err(Reason::IssueNodeNameTaken {
            node,
            attested_by: before.attested_by.clone(),
        });
    }
    let detail = match attestor.rejoin {
        Rejoin::Always => return Ok(()),
        Rejoin::Never => "the attestor lets every node join once",
        Rejoin::Fresh => match (now.made, before.evidence_made) {
            (Some(made), Some(last)) if made.at <= last => SHOWN,
            (Some(_) | None, _) => return Ok(()),
        },
    };
    Err(Reason::IssueNodeJoined {
        node,
        since: before.attested,
        detail,
    })
}

/// Refuses what is larger than it may be: of each part its name, how many bytes it has, and how many it may
/// have.
fn check_sizes(parts: &[(&'static str, usize, usize)]) -> Result<(), Reason> {
    match parts.iter().find(|(_, size, allowed)| size > allowed) {
        None => Ok(()),
        Some(&(part, size, allowed)) => Err(Reason::InputSize {
            part,
            size,
            allowed,
        }),
    }
}

fn malformed(method: Method, detail: &str) -> Reason {
    Reason::IssueAttestationMalformed {
        method: method.name().to_owned(),
        detail: detail.to_owned(),
    }
}

fn bug(what: &str) -> Fault {
    Fault::Bug(what.to_owned())
}
