//! X.509 authorities: the keys that sign certificates for a trust domain.

use std::fmt;
use std::sync::Arc;

use avouch_core::credential::Credential;
use avouch_core::credential::x509::Certificate;
use avouch_core::crypto::{AwsLc, Remembering, Verifier};
use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain};
use avouch_core::time::Time;
use avouch_core::view::View;
use der::{Decode, Encode};
use x509_cert::ext::Extension;

use crate::BACKDATE;
use crate::certificate::{
    Content, NO_NAME, assemble, authority_extensions, authority_name, hex, leaf_extensions,
    leaf_names,
};
use crate::fault::{Fault, NotIssued};
use crate::intent::{CredentialKind, Intent};
use crate::life_cycle::LifeCycle;
use crate::lint::{Throwaway, ask, view_of_roots};
use crate::random::{Random, serial_number};
use crate::signer::{Signature, Signer, SigningKind};
use crate::stages::{Draft, Prepared, private};

/// A signing certificate of a trust domain, with its key, the certificates above it and its life.
/// It is a root, or an intermediate below one.
#[derive(Clone)]
pub struct X509Authority {
    tenant: TenantId,
    trust_domain: TrustDomain,
    signer: Arc<dyn Signer>,
    signs_with: SigningKind,
    own: Arc<Certificate>,
    above: Vec<Arc<Certificate>>,
    life: LifeCycle,
    id: String,
    /// The DER name of its leaves' issuer.
    subject: Vec<u8>,
    /// What all of its leaves have in common.
    leaf_extensions: Vec<Extension>,
    /// In which its root alone vouches.
    view: Arc<View>,
    /// Remembers that those above signed each other: each leaf would have it checked twice.
    verifier: Arc<Remembering<AwsLc>>,
}

/// How many signatures an authority remembers: those above it are used with every leaf, and so
/// stay, while those of leaves are soon forgotten.
const REMEMBERED: usize = 64;

impl X509Authority {
    /// Opens an authority that was stored: its own certificate first, then those above it, the root
    /// last, all as DER.
    ///
    /// # Errors
    ///
    /// [`Fault::AuthorityUnusable`] where the signer has another key than the certificate, or a
    /// certificate cannot be read.
    pub fn open(
        tenant: TenantId,
        trust_domain: TrustDomain,
        chain: &[Vec<u8>],
        signer: Arc<dyn Signer>,
        life: LifeCycle,
    ) -> Result<Self, Fault> {
        let unusable =
            |detail: String| Fault::AuthorityUnusable(format!("{trust_domain}: {detail}"));
        let mut certificates = Vec::with_capacity(chain.len());
        for der in chain {
            certificates.push(Arc::new(Certificate::parse(der).map_err(unusable)?));
        }
        let mut certificates = certificates.into_iter();
        let Some(own) = certificates.next() else {
            return Err(unusable("it has no certificate".to_owned()));
        };
        let above: Vec<Arc<Certificate>> = certificates.collect();
        let public = signer.public_half();
        if own.public_key_info() != public.info() {
            return Err(unusable("its certificate is for another key".to_owned()));
        }
        let Some(signs_with) = SigningKind::of(public.kind()) else {
            return Err(unusable(
                "authorities do not sign with its kind of key".to_owned(),
            ));
        };
        let root = above.last().unwrap_or(&own);
        Ok(Self {
            view: Arc::new(view_of_roots(&tenant, &trust_domain, &[Arc::clone(root)])),
            id: hex(&public.identifier()),
            subject: subject_of(&own)?,
            leaf_extensions: leaf_extensions(public)?,
            verifier: Arc::new(Remembering::new(AwsLc, REMEMBERED)),
            tenant,
            trust_domain,
            signs_with,
            own,
            above,
            life,
            signer,
        })
    }

    /// The same authority at another point of its life.
    #[must_use]
    pub fn with_life(self, life: LifeCycle) -> Self {
        Self { life, ..self }
    }

    /// Its name in records and refusals: its key identifier in hexadecimal.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whose it is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// For which trust domain it vouches.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Where it is in its life.
    pub fn life(&self) -> LifeCycle {
        self.life
    }

    /// What signs for it.
    pub fn signer(&self) -> &Arc<dyn Signer> {
        &self.signer
    }

    /// Whether it is a root, which belongs in the bundle.
    pub fn is_root(&self) -> bool {
        self.above.is_empty()
    }

