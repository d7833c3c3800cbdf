//! An endpoint on a socket of its own, and who says what its workloads may hold.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime};

use avouch_agent::{
    Endpoint, Entitled, Entitlement, Fault, Hint, Identities, JwtBundle, JwtSvid, Kubelet, Limits,
    NearMiss, NotIssued, Pending, PrivateKey, Selector, Tenants, Token, ValidJwt, X509Svid,
};
use avouch_api::grpc::WORKLOAD_HEADER;
use avouch_api::grpc::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use avouch_api::{Asked, TrustDocument};
use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain};
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_testkit::certificate::CertificateForge;
use avouch_testkit::crl::CrlForge;
use avouch_testkit::key::Key;
use avouch_testkit::question::QuestionForge;
use avouch_testkit::world::Authority;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};
use zeroize::Zeroizing;

pub(crate) const OWN: &str = "demo.avouch.test";
pub(crate) const FOREIGN: &str = "partner.avouch.test";
pub(crate) const WEB: &str = "spiffe://demo.avouch.test/web";
pub(crate) const DATABASE: &str = "spiffe://demo.avouch.test/database";

/// Clients of other people read the clock of the machine, so what they are given must be valid
/// whenever the tests run.
pub(crate) const FROM: &str = "2024-01-01T00:00:00Z";
pub(crate) const UNTIL: &str = "2049-01-01T00:00:00Z";
/// No answer takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) type Client = SpiffeWorkloadApiClient<InterceptedService<Channel, Header>>;

/// An agent that runs, and everything around it.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) socket: PathBuf,
    pub(crate) address: String,
    pub(crate) office: Arc<Office>,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), Fault>>,
}

impl World {
    /// An agent whose workloads of the user who runs the tests are [`WEB`].
    pub(crate) async fn start() -> Self {
        Self::start_with(Ok(web())).await
    }

    /// An agent whose workloads of the user who runs the tests hold this.
    pub(crate) async fn start_with(entitlement: Entitlement) -> Self {
        Self::start_on_a_node(entitlement, None).await
    }

    /// The same, on a node with this kubelet.
    pub(crate) async fn start_on_a_node(
        entitlement: Entitlement,
        kubelet: Option<Arc<Kubelet>>,
    ) -> Self {
        Self::start_within(entitlement, kubelet, Limits::default()).await
    }

    /// The same, within these limits.
    pub(crate) async fn start_within(
        entitlement: Entitlement,
        kubelet: Option<Arc<Kubelet>>,
        limits: Limits,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Other users must be able to reach the socket.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let socket = folder.path().join("agent.sock");
        let office = Arc::new(Office::new(entitlement));
        let endpoint = Endpoint::bind(&socket, limits).unwrap();
        let endpoint = endpoint.with_kubelet(kubelet);
        let address = endpoint.address();
        let (stop, stopped) = oneshot::channel();
        let identities: Arc<dyn Identities> = office.clone();
        let served = tokio::spawn(endpoint.serve(identities, async {
            stopped.await.ok();
        }));
        Self {
            folder,
            socket,
            address,
            office,
            stop: Some(stop),
            served,
        }
    }

    /// A client that sends the header.
    pub(crate) async fn client(&self) -> Client {
        client(&self.address, &[("workload.spiffe.io", "true")]).await
    }

    /// A client that sends this metadata.
    pub(crate) async fn client_with(&self, metadata: &[(&'static str, &'static str)]) -> Client {
        client(&self.address, metadata).await
    }

    /// Stops the agent and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<(), Fault> {
        self.stop.take().unwrap().send(()).unwrap();
        tokio::time::timeout(PATIENCE, self.served)
            .await
            .expect("an agent stops, whatever streams are open")
            .unwrap()
    }
}

/// A raw client on a socket.
pub(crate) async fn client(address: &str, metadata: &[(&'static str, &'static str)]) -> Client {
    let channel = channel(address).await;
    SpiffeWorkloadApiClient::with_interceptor(channel, Header(metadata.to_vec()))
}

pub(crate) async fn channel(address: &str) -> Channel {
    let endpoint = tonic::transport::Endpoint::from_shared(address.to_owned()).unwrap();
    endpoint.connect().await.unwrap()
}

/// Adds metadata to each request.
#[derive(Clone)]
pub(crate) struct Header(pub(crate) Vec<(&'static str, &'static str)>);

impl Interceptor for Header {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        for (name, value) in &self.0 {
            let value = MetadataValue::from_static(value);
            request.metadata_mut().append(*name, value);
        }
        Ok(request)
    }
}

pub(crate) const HEADER: (&str, &str) = (WORKLOAD_HEADER, "true");

