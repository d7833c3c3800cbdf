//! Issues SVIDs for registration entries, in batches: what is refused is refused by itself, and the
//! intents of the rest are recorded with one call.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::ended::{Endings, Mark};
use avouch_core::id::{SpiffeId, TenantId};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_issuer::fault::{Fault as IssuerFault, NotIssued};
use avouch_issuer::intent::{CredentialKind, Intent, IntentLog};
use avouch_issuer::key::PublicHalf;
use avouch_issuer::stages::{Draft, Prepared, issue, issue_one};
use avouch_issuer::token::{JwtRequest, TokenKind, TokenSvid, WitRequest};
use avouch_issuer::x509_svid::{X509Request, X509Svid};
use avouch_store::{AuthorityId, AuthorityUse, Entry, EntryId, IntentId, IntentRow};

use crate::fault::{Refused, unknown};
use crate::grants::{Granted, node_facts};
use crate::issuance_log;
use crate::nodes::Admitted;
use crate::plane::{Plane, RESERVED};
use crate::quotas::Workloads;
use crate::tenant::Tenant;
use crate::traces;

/// How long the credential of the operator is valid, in seconds: it is replaced in time.
const OPERATOR_TTL: u32 = 3_600;

/// A key that an SVID is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The name of the registration entry.
    pub entry: String,
    /// The public key as a DER `SubjectPublicKeyInfo`.
    pub public_key: Vec<u8>,
    /// What was attested of the workload, as far as the entry asks for it; of entries with places.
    pub facts: Vec<String>,
}

/// A token that is asked for.
#[derive(Clone, Debug)]
pub struct WantedToken {
    /// The name of the registration entry.
    pub entry: String,
    /// Who will receive it.
    pub audiences: Vec<String>,
    /// As for a key.
    pub facts: Vec<String>,
}

/// One answer for each element of a batch.
pub type Answers<T> = Vec<Result<T, Reason>>;

impl Plane {
    /// Issues X.509-SVIDs for entries that a node serves.
    ///
    /// # Errors
    ///
    /// `issue.object_unknown` for a tenant that the node does not serve, or what failed on our
    /// side; then nothing was issued.
    pub fn issue_x509(
        &self,
        node: &Admitted,
        tenant: &str,
        wanted: &[Wanted],
    ) -> Result<Answers<X509Svid>, Refused> {
        let asked = self.asked_by(node, tenant)?;
        let requests = wanted.iter().map(|wanted| {
            let (entry, granted) = asked.granted(&wanted.entry, &wanted.facts)?;
            let lifetime = &self.settings.x509.lifetime;
            let request = X509Request {
                ttl: lifetime.ending_in(granted.x509_ttl, granted.left(asked.now)),
                id: granted.id,
                public_half: PublicHalf::from_info(&wanted.public_key)?,
                dns_names: granted.dns_names,
                mark: None,
            };
            Ok((entry, request))
        });
        self.issue_all(&asked, requests.collect(), |request| {
            self.prepare_x509(&asked.tenant, request, asked.now)
        })
    }

    /// Issues WIT-SVIDs for entries that a node serves.
    ///
    /// # Errors
    ///
    /// As for X.509-SVIDs.
    pub fn issue_wit(
        &self,
        node: &Admitted,
        tenant: &str,
        wanted: &[Wanted],
    ) -> Result<Answers<TokenSvid>, Refused> {
        let asked = self.asked_by(node, tenant)?;
        let requests = wanted.iter().map(|wanted| {
            let (entry, granted) = asked.granted(&wanted.entry, &wanted.facts)?;
            let lifetime = &self.settings.wit.lifetime;
            let request = WitRequest {
                ttl: lifetime.ending_in(granted.x509_ttl, granted.left(asked.now)),
                id: granted.id,
                public_half: PublicHalf::from_info(&wanted.public_key)?,
            };
            Ok((entry, request))
        });
        self.issue_all(&asked, requests.collect(), |request: WitRequest| {
            let domain = request.id.trust_domain();
            let authority = asked
                .tenant
                .held()
                .authorities()?
                .signing_token(TokenKind::Wit, domain, asked.now)
                .cloned()?;
            let profile = &self.settings.wit;
            Ok(profile.prepare(&authority, request, asked.now, &self.random)?)
        })
    }

