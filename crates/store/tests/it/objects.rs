//! Objects to store, each with everything in it that it can have.

use avouch_core::ended::{Birth, Mark};
use avouch_core::exchange::statement::Ancestor;
use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain};
use avouch_core::template::IdTemplate;
use avouch_core::time::Time;
use avouch_store::keyring::{RootKey, SecretOf, TenantKey};
use avouch_store::{
    AdminId, AdminRecord, AnchorId, AnchorRecord, AttemptId, AttestorId, AttestorRecord,
    AuthorityId, AuthorityKind, AuthorityRecord, AuthorityRole, AuthorityState, AuthorityUse,
    Change, CredentialKind, Entry, EntryExtras, EntryId, Extras, FederationCourse,
    FederationFailure, FederationRecord, IntentId, IntentRow, IssuerId, IssuerKeysRecord,
    IssuerPinsRecord, IssuerRecord, JoinTokenId, JoinTokenRecord, Key, NodeId, NodeRecord, Object,
    Operator, QuotaRecord, RuleId, RuleRecord, Selector, SingleUse, Store, TenantKind,
    TenantRecord, TrustDomainRecord, Upstream, UseKind,
};

pub(crate) const OPERATOR: Operator = Operator::of_this_deployment();

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

pub(crate) fn trust_domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

/// Adds a root `root`, if it is not there, and a tenant below it, and returns the key of the latter.
pub(crate) fn add_tenant(store: &dyn Store, name: &str) -> TenantKey {
    let folder = tempfile::tempdir().unwrap();
    let root_key = RootKey::create(folder.path()).unwrap();
    add_tenant_under(store, name, &root_key)
}

/// As [`add_tenant`], under this root key.
pub(crate) fn add_tenant_under(store: &dyn Store, name: &str, root_key: &RootKey) -> TenantKey {
    let tenants = store.tenants(&OPERATOR).unwrap();
    if !tenants.iter().any(|there| there.id == tenant("root")) {
        let (_, key) = root_key.new_tenant_key(&tenant("root")).unwrap();
        let root = TenantRecord {
            id: tenant("root"),
            parent: None,
            kind: TenantKind::Root,
            created: Time::from_unix(1),
            key,
        };
        store.add_tenant(&OPERATOR, &root).unwrap();
    }
    let (open, key) = root_key.new_tenant_key(&tenant(name)).unwrap();
    let record = TenantRecord {
        id: tenant(name),
        parent: Some(tenant("root")),
        kind: TenantKind::Tenant,
        created: Time::from_unix(2),
        key,
    };
    store.add_tenant(&OPERATOR, &record).unwrap();
    open
}

pub(crate) fn domain(name: &str) -> Change {
    Change::Put(Object::TrustDomain(TrustDomainRecord {
        name: trust_domain(name),
        created: Time::from_unix(1_700_000_000),
        upstream: Upstream::Own,
    }))
}

pub(crate) fn without_domain(name: &str) -> Change {
    Change::Remove(Key::TrustDomain(trust_domain(name)))
}

pub(crate) fn authority(id: &str, domain: &str, key: &TenantKey, secret: &[u8]) -> AuthorityRecord {
    let id = AuthorityId::parse(id).unwrap();
    AuthorityRecord {
        trust_domain: trust_domain(domain),
        kind: AuthorityKind::X509,
        role: AuthorityRole::Intermediate,
        state: AuthorityState::Active,
        since: Time::from_unix(-5),
        not_before: Time::from_unix(1_700_000_000),
        not_after: Time::from_unix(4_000_000_000),
        public_key: (0..=255).collect(),
        certificates: vec![vec![0x30; 700], vec![0x30; 3]],
        private_key: Some(key.seal(SecretOf::Authority(&id), secret).unwrap()),
        key_address: None,
        key_is_brought: false,
        used_for: AuthorityUse::Services,
        revoked: Vec::new(),
        revocation_list: None,
        id,
    }
}