/// Whoever knows what the workloads may hold: what the test says.
pub(crate) struct Office {
    /// For workloads of the user who runs the tests.
    state: watch::Sender<Arc<Entitlement>>,
    /// For workloads about which nothing is known but one fact.
    others: Mutex<BTreeMap<Selector, watch::Sender<Arc<Entitlement>>>>,
    seen: Mutex<Vec<Selector>>,
}

impl Office {
    fn new(entitlement: Entitlement) -> Self {
        Self {
            state: watch::Sender::new(Arc::new(entitlement)),
            others: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// From now on the workloads hold this.
    pub(crate) fn change(&self, entitlement: Entitlement) {
        self.state.send_replace(Arc::new(entitlement));
    }

    /// From now on a workload about which only this is known holds this.
    pub(crate) fn register(&self, selector: Selector, entitlement: Entitlement) {
        let mut others = self.others.lock().unwrap();
        let sender = others.entry(selector).or_insert_with(|| {
            let nothing = NotIssued::nearest([]);
            watch::Sender::new(Arc::new(Err(nothing)))
        });
        sender.send_replace(Arc::new(entitlement));
    }

    /// How many streams wait for a change.
    pub(crate) fn streams(&self) -> usize {
        self.state.receiver_count()
    }

    /// The facts of the last workload that called.
    pub(crate) fn seen(&self) -> Vec<Selector> {
        self.seen.lock().unwrap().clone()
    }

    fn state(
        &self,
        selectors: &[Selector],
    ) -> Result<watch::Receiver<Arc<Entitlement>>, NotIssued> {
        *self.seen.lock().unwrap() = selectors.to_vec();
        if let [only] = selectors
            && let Some(state) = self.others.lock().unwrap().get(only)
        {
            return Ok(state.subscribe());
        }
        let others = self.others.lock().unwrap();
        let of_pod = others.iter().find(|(selector, _)| {
            matches!(selector, Selector::Pod(..)) && selectors.contains(selector)
        });
        if let Some((_, state)) = of_pod {
            return Ok(state.subscribe());
        }
        let wanted = [Selector::UnixUid(nix::unistd::geteuid().as_raw())];
        match NearMiss::between("web", &id(WEB), &wanted, selectors) {
            None => Ok(self.state.subscribe()),
            Some(miss) => Err(NotIssued::nearest([miss])),
        }
    }
}

impl Identities for Office {
    fn subscribe<'a>(
        &'a self,
        selectors: &'a [Selector],
    ) -> Pending<'a, watch::Receiver<Arc<Entitlement>>> {
        let subscribed = self
            .state(selectors)
            .unwrap_or_else(|why| watch::Sender::new(Arc::new(Err(why))).subscribe());
        Box::pin(async { subscribed })
    }

    fn jwt_svids<'a>(
        &'a self,
        selectors: &'a [Selector],
        audiences: &'a [String],
        wanted: Option<&'a SpiffeId>,
    ) -> Pending<'a, Result<Vec<JwtSvid>, NotIssued>> {
        Box::pin(async move {
            let state = self.state(selectors)?.borrow().clone();
            let entitled = state.as_ref().as_ref().map_err(Clone::clone)?;
            let svids = entitled.x509_svids().iter();
            let svids: Vec<&X509Svid> = svids
                .filter(|svid| wanted.is_none_or(|wanted| svid.spiffe_id == *wanted))
                .collect();
            if let (true, Some(wanted)) = (svids.is_empty(), wanted) {
                let entitled = entitled.x509_svids().iter();
                return Err(NotIssued::OtherIdentity {
                    wanted: wanted.clone(),
                    entitled: entitled.map(|svid| svid.spiffe_id.clone()).collect(),
                });
            }
            let made = svids.into_iter().map(|svid| JwtSvid {
                tenant: TenantId::local(),
                spiffe_id: svid.spiffe_id.clone(),
                token: Token::new(jwt(OWN, svid.spiffe_id.as_str(), audiences, now())),
                hint: svid.hint.clone(),
            });
            Ok(made.collect())
        })
    }

    fn validate_jwt<'a>(
        &'a self,
        _: &'a [Selector],
        audience: &'a str,
        token: &'a Token,
    ) -> Pending<'a, Result<ValidJwt, Box<Reason>>> {
        Box::pin(std::future::ready(believe(audience, token.expose())))
    }
}

