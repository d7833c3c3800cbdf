//! SSH in the one search: which authority may have certified a key, whether it did, and what its
//! holder is called (PROTOCOL.certkeys). A key that a tenant lists itself is its own anchor.

mod anchor;

use std::sync::Arc;

pub(crate) use anchor::FACTS;
pub use anchor::SshAnchor;
use anchor::Trust;

use crate::anchor::{Anchor, AnchorKind};
use crate::budget::Budget;
use crate::credential::ssh::{NAMESPACE, Presented, Proof, SshCertificate, SshKind, statement};
use crate::credential::x509::GeneralName;
use crate::crypto::{Verifier, cost};
use crate::ended::Birth;
use crate::model::federation::check_constraints;
use crate::model::proved::{self, Proved};
use crate::path::{Attempts, Candidate, Model};
use crate::policy::facts::{Facts, SUBJECT};
use crate::question::{ExpectedName, Question};
use crate::reason::{About, Reason};
use crate::stop::Stop;
use crate::time::Time;
use crate::verdict::{
    AnchorReached, Check, Effect, Identity, IdentityKind, Need, Refusal, TrustModel, Verdict,
};
use crate::view::View;
use crate::vouch::{How, Vouch};

/// The critical options that are known: each binds whoever takes the certificate to something that
/// cannot be kept to here.
const KNOWN_OPTIONS: [&str; 3] = ["force-command", "source-address", "verify-required"];

/// How long a challenge is remembered once it was answered, in seconds: longer than any relying
/// party takes one.
const CHALLENGE_REMEMBERED: i64 = 900;

/// The most names of a relying party for which a proof is tried.
const AUDIENCES_TRIED: usize = 8;

/// Until when a verdict on a key holds that nobody certified.
const FOREVER: i64 = 253_402_300_799;

/// Decides on a key or a certificate of SSH, and on the proof that whoever shows it holds the key.
pub(crate) fn decide_ssh(
    key: &str,
    proof: Option<&str>,
    question: &Question,
    view: &View,
    crypto: &dyn Verifier,
    budget: &mut Budget,
) -> Verdict {
    let refused = |stopped_at: &str, reason: Reason| {
        Verdict::Reject(Refusal {
            model: TrustModel::Pki,
            attempts: Attempts::before_search(stopped_at, reason),
            legs: Vec::new(),
        })
    };
    let presented = match Presented::read(key) {
        Ok(presented) => presented,
        Err(reason) => return refused("the key", reason),
    };
    let proof = match proof.map(Proof::read).transpose() {
        Ok(proof) => proof,
        Err(reason) => return refused("the proof", reason),
    };
    let model = SshModel {
        presented,
        proof,
        question,
        view,
        crypto,
    };
    proved::decide(&model, (), TrustModel::Pki, budget)
}

struct SshModel<'a> {
    presented: Presented,
    proof: Option<Proof>,
    question: &'a Question,
    view: &'a View,
    crypto: &'a dyn Verifier,
}

/// An anchor that has the key of the authority, or the key itself.
struct Reached<'a> {
    anchor: &'a Arc<Anchor>,
    trusted: &'a SshAnchor,
}

impl<'a> Model for SshModel<'a> {
    /// What was presented; there is only one.
    type Statement = ();
    type AnchorKey = Reached<'a>;
    type Conclusion = Proved;

    fn candidates(
        &self,
        _trail: &[()],
        _budget: &mut Budget,
    ) -> Result<Vec<Candidate<Self>>, Stop> {
        let mut any_known = false;
        let mut candidates = Vec::new();
        for anchor in self.view.anchors() {
            let AnchorKind::Ssh(trusted) = &anchor.kind else {
                continue;
            };
            any_known = true;
            let is_it = match (trusted.trust(), &self.presented) {
                (Trust::Certifying { .. }, Presented::Certificate(certificate)) => {
                    trusted.has(certificate.authority())
                }
                (Trust::Listed { .. }, Presented::Key(key)) => trusted.has(key),
                (Trust::Certifying { .. }, Presented::Key(_))
                | (Trust::Listed { .. }, Presented::Certificate(_)) => false,
            };
            if is_it {
                candidates.push(Candidate::Anchor(Reached { anchor, trusted }));
            }
        }
        if !any_known {
            return Err(Reason::NoAnchors {}.into());
        }
        if candidates.is_empty() {
            return Err(self.no_anchor().into());
        }
        Ok(candidates)
    }

