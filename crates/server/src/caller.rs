//! Who calls: found out by the core, under the bundle of the trust domain that the credential
//! names.

use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, StatusUse};
use avouch_core::budget::{Budget, Limits};
use avouch_core::credential::Credential;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::jose::json;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::exchange::dpop::{Proved, Request as Proof};
use avouch_core::exchange::statement::read_lineage;
use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain, hex};
use avouch_core::question::{Context, ExpectedName, Holder, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::{Receipt, Verdict};
use avouch_core::view::View;
use avouch_issuer::random::{Mark, Random};
use avouch_store::{AttemptId, IntentId, Sequence, SingleUse, UseKind, Used};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::fault::{Fault, Refused};
use crate::plane::{Plane, RESERVED, Readings};
use crate::tenant::{Held, Tenant};

/// A proof of possession (RFC 9449) that is used once, as whoever used it before is told.
pub(crate) const DPOP_PROOF: &str = "DPoP proof";

/// A state of a tenant, as far as it decides who its callers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// When its authorities changed last.
    pub authorities: Sequence,
    /// When something ended last.
    pub ended: Sequence,
}

impl State {
    pub(crate) fn of(held: &Held) -> Self {
        Self {
            authorities: held.bundle_sequence,
            ended: held.ended_sequence,
        }
    }
}

/// Someone whose identity the core has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub id: SpiffeId,
    /// Whose it is: the owner of the anchor that vouches for it.
    pub tenant: TenantId,
    /// Until when that holds if nothing else changes.
    pub valid_until: Time,
    /// From when on its certificate holds, if it has shown one.
    pub valid_from: Option<Time>,
    /// What its certificate is told by from those of others that had its ID, if it has shown one that has
    /// that.
    pub mark: Option<Mark>,
    /// By which state of its tenant that was found out, if that is its state still.
    pub as_of: Option<State>,
    /// Under which name what it has shown would be on record: its serial number, or its `jti`.
    pub credential: Option<IntentId>,
    /// The anchor through which nobody may be had who administers, if what it has shown descends from one.
    pub kept_from_administering: Option<String>,
}

impl Plane {
    /// Who presents a chain of certificates (DER, the end entity first) as a TLS client.
    ///
    /// # Errors
    ///
    /// The core's reason.
    pub fn identify_client(&self, chain: Vec<Vec<u8>>) -> Result<Caller, Refused> {
        let trust_domain = trust_domain_of_leaf(&chain)?;
        let context = Context::default();
        self.identify(
            Credential::X509(chain),
            trust_domain,
            Purpose::Client,
            context,
        )
    }

    /// As [`Plane::identify_client`], in a handshake, by a thread that others wait for. Where a tenant
    /// has to be read first, those are given to another thread: the certificate comes in the middle of
    /// the handshake, so nothing can be read before. Anyone can name a trust domain, so this is done
    /// for as many at once as `reading` lets.
    ///
    /// # Errors
    ///
    /// The core's reason, or that too many are read for.
    pub(crate) fn identify_in_handshake(
        &self,
        chain: Vec<Vec<u8>>,
        readings: &Readings,
    ) -> Result<Caller, Refused> {
        let named = trust_domain_of_leaf(&chain)?;
        let Some(named) = named.filter(|named| !self.is_owner_open(named)) else {
            return self.identify_client(chain);
        };
        let Some(_place) = readings.begin(&named) else {
            let why = "too many tenants are read for who has yet to show who it is".to_owned();
            return Err(Fault::from(avouch_store::Fault::Busy(why)).into());
        };
        let has_others = |handle: Handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread;
        match Handle::try_current().is_ok_and(has_others) {
            true => tokio::task::block_in_place(|| self.identify_client(chain)),
            false => self.identify_client(chain),
        }
    }

