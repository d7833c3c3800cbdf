//! Tokens for tokens over HTTP: ES256 in and ES256 out, each used once and on record before anything
//! is signed. Beside it, what verifying alone takes: by the core, by `jsonwebtoken`, and by
//! `benches/oidc` (`go-oidc`), which says how to run it.

use std::path::Path;
use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind, Constraints, Stewardship};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{Digest, TenantId};
use avouch_core::model::federation::IssuerAnchor;
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use avouch_server::tls::Shown;
use avouch_server::{Plane, http};
use avouch_testkit::key::Key;
use avouch_testkit::token::{TokenForge, jwk, jwks};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::deployment::{self, TENANT};
use crate::exchanger::{Exchanger, send};
use crate::measure::{ROUNDS, is_wanted, least_microseconds};
use crate::signatures::{Signatures, row};

/// Whose tokens are exchanged, whom what is given is for, and whom they must be for themselves.
pub(crate) const ISSUER: &str = "https://issuer.example.com";
pub(crate) const AUDIENCE: &str = "https://cloud.example.com";
pub(crate) const OURSELVES: &str = "http://127.0.0.1:8080/t/bench";

/// What is asked for.
struct Row {
    name: &'static str,
    order: &'static str,
    /// How many in all, over as many connections as [`AT_ONCE`].
    count: usize,
    /// How many signatures are checked for each.
    checked: u32,
    /// How many are wanted per second of the processor.
    aim: Option<f64>,
}

const AT_ONCE: usize = 64;

const ROWS: [Row; 2] = [
    Row {
        name: "by bearers",
        order: "bearer",
        count: 19_200,
        checked: 2,
        aim: Some(5_000.0),
    },
    Row {
        name: "each with a DPoP proof",
        order: "dpop",
        count: 12_800,
        checked: 3,
        aim: None,
    },
];

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let plane = deployment::open(folder.path());
    let runtime = Runtime::new().unwrap();
    let (address, _stop) = runtime.block_on(serve(&plane));
    trust(&plane, &address);
    println!(
        "ES256 for ES256 over HTTP, used once and on record in SQLite, {ROUNDS} rounds: median (least to most); processor time is that of the server process, in user and in kernel mode"
    );
    let mut exchanger = Exchanger::start(&address);
    for asked in ROWS.into_iter().filter(|row| is_wanted(row.name)) {
        let order = format!("{} {} {AT_ONCE}", asked.order, asked.count);
        exchanger.order(&order);
        let name = format!("{} ({AT_ONCE} at once)", asked.name);
        let signatures = Signatures {
            made: 1,
            checked: asked.checked,
        };
        row(&name, asked.count, signatures, asked.aim, || {
            exchanger.order(&order);
        });
    }
    peers();
}

/// Serves whoever has something to exchange, and tells where.
pub(crate) async fn serve(plane: &Arc<Plane>) -> (String, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(http::serve(
        listener,
        Shown::Nothing,
        Arc::clone(plane),
        stopping,
    ));
    (address, stop)
}

/// Trusts the issuer, and gives to whoever it calls a job.
pub(crate) fn trust(plane: &Plane, address: &str) {
    let token = plane.operator_token().unwrap().token;
    let put = |path: &str, document: &Value| {
        let status = send(address, "PUT", path, &token, &document.to_string());
        assert_eq!(status, 200, "{path}");
    };
    let issuer = json!({
        "issuer": ISSUER, "jwks": jwks(&[jwk(&Key::p256("issuer"), "key-1")]),
        "rules": [{"name": "ours", "facts": {"claims.environment": "production"}}],
        "owner": "the platform team",
    });
    put(&format!("/v1/tenants/{TENANT}/issuers/ci"), &issuer);
    let rule = json!({
        "from": {"anchor": "ci", "facts": {"claims.environment": "production"}},
        "gives": {
            "spiffe_id": "spiffe://bench.avouch.test/jobs/{subject}", "kinds": ["access-token"],
            "audiences": [AUDIENCE], "scopes": ["deploy"], "lifetime": 900,
            "outlives": true,
        },
        "bearer": {"reason": "measured", "expires": "2100-01-01T00:00:00Z"},
        "owner": "the platform team", "reason": "measured",
    });
    put(&format!("/v1/tenants/{TENANT}/rules/jobs"), &rule);
}

/// A token of the issuer, as those that are exchanged.
pub(crate) fn token(key: &Key, number: usize, now: i64) -> String {
    TokenForge::saying(json!({
        "iss": ISSUER, "sub": format!("job-{}", number % 1_000), "aud": OURSELVES, "iat": now,
        "nbf": now, "exp": now + 600, "jti": format!("{now}-{number:020}"),
        "environment": "production", "repository": "example/payments",
    }))
    .sign(key, "key-1")
}

/// The verifying half alone, in one thread.
fn peers() {
    const TOKENS: usize = 64;
    const NOW: i64 = 1_800_000_000;
    let key = Key::p256("issuer");
    let tokens: Vec<String> = (0..TOKENS).map(|number| token(&key, number, NOW)).collect();
    let mut next = (0..TOKENS).cycle();
    let view = view(&key);
    let ours = least_microseconds(|| {
        let question = Question {
            tenant: TenantId::local(),
            credential: Credential::Jwt(tokens[next.next().unwrap()].clone()),
            profile: Profile::Spiffe,
            purpose: Purpose::Client,
            now: Time::from_unix(NOW),
            context: Context {
                audiences: vec![OURSELVES.to_owned()],
                ..Context::default()
            },
        };
        let verdict = decide(&question, &view, &AwsLc, &mut Budget::default());
        assert!(matches!(verdict, Verdict::Accept(_)), "{verdict:?}");
    });
    let public = jwk(&key, "key-1");
    let text = |member: &str| public[member].as_str().unwrap().to_owned();
    let decoding = DecodingKey::from_ec_components(&text("x"), &text("y")).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[OURSELVES]);
    validation.set_issuer(&[ISSUER]);
    // It reads the clock itself, and the tokens are of another day.
    validation.validate_exp = false;
    let theirs = least_microseconds(|| {
        let token = &tokens[next.next().unwrap()];
        jsonwebtoken::decode::<Value>(token, &decoding, &validation).unwrap();
    });
    println!(
        "  the verifying half alone: avouch {ours:.1} us, jsonwebtoken {theirs:.1} us (the least of ten turns)"
    );
}

fn view(key: &Key) -> View {
    let members = json!({
        "issuer": ISSUER, "audiences": [OURSELVES], "jwks": jwks(&[jwk(key, "key-1")]),
    });
    let issuer = IssuerAnchor::read(members.as_object().unwrap()).unwrap();
    let anchor = Anchor {
        name: "ci".to_owned(),
        kind: AnchorKind::Issuer(issuer),
        stewardship: Stewardship::default(),
        constraints: Constraints::default(),
        tenant: TenantId::local(),
        source: None,
    };
    let epoch = Digest::of(members.to_string().as_bytes());
    let (lists, unusable) = (Vec::new(), Vec::new());
    View::new(TenantId::local(), vec![anchor], lists, unusable, epoch)
}

/// Writes tokens for `benches/oidc`, one a line after the key set of their issuer.
pub(crate) fn write_tokens(file: &Path) {
    let key = Key::p256("issuer");
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let mut lines = vec![jwks(&[jwk(&key, "key-1")]).to_string()];
    lines.extend((0..10_000).map(|number| token(&key, number, now)));
    std::fs::write(file, lines.join("\n")).unwrap();
}