    /// Issues JWT-SVIDs for entries that a node serves.
    ///
    /// # Errors
    ///
    /// As for X.509-SVIDs.
    pub fn issue_jwts(
        &self,
        node: &Admitted,
        tenant: &str,
        wanted: Vec<WantedToken>,
    ) -> Result<Answers<TokenSvid>, Refused> {
        let asked = self.asked_by(node, tenant)?;
        let issuer = self.issuer_of(asked.tenant.id());
        let requests = wanted.into_iter().map(|wanted| {
            let (entry, granted) = asked.granted(&wanted.entry, &wanted.facts)?;
            let lifetime = &self.settings.jwt.lifetime;
            let request = JwtRequest {
                ttl: lifetime.ending_in(granted.jwt_ttl, granted.left(asked.now)),
                issuer: Some(issuer.clone()),
                id: granted.id,
                audiences: wanted.audiences,
            };
            Ok((entry, request))
        });
        self.issue_all(&asked, requests.collect(), |request| {
            self.prepare_jwt(&asked.tenant, request, asked.now)
        })
    }

    /// Issues a JWT-SVID for an entry that a node serves; `facts` are those of the workload that
    /// the entry asks for, if it has places.
    ///
    /// # Errors
    ///
    /// The reason for which it is refused, or what failed on our side.
    pub fn issue_jwt(
        &self,
        node: &Admitted,
        tenant: &str,
        entry: &str,
        facts: &[String],
        audiences: Vec<String>,
    ) -> Result<TokenSvid, Refused> {
        let asked = self.asked_by(node, tenant)?;
        let (entry, granted) = asked.granted(entry, facts)?;
        let (tenant, now) = (&asked.tenant, asked.now);
        self.admit_issuance(tenant)?;
        let lifetime = &self.settings.jwt.lifetime;
        let request = JwtRequest {
            ttl: lifetime.ending_in(granted.jwt_ttl, granted.left(now)),
            issuer: Some(self.issuer_of(tenant.id())),
            id: granted.id,
            audiences,
        };
        let prepared = self.prepare_jwt(tenant, request, now)?;
        let mut log = StoreLog::asked_by(self, tenant, &node.id);
        log.note(prepared.intent(), entry);
        Ok(traces::part("issue").in_scope(|| issue_one(prepared, &log))?)
    }