pub(crate) fn anchor(id: &str) -> Change {
    Change::Put(Object::Anchor(AnchorRecord {
        id: AnchorId::parse(id).unwrap(),
        document: r#"{"x509": "…", "owner": "anna o'\"hara\\"}"#.to_owned(),
    }))
}

pub(crate) fn full_entry(id: &str, spiffe_id: &str) -> Entry {
    Entry {
        id: EntryId::parse(id).unwrap(),
        spiffe_id: IdTemplate::parse(spiffe_id).unwrap(),
        parent: Some(SpiffeId::parse("spiffe://a.test/node/1").unwrap()),
        selectors: ["unix:uid:1000", "unix:path:/usr/bin/ä b"]
            .map(|text| Selector::parse(text).unwrap())
            .into(),
        created: Time::from_unix(0),
        extras: Extras::from(EntryExtras {
            node_selectors: vec![Selector::parse("x509pop:subject:cn:rack 1").unwrap()],
            dns_names: vec!["db.example.com".to_owned(), "db".to_owned()],
            federates_with: vec![trust_domain("b.test")],
            hint: "internal".to_owned(),
            x509_ttl: Some(3600),
            jwt_ttl: Some(u32::MAX),
            owner: Some("team \u{1f511}".to_owned()),
            purpose: Some("'; DROP TABLE object; --".to_owned()),
            expires: Some(Time::from_unix(i64::MAX)),
            asks_since: Some(Time::from_unix(7)),
        }),
    }
}

pub(crate) fn bare_entry(id: &str, spiffe_id: &str) -> Entry {
    Entry {
        parent: None,
        selectors: Box::default(),
        extras: Extras::default(),
        ..full_entry(id, spiffe_id)
    }
}

pub(crate) fn entry(id: &str, spiffe_id: &str) -> Change {
    Change::Put(Object::Entry(full_entry(id, spiffe_id)))
}

pub(crate) fn node(id: &str, spiffe_id: &str) -> Change {
    Change::Put(Object::Node(NodeRecord {
        id: NodeId::parse(id).unwrap(),
        spiffe_id: SpiffeId::parse(spiffe_id).unwrap(),
        attested_by: "k8s_psat".to_owned(),
        attestor: Some(AttestorId::parse("cluster-1").unwrap()),
        facts: vec![Selector::parse("node:name:rack-1").unwrap()],
        created: Time::from_unix(5),
        mark: Some(u64::MAX - 1),
        since: Some(Time::from_unix(6)),
        attested: Time::from_unix(7),
        evidence_made: Some(Time::from_unix(4)),
        banned: Some(Time::from_unix(6)),
    }))
}

pub(crate) fn join_token(id: &str, spiffe_id: &str) -> Change {
    Change::Put(Object::JoinToken(JoinTokenRecord {
        id: JoinTokenId::parse(id).unwrap(),
        node: NodeId::parse("rack-1").unwrap(),
        spiffe_id: SpiffeId::parse(spiffe_id).unwrap(),
        created: Time::from_unix(1),
        expires: Time::from_unix(601),
        used: Some(Time::from_unix(7)),
        used_for: Some(Digest::of(b"a key")),
    }))
}

pub(crate) fn admin(id: &str, subject: &str) -> Change {
    Change::Put(Object::Admin(AdminRecord {
        id: AdminId::parse(id).unwrap(),
        subject: SpiffeId::parse(subject).unwrap(),
        role: "auditor".to_owned(),
        created: Time::from_unix(8),
    }))
}

pub(crate) fn attestor(id: &str) -> Change {
    Change::Put(Object::Attestor(AttestorRecord {
        id: AttestorId::parse(id).unwrap(),
        document: r#"{"method": "x509pop"}"#.to_owned(),
        secret: None,
    }))
}

pub(crate) fn rule(id: &str) -> Change {
    Change::Put(Object::Rule(RuleRecord {
        id: RuleId::parse(id).unwrap(),
        document: r#"{"from": {"anchor": "x1"}}"#.to_owned(),
        created: Time::from_unix(9),
    }))
}

