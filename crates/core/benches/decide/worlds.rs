//! A leaf below an intermediate below a root, all with P-256 keys.

use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::Budget;
use avouch_core::cache::Cache;
use avouch_core::credential::Credential;
use avouch_core::credential::x509::Certificate;
use avouch_core::crypto::{AwsLc, NotSigned, PublicKey, Remembering, Verifier};
use avouch_core::decide;
use avouch_core::id::{Digest, TenantId};
use avouch_core::question::{Context, ExpectedName, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::key::{Key, Scheme};
use avouch_testkit::world::Authority;
use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, ServerName,
    SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::contest::Row;

/// How many leaves there are: more than [`SEEN`] remembers, so that each comes as if new.
const LEAVES: usize = 64;

/// What a verifier that has seen the issuer remembers.
const SEEN: usize = 8;

/// The name that every leaf is for.
pub(crate) const HOST: &str = "db.example.com";

/// A PKI, and the questions about its leaves.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) root: Authority,
    pub(crate) issuing: Authority,
    pub(crate) leaves: Vec<Vec<u8>>,
    questions: Vec<Question>,
    view: Arc<View>,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = Authority::root_with("Example Root", Key::p256("root"), |forge| forge);
        let issuing = root.intermediate_with("Example Issuing CA", Key::p256("issuing"), |forge| {
            forge.path_length(0)
        });
        let leaves: Vec<Vec<u8>> = (0..LEAVES)
            .map(|number| {
                let key = Key::p256(&format!("leaf {number}"));
                issuing.issue(CertificateForge::server_with(HOST, &key))
            })
            .collect();
        let questions = leaves
            .iter()
            .map(|leaf| question(vec![leaf.clone(), issuing.certificate.clone()]))
            .collect();
        let view = Arc::new(view(&root.certificate));
        Self {
            root,
            issuing,
            leaves,
            questions,
            view,
        }
    }

    /// Decides on one leaf after another.
    fn decisions<V: Verifier>(&self, verifier: V) -> impl FnMut() -> Verdict + use<V> {
        let Self {
            questions, view, ..
        } = self.clone();
        let mut next = turns();
        move || {
            let question = &questions[next() % LEAVES];
            let verdict = decide(question, &view, &verifier, &mut Budget::default());
            assert!(matches!(verdict, Verdict::Accept(_)), "{verdict:?}");
            verdict
        }
    }
}

/// What nothing can go below: two signatures.
pub(crate) fn cold() -> Row {
    let world = World::new();
    let root = [world.root.certificate.clone()];
    Row::new(
        "X.509 leaf and intermediate, cold: read, search, check, Web PKI profile, DNS name",
        2,
        Some(0.85),
    )
    .with("* aws-lc-rs: one P-256 verification", raw())
    .with("avouch", world.decisions(AwsLc))
    .with(
        "avouch, all but the signatures",
        world.decisions(TakenAsGiven),
    )
    .with("rustls-webpki", webpki(&world, &root, true))
}

/// Shows what a decision costs besides its signatures.
struct TakenAsGiven;

impl Verifier for TakenAsGiven {
    fn verify(
        &self,
        _: &PublicKey,
        _: avouch_core::crypto::Scheme,
        _: &[u8],
        _: &[u8],
    ) -> Result<(), NotSigned> {
        Ok(())
    }
}

/// What nothing can go below once the issuer is known: one signature.
pub(crate) fn issuer_seen() -> Row {
    let world = World::new();
    let issuing = [world.issuing.certificate.clone()];
    Row::new(
        "X.509 leaf and intermediate, the issuer seen before",
        1,
        Some(0.85),
    )
    .with("* aws-lc-rs: one P-256 verification", raw())
    .with("avouch", world.decisions(Remembering::new(AwsLc, SEEN)))
    .with(
        "rustls-webpki, the intermediate made an anchor",
        webpki(&world, &issuing, false),
    )
}

