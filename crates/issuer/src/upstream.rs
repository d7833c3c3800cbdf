//! Authorities whose certificate comes from elsewhere: the request for it, and what is looked at
//! before it is taken.

use std::sync::Arc;

use avouch_core::credential::x509::Certificate;
use avouch_core::id::{SpiffeId, TenantId, TrustDomain};
use avouch_core::question::Purpose;
use avouch_core::reason::Reason;
use avouch_core::time::Time;

use crate::authority::{AuthorityPlan, Use, X509Authority};
use crate::certificate::{AuthorityContent, RequestContent, assemble, authority_name};
use crate::fault::{Fault, NotIssued};
use crate::key::PublicHalf;
use crate::life_cycle::{LifeCycle, State};
use crate::profile::{Lifetime, X509Profile};
use crate::random::Random;
use crate::signer::{Signer, SigningKind, SoftwareKey};
use crate::x509_svid::X509Request;

/// How long the trial certificates are valid that nobody signs, in seconds.
const TRIAL_TTL: u32 = 60;

/// What is taken lasts so long at least, in seconds: an X.509-SVID below it would end too soon, and there
/// would be no time for the next one to come from elsewhere.
const SHORTEST_LIFE: i64 = 3_600;

/// The most certificates that are looked at.
const MOST_CERTIFICATES: usize = 16;

/// Asks another authority for the certificate of an intermediate: a request (PKCS#10, RFC 2986) with
/// all extensions that X.509-SVID 4 asks of one, for whoever signs it to take over.
///
/// # Errors
///
/// What failed on our side.
pub fn signing_request(signer: &dyn Signer, trust_domain: &TrustDomain) -> Result<Vec<u8>, Fault> {
    let public = signer.public_half();
    let kind = SigningKind::of(public.kind())
        .ok_or(Fault::Bug("authorities do not sign with this kind of key"))?;
    let message = RequestContent {
        subject: &authority_name(trust_domain, "intermediate", public)?,
        public_half: public,
        extensions: AuthorityContent {
            trust_domain,
            further: 0,
            constrain_uris: false,
            permit_dns: &[],
            purposes: Use::Services.purposes(),
            key: public,
            issuer: None,
        }
        .extensions()?,
    }
    .to_der()?;
    // It proves that we have the key, and is no credential: nothing can be opened with it.
    let signature = signer.sign(&message)?;
    signer.check(&message, &signature)?;
    assemble(&message, kind, &signature)
}

/// What is looked at before a certificate of another authority is taken for one of ours.
#[derive(Clone, Debug)]
pub struct Taking<'a> {
    /// Whose it will be.
    pub tenant: &'a TenantId,
    /// For which trust domain it is to vouch.
    pub trust_domain: &'a TrustDomain,
    /// Certificates as DER: its own, and those above it up to the root, in any order.
    pub certificates: &'a [Vec<u8>],
    /// Now.
    pub now: Time,
}