    /// A credential of who runs the deployment from its own machine: a JWT-SVID for this server.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub fn operator_token(&self) -> Result<TokenSvid, Refused> {
        let audience = self.server_id().to_string();
        self.sign_jwt(
            &self.root()?,
            self.operator_id()?,
            vec![audience],
            Some(OPERATOR_TTL),
        )
    }

    /// The key that signs the operator's credential now, by its name in the bundle.
    ///
    /// # Errors
    ///
    /// `issue.conflict` where none signs; or what failed on our side.
    pub fn operator_key(&self) -> Result<String, Refused> {
        let root = self.root()?;
        let (id, held) = (self.operator_id()?, root.held());
        let authorities = held.authorities()?;
        let signing = authorities.signing_token(TokenKind::Jwt, id.trust_domain(), self.now())?;
        Ok(signing.id().to_owned())
    }

    /// Signs a JWT-SVID for an identity of a tenant.
    pub(crate) fn sign_jwt(
        &self,
        tenant: &Arc<Tenant>,
        id: SpiffeId,
        audiences: Vec<String>,
        ttl: Option<u32>,
    ) -> Result<TokenSvid, Refused> {
        let request = JwtRequest {
            issuer: Some(self.issuer_of(tenant.id())),
            id,
            audiences,
            ttl,
        };
        let prepared = self.prepare_jwt(tenant, request, self.now())?;
        Ok(traces::part("issue").in_scope(|| issue_one(prepared, &StoreLog::of(self, tenant)))?)
    }

    /// Signs a certificate for an identity of a tenant, below the intermediate for a use.
    pub(crate) fn sign_x509_for(
        &self,
        tenant: &Arc<Tenant>,
        used_for: AuthorityUse,
        entry: &EntryId,
        request: X509Request,
    ) -> Result<X509Svid, Refused> {
        let now = self.now();
        let prepared = self.prepare_x509_by(tenant, used_for, request, now)?;
        let mut log = StoreLog::of(self, tenant);
        log.note(prepared.intent(), entry.clone());
        Ok(traces::part("issue").in_scope(|| issue_one(prepared, &log))?)
    }

    /// Signs an X.509-SVID for an identity of a tenant.
    pub(crate) fn sign_x509(
        &self,
        tenant: &Arc<Tenant>,
        request: X509Request,
    ) -> Result<X509Svid, Refused> {
        self.sign_x509_at(tenant, request, self.now())
    }

    /// As [`Plane::sign_x509`], as of a moment.
    pub(crate) fn sign_x509_at(
        &self,
        tenant: &Arc<Tenant>,
        request: X509Request,
        at: Time,
    ) -> Result<X509Svid, Refused> {
        let prepared = self.prepare_x509(tenant, request, at)?;
        Ok(traces::part("issue").in_scope(|| issue_one(prepared, &StoreLog::of(self, tenant)))?)
    }

    /// The address of a tenant as an issuer of tokens, for verifiers of OIDC.
    pub fn issuer_of(&self, tenant: &TenantId) -> String {
        format!("{}/t/{tenant}", self.settings.public_url)
    }

    pub(crate) fn prepare_x509(
        &self,
        tenant: &Tenant,
        request: X509Request,
        now: Time,
    ) -> Result<Prepared<impl Draft<Issued = X509Svid> + use<>>, Refused> {
        self.prepare_x509_by(tenant, AuthorityUse::Services, request, now)
    }

    fn prepare_x509_by(
        &self,
        tenant: &Tenant,
        used_for: AuthorityUse,
        request: X509Request,
        now: Time,
    ) -> Result<Prepared<impl Draft<Issued = X509Svid> + use<>>, Refused> {
        let held = tenant.held();
        let domain = request.id.trust_domain();
        let authority = held
            .authorities()?
            .signing_x509(domain, used_for, now)
            .cloned()?;
        let ended = ended(&held.endings, &request.id);
        drop(held);
        let profile = &self.settings.x509;
        Ok(profile.prepare_after(&authority, request, ended, now, &self.random)?)
    }

    fn prepare_jwt(
        &self,
        tenant: &Tenant,
        request: JwtRequest,
        now: Time,
    ) -> Result<Prepared<impl Draft<Issued = TokenSvid> + use<>>, Refused> {
        let domain = request.id.trust_domain();
        let authority = tenant
            .held()
            .authorities()?
            .signing_token(TokenKind::Jwt, domain, now)
            .cloned()?;
        let profile = &self.settings.jwt;
        Ok(profile.prepare(&authority, request, now, &self.random)?)
    }

    /// Issues what a node asks for, each for an entry. What is refused before anything is made of it
    /// costs the tenant nothing. A fault in one element is a fault of ours, and so of the whole batch.
    fn issue_all<R, D: Draft>(
        &self,
        asked: &Asked<'_>,
        requests: Vec<Result<(EntryId, R), Refused>>,
        prepare: impl Fn(R) -> Result<Prepared<D>, Refused>,
    ) -> Result<Answers<D::Issued>, Refused> {
        let good = requests.iter().filter(|request| request.is_ok()).count();
        let mut admission = self.admit_issuances(&asked.tenant, good);
        let mut log = StoreLog::asked_by(self, &asked.tenant, &asked.node.id);
        let mut batch = Vec::with_capacity(requests.len());
        for request in requests {
            let prepared = request.and_then(|(entry, request)| {
                admission.take()?;
                let prepared = prepare(request)?;
                log.note(prepared.intent(), entry);
                Ok(prepared)
            });
            batch.push(match prepared {
                Ok(prepared) => Ok(prepared),
                Err(Refused::Reason(reason)) => Err(NotIssued::Refused(*reason)),
                Err(Refused::Fault(fault)) => return Err(fault.into()),
            });
        }
        let issuing = traces::part("issue");
        issuing.record("avouch.count", batch.len());
        let answers = issuing.in_scope(|| issue(batch, &log))?;
        let answers = answers.into_iter();
        answers
            .map(|answer| match answer {
                Ok(issued) => Ok(Ok(issued)),
                Err(NotIssued::Refused(reason)) => Ok(Err(reason)),
                Err(NotIssued::Failed(fault)) => Err(fault.into()),
            })
            .collect()
    }

    /// What a node asks for of a tenant, now.
    fn asked_by<'a>(&self, node: &'a Admitted, tenant: &str) -> Result<Asked<'a>, Refused> {
        let tenant = self.served(node, tenant)?;
        Ok(Asked {
            workloads: self.workloads_of(&tenant),
            facts: node_facts(node),
            now: self.now(),
            node,
            tenant,
        })
    }

    /// The tenant of this name, if the node serves it.
    fn served(&self, node: &Admitted, tenant: &str) -> Result<Arc<Tenant>, Refused> {
        // By its place, which is in memory: a node learns nothing of others, and opens none of them.
        let id = TenantId::parse(tenant).filter(|id| self.is_below(id, node.tenant.id()));
        let found = id.map(|id| self.tenant(&id)).transpose()?.flatten();
        let served = found.filter(|found| self.is_at_or_below(found, node.tenant.id()));
        served.ok_or_else(|| unknown("tenant", tenant).into())
    }

    fn is_at_or_below(&self, tenant: &Arc<Tenant>, top: &TenantId) -> bool {
        let mut above = self.with_all_above(tenant);
        above.any(|tenant| tenant.id() == top)
    }
}