/// What the core says of a token, by the bundles of both trust domains.
fn believe(audience: &str, token: &str) -> Result<ValidJwt, Box<Reason>> {
    let anchor = |name: &str| json!({"trust_domain": name, "bundle": spiffe_bundle(name)});
    let asked = QuestionForge::jwt(token)
        .profile("spiffe")
        .at(&now().to_string())
        .audience(&[audience])
        .anchor_json(anchor(OWN))
        .anchor_json(anchor(FOREIGN))
        .to_json()
        .to_string();
    let asked = Asked::read(&asked).map_err(|unreadable| Box::new(unreadable.reason))?;
    let mut budget = asked.budget();
    let tenant = TenantId::local();
    let trust = TrustDocument::read_json(asked.trust().unwrap(), &tenant, "bundles").unwrap();
    let view = TrustDocument::view(tenant, vec![trust]);
    let question = asked.into_question(TenantId::local(), now());
    let name = match decide(&question, &view, &AwsLc, &mut budget) {
        Verdict::Accept(sealed) => sealed.preview().name().to_owned(),
        Verdict::Reject(refusal) => return Err(Box::new(refusal.reason().clone())),
        Verdict::Undetermined(needs) => panic!("nothing is missing: {needs:?}"),
    };
    let payload = token.split('.').nth(1).unwrap();
    let payload = Base64UrlUnpadded::decode_vec(payload).unwrap();
    Ok(ValidJwt {
        spiffe_id: id(&name),
        claims: serde_json::from_slice(&payload).unwrap(),
    })
}

/// [`WEB`] alone, with the bundles of its own trust domain and of a foreign one.
pub(crate) fn web() -> Entitled {
    entitled(vec![svid(WEB, None)])
}

pub(crate) fn entitled(svids: Vec<X509Svid>) -> Entitled {
    Entitled::new(svids, x509_bundles(), crls(), jwt_bundles(), Tenants::new()).unwrap()
}

/// The same of a workload of this name whose foreign trust domain has withdrawn all its roots.
pub(crate) fn entitled_without_foreign_roots(spiffe_id: &str) -> Entitled {
    let mut bundles = x509_bundles();
    bundles.insert(trust_domain(FOREIGN), Vec::new());
    Entitled::new(
        vec![svid(spiffe_id, None)],
        bundles,
        crls(),
        jwt_bundles(),
        Tenants::new(),
    )
    .unwrap()
}

/// [`WEB`] that federates with one more trust domain, whose bundle has nothing that a library can use,
/// and things that keep it from using the rest.
pub(crate) fn web_beside_a_hostile_partner() -> Entitled {
    let hostile = trust_domain("hostile.avouch.test");
    let document = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "use": "jwt-svid", "kid": "a", "x": "AA", "y": "AA"},
        {"kty": "AKP", "alg": "ML-DSA-44", "use": "jwt-svid", "kid": "b", "pub": "AA"},
    ]});
    let keys = JwtBundle::from_spiffe_bundle(&hostile, &document.to_string());
    let (mut x509, mut jwt) = (x509_bundles(), jwt_bundles());
    x509.insert(hostile.clone(), Vec::new());
    jwt.insert(hostile, keys.unwrap());
    let svids = vec![svid(WEB, None)];
    Entitled::new(svids, x509, crls(), jwt, Tenants::new()).unwrap()
}

pub(crate) fn crls() -> BTreeMap<TrustDomain, Vec<Vec<u8>>> {
    BTreeMap::from([(trust_domain(OWN), vec![crl()])])
}

pub(crate) fn x509_bundles() -> BTreeMap<TrustDomain, Vec<Vec<u8>>> {
    let bundle = |name| (trust_domain(name), vec![root(name).certificate]);
    BTreeMap::from([bundle(OWN), bundle(FOREIGN)])
}

pub(crate) fn jwt_bundles() -> BTreeMap<TrustDomain, JwtBundle> {
    let bundle = |name| {
        let trust_domain = trust_domain(name);
        let text = spiffe_bundle(name).to_string();
        let bundle = JwtBundle::from_spiffe_bundle(&trust_domain, &text);
        (trust_domain, bundle.unwrap())
    };
    BTreeMap::from([bundle(OWN), bundle(FOREIGN)])
}

/// An X.509-SVID below an intermediate of its trust domain.
pub(crate) fn svid(spiffe_id: &str, hint: Option<&str>) -> X509Svid {
    svid_with_key(spiffe_id, hint, spiffe_id)
}

/// An X.509-SVID with a key of this name.
pub(crate) fn svid_with_key(spiffe_id: &str, hint: Option<&str>, key: &str) -> X509Svid {
    let spiffe_id = id(spiffe_id);
    let issuing = root(spiffe_id.trust_domain().as_str()).intermediate_with(
        "Issuing",
        Key::p256(&format!("issuing of {}", spiffe_id.trust_domain())),
        |forge| forge.valid(FROM, UNTIL),
    );
    let key = Key::p256(key);
    let forge = CertificateForge::svid(spiffe_id.as_str(), &key).valid(FROM, UNTIL);
    X509Svid {
        certificate: issuing.issue(forge),
        intermediates: vec![issuing.certificate],
        private_key: private_key(&key),
        hint: hint.and_then(Hint::parse),
        spiffe_id,
    }
}

fn private_key(key: &Key) -> PrivateKey {
    PrivateKey::from_pkcs8(Zeroizing::new(pkcs8(key)))
}

