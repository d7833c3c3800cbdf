//! Small worlds made from bytes: a few names and keys that certificates, anchors and lists share,
//! so that paths come to be, fork, loop and fail.

use std::sync::{Arc, LazyLock};

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::Limits;
use avouch_core::credential::Credential;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain};
use avouch_core::question::{Context, ExpectedName, InitialPolicies, Profile, Purpose, Question};
use avouch_core::view::View;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::crl::{CrlForge, Entry};
use avouch_testkit::extension::{self, IssuingDistributionPoint, KeyUsage};
use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::moment::Moment;
use avouch_testkit::name::{self, GeneralName, Name};
use libfuzzer_sys::arbitrary::{self, Arbitrary};

/// A question and all that is known when it is asked.
#[derive(Debug, Arbitrary)]
pub struct World {
    certificates: Vec<CertificatePlan>,
    anchors: Vec<AnchorPlan>,
    lists: Vec<ListPlan>,
    asked: AskedPlan,
}

/// More pieces than this make a world slow without making it another kind of world.
const MOST_PIECES: usize = 12;

impl World {
    /// The question.
    pub fn question(&self) -> Question {
        let chain = self.certificates.iter().take(MOST_PIECES);
        self.asked
            .question(chain.map(CertificatePlan::to_der).collect())
    }

    /// What is known.
    pub fn view(&self) -> View {
        let anchors = self.anchors.iter().take(MOST_PIECES);
        let lists = self.lists.iter().take(MOST_PIECES);
        View::new(
            TenantId::local(),
            anchors
                .enumerate()
                .filter_map(|(index, plan)| plan.anchor(index))
                .collect(),
            lists
                .filter_map(|plan| Crl::parse(&plan.to_der(&self.certificates)).ok())
                .collect(),
            Vec::new(),
            Digest::of(b"a fuzzed world"),
        )
    }

    /// What may be spent.
    pub fn limits(&self) -> Limits {
        Limits {
            search_steps: 2_000,
            signature_work: 10_000,
            name_comparisons: 10_000,
            policy_nodes: 500,
            path_length: u32::from(self.asked.path_length % 9),
            attempts_kept: 8,
            ..Limits::default()
        }
    }
}

#[derive(Debug, Arbitrary)]
struct AskedPlan {
    profile: u8,
    purpose: u8,
    path_length: u8,
    expected: Vec<NamePlan>,
    require_revocation: bool,
    policies: Vec<u8>,
    policy_flags: u8,
    hours_later: i16,
}

impl AskedPlan {
    fn question(&self, chain: Vec<Vec<u8>>) -> Question {
        let expected = self.expected.iter().take(2);
        Question {
            tenant: TenantId::local(),
            credential: Credential::X509(chain),
            profile: profile(self.profile),
            purpose: purpose(self.purpose),
            now: crate::now().plus(i64::from(self.hours_later) * 3600),
            context: Context {
                expected: expected.filter_map(NamePlan::expected).collect(),
                require_revocation: self.require_revocation,
                policies: InitialPolicies {
                    accepted: self
                        .policies
                        .iter()
                        .take(2)
                        .filter_map(|number| policy(*number).parse().ok())
                        .collect(),
                    require_explicit: self.policy_flags & 1 == 1,
                    inhibit_mapping: self.policy_flags & 2 == 2,
                    inhibit_any: self.policy_flags & 4 == 4,
                },
                ..Context::default()
            },
        }
    }
}

/// One of the profiles.
pub fn profile(choice: u8) -> Profile {
    match choice % 4 {
        0 => Profile::Private,
        1 => Profile::Rfc5280,
        2 => Profile::Spiffe,
        _ => Profile::WebPki,
    }
}

/// One of the purposes.
pub fn purpose(choice: u8) -> Purpose {
    match choice % 3 {
        0 => Purpose::Any,
        1 => Purpose::Client,
        _ => Purpose::Server,
    }
}

