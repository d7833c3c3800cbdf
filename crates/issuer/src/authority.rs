//! X.509 authorities: the keys that sign certificates for a trust domain.

use std::fmt;
use std::sync::Arc;

use avouch_core::credential::Credential;
use avouch_core::credential::x509::Certificate;
use avouch_core::crypto::{AwsLc, Remembering, Verifier};
use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain, hex};
use avouch_core::question::{Context, Purpose};
use avouch_core::time::Time;
use avouch_core::view::View;
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, NameConstraints, SubjectKeyIdentifier};

use crate::BACKDATE;
use crate::certificate::{
    ANY_PURPOSE, AuthorityContent, CLIENT_AUTH, Content, EMAIL_PROTECTION, NO_NAME, SERVER_AUTH,
    assemble, authority_extensions, authority_name, leaf_extensions, leaf_names,
};
use crate::fault::{Fault, NotIssued};
use crate::intent::{CredentialKind, Intent};
use crate::key::PublicHalf;
use crate::life_cycle::LifeCycle;
use crate::lint::{Throwaway, ask, question, view_of_roots};
use crate::profile::check_dns_name;
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
    /// The key identifier in its certificate.
    key_id: Vec<u8>,
    /// What all of its leaves have in common.
    leaf_extensions: Vec<Extension>,
    /// What its leaves are tried out for.
    leaf_purpose: Purpose,
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
        let Own {
            subject,
            key_id,
            purposes,
        } = read_own(&own)?;
        let key_id = key_id.unwrap_or_else(|| public.identifier().to_vec());
        let view = view_of_roots(&tenant, &trust_domain, &[Arc::clone(root)], Vec::new());
        // All that it signs brings these.
        let brought = std::iter::once(&own).chain(&above).cloned().collect();
        Ok(Self {
            view: Arc::new(view.with_read(brought)),
            id: name_of(public),
            leaf_purpose: if purposes.contains(&SERVER_AUTH) {
                Purpose::Server
            } else {
                Purpose::Client
            },
            leaf_extensions: leaf_extensions(&key_id, &purposes)?,
            key_id,
            subject,
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

    /// The same authority, so that what it would sign is decided on for this purpose.
    #[must_use]
    pub(crate) fn tried_for(self, purpose: Purpose) -> Self {
        Self {
            leaf_purpose: purpose,
            ..self
        }
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

    /// What a workload sends: a leaf that this has signed, and all above it up to the root, without the
    /// root. Each is DER.
    pub(crate) fn chain_of(&self, leaf: Vec<u8>) -> Vec<Vec<u8>> {
        let all = std::iter::once(&self.own).chain(&self.above);
        let above = all.take(self.above.len());
        std::iter::once(leaf)
            .chain(above.map(|certificate| certificate.der().to_vec()))
            .collect()
    }

    pub(crate) fn signs_with(&self) -> SigningKind {
        self.signs_with
    }

    pub(crate) fn subject(&self) -> &[u8] {
        &self.subject
    }

    pub(crate) fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    pub(crate) fn leaf_extensions(&self) -> &[Extension] {
        &self.leaf_extensions
    }

    pub(crate) fn leaf_purpose(&self) -> Purpose {
        self.leaf_purpose
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

/// What an authority needs to know of its own certificate.
struct Own {
    /// The subject as it is written there.
    subject: Vec<u8>,
    key_id: Option<Vec<u8>>,
    /// For what of all that our leaves are for it lets them be.
    purposes: Vec<ObjectIdentifier>,
}

fn read_own(certificate: &Certificate) -> Result<Own, Fault> {
    let read = || {
        let whole = x509_cert::Certificate::from_der(certificate.der())?;
        let content = whole.tbs_certificate();
        let usage = content.get_extension::<ExtendedKeyUsage>()?;
        let mut purposes = vec![SERVER_AUTH, CLIENT_AUTH];
        if let Some((_, ExtendedKeyUsage(permitted))) = usage
            && !permitted.contains(&ANY_PURPOSE)
        {
            purposes.retain(|purpose| permitted.contains(purpose));
            // Nothing of ours may be below it; the core says so of the first leaf.
            if purposes.is_empty() {
                purposes.push(SERVER_AUTH);
            }
        }
        let key_id = content.get_extension::<SubjectKeyIdentifier>()?;
        Ok(Own {
            subject: content.subject().to_der()?,
            key_id: key_id.map(|(_, SubjectKeyIdentifier(id))| id.into_bytes().into()),
            purposes,
        })
    };
    read().map_err(|error: der::Error| Fault::AuthorityUnusable(error.to_string()))
}

/// How the authority of a key that signs certificates is called: the key identifier in hexadecimal.
pub fn name_of(key: &PublicHalf) -> String {
    hex(&key.identifier())
}

/// What an intermediate lets certificates below it have names of, as DER says: whether only SPIFFE
/// IDs of certain trust domains, and the DNS subtrees, all if there are none.
pub fn name_bounds(certificate: &[u8]) -> (bool, Vec<String>) {
    let read = || {
        let whole = x509_cert::Certificate::from_der(certificate).ok()?;
        let constraints = whole.tbs_certificate().get_extension::<NameConstraints>();
        constraints.ok()??.1.permitted_subtrees
    };
    let (mut ids, mut dns) = (false, Vec::new());
    for subtree in read().unwrap_or_default() {
        match subtree.base {
            GeneralName::UniformResourceIdentifier(_) => ids = true,
            GeneralName::DnsName(name) => dns.push(name.to_string()),
            _ => {}
        }
    }
    (ids, dns)
}

/// For whom an intermediate signs certificates. Its extended key usages (RFC 5280 4.2.1.12) say so,
/// and no certificate below it counts for anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Use {
    /// Workloads and servers, at both ends of a connection.
    #[default]
    Services,
    /// People: as clients, and to sign mail.
    People,
    /// Devices, as clients only.
    Devices,
    /// The components of a Kubernetes cluster, at both ends of a connection.
    Cluster,
}

impl Use {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Services, Self::People, Self::Devices, Self::Cluster];

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text)
    }

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::People => "people",
            Self::Devices => "devices",
            Self::Cluster => "cluster",
        }
    }

    /// The role in the name of an intermediate.
    fn role(self) -> &'static str {
        match self {
            Self::Services => "intermediate",
            Self::People => "people",
            Self::Devices => "devices",
            Self::Cluster => "cluster",
        }
    }

    pub(crate) fn purposes(self) -> &'static [ObjectIdentifier] {
        match self {
            Self::Services | Self::Cluster => &[SERVER_AUTH, CLIENT_AUTH],
            Self::People => &[CLIENT_AUTH, EMAIL_PROTECTION],
            Self::Devices => &[CLIENT_AUTH],
        }
    }
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
    /// For whom intermediates sign.
    pub used_for: Use,
    /// The DNS subtrees that certificates below intermediates may have names of, as a critical name
    /// constraint (RFC 5280 4.2.1.10); empty permits all.
    pub permit_dns: Vec<String>,
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
        let extensions = authority_extensions(&AuthorityContent {
            trust_domain: &self.trust_domain,
            further: 1,
            constrain_uris: false,
            permit_dns: &[],
            purposes: &[],
            key: signer.public_half(),
            issuer: None,
        })?;
        let draft = self.draft(None, signer, subject, extensions, now, random)?;
        Ok(Prepared::new(draft))
    }

    /// Prepares an intermediate below `root`, for the key of `signer`.
    ///
    /// # Errors
    ///
    /// `issue.authority_state`, `issue.authority_expired`, `issue.dns_name_invalid`, the core's reason
    /// where the root may not have it below itself, or what failed on our side.
    pub fn prepare_intermediate(
        &self,
        root: &Arc<X509Authority>,
        signer: Arc<dyn Signer>,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<AuthorityDraft>, NotIssued> {
        root.life().check_may_sign(root.id(), now)?;
        for name in &self.permit_dns {
            check_dns_name(name)?;
        }
        let role = self.used_for.role();
        let subject = authority_name(&self.trust_domain, role, signer.public_half())?;
        let extensions = authority_extensions(&AuthorityContent {
            trust_domain: &self.trust_domain,
            further: 0,
            constrain_uris: self.constrain_names,
            permit_dns: &self.permit_dns,
            purposes: self.used_for.purposes(),
            key: signer.public_half(),
            issuer: Some(root.key_id()),
        })?;
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
            serial: &serial,
            signed_with,
            issuer: issuer.map_or(&subject, |issuer| &issuer.subject),
            not_before,
            not_after,
            subject: &subject,
            public_half: signer.public_half(),
            extensions,
        }
        .into_der()?;
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
}

/// What a leaf of an authority would have signed: it vouches for leaves, so that is what it is
/// judged by.
pub(crate) fn sample_leaf(
    issuer: &PublicHalf,
    subject: &[u8],
    id: &SpiffeId,
    kind: SigningKind,
    serial: &[u8],
    not_before: Time,
    not_after: Time,
) -> Result<Vec<u8>, Fault> {
    let mut extensions = leaf_extensions(&issuer.identifier(), &[SERVER_AUTH, CLIENT_AUTH])?;
    extensions.extend(leaf_names(id.as_str(), &[], issuer)?);
    Content {
        serial,
        signed_with: kind,
        issuer: subject,
        not_before,
        not_after,
        subject: NO_NAME,
        public_half: issuer,
        extensions,
    }
    .into_der()
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
        let public = self.signer.public_half();
        let sample = sample_leaf(
            public,
            &self.subject,
            &id,
            kind,
            &[0x40; 16],
            self.intent.not_before,
            self.intent.not_after,
        )?;
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
            Vec::new(),
        );
        let presented = std::iter::once(leaf).chain(chain).collect();
        let question = question(
            Credential::X509(presented),
            &id,
            Context::default(),
            self.now,
            &view,
        );
        ask(&question, &view, &throwaway)
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