    fn vouch(
        &self,
        _trail: &[()],
        candidate: &Candidate<Self>,
        budget: &mut Budget,
    ) -> Result<Vouch, Stop> {
        let Candidate::Anchor(reached) = candidate else {
            // Anchors vouch for keys, and nobody else; `candidates` gives nothing else.
            return Err(self.no_anchor().into());
        };
        let how = match self.proof {
            Some(_) => How::SshProved,
            None => How::Ssh,
        };
        let certificate = match &self.presented {
            Presented::Certificate(certificate) => certificate,
            Presented::Key(key) => {
                let fingerprint = key.fingerprint();
                return Ok(Vouch {
                    vouches_for: reached.trusted.subject().unwrap_or_default().into(),
                    by: reached.anchor.name.as_str().into(),
                    how,
                    key: fingerprint.into(),
                    valid: None,
                });
            }
        };
        let authority = certificate.authority();
        budget.signature(cost(authority.key().kind()))?;
        budget.long_step(certificate.size())?;
        if !certificate.is_signed(self.crypto) {
            return Err(Reason::SshNotSigned {
                authority: authority.fingerprint(),
            }
            .into());
        }
        Ok(Vouch {
            vouches_for: certificate.key_id().into(),
            by: reached.anchor.name.as_str().into(),
            how,
            key: authority.fingerprint().into(),
            valid: Some((certificate.valid_from(), certificate.valid_until())),
        })
    }

    fn conclude(
        &self,
        _trail: &[()],
        path: &[Vouch],
        reached: &Reached<'a>,
        budget: &mut Budget,
    ) -> Result<Proved, Stop> {
        let question = self.question;
        reached.anchor.admits(&question.tenant, question.now)?;
        let subject = match (&self.presented, reached.trusted.trust()) {
            (Presented::Certificate(certificate), Trust::Certifying { kind, principals }) => {
                self.check_certificate(certificate, *kind, reached)?;
                self.principal(certificate, principals)?
            }
            // A key that is listed is one subject.
            _ => {
                let subject = reached.trusted.subject().unwrap_or_default();
                check_constraints(reached.anchor, subject, None)?;
                self.check_expected(subject)?;
                subject.to_owned()
            }
        };
        let facts = self.facts(&subject)?;
        reached.anchor.admits_facts(&facts)?;
        self.view.endings().check(&self.birth(&subject), &subject)?;
        let effects = match &self.proof {
            // Whoever gave a challenge out means the holder of the key, not everyone who has seen it.
            None if self.question.context.nonce.is_some() => {
                return Err(Reason::SshProofMissing {}.into());
            }
            None => Vec::new(),
            Some(proof) => match self.check_proof(proof, budget)? {
                Ok(effect) => vec![effect],
                Err(need) => return Ok(Proved::AllBut(need)),
            },
        };
        let identity = self.identity(reached, path, subject, facts);
        Ok(Proved::Identity(Box::new(identity), effects))
    }

    fn name_of(&self, candidate: &Candidate<Self>) -> String {
        match candidate {
            Candidate::Anchor(reached) => reached.anchor.name.clone(),
            Candidate::Statement(()) => self.what().to_owned(),
        }
    }

    fn name_of_fault(&self, _trail: &[()], reached: &Reached<'a>, reason: &Reason) -> String {
        match (reason, reason.about()) {
            (
                Reason::SshProofInvalid {}
                | Reason::SshProofMissing {}
                | Reason::SshProofKey { .. }
                | Reason::SshProofNamespace { .. },
                _,
            ) => "the proof".to_owned(),
            (_, About::Anchor) => reached.anchor.name.clone(),
            (_, About::EndEntity | About::Subject(_)) => self.what().to_owned(),
        }
    }

    fn name_of_end(&self, _trail: &[()]) -> String {
        self.what().to_owned()
    }
}