    /// Who presents a JWT-SVID that was issued for this server. One that is bound to a certificate
    /// (RFC 8705 3) is good on a connection with that, `certificate`.
    ///
    /// # Errors
    ///
    /// The core's reason.
    pub fn identify_bearer(
        &self,
        token: &str,
        certificate: Option<&[u8]>,
    ) -> Result<Caller, Refused> {
        let context = Context {
            audiences: vec![self.server_id().to_string()],
            holder: Holder {
                jkt: None,
                certificate: certificate.map(Digest::of),
            },
            ..Context::default()
        };
        let trust_domain = trust_domain_of(token);
        let credential = Credential::Jwt(token.to_owned());
        self.identify(credential, trust_domain, Purpose::Any, context)
    }

    /// Who presents a JWT-SVID that is bound to a key, with a proof made with that key for this request
    /// (RFC 9449 7.1). The token is for this server, or for `audience` alone.
    ///
    /// # Errors
    ///
    /// The core's reason; `issue.proof_invalid`, also where the token is bound to no key.
    pub(crate) fn identify_holder(
        &self,
        token: &str,
        proofs: &[String],
        method: &str,
        address: &str,
        audience: String,
    ) -> Result<(Caller, Proved), Refused> {
        let invalid = |detail: &str| Reason::IssueProof {
            detail: detail.to_owned(),
        };
        let proof = match proofs {
            [one] => one,
            [] => return Err(invalid("there is none").into()),
            [_, ..] => return Err(invalid("there are several").into()),
        };
        let request = Proof {
            method,
            address,
            access_token: Some(token),
            now: self.now(),
        };
        let proved = Proved::check(proof, request, &AwsLc, &mut Budget::default())?;
        let claims = claims_of(token);
        let bound = claims
            .as_ref()
            .and_then(|claims| claims.get("cnf")?.get("jkt"));
        // One that is bound to nothing is anyone's, whatever key is shown beside it.
        if bound.is_none() {
            return Err(invalid("the token is bound to no key").into());
        }
        let context = Context {
            audiences: vec![self.server_id().to_string(), audience],
            holder: Holder {
                jkt: Some(proved.thumbprint),
                certificate: None,
            },
            ..Context::default()
        };
        let credential = Credential::Jwt(token.to_owned());
        let trust_domain = trust_domain_of(token);
        let caller = self.identify(credential, trust_domain, Purpose::Any, context)?;
        Ok((caller, proved))
    }

    /// Uses a proof, which is for one request (RFC 9449 11.1) on whichever server.
    ///
    /// # Errors
    ///
    /// `issue.token_used`, and what the store cannot.
    pub(crate) fn use_proof(&self, tenant: &Tenant, proved: &Proved) -> Result<(), Refused> {
        let mut attempt = [0; 16];
        self.random.fill(&mut attempt)?;
        let uses = [SingleUse {
            kind: UseKind::Proof,
            digest: proved.use_digest,
            attempt: AttemptId::from_bytes(attempt),
            at: self.now(),
            until: proved.until,
        }];
        match self.use_once(tenant, &uses)?.as_slice() {
            [Used::First] => Ok(()),
            [Used::Before { at }] => Err(Reason::IssueUsed {
                what: DPOP_PROOF,
                at: *at,
            }
            .into()),
            _ => Err(Fault::Bug("a use has no answer".to_owned()).into()),
        }
    }

    /// Whose it would be, if what was shown were believed: the tenant of the trust domain that it names.
    pub(crate) fn claimed_tenant(&self, credential: &Credential) -> Option<Arc<Tenant>> {
        let named = match credential {
            Credential::Jwt(token) => trust_domain_of(token),
            Credential::X509(chain) => trust_domain_of_leaf(chain).ok().flatten(),
            _ => None,
        };
        self.owner_of(&named?).ok().flatten()
    }