/// The private key of [`svid`] as PKCS#8 DER.
pub(crate) fn pkcs8_of(spiffe_id: &str) -> Vec<u8> {
    pkcs8(&Key::p256(spiffe_id))
}

/// Whose X.509-SVID a chain is, by the bundles of both trust domains.
pub(crate) fn chain_is_of(chain: &[Vec<u8>]) -> Result<SpiffeId, Box<Reason>> {
    let anchors = [OWN, FOREIGN].map(|name| Anchor {
        name: name.to_owned(),
        kind: AnchorKind::TrustDomain(Bundle::read(name, &spiffe_bundle(name)).unwrap()),
        stewardship: Stewardship::default(),
        constraints: Constraints::default(),
        tenant: TenantId::local(),
        source: None,
    });
    let epoch = Digest::of(b"both");
    let view = View::new(
        TenantId::local(),
        anchors.to_vec(),
        Vec::new(),
        Vec::new(),
        epoch,
    );
    let question = Question {
        tenant: TenantId::local(),
        credential: Credential::X509(chain.to_vec()),
        profile: Profile::Spiffe,
        purpose: Purpose::Any,
        now: now(),
        context: Context::default(),
    };
    match decide(&question, &view, &AwsLc, &mut Budget::default()) {
        Verdict::Accept(sealed) => Ok(id(sealed.preview().name())),
        Verdict::Reject(refusal) => Err(Box::new(refusal.reason().clone())),
        Verdict::Undetermined(needs) => panic!("nothing is missing: {needs:?}"),
    }
}

/// A private key as PKCS#8 DER.
pub(crate) fn pkcs8(key: &Key) -> Vec<u8> {
    let pair = EcdsaKeyPair::from_private_key_and_public_key(
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        key.private(),
        key.public(),
    )
    .unwrap();
    pair.to_pkcs8v1().unwrap().as_ref().to_vec()
}

/// The root of a trust domain. It is signed once, as no two ECDSA signatures are alike.
pub(crate) fn root(name: &str) -> Authority {
    static ROOTS: LazyLock<[Authority; 2]> = LazyLock::new(|| {
        [OWN, FOREIGN].map(|name| {
            let key = Key::p256(&format!("root of {name}"));
            Authority::root_with(name, key, |forge| forge.valid(FROM, UNTIL))
        })
    });
    ROOTS[usize::from(name == FOREIGN)].clone()
}

/// A revocation list of the own root.
fn crl() -> Vec<u8> {
    static CRL: LazyLock<Vec<u8>> = LazyLock::new(|| root(OWN).crl(CrlForge::complete()));
    CRL.clone()
}

fn jwt_key(name: &str) -> Key {
    Key::p256(&format!("tokens of {name}"))
}

/// The keys of a trust domain for tokens, and its root.
pub(crate) fn spiffe_bundle(name: &str) -> Value {
    let key = jwt_key(name);
    let (x, y) = key.public()[1..].split_at(32);
    let number = |bytes| Base64UrlUnpadded::encode_string(bytes);
    let certificate = base64ct::Base64::encode_string(&root(name).certificate);
    let root_key = Key::p256(&format!("root of {name}"));
    let (root_x, root_y) = root_key.public()[1..].split_at(32);
    json!({"spiffe_sequence": 1, "keys": [
        {"kty": "EC", "crv": "P-256", "use": "jwt-svid", "kid": "one", "x": number(x), "y": number(y)},
        {"kty": "EC", "crv": "P-256", "use": "x509-svid", "x": number(root_x), "y": number(root_y),
         "x5c": [certificate]},
    ]})
}

/// A token of a trust domain that was issued at `at` for five minutes.
pub(crate) fn jwt(issuer: &str, subject: &str, audiences: &[String], at: Time) -> String {
    let part = |value: Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
    let header = part(json!({"alg": "ES256", "kid": "one", "typ": "JWT"}));
    let claims = part(json!({
        "sub": subject, "aud": audiences, "exp": at.plus(300).unix(), "iat": at.unix(), "jti": "a",
    }));
    let signed = format!("{header}.{claims}");
    let signature = jwt_key(issuer).sign_ecdsa_fixed(signed.as_bytes());
    format!("{signed}.{}", Base64UrlUnpadded::encode_string(&signature))
}

/// Clients of other people read the clock of the machine, so tokens must, too.
#[expect(
    clippy::disallowed_methods,
    reason = "clients of other people read the clock"
)]
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Time::from_unix(i64::try_from(since.unwrap().as_secs()).unwrap())
}

pub(crate) fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

pub(crate) fn trust_domain(name: &str) -> TrustDomain {
    TrustDomain::parse(name).unwrap()
}

/// Waits until `done` is true.
pub(crate) async fn eventually(what: &str, done: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}