/// What a node asks for of a tenant that it serves.
struct Asked<'a> {
    node: &'a Admitted,
    /// The facts of the node, as texts.
    facts: Vec<String>,
    tenant: Arc<Tenant>,
    /// For which workloads entries of the tenant may be.
    workloads: Workloads,
    now: Time,
}

impl Asked<'_> {
    /// What the entry of this name gives to a workload of which `facts` were attested.
    fn granted(&self, name: &str, facts: &[String]) -> Result<(EntryId, Granted), Refused> {
        let entry = self.entry(name)?;
        let granted = Granted::of(&entry, &self.facts, facts)?;
        Ok((entry.id.clone(), granted))
    }

    fn entry(&self, name: &str) -> Result<Arc<Entry>, Refused> {
        let found = EntryId::parse(name).and_then(|id| {
            self.tenant
                .read(|snapshot| snapshot.entries.get(&id).cloned())
        });
        let entry = found
            .filter(|entry| self.node.serves(entry) && self.workloads.admit(&entry.selectors))
            .ok_or_else(|| unknown("registration entry", name))?;
        match entry.extras.expires {
            Some(expires) if expires <= self.now => Err(Reason::IssueEntryExpired {
                entry: entry.id.to_string(),
                expires,
                at: self.now,
            }
            .into()),
            Some(_) | None => Ok(entry),
        }
    }
}

/// Records intents in the store.
pub(crate) struct StoreLog<'a> {
    plane: &'a Plane,
    tenant: &'a Tenant,
    /// The node that asked, if one did.
    node: Option<&'a SpiffeId>,
    /// For which entry each is, by its serial number.
    entries: BTreeMap<String, EntryId>,
}

impl<'a> StoreLog<'a> {
    pub(crate) fn of(plane: &'a Plane, tenant: &'a Tenant) -> Self {
        Self {
            plane,
            tenant,
            node: None,
            entries: BTreeMap::new(),
        }
    }

    /// Of what a node asked for.
    fn asked_by(plane: &'a Plane, tenant: &'a Tenant, node: &'a SpiffeId) -> Self {
        Self {
            node: Some(node),
            ..Self::of(plane, tenant)
        }
    }