    /// `trust_domain` is what the credential claims: it chooses the bundle to ask, and nothing
    /// else.
    fn identify(
        &self,
        credential: Credential,
        trust_domain: Option<TrustDomain>,
        purpose: Purpose,
        context: Context,
    ) -> Result<Caller, Refused> {
        let now = self.now();
        let name = name_on_record(&credential);
        let (valid_from, mark) = told_apart_by(&credential);
        let ((view, as_of), expected) = match trust_domain {
            Some(name) => (
                self.view_of(&name, now)?,
                vec![ExpectedName::TrustDomain(name)],
            ),
            None => ((empty_view(self.root()?.id()), None), Vec::new()),
        };
        let question = Question {
            tenant: view.tenant().clone(),
            credential,
            profile: Profile::Spiffe,
            purpose,
            now,
            context: Context {
                expected,
                ..context
            },
        };
        match decide(&question, &view, &AwsLc, &mut Budget::default()) {
            Verdict::Accept(sealed) => {
                let receipt = Receipt::committed(sealed.effects());
                let identity = sealed
                    .open(&receipt)
                    .map_err(|_| Fault::Bug("an identity does not open".to_owned()))?;
                let id = SpiffeId::parse(identity.name())?;
                let kept = self.check_descent(&id, &question.credential, name.as_ref())?;
                Ok(Caller {
                    id,
                    tenant: identity.tenant().clone(),
                    valid_until: identity.valid_until(),
                    valid_from,
                    mark,
                    as_of,
                    credential: name,
                    kept_from_administering: kept,
                })
            }
            Verdict::Reject(refusal) => Err(refusal.reason().clone().into()),
            Verdict::Undetermined(_) => {
                Err(Fault::Bug("the core lacks a fact about a caller".to_owned()).into())
            }
        }
    }

    /// That what was shown descends from nobody of whom its tenant believes nothing now, as whoever else
    /// asks about it is told; and the anchor through which whoever has shown it may not administer, if there
    /// is one. What was given in exchange says so itself, or it is on record: nobody else is looked for, so
    /// that what of a tenant cannot be read keeps nobody out who could mend it.
    fn check_descent(
        &self,
        id: &SpiffeId,
        credential: &Credential,
        name: Option<&IntentId>,
    ) -> Result<Option<String>, Refused> {
        // Those of nodes and servers are given for nothing.
        if id.segments().next() == Some(RESERVED) {
            return Ok(None);
        }
        let Some(tenant) = self.owner_of(id.trust_domain())? else {
            return Ok(None);
        };
        let known = || self.views.known(self, &tenant);
        let lineage = match (credential, name) {
            (Credential::Jwt(token), _) => claims_of(token)
                .as_ref()
                .and_then(Value::as_object)
                .map(read_lineage),
            (_, Some(serial)) if known().map_or(true, |known| known.view.looks_at_descent()) => {
                let intent = self.store.intent(tenant.id(), serial)?;
                intent.map(|intent| intent.lineage)
            }
            _ => None,
        };
        let lineage = lineage.unwrap_or_default();
        if lineage.is_empty() {
            return Ok(None);
        }
        let view = &known()?.view;
        view.check_lineage(&lineage)?;
        let kept = view.keeps_from_administering(&lineage);
        Ok(kept.map(|anchor| anchor.name.clone()))
    }

    /// A view in which one trust domain of this deployment vouches for its own, and of which state of
    /// its tenant it is; an empty one for any other.
    fn view_of(
        &self,
        trust_domain: &TrustDomain,
        now: Time,
    ) -> Result<(View, Option<State>), Fault> {
        match self.owner_of(trust_domain)? {
            Some(tenant) => view_of_domain(&tenant, trust_domain, now),
            None => Ok((empty_view(self.root()?.id()), None)),
        }
    }
}

/// The trust domain that a certificate names, which is believed in nothing yet.
fn trust_domain_of_leaf(chain: &[Vec<u8>]) -> Result<Option<TrustDomain>, Reason> {
    let leaf = chain.first().ok_or(Reason::CertificatesMissing {})?;
    let leaf = Certificate::parse(leaf).map_err(|detail| Reason::CertificateMalformed {
        position: "end-entity certificate".to_owned(),
        detail,
    })?;
    let named = leaf.uris().find_map(|uri| SpiffeId::parse(uri).ok());
    Ok(named.map(|id| id.trust_domain().clone()))
}