#[derive(Debug, Arbitrary)]
struct CertificatePlan {
    subject: u8,
    key: u8,
    issuer: u8,
    issuer_key: u8,
    /// The one octet of the signature; it holds when it is less than 128.
    signature: u8,
    kind: u8,
    path_length: Option<u8>,
    usages: u8,
    purposes: u8,
    names: Vec<NamePlan>,
    permitted: Vec<NamePlan>,
    excluded: Vec<NamePlan>,
    policies: Vec<u8>,
    mappings: Vec<(u8, u8)>,
    constraints: Option<(Option<u8>, Option<u8>)>,
    inhibit_any: Option<u8>,
    point: Option<u8>,
    span: u8,
    odd: u8,
    flips: Vec<(u16, u8)>,
}

impl CertificatePlan {
    fn to_der(&self) -> Vec<u8> {
        let subject = distinguished_name(self.subject);
        let forge = match self.kind % 3 {
            0 => CertificateForge::authority(subject, key(self.key)),
            1 => CertificateForge::bare(subject, key(self.key)).with(self.key_usage()),
            _ => CertificateForge::bare(subject, key(self.key)),
        };
        let forge = self.with_optional_extensions(forge);
        let forge = self.oddly(forge.signature(vec![self.signature]));
        let mut der = forge.sign(&distinguished_name(self.issuer), key(self.issuer_key));
        flip(&mut der, &self.flips);
        der
    }

    fn key_usage(&self) -> extension::Extension {
        let mut usages = vec![KeyUsage::DigitalSignature];
        if self.usages & 1 == 1 {
            usages.push(KeyUsage::KeyCertSign);
        }
        if self.usages & 2 == 2 {
            usages.push(KeyUsage::CrlSign);
        }
        extension::key_usage(&usages)
    }

    fn with_optional_extensions(&self, mut forge: CertificateForge) -> CertificateForge {
        let names = general_names(&self.names);
        if !names.is_empty() {
            forge = forge.names(&names);
        }
        if let Some(most) = self.path_length {
            forge = forge.path_length(u64::from(most % 4));
        }
        let purposes = [
            extension::SERVER_AUTH,
            extension::CLIENT_AUTH,
            extension::ANY_EXTENDED_KEY_USAGE,
        ];
        let chosen = purposes.iter().enumerate();
        let chosen: Vec<&str> = chosen
            .filter(|(bit, _)| self.purposes & (1 << bit) != 0)
            .map(|(_, oid)| *oid)
            .collect();
        if !chosen.is_empty() {
            forge = forge.with(extension::extended_key_usage(&chosen));
        }
        let (permitted, excluded) = (subtrees(&self.permitted), subtrees(&self.excluded));
        if !permitted.is_empty() || !excluded.is_empty() {
            forge = forge.with(extension::name_constraints(&permitted, &excluded));
        }
        let policies: Vec<String> = self.policies.iter().take(4).map(|id| policy(*id)).collect();
        if !policies.is_empty() {
            let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
            forge = forge.with(extension::certificate_policies(&policies));
        }
        let mappings: Vec<(String, String)> = self
            .mappings
            .iter()
            .take(4)
            .map(|(from, to)| (policy(*from), policy(*to)))
            .collect();
        if !mappings.is_empty() {
            let mappings: Vec<(&str, &str)> = mappings
                .iter()
                .map(|(from, to)| (from.as_str(), to.as_str()))
                .collect();
            forge = forge.with(extension::policy_mappings(&mappings));
        }
        if let Some((explicit, mapping)) = self.constraints {
            let skip = |value: Option<u8>| value.map(|value| value % 4);
            forge = forge.with(extension::policy_constraints(skip(explicit), skip(mapping)));
        }
        if let Some(skip) = self.inhibit_any {
            forge = forge.with(extension::inhibit_any_policy(u64::from(skip % 4)));
        }
        match self.point {
            Some(number) => forge.with(extension::crl_distribution_points(&[&point(number)])),
            None => forge,
        }
    }