    /// Its own certificate.
    pub fn certificate(&self) -> &Arc<Certificate> {
        &self.own
    }

    /// The root that its paths end at: its own certificate, or the last above it.
    pub fn root(&self) -> &Arc<Certificate> {
        self.above.last().unwrap_or(&self.own)
    }

    /// Its own certificate and those above it, the root last, as DER: what [`X509Authority::open`]
    /// takes.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        std::iter::once(&self.own)
            .chain(&self.above)
            .map(|certificate| certificate.der().to_vec())
            .collect()
    }

    /// What a workload sends after its own certificate: all up to the root, without the root.
    pub(crate) fn intermediates(&self) -> impl Iterator<Item = &Certificate> {
        let all = std::iter::once(&self.own).chain(&self.above);
        all.take(self.above.len()).map(AsRef::as_ref)
    }

    pub(crate) fn signs_with(&self) -> SigningKind {
        self.signs_with
    }

    pub(crate) fn subject(&self) -> &[u8] {
        &self.subject
    }

    pub(crate) fn leaf_extensions(&self) -> &[Extension] {
        &self.leaf_extensions
    }

    pub(crate) fn verifier(&self) -> &dyn Verifier {
        self.verifier.as_ref()
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }
}

impl fmt::Debug for X509Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Authority")
            .field("trust_domain", &self.trust_domain)
            .field("id", &self.id)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// The subject of a certificate as it is written there.
fn subject_of(certificate: &Certificate) -> Result<Vec<u8>, Fault> {
    let read = || {
        let whole = x509_cert::Certificate::from_der(certificate.der())?;
        whole.tbs_certificate().subject().to_der()
    };
    read().map_err(|error: der::Error| Fault::AuthorityUnusable(error.to_string()))
}

/// What authorities are to be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityPlan {
    /// Whose they are.
    pub tenant: TenantId,
    /// For which trust domain they vouch.
    pub trust_domain: TrustDomain,
    /// How long they are valid, in seconds; an intermediate no longer than its root.
    pub lifetime: u32,
    /// Whether intermediates carry a critical name constraint that permits URIs of the trust
    /// domain only (X.509-SVID 4.2). Not every verifier knows one for URIs, and those that do not
    /// must refuse it: rustls-webpki 0.103 refuses every leaf below.
    pub constrain_names: bool,
}

impl AuthorityPlan {
    /// Prepares a root for the key of `signer`.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn prepare_root(
        &self,
        signer: Arc<dyn Signer>,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<AuthorityDraft>, NotIssued> {
        let subject = authority_name(&self.trust_domain, "root", signer.public_half())?;
        let extensions =
            authority_extensions(&self.trust_domain, 1, false, signer.public_half(), None)?;
        let draft = self.draft(None, signer, subject, extensions, now, random)?;
        Ok(Prepared::new(draft))
    }