/// The very same questions again: what is presented is hashed, and all else compared.
pub(crate) fn again() -> Row {
    let world = World::new();
    let cache = Cache::new(AwsLc, 4 * LEAVES);
    let World {
        questions, view, ..
    } = world.clone();
    let mut next = turns();
    let hashed: Vec<Vec<u8>> = world
        .leaves
        .iter()
        .map(|leaf| [leaf.as_slice(), &world.issuing.certificate].concat())
        .collect();
    let mut next_hashed = turns();
    Row::new(
        "X.509 leaf and intermediate, the very same again: at least 500,000/s",
        1,
        None,
    )
    .with("* aws-lc-rs: SHA-256 of both certificates", move || {
        digest::digest(&digest::SHA256, &hashed[next_hashed() % LEAVES])
    })
    .with("avouch, through its cache", move || {
        let question = &questions[next() % LEAVES];
        let decision = cache.decide(question, &view, &mut Budget::default());
        assert!(matches!(decision.verdict(), Verdict::Accept(_)));
        decision
    })
}

/// One verification after another, of signatures by one key over messages of the usual length.
fn raw() -> impl FnMut() {
    let key = Key::p256("issuing");
    let signed: Vec<(Vec<u8>, Vec<u8>)> = (0..LEAVES)
        .map(|number| {
            let message = vec![number as u8; 400];
            let signature = key.sign(Scheme::EcdsaSha256, &message);
            (message, signature)
        })
        .collect();
    let public = key.public().to_vec();
    let mut next = turns();
    move || {
        let (message, signature) = &signed[next() % LEAVES];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &public)
            .verify(message, signature)
            .expect("the signature holds");
    }
}

/// The same question put to rustls-webpki.
fn webpki(world: &World, anchors: &[Vec<u8>], with_chain: bool) -> impl FnMut() + use<> {
    let anchors: Vec<_> = anchors
        .iter()
        .map(|der| {
            let der = CertificateDer::from(der.clone());
            anchor_from_trusted_cert(&der)
                .expect("it can be an anchor")
                .to_owned()
        })
        .collect();
    let chain = if with_chain {
        vec![CertificateDer::from(world.issuing.certificate.clone())]
    } else {
        Vec::new()
    };
    let leaves: Vec<_> = world
        .leaves
        .iter()
        .map(|der| CertificateDer::from(der.clone()))
        .collect();
    let host = ServerName::try_from(HOST).expect("a host name");
    let seconds = u64::try_from(now().unix()).expect("after 1970");
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let mut next = turns();
    move || {
        let leaf = EndEntityCert::try_from(&leaves[next() % LEAVES]).expect("it can be read");
        leaf.verify_for_usage(
            &[&P256],
            &anchors,
            &chain,
            time,
            KeyUsage::server_auth(),
            None,
            None,
        )
        .expect("the path holds");
        leaf.verify_is_valid_for_subject_name(&host)
            .expect("the name fits");
    }
}

/// ECDSA on P-256 for rustls-webpki, by the same library as everyone's.
#[derive(Debug)]
struct P256;

impl SignatureVerificationAlgorithm for P256 {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }

    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_key)
            .verify(message, signature)
            .map_err(|_| InvalidSignature)
    }
}

/// 0, 1, 2 and so on.
pub(crate) fn turns() -> impl FnMut() -> usize {
    let mut turn = 0;
    move || {
        turn += 1;
        turn - 1
    }
}

pub(crate) fn now() -> Time {
    Time::parse(avouch_testkit::NOW).expect("a time")
}

fn question(chain: Vec<Vec<u8>>) -> Question {
    Question {
        tenant: TenantId::local(),
        credential: Credential::X509(chain),
        profile: Profile::WebPki,
        purpose: Purpose::Server,
        now: now(),
        context: Context {
            expected: vec![ExpectedName::Dns(HOST.to_owned())],
            ..Context::default()
        },
    }
}

fn view(root: &[u8]) -> View {
    let certificate = Certificate::parse(root).expect("it can be read");
    let anchor = Anchor {
        name: "Example Root".to_owned(),
        kind: AnchorKind::Certificate(Arc::new(certificate)),
        stewardship: Stewardship::default(),
        constraints: Constraints::default(),
        tenant: TenantId::local(),
        source: None,
    };
    View::new(
        TenantId::local(),
        vec![anchor],
        Vec::new(),
        Vec::new(),
        Digest::of(root),
    )
}