    /// Notes for which entry something is.
    fn note(&mut self, intent: &Intent, entry: EntryId) {
        self.entries.insert(intent.serial.clone(), entry);
    }

    /// Intents as they are stored. All of them are of the tenant, which is acted for.
    pub(crate) fn rows(&self, intents: &[&Intent]) -> Result<Vec<IntentRow>, IssuerFault> {
        let mut tenants = intents.iter().map(|intent| &intent.tenant);
        if tenants.any(|tenant| tenant != self.tenant.id()) {
            return Err(IssuerFault::Bug("a batch is of another tenant"));
        }
        // Of one that is gone, the store says so.
        if let Err(Refused::Fault(fault)) = self.plane.fit(self.tenant) {
            return Err(IssuerFault::NotRecorded {
                detail: fault.to_string(),
                retryable: fault.retryable(),
            });
        }
        let rows: Option<Vec<IntentRow>> = intents.iter().map(|intent| self.row(intent)).collect();
        rows.ok_or(IssuerFault::Bug("an intent has no name"))
    }

    /// Counts what came of recording intents.
    pub(crate) fn count<T>(
        &self,
        intents: &[&Intent],
        recorded: Result<T, avouch_store::Fault>,
    ) -> Result<T, IssuerFault> {
        let counters = &self.plane.counters;
        match recorded {
            Ok(told) => {
                for intent in intents {
                    counters.issued(intent.kind);
                }
                Ok(told)
            }
            Err(fault) => {
                counters.store_failed();
                Err(IssuerFault::NotRecorded {
                    detail: fault.to_string(),
                    retryable: fault.retryable(),
                })
            }
        }
    }

    fn row(&self, intent: &Intent) -> Option<IntentRow> {
        Some(IntentRow {
            id: IntentId::parse(&intent.serial)?,
            kind: match intent.kind {
                CredentialKind::Authority => avouch_store::CredentialKind::Authority,
                CredentialKind::Certificate => avouch_store::CredentialKind::Certificate,
                CredentialKind::RevocationList => avouch_store::CredentialKind::RevocationList,
                CredentialKind::Event => avouch_store::CredentialKind::Event,
                CredentialKind::JwtSvid => avouch_store::CredentialKind::Jwt,
                CredentialKind::StatusList => avouch_store::CredentialKind::StatusList,
                CredentialKind::StatusResponse => avouch_store::CredentialKind::StatusResponse,
                CredentialKind::WitSvid => avouch_store::CredentialKind::Wit,
                CredentialKind::X509Svid => avouch_store::CredentialKind::X509,
            },
            authority: AuthorityId::parse(&intent.authority)?,
            entry: self.entries.get(&intent.serial).cloned(),
            node: self.node.cloned(),
            subject: intent.subject.clone(),
            content: intent.digest,
            not_before: intent.not_before,
            not_after: intent.not_after,
            recorded: self.plane.now(),
            lineage: Vec::new(),
            decision: issuance_log::asked(),
        })
    }
}

/// When something of this identity ended last, if it did. What a node has is not told by that: when it was
/// given is told from when it begins, to know whose of one name it is.
fn ended(endings: &Endings, id: &SpiffeId) -> Option<Time> {
    let mut segments = id.segments();
    let is_node = segments.next() == Some(RESERVED) && segments.next() == Some("node");
    if endings.is_empty() || is_node {
        return None;
    }
    let issuer = format!("spiffe://{}", id.trust_domain());
    let ending = endings.of(Mark::subject(&issuer, id.as_str()));
    ending.map(|ending| ending.before)
}

impl IntentLog for StoreLog<'_> {
    fn record(&self, intents: &[&Intent]) -> Result<(), IssuerFault> {
        if intents.is_empty() {
            return Ok(());
        }
        let rows = self.rows(intents)?;
        let recording = traces::part("store.record_intents");
        let held = self.tenant.read(|snapshot| snapshot.sequence);
        let recorded = recording.in_scope(|| {
            let store = &self.plane.store;
            store.use_and_record_held(self.tenant.id(), held, &[], &rows)
        });
        self.count(intents, recorded).map(drop)
    }
}