fn view_of_domain(
    tenant: &Tenant,
    trust_domain: &TrustDomain,
    now: Time,
) -> Result<(View, Option<State>), Fault> {
    let held = tenant.held();
    let document =
        held.authorities()?
            .bundle(trust_domain, held.bundle_sequence.number(), u32::MAX, now)?;
    let bundle = Bundle::read(trust_domain.as_str(), &document)
        .map_err(|reason| Fault::Stored(reason.sentence()))?;
    let epoch = bundle.digest();
    let kind = AnchorKind::TrustDomain(bundle);
    let anchor = Anchor {
        // What has ended of its own it knows itself.
        constraints: Constraints {
            status_lists: StatusUse::Ignored,
            ..Constraints::default()
        },
        ..Anchor::bare(trust_domain.to_string(), kind, tenant.id())
    };
    let id = tenant.id().clone();
    let lists = held.revocation_lists(trust_domain, now);
    let lists = lists
        .map(Crl::parse)
        .collect::<Result<Vec<Crl>, String>>()
        .map_err(Fault::Stored)?;
    let parts = [epoch.as_bytes().as_slice()].into_iter();
    let epoch = Digest::of_list(parts.chain(lists.iter().map(Crl::der)));
    let view = View::new(id, vec![anchor], lists, Vec::new(), epoch);
    let as_of = State::of(&held);
    Ok((view.with_endings(Arc::clone(&held.endings)), Some(as_of)))
}

fn empty_view(tenant: &TenantId) -> View {
    let epoch = Digest::of(b"");
    View::new(tenant.clone(), Vec::new(), Vec::new(), Vec::new(), epoch)
}

fn name_on_record(credential: &Credential) -> Option<IntentId> {
    match credential {
        Credential::X509(chain) => {
            let leaf = Certificate::parse(chain.first()?).ok()?;
            IntentId::parse(&serial_text(&leaf))
        }
        Credential::Jwt(token) => IntentId::parse(claims_of(token)?.get("jti")?.as_str()?),
        _ => None,
    }
}

/// From when on a certificate holds, and its mark.
fn told_apart_by(credential: &Credential) -> (Option<Time>, Option<Mark>) {
    let leaf = match credential {
        Credential::X509(chain) => chain.first().and_then(|leaf| Certificate::parse(leaf).ok()),
        _ => None,
    };
    match leaf {
        Some(leaf) => (
            Some(leaf.not_before()),
            Mark::of_serial_number(leaf.serial()),
        ),
        None => (None, None),
    }
}

/// A serial number as it is on record.
pub(crate) fn serial_text(certificate: &Certificate) -> String {
    hex(certificate.serial())
}

/// The trust domain that a token claims its subject is in; nothing is believed of it here.
fn trust_domain_of(token: &str) -> Option<TrustDomain> {
    let claims = claims_of(token)?;
    let subject = SpiffeId::parse(claims.get("sub")?.as_str()?).ok()?;
    Some(subject.trust_domain().clone())
}

/// What a token says, not yet believed: no more of it than could be believed.
pub(crate) fn claims_of(token: &str) -> Option<Value> {
    let claims = token.split('.').nth(1)?;
    let claims = Base64UrlUnpadded::decode_vec(claims).ok()?;
    json::read(&claims, "claims set", &Limits::default()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_token_no_more_is_read_than_could_be_believed() {
        let token = |claims: &str| {
            let claims = Base64UrlUnpadded::encode_string(claims.as_bytes());
            format!("e30.{claims}.x")
        };
        let read = claims_of(&token(r#"{"sub":"spiffe://one.test/a"}"#)).unwrap();
        assert_eq!(read["sub"], "spiffe://one.test/a");
        let many = format!("{{\"x\":[{}0]}}", "{\"\":0},".repeat(2_000));
        assert!(claims_of(&token(&many)).is_none());
    }
}