    fn oddly(&self, forge: CertificateForge) -> CertificateForge {
        let forge = match self.span % 8 {
            0 => forge.valid("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"),
            1 => forge.valid("2024-05-31T00:00:00Z", "2024-06-02T00:00:00Z"),
            _ => forge,
        };
        match self.odd {
            0 => forge.version(None),
            1 => forge.without("2.5.29.35"),
            2 => forge.without("2.5.29.14"),
            3 => forge.with(extension::Extension::raw("1.2.3.4", vec![5, 0]).critical()),
            4 => forge.with_again(extension::basic_constraints(true, None)),
            5 => forge.serial(&[0]),
            6 => forge.extensions_element(Vec::new()),
            _ => forge,
        }
    }
}

#[derive(Debug, Arbitrary)]
struct AnchorPlan {
    certificate: CertificatePlan,
    trust_domains: Vec<u8>,
    dns: Vec<u8>,
    purposes: u8,
    path_length: Option<u8>,
    expires_in_hours: Option<i16>,
    of_another_tenant: bool,
}

impl AnchorPlan {
    fn anchor(&self, index: usize) -> Option<Anchor> {
        let certificate = Certificate::parse(&self.certificate.to_der()).ok()?;
        let tenant = if self.of_another_tenant {
            TenantId::parse("another")?
        } else {
            TenantId::local()
        };
        Some(Anchor {
            name: format!("anchor {index}"),
            kind: AnchorKind::Certificate(Arc::new(certificate)),
            stewardship: Stewardship {
                expires: self
                    .expires_in_hours
                    .map(|hours| crate::now().plus(i64::from(hours) * 3600)),
                ..Stewardship::default()
            },
            constraints: Constraints {
                trust_domains: self
                    .trust_domains
                    .iter()
                    .take(2)
                    .filter_map(|choice| TrustDomain::parse(&host(*choice)).ok())
                    .collect(),
                dns: self
                    .dns
                    .iter()
                    .take(2)
                    .map(|choice| host(*choice))
                    .collect(),
                purposes: match self.purposes {
                    0 => vec![Purpose::Client],
                    1 => vec![Purpose::Server],
                    _ => Vec::new(),
                },
                path_length: self.path_length.map(u32::from),
                ..Constraints::default()
            },
            tenant,
            source: None,
        })
    }
}

#[derive(Debug, Arbitrary)]
struct ListPlan {
    issuer: u8,
    key: u8,
    holds: bool,
    revoked: Vec<u8>,
    reason: u8,
    next_update: u8,
    partition: Option<(u8, u8)>,
    delta: bool,
    flips: Vec<(u16, u8)>,
}

impl ListPlan {
    fn to_der(&self, certificates: &[CertificatePlan]) -> Vec<u8> {
        let mut forge = CrlForge::complete();
        for choice in self.revoked.iter().take(4) {
            let serial = match certificates.get(usize::from(*choice)) {
                Some(plan) if plan.flips.is_empty() => {
                    avouch_testkit::crl::serial_of(&plan.to_der())
                }
                Some(_) | None => vec![*choice],
            };
            forge = forge.revoke(Entry::new(&serial, "2024-05-30T00:00:00Z").reason(self.reason));
        }
        let next = match self.next_update % 4 {
            0 => None,
            1 => Some("2024-05-31T12:00:00Z"),
            _ => Some(avouch_testkit::crl::NEXT_UPDATE),
        };
        forge = forge.dates(avouch_testkit::crl::THIS_UPDATE, next.map(Moment::at));
        if let Some((number, flags)) = self.partition {
            forge = forge.distribution_point(&IssuingDistributionPoint {
                names: vec![GeneralName::uri(&point(number))],
                only_user: flags & 1 == 1,
                only_ca: flags & 2 == 2,
                indirect: flags & 4 == 4,
                ..IssuingDistributionPoint::default()
            });
        }
        if self.delta {
            forge = forge.delta(1);
        }
        // Only the keys whose signatures are the same every time.
        let mut der = forge.sign(&distinguished_name(self.issuer), key(self.key % 3));
        if let Some(last) = der.last_mut() {
            *last = if self.holds { 0 } else { 0x80 };
        }
        flip(&mut der, &self.flips);
        der
    }
}