    /// Prepares an intermediate below `root`, for the key of `signer`.
    ///
    /// # Errors
    ///
    /// `issue.authority_state`, `issue.authority_expired`, or what failed on our side.
    pub fn prepare_intermediate(
        &self,
        root: &Arc<X509Authority>,
        signer: Arc<dyn Signer>,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<AuthorityDraft>, NotIssued> {
        root.life().check_may_sign(root.id(), now)?;
        let subject = authority_name(&self.trust_domain, "intermediate", signer.public_half())?;
        let extensions = authority_extensions(
            &self.trust_domain,
            0,
            self.constrain_names,
            signer.public_half(),
            Some(root.signer().public_half()),
        )?;
        let draft = self.draft(Some(root), signer, subject, extensions, now, random)?;
        Ok(Prepared::new(draft))
    }

    fn draft(
        &self,
        issuer: Option<&Arc<X509Authority>>,
        signer: Arc<dyn Signer>,
        subject: Vec<u8>,
        extensions: Vec<Extension>,
        now: Time,
        random: &dyn Random,
    ) -> Result<AuthorityDraft, NotIssued> {
        let signed_by = issuer.map_or(&signer, |issuer| issuer.signer());
        let signed_with = SigningKind::of(signed_by.public_half().kind())
            .ok_or(Fault::Bug("authorities do not sign with this kind of key"))?;
        let serial = serial_number(random)?;
        let not_before = now.plus(-BACKDATE);
        let wanted = now.plus(i64::from(self.lifetime));
        let not_after = issuer.map_or(wanted, |issuer| issuer.life().not_after().min(wanted));
        let message = Content {
            serial,
            signed_with,
            issuer: issuer.map_or(&subject, |issuer| &issuer.subject),
            not_before,
            not_after,
            subject: &subject,
            public_half: signer.public_half(),
            extensions,
        }
        .to_der()?;
        Ok(AuthorityDraft {
            intent: Intent {
                tenant: self.tenant.clone(),
                trust_domain: self.trust_domain.clone(),
                kind: CredentialKind::Authority,
                subject: SpiffeId::parse(&format!("spiffe://{}", self.trust_domain))?,
                serial: hex(&serial),
                authority: hex(&signed_by.public_half().identifier()),
                not_before,
                not_after,
                digest: Digest::of(&message),
            },
            issuer: issuer.cloned(),
            signed_with,
            signer,
            subject,
            message,
            now,
        })
    }
}

/// A signing certificate that is to be signed.
pub struct AuthorityDraft {
    /// `None` for a root, which signs itself.
    issuer: Option<Arc<X509Authority>>,
    signed_with: SigningKind,
    signer: Arc<dyn Signer>,
    subject: Vec<u8>,
    message: Vec<u8>,
    intent: Intent,
    now: Time,
}

impl AuthorityDraft {
    /// The certificate and those above it.
    fn chain(&self, signature: &Signature) -> Result<Vec<Vec<u8>>, Fault> {
        let own = assemble(&self.message, self.signed_with, signature)?;
        let above = self.issuer.iter().flat_map(|issuer| issuer.chain());
        Ok(std::iter::once(own).chain(above).collect())
    }

    /// What a leaf of this authority would have signed: it vouches for leaves, so that is what it
    /// is judged by.
    fn sample_leaf(&self, id: &SpiffeId, kind: SigningKind) -> Result<Vec<u8>, Fault> {
        let public = self.signer.public_half();
        let mut extensions = leaf_extensions(public)?;
        extensions.extend(leaf_names(id.as_str(), &[], public)?);
        Content {
            serial: [0x40; 16],
            signed_with: kind,
            issuer: &self.subject,
            not_before: self.intent.not_before,
            not_after: self.intent.not_after,
            subject: NO_NAME,
            public_half: public,
            extensions,
        }
        .to_der()
    }
}

impl private::Draft for AuthorityDraft {
    fn message(&self) -> &[u8] {
        &self.message
    }

    fn signer(&self) -> &dyn Signer {
        match &self.issuer {
            Some(issuer) => issuer.signer().as_ref(),
            None => self.signer.as_ref(),
        }
    }

    fn intent(&self) -> &Intent {
        &self.intent
    }

    fn judge(&self, signature: &Signature, crypto: &dyn Verifier) -> Result<(), NotIssued> {
        let chain = self.chain(signature)?;
        let id = SpiffeId::parse(&format!("{}/sample", self.intent.subject))?;
        let key = self.signer.public_half().key();
        let kind = SigningKind::of(key.kind())
            .ok_or(Fault::Bug("authorities do not sign with this kind of key"))?;
        let sample = self.sample_leaf(&id, kind)?;
        let throwaway = Throwaway::over(&sample, key, crypto)?;
        let leaf = assemble(&sample, kind, throwaway.signature())?;
        let Some(root) = chain.last() else {
            return Err(Fault::Bug("a chain has no end").into());
        };
        let root = Certificate::parse(root)
            .map_err(|_| Fault::Bug("a certificate of ours cannot be read"))?;
        let view = view_of_roots(
            &self.intent.tenant,
            &self.intent.trust_domain,
            &[Arc::new(root)],
        );
        let presented = std::iter::once(leaf).chain(chain).collect();
        ask(
            Credential::X509(presented),
            &id,
            None,
            self.now,
            &view,
            &throwaway,
        )
    }
}

impl Draft for AuthorityDraft {
    /// Prepared: it signs nothing until it is activated.
    type Issued = X509Authority;

    fn release(self, signature: &Signature) -> Result<X509Authority, Fault> {
        let chain = self.chain(signature)?;
        let life = LifeCycle::prepared(self.intent.not_before, self.intent.not_after);
        let Intent {
            tenant,
            trust_domain,
            ..
        } = self.intent;
        X509Authority::open(tenant, trust_domain, &chain, self.signer, life)
    }
}