impl SshModel<'_> {
    fn what(&self) -> &'static str {
        match &self.presented {
            Presented::Certificate(_) => "the certificate",
            Presented::Key(_) => "the key",
        }
    }

    /// Why there is no one who could vouch for it.
    fn no_anchor(&self) -> Reason {
        match &self.presented {
            Presented::Certificate(certificate) => Reason::SshAuthorityUnknown {
                authority: certificate.authority().fingerprint(),
            },
            Presented::Key(key) => Reason::SshKeyUnknown {
                fingerprint: key.fingerprint(),
            },
        }
    }

    /// Whether it is of whom the anchor certifies, valid now, and asks for nothing that cannot be
    /// kept to.
    fn check_certificate(
        &self,
        certificate: &SshCertificate,
        kind: SshKind,
        reached: &Reached<'_>,
    ) -> Result<(), Reason> {
        let found = if reached.trusted.has(certificate.key()) {
            Some("authority")
        } else {
            (certificate.kind() != kind).then(|| certificate.kind().name())
        };
        if let Some(found) = found {
            return Err(Reason::SshKindMismatch {
                found,
                expected: kind.name(),
            });
        }
        let is_known = |option: &&str| KNOWN_OPTIONS.contains(option);
        let mut options: Vec<&str> = certificate.critical_options().collect();
        options.sort_by_key(is_known);
        if let Some(option) = options.first() {
            let named = option.chars().take(64).collect();
            return Err(match is_known(option) {
                true => Reason::SshOptionNotHonoured { option: named },
                false => Reason::SshOptionUnknown { option: named },
            });
        }
        let now = self.question.now;
        let (from, until) = (certificate.valid_from(), certificate.valid_until());
        if now < from {
            return Err(Reason::SshNotYetValid { from, at: now });
        }
        if now >= until {
            return Err(Reason::SshExpired { until, at: now });
        }
        self.check_bounds(certificate, reached.anchor)
    }

    /// Whether the anchor may vouch for it: one that is bound to names of hosts vouches for no user.
    fn check_bounds(&self, certificate: &SshCertificate, anchor: &Anchor) -> Result<(), Reason> {
        match certificate.kind() {
            SshKind::User => check_constraints(anchor, certificate.key_id(), None),
            SshKind::Host => {
                let names = certificate.principals().iter().cloned();
                let names: Vec<GeneralName> = names.map(GeneralName::Dns).collect();
                anchor.admits_purpose(self.question.purpose)?;
                anchor.admits_names(None, &names)
            }
        }
    }

    /// What its holder is called: the one name of it that the anchor takes, or that is asked for. A
    /// certificate for no one is not one for everyone.
    fn principal(
        &self,
        certificate: &SshCertificate,
        accepted: &[String],
    ) -> Result<String, Reason> {
        let all = certificate.principals();
        if all.iter().all(String::is_empty) {
            return Err(Reason::SshPrincipalMissing {});
        }
        let is_same = |one: &str, other: &str| match certificate.kind() {
            SshKind::Host => one.eq_ignore_ascii_case(other),
            SshKind::User => one == other,
        };
        let is_taken = |name: &&String| {
            !name.is_empty()
                && (accepted.is_empty() || accepted.iter().any(|one| is_same(one, name)))
        };
        let mut taken: Vec<&String> = all.iter().filter(is_taken).collect();
        let shown = |names: &[&String]| -> Vec<String> {
            let cut = |name: &&String| name.chars().take(128).collect();
            names.iter().take(16).map(cut).collect()
        };
        if taken.is_empty() {
            return Err(Reason::SshPrincipalNotAccepted {
                principals: shown(&all.iter().collect::<Vec<_>>()),
                accepted: accepted.to_vec(),
            });
        }
        for expected in &self.question.context.expected {
            taken.retain(|name| match expected {
                ExpectedName::Dns(wanted) if certificate.kind() == SshKind::Host => {
                    is_same(wanted, name)
                }
                // A host that is reached by its address has that for a principal.
                ExpectedName::Ip(wanted) if certificate.kind() == SshKind::Host => {
                    name.parse() == Ok(*wanted)
                }
                ExpectedName::Email(wanted) if certificate.kind() == SshKind::User => {
                    wanted == *name
                }
                _ => false,
            });
            if taken.is_empty() {
                return Err(Reason::SshNameMismatch {
                    names: shown(&all.iter().collect::<Vec<_>>()),
                    expected: expected.to_string(),
                });
            }
        }
        taken.dedup();
        match taken.as_slice() {
            // Names of hosts are the same in any spelling (RFC 4343), so they are told in one.
            [one] if certificate.kind() == SshKind::Host => Ok(one.to_ascii_lowercase()),
            [one] => Ok((*one).clone()),
            several => Err(Reason::SshPrincipalAmbiguous {
                principals: shown(several),
            }),
        }
    }

    fn check_expected(&self, subject: &str) -> Result<(), Reason> {
        match self.question.context.expected.first() {
            None => Ok(()),
            Some(expected) => Err(Reason::SshNameMismatch {
                // A key alone is listed for who signs with it: which host has it, no authority says.
                names: vec![format!("{subject} (a key that is listed, and for no host)")],
                expected: expected.to_string(),
            }),
        }
    }

    /// Whether whoever shows it holds its key, and has shown so to this relying party and for this
    /// challenge. Gives what must not happen twice, or what is missing to tell.
    fn check_proof(
        &self,
        proof: &Proof,
        budget: &mut Budget,
    ) -> Result<Result<Effect, Need>, Stop> {
        let key = self.presented.key();
        if proof.namespace() != NAMESPACE {
            return Err(Reason::SshProofNamespace {
                found: proof.namespace().chars().take(128).collect(),
                expected: NAMESPACE,
            }
            .into());
        }
        if !proof.is_of(key) {
            return Err(Reason::SshProofKey {
                found: proof.fingerprint(),
                expected: key.fingerprint(),
            }
            .into());
        }
        let context = &self.question.context;
        let Some(challenge) = &context.nonce else {
            return Ok(Err(Need::Challenge));
        };
        if context.audiences.is_empty() {
            return Ok(Err(Need::Audience));
        }
        for audience in context.audiences.iter().take(AUDIENCES_TRIED) {
            let said = statement(audience, challenge);
            budget.signature(cost(key.key().kind()))?;
            if proof.is_over(&said, key, self.crypto) {
                return Ok(Ok(Effect::ConsumeNonce {
                    scope: "challenge of SSH".to_owned(),
                    nonce: challenge.clone(),
                    until: self.question.now.plus(CHALLENGE_REMEMBERED),
                }));
            }
        }
        Err(Reason::SshProofInvalid {}.into())
    }

    fn facts(&self, subject: &str) -> Result<Facts, Reason> {
        let mut facts = Facts::default();
        let mut insert = |name: &str, value: String| facts.insert(name.to_owned(), value);
        insert(SUBJECT, subject.to_owned())?;
        insert("ssh.fingerprint", self.presented.key().fingerprint())?;
        match &self.presented {
            Presented::Key(_) => insert("ssh.kind", "key".to_owned())?,
            Presented::Certificate(certificate) => {
                insert("ssh.kind", certificate.kind().name().to_owned())?;
                insert("ssh.principal", subject.to_owned())?;
                insert("ssh.serial", certificate.serial().to_string())?;
                insert("ssh.ca", certificate.authority().fingerprint())?;
                if !certificate.key_id().is_empty() {
                    insert("ssh.key_id", certificate.key_id().to_owned())?;
                }
            }
        }
        Ok(facts)
    }

    /// Who vouches: the authority, or the key itself.
    fn issuer(&self) -> String {
        let key = match &self.presented {
            Presented::Certificate(certificate) => certificate.authority(),
            Presented::Key(key) => key,
        };
        format!("ssh:{}", key.fingerprint())
    }

    fn birth(&self, subject: &str) -> Birth {
        match &self.presented {
            Presented::Certificate(certificate) => {
                Birth::of_certificate(&self.issuer(), subject, certificate.valid_from())
            }
            Presented::Key(_) => Birth {
                at: None,
                ..Birth::of_certificate(&self.issuer(), subject, self.question.now)
            },
        }
    }

    fn identity(
        &self,
        reached: &Reached<'_>,
        path: &[Vouch],
        subject: String,
        facts: Facts,
    ) -> Identity {
        let now = self.question.now;
        let (from, until) = match &self.presented {
            Presented::Certificate(certificate) => {
                (certificate.valid_from(), certificate.valid_until())
            }
            Presented::Key(_) => (now, Time::from_unix(FOREVER)),
        };
        let end = proved::last_second(until, [reached.anchor.stewardship.expires]);
        let issuer = self.issuer();
        let key = issuer.trim_start_matches("ssh:").to_owned();
        Identity {
            name: format!("{issuer}#{subject}"),
            kind: IdentityKind::Ssh,
            model: TrustModel::Pki,
            path: path.to_vec(),
            anchor: AnchorReached {
                anchor: Arc::clone(reached.anchor),
                key,
                thumbprint: None,
                subject: issuer,
            },
            checks: self.checks(&subject),
            legs: Vec::new(),
            facts,
            signed_in: None,
            claims: None,
            proxying: None,
            revocation: Vec::new(),
            valid_from: from.min(now),
            valid_until: end,
        }
    }

    /// What was compared with what, in the order in which it was.
    fn checks(&self, subject: &str) -> Vec<Check> {
        const CERTIFICATES: &str = "OpenSSH PROTOCOL.certkeys";
        let mut checks = Vec::new();
        match &self.presented {
            Presented::Key(key) => checks.push(Check {
                what: "key",
                compared: format!("{} is listed", key.fingerprint()).into(),
                spec: "docs/how-to/trust-documents.md",
            }),
            Presented::Certificate(certificate) => {
                checks.push(Check {
                    what: "signature",
                    compared: format!("by {}", certificate.authority().fingerprint()).into(),
                    spec: CERTIFICATES,
                });
                let (from, until) = (certificate.valid_from(), certificate.valid_until());
                checks.push(Check {
                    what: "validity",
                    compared: format!("{from} to {until}, at {}", self.question.now).into(),
                    spec: CERTIFICATES,
                });
                checks.push(Check {
                    what: "principal",
                    compared: format!("{subject}, of {}", certificate.principals().len()).into(),
                    spec: CERTIFICATES,
                });
                checks.push(Check {
                    what: "critical options",
                    compared: "there are none".into(),
                    spec: CERTIFICATES,
                });
            }
        }
        if self.proof.is_some() {
            checks.push(Check {
                what: "proof of possession",
                compared: format!("signed for this challenge, in the namespace {NAMESPACE}").into(),
                spec: "OpenSSH PROTOCOL.sshsig",
            });
        }
        checks
    }
}