impl Taking<'_> {
    /// Takes an intermediate: its own certificate and those above it, the root last. What it would
    /// sign is tried out first, a leaf and a revocation list, under exactly that root.
    ///
    /// # Errors
    ///
    /// `issue.upstream_malformed`, `issue.upstream_key`, the core's reason for refusing what it would
    /// sign, or what failed on our side.
    pub fn intermediate(
        &self,
        signer: Arc<dyn Signer>,
        random: &dyn Random,
    ) -> Result<Vec<Vec<u8>>, NotIssued> {
        let chain = self.chain(signer.public_half())?;
        let [_, .., root] = chain.as_slice() else {
            return Err(malformed("there is no certificate above its own").into());
        };
        let root = PublicHalf::from_info(root.public_key_info())?;
        if root.jwk().is_none() {
            return Err(
                malformed("a bundle cannot carry the kind of key that the root has").into(),
            );
        }
        let end = first_end(&chain);
        let chain: Vec<Vec<u8>> = chain.iter().map(|one| one.der().to_vec()).collect();
        let authority = self.trial(signer, &chain)?;
        self.try_leaves(&authority, random)?;
        self.try_list(&Arc::new(authority), random)?;
        self.check_lasts(end)?;
        Ok(chain)
    }

    /// Tries out a leaf for each of the purposes that an X.509-SVID is for: whoever has one serves with it
    /// and calls with it.
    fn try_leaves(&self, authority: &X509Authority, random: &dyn Random) -> Result<(), NotIssued> {
        for purpose in [Purpose::Server, Purpose::Client] {
            let authority = authority.clone().tried_for(purpose);
            self.try_leaf(&Arc::new(authority), random)?;
        }
        Ok(())
    }

    fn try_leaf(
        &self,
        authority: &Arc<X509Authority>,
        random: &dyn Random,
    ) -> Result<(), NotIssued> {
        let id = SpiffeId::parse(&format!("spiffe://{}/sample", self.trust_domain))?;
        let request = X509Request {
            id,
            public_half: SoftwareKey::generate(SigningKind::P256)?
                .public_half()
                .clone(),
            ttl: None,
            dns_names: Vec::new(),
            mark: None,
        };
        let profile = X509Profile {
            lifetime: Lifetime::new(1, TRIAL_TTL, TRIAL_TTL)
                .map_err(|_| Fault::Bug("a lifetime contradicts itself"))?,
            ..X509Profile::default()
        };
        profile
            .prepare(authority, request, self.now, random)?
            .lint()?;
        Ok(())
    }

    fn check_lasts(&self, end: Option<Time>) -> Result<(), Reason> {
        match end {
            Some(end) if end < self.now.plus(SHORTEST_LIFE) => Err(malformed(&format!(
                "what would be signed ends with them at {end}, and what is taken lasts an hour at least"
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes a root with its key. An intermediate below it is tried out first, and a revocation list
    /// where it may sign one: the CA of a Kubernetes cluster may not, and has to be taken as it is.
    ///
    /// # Errors
    ///
    /// As for an intermediate.
    pub fn root(
        &self,
        signer: Arc<dyn Signer>,
        random: &dyn Random,
    ) -> Result<Vec<Vec<u8>>, NotIssued> {
        let own = self.own(signer.public_half())?;
        if !own.is_self_issued() {
            return Err(malformed(NO_ROOT).into());
        }
        let (root, end) = (&own, own.not_after());
        let chain = vec![root.der().to_vec()];
        let authority = self.trial(signer, &chain)?;
        self.try_leaves(&authority, random)?;
        let authority = Arc::new(authority);
        let plan = AuthorityPlan {
            tenant: self.tenant.clone(),
            trust_domain: self.trust_domain.clone(),
            lifetime: TRIAL_TTL,
            constrain_names: false,
            used_for: Use::Services,
            permit_dns: Vec::new(),
        };
        let below: Arc<dyn Signer> = Arc::new(SoftwareKey::generate(SigningKind::P256)?);
        plan.prepare_intermediate(&authority, below, self.now, random)?
            .lint()?;
        if root.may_sign_lists() {
            self.try_list(&authority, random)?;
        }
        self.check_lasts(Some(end))?;
        Ok(chain)
    }

    fn try_list(
        &self,
        authority: &Arc<X509Authority>,
        random: &dyn Random,
    ) -> Result<(), NotIssued> {
        let list = authority.prepare_revocation_list(Vec::new(), 1, TRIAL_TTL, self.now, random)?;
        list.lint()?;
        Ok(())
    }

    /// The authority that would come of it.
    fn trial(
        &self,
        signer: Arc<dyn Signer>,
        chain: &[Vec<u8>],
    ) -> Result<X509Authority, NotIssued> {
        // Its dates are for the core to judge.
        let life = LifeCycle::stored(State::Active, self.now, self.now.plus(TRIAL_TTL.into()));
        let (tenant, trust_domain) = (self.tenant.clone(), self.trust_domain.clone());
        let opened = X509Authority::open(tenant, trust_domain, chain, signer, life);
        opened.map_err(|fault| match fault {
            Fault::AuthorityUnusable(detail) => malformed(&detail).into(),
            fault => fault.into(),
        })
    }

    fn read(&self) -> Result<Vec<Arc<Certificate>>, Reason> {
        if self.certificates.is_empty() {
            return Err(malformed("there is no certificate among what was given"));
        }
        if self.certificates.len() > MOST_CERTIFICATES {
            return Err(malformed("there are too many certificates"));
        }
        let read = self.certificates.iter().map(|der| {
            let read = Certificate::parse(der).map_err(|detail| malformed(&detail))?;
            Ok(Arc::new(read))
        });
        read.collect()
    }

    /// The certificate of the key.
    fn own(&self, key: &PublicHalf) -> Result<Arc<Certificate>, Reason> {
        let all = self.read()?;
        let mut all = all.into_iter();
        let own = all.find(|one| one.public_key_info() == key.info());
        own.ok_or_else(|| Reason::IssueUpstreamKey {
            trust_domain: self.trust_domain.to_string(),
        })
    }

    /// The certificates from the one of the key up to a root that signs itself.
    fn chain(&self, key: &PublicHalf) -> Result<Vec<Arc<Certificate>>, Reason> {
        let own = self.own(key)?;
        let all = self.read()?;
        let mut chain = vec![own];
        loop {
            let Some(last) = chain.last() else {
                return Err(malformed("there is no certificate"));
            };
            if last.is_self_issued() {
                return Ok(chain);
            }
            let above = all.iter().find(|one| {
                one.subject() == last.issuer()
                    && !chain.iter().any(|known| known.der() == one.der())
            });
            let Some(above) = above.cloned() else {
                let issuer = last.issuer();
                return Err(malformed(&format!(
                    "the certificate of {issuer} is missing; give all up to the root"
                )));
            };
            chain.push(above);
        }
    }
}

/// When the first of the certificates ends: then nothing below them is believed any more.
fn first_end(chain: &[Arc<Certificate>]) -> Option<Time> {
    chain.iter().map(|one| one.not_after()).min()
}

/// Of an intermediate with its key.
const NO_ROOT: &str = "the certificate of the key is that of an intermediate, and with its key only a root \
                       is taken; an intermediate comes by `avouch authority csr`, which makes its key here";

fn malformed(detail: &str) -> Reason {
    Reason::IssueUpstreamMalformed {
        detail: detail.to_owned(),
    }
}