#[derive(Debug, Arbitrary)]
struct NamePlan {
    kind: u8,
    choice: u8,
}

impl NamePlan {
    fn general_name(&self) -> GeneralName {
        match self.kind % 6 {
            0 => GeneralName::dns(&host(self.choice)),
            1 => GeneralName::email(&format!("a@{}", host(self.choice))),
            2 => GeneralName::Ip(vec![10, 0, 0, self.choice]),
            3 => GeneralName::directory(distinguished_name(self.choice)),
            4 => GeneralName::uri(&spiffe_id(self.choice)),
            _ => GeneralName::Dns(vec![self.choice & 127; 3]),
        }
    }

    fn subtree(&self) -> GeneralName {
        match self.kind % 6 {
            2 => GeneralName::ip_range(if self.choice & 1 == 1 {
                "10.0.0.0/8"
            } else {
                "192.0.2.0/24"
            }),
            4 => GeneralName::uri(&host(self.choice)),
            _ => self.general_name(),
        }
    }

    fn expected(&self) -> Option<ExpectedName> {
        Some(match self.kind % 5 {
            0 => ExpectedName::Dns(host(self.choice)),
            1 => ExpectedName::Email(format!("a@{}", host(self.choice))),
            2 => ExpectedName::Ip([10, 0, 0, self.choice].into()),
            3 => ExpectedName::Spiffe(SpiffeId::parse(&spiffe_id(self.choice)).ok()?),
            _ => ExpectedName::TrustDomain(TrustDomain::parse(&host(self.choice)).ok()?),
        })
    }
}

fn general_names(plans: &[NamePlan]) -> Vec<GeneralName> {
    plans.iter().take(4).map(NamePlan::general_name).collect()
}

fn subtrees(plans: &[NamePlan]) -> Vec<GeneralName> {
    plans.iter().take(4).map(NamePlan::subtree).collect()
}

fn distinguished_name(choice: u8) -> Name {
    match choice % 8 {
        0 => Name::empty(),
        1 => Name::common_name("A").with(name::ORGANIZATION, "a"),
        2 => Name::empty().with_printable(name::COMMON_NAME, " a "),
        other => Name::common_name(["A", "B", "C", "D", "E"][usize::from(other - 3)]),
    }
}

fn host(choice: u8) -> String {
    let hosts = [
        "a.example",
        "b.a.example",
        "*.a.example",
        "example",
        "c.example",
        "*.example",
        "10.0.0.1",
        "",
    ];
    hosts[usize::from(choice % 8)].to_owned()
}

fn spiffe_id(choice: u8) -> String {
    format!("spiffe://{}/w", host(choice))
}

fn policy(choice: u8) -> String {
    match choice % 5 {
        0 => extension::ANY_POLICY.to_owned(),
        other => format!("1.3.6.1.4.1.57264.{other}"),
    }
}

fn point(choice: u8) -> String {
    format!("http://{}/crl", host(choice))
}

fn key(choice: u8) -> &'static Key {
    static KEYS: LazyLock<[Key; 6]> = LazyLock::new(|| {
        [
            Key::ed25519("a"),
            Key::ed25519("b"),
            Key::ed25519("c"),
            Key::p256("d"),
            Key::p384("e"),
            Key::rsa(RsaTestKey::A),
        ]
    });
    &KEYS[usize::from(choice % 6)]
}

/// Flips bits in what was forged well, so that readers and checks meet what no forge writes.
fn flip(der: &mut [u8], flips: &[(u16, u8)]) {
    for (place, bits) in flips.iter().take(2) {
        let place = usize::from(*place) % der.len().max(1);
        if let Some(byte) = der.get_mut(place) {
            *byte ^= bits;
        }
    }
}
