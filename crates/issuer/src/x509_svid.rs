//! X.509-SVIDs: certificates of workloads (SPIFFE X.509-SVID).

use std::sync::Arc;

use avouch_core::credential::Credential;
use avouch_core::crypto::Verifier;
use avouch_core::id::{Digest, SpiffeId, hex};
use avouch_core::question::{Context, Question};
use avouch_core::time::Time;
use x509_cert::ext::Extension;

use crate::BACKDATE;
use crate::authority::X509Authority;
use crate::certificate::{
    Content, NO_NAME, assemble, distribution_point, leaf_names, status_responder,
};
use crate::fault::{Fault, NotIssued};
use crate::intent::{CredentialKind, Intent};
use crate::key::PublicHalf;
use crate::lint::{ask, question};
use crate::profile::{X509Profile, check_dns_name, check_id};
use crate::random::{Mark, Random, serial_number};
use crate::signer::{Signature, Signer};
use crate::stages::{Draft, Prepared, private};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509Request {
    /// For whom.
    pub id: SpiffeId,
    /// For which key.
    pub public_half: PublicHalf,
    /// For how many seconds; the usual time of the profile if nothing is said.
    pub ttl: Option<u32>,
    /// DNS names beside the ID.
    pub dns_names: Vec<String>,
    /// By what its certificates are told from those of others that had or get the same ID.
    pub mark: Option<Mark>,
}

/// An X.509-SVID with the certificates a workload sends along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct X509Svid {
    /// Whose it is.
    pub id: SpiffeId,
    /// DER: the SVID first, then the intermediates up to the root, which is not among them.
    pub chain: Vec<Vec<u8>>,
    /// The serial number in hexadecimal.
    pub serial: String,
    /// The first second in which it is valid.
    pub not_before: Time,
    /// The last second in which it is valid.
    pub not_after: Time,
}

impl X509Profile {
    /// Prepares an X.509-SVID. It ends with its authority at the latest.
    ///
    /// # Errors
    ///
    /// `issue.authority_state`, `issue.authority_expired`, `issue.id_outside_trust_domain`,
    /// `spiffe.leaf_id_without_path`, `issue.key_not_accepted`, `issue.ttl_out_of_bounds`,
    /// `issue.dns_name_invalid`, or what failed on our side.
    pub fn prepare(
        &self,
        authority: &Arc<X509Authority>,
        request: X509Request,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<X509Draft>, NotIssued> {
        self.prepare_after(authority, request, None, now, random)
    }

    /// The same for whose credentials of before `ended` have ended, if any have: what is given to them
    /// since begins after that, so that it can be told from what they had.
    ///
    /// # Errors
    ///
    /// As of [`X509Profile::prepare`].
    pub fn prepare_after(
        &self,
        authority: &Arc<X509Authority>,
        request: X509Request,
        ended: Option<Time>,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<X509Draft>, NotIssued> {
        let life = authority.life();
        life.check_may_sign(authority.id(), now)?;
        check_id(&request.id, authority.trust_domain())?;
        request.public_half.check_kind(&self.keys)?;
        let ttl = self.lifetime.choose(request.ttl)?;
        for name in &request.dns_names {
            check_dns_name(name)?;
        }
        let serial = match request.mark {
            Some(mark) => mark.serial_number(random)?.to_vec(),
            None => serial_number(random)?.to_vec(),
        };
        let backdated = now.plus(-BACKDATE);
        let begins = ended.map_or(backdated, |ended| backdated.max(ended.plus(1).min(now)));
        let not_before = begins.max(life.not_before());
        let not_after = now.plus(i64::from(ttl)).min(life.not_after());
        let mut extensions = authority.leaf_extensions().to_vec();
        extensions.extend(leaf_names(
            request.id.as_str(),
            &request.dns_names,
            &request.public_half,
        )?);
        extensions.extend(status_of(authority, self.lists_at.as_deref())?);
        let message = Content {
            serial: &serial,
            signed_with: authority.signs_with(),
            issuer: authority.subject(),
            not_before,
            not_after,
            subject: NO_NAME,
            public_half: &request.public_half,
            extensions,
        }
        .into_der()?;
        Ok(Prepared::new(X509Draft {
            intent: Intent {
                tenant: authority.tenant().clone(),
                trust_domain: authority.trust_domain().clone(),
                kind: CredentialKind::X509Svid,
                subject: request.id,
                serial: hex(&serial),
                authority: authority.id().to_owned(),
                not_before,
                not_after,
                digest: Digest::of(&message),
            },
            authority: Arc::clone(authority),
            message,
            now,
        }))
    }
}

/// Where the revocation list of an authority is, and where to ask about one certificate, if that is
/// published.
pub(crate) fn status_of(
    authority: &X509Authority,
    published_at: Option<&str>,
) -> Result<Vec<Extension>, Fault> {
    let Some(head) = published_at else {
        return Ok(Vec::new());
    };
    let (tenant, id) = (authority.tenant(), authority.id());
    Ok(vec![
        distribution_point(&format!("{head}/t/{tenant}/crl/{id}"))?,
        status_responder(&format!("{head}/t/{tenant}/ocsp"))?,
    ])
}

/// An X.509-SVID that is to be signed.
pub struct X509Draft {
    authority: Arc<X509Authority>,
    message: Vec<u8>,
    intent: Intent,
    now: Time,
}

impl X509Draft {
    fn chain(&self, signature: &Signature) -> Result<Vec<Vec<u8>>, Fault> {
        let leaf = assemble(&self.message, self.authority.signs_with(), signature)?;
        Ok(self.authority.chain_of(leaf))
    }
}

impl private::Draft for X509Draft {
    fn message(&self) -> &[u8] {
        &self.message
    }

    fn signer(&self) -> &dyn Signer {
        self.authority.signer().as_ref()
    }

    fn intent(&self) -> &Intent {
        &self.intent
    }

    fn verifier(&self) -> &dyn Verifier {
        self.authority.verifier()
    }

    fn judge(&self, signature: &Signature, crypto: &dyn Verifier) -> Result<(), NotIssued> {
        let credential = Credential::X509(self.chain(signature)?);
        let (view, context) = (self.authority.view(), Context::default());
        let question = Question {
            purpose: self.authority.leaf_purpose(),
            ..question(credential, &self.intent.subject, context, self.now, view)
        };
        ask(&question, view, crypto)
    }
}

impl Draft for X509Draft {
    type Issued = X509Svid;

    fn release(self, signature: &Signature) -> Result<X509Svid, Fault> {
        Ok(X509Svid {
            chain: self.chain(signature)?,
            id: self.intent.subject,
            serial: self.intent.serial,
            not_before: self.intent.not_before,
            not_after: self.intent.not_after,
        })
    }
}