pub(crate) fn federation(trust_domain: &str) -> Change {
    Change::Put(Object::Federation(FederationRecord {
        trust_domain: TrustDomain::parse(trust_domain).unwrap(),
        document: r#"{"url":"https://b.test/"}"#.to_owned(),
        created: Time::from_unix(9),
        course: Some(FederationCourse {
            tried: Time::from_unix(9),
            succeeded: Some(Time::from_unix(8)),
            next: Time::from_unix(69),
            failures: 1,
            failure: Some(FederationFailure {
                code: "fetch.unreachable".to_owned(),
                sentence: "It is away.".to_owned(),
                hint: "Wait.".to_owned(),
            }),
        }),
    }))
}

pub(crate) fn issuer(id: &str) -> Change {
    Change::Put(Object::Issuer(IssuerRecord {
        id: IssuerId::parse(id).unwrap(),
        document: r#"{"issuer": "https://a.test"}"#.to_owned(),
    }))
}

pub(crate) fn issuer_keys(id: &str) -> Change {
    Change::Put(Object::IssuerKeys(IssuerKeysRecord {
        id: IssuerId::parse(id).unwrap(),
        document: r#"{"keys": []}"#.to_owned(),
    }))
}

pub(crate) fn issuer_pins(id: &str) -> Change {
    Change::Put(Object::IssuerPins(IssuerPinsRecord {
        id: IssuerId::parse(id).unwrap(),
        document: r#"{"pins": []}"#.to_owned(),
    }))
}

pub(crate) fn quota(entries: u32) -> Change {
    Change::Put(Object::Quota(QuotaRecord {
        entries: Some(entries),
        nodes: None,
        trust_domains: Some(0),
        issuances_per_minute: Some(u32::MAX),
        workloads: vec![Selector::parse("unix:uid:1").unwrap()],
    }))
}

pub(crate) fn without_entry(id: &str) -> Change {
    Change::Remove(Key::Entry(EntryId::parse(id).unwrap()))
}

pub(crate) fn intent(id: &str, recorded: i64) -> IntentRow {
    IntentRow {
        id: IntentId::parse(id).unwrap(),
        kind: CredentialKind::X509,
        authority: AuthorityId::parse("k1").unwrap(),
        entry: Some(EntryId::parse("e1").unwrap()),
        node: Some(SpiffeId::parse("spiffe://a.test/avouch/node/n1").unwrap()),
        subject: SpiffeId::parse("spiffe://a.test/x").unwrap(),
        content: Digest::of(id.as_bytes()),
        not_before: Time::from_unix(recorded - 10),
        not_after: Time::from_unix(recorded + 3600),
        recorded: Time::from_unix(recorded),
        lineage: Vec::new(),
        decision: None,
    }
}

/// As [`intent`], of what is given in exchange.
pub(crate) fn descending_intent(id: &str, recorded: i64) -> IntentRow {
    IntentRow {
        decision: Some(r#"{"rule":"ci"}"#.to_owned()),
        entry: None,
        node: None,
        lineage: vec![Ancestor {
            of: None,
            of_domain: None,
            anchor: "github".to_owned(),
            issuer: "https://a.test".to_owned(),
            key: "k \"1\"".to_owned(),
            thumbprint: Some(Digest::of(b"k")),
            digest: Digest::of(id.as_bytes()),
            birth: Birth {
                at: Some(Time::from_unix(recorded)),
                marks: vec![Mark::subject("https://a.test", id)],
            },
            scopes: Some(vec!["read".to_owned(), "write".to_owned()]),
            audiences: None,
        }],
        ..intent(id, recorded)
    }
}

/// Someone of this number uses the token of this name.
pub(crate) fn used(name: &str, attempt: u16) -> SingleUse {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&attempt.to_be_bytes());
    SingleUse {
        kind: UseKind::Token,
        digest: Digest::of(name.as_bytes()),
        attempt: AttemptId::from_bytes(id),
        at: Time::from_unix(1_000 + i64::from(attempt)),
        until: Time::from_unix(2_000),
    }
}
