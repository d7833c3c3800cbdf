//! Hostile tokens 25, 48 and 56 at the token endpoint, by a clock that is set by hand: issuers that
//! are not believed any more, the seconds at which a token begins and ends, and chains of trust.

use avouch_testkit::chain::{self, ChainForge};
use avouch_testkit::issuer::IssuerServer;
use avouch_testkit::key::Key;
use avouch_testkit::token::{NOW_SECONDS, TokenForge, jwk, jwks};
use serde_json::{Value, json};

use super::{
    ACCESS_TOKEN, ID_TOKEN, JWT, OURSELVES, exchange_form, for_everyone, form, refusal, token,
};
use crate::http::Answer;
use crate::registry::{AUDIENCE, Registry, START, document, trusted, with};

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// Has the tenant `one` give something to the subjects of an anchor who are called `job-7`.
fn give(registry: &Registry, anchor: &str, more: &Value) {
    let domain = json!({"name": "one.test"});
    registry.call("POST", "/v1/tenants/one/trust-domains", Some(&domain));
    let mut rule = json!({
        "from": {"anchor": anchor, "facts": {"subject": "job-7"}},
        "gives": {"spiffe_id": "spiffe://one.test/job/7", "audiences": ["https://cloud.test"],
            "outlives": true},
        "subject_audiences": [AUDIENCE, "vault"],
        "bearer": {"reason": "no key at hand", "expires": "2100-01-01T00:00:00Z"},
        "owner": "o", "reason": "r",
    });
    for (name, value) in more.as_object().unwrap() {
        rule[name] = value.clone();
    }
    let put = registry.call("PUT", "/v1/tenants/one/rules/job", Some(&rule));
    assert!(put.is_put(), "{}", put.body);
}

/// A deployment that trusts an issuer whose keys it was given.
fn of_one_issuer() -> (Registry, Key) {
    let registry = Registry::new();
    let key = Key::p256("a");
    let anchor = json!({
        "issuer": "https://ci.test", "jwks": jwks(&[jwk(&key, "k")]),
        "rules": [{"name": "jobs", "facts": {"subject": ["job-7", "bot"]}}],
    });
    let put = registry.call("PUT", "/v1/tenants/one/anchors/ci", Some(&anchor));
    assert!(put.is_put(), "{}", put.body);
    give(&registry, "ci", &json!({}));
    (registry, key)
}

#[test]
fn hostile_48_a_token_begins_and_ends_to_the_second() {
    let (registry, key) = of_one_issuer();
    let said = |claims: &Value| {
        let mut all = json!({
            "iss": "https://ci.test", "sub": "job-7", "aud": AUDIENCE,
            "iat": START, "exp": START + 600,
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        let token = TokenForge::saying(all).sign(&key, "k");
        registry.exchange(&token)
    };
    for (good, bad, code) in [
        (
            json!({"exp": START + 1}),
            json!({"exp": START}),
            "federation.token_expired",
        ),
        (
            json!({"nbf": START + 60}),
            json!({"nbf": START + 61}),
            "federation.token_not_yet_valid",
        ),
        (
            json!({"iat": START + 60}),
            json!({"iat": START + 61}),
            "federation.issued_in_future",
        ),
        (
            json!({"exp": START + 86_400}),
            json!({"exp": START + 86_401}),
            "federation.lifetime_excessive",
        ),
        (
            json!({"jti": "near"}),
            json!({"exp": START + 100 * 366 * 86_400}),
            "federation.lifetime_excessive",
        ),
    ] {
        let refused = said(&bad);
        assert_eq!(
            refusal(&refused),
            ("invalid_request".into(), code.into()),
            "{bad}"
        );
        token(&said(&good));
    }
}

#[test]
fn hostile_48_the_clock_goes_on_while_a_token_waits() {
    let (mut registry, key) = of_one_issuer();
    let ending = |jti: &str| {
        TokenForge::saying(json!({
            "iss": "https://ci.test", "sub": "job-7", "aud": AUDIENCE,
            "iat": START, "exp": START + 600, "jti": jti,
        }))
        .sign(&key, "k")
    };
    registry.pass(599);
    token(&registry.exchange(&ending("in time")));
    registry.pass(1);
    let refused = registry.exchange(&ending("too late"));
    assert_eq!(refusal(&refused).1, "federation.token_expired");
}

#[test]
fn hostile_56_a_chain_of_trust_holds_at_every_statement() {
    let registry = Registry::at(NOW_SECONDS);
    let put = registry.call(
        "PUT",
        "/v1/tenants/one/anchors/federation",
        Some(&for_everyone(&chain::anchor(&json!({})))),
    );
    assert!(put.is_put(), "{}", put.body);
    give(&registry, "federation", &json!({}));
    let mut number = 0;
    let mut shown = |statements: &[String]| {
        number += 1;
        let token = TokenForge::oidc(chain::LEAF, "job-7", "vault")
            .claim("jti", json!(format!("{number}")))
            .header("trust_chain", json!(statements))
            .sign(&chain::key("token"), "token");
        registry.exchange(&token)
    };
    let good = ChainForge::default;
    let back = chain::sign(
        &chain::statement(chain::LEAF, chain::INTERMEDIATE, "intermediate"),
        "leaf",
        "leaf",
    );
    let at = |seconds: i64| json!({"exp": NOW_SECONDS + seconds});
    let policy = |operators: &Value| json!({"metadata_policy": {"openid_provider": {"scopes_supported": operators}}});
    let conflicting = good()
        .by_anchor(&policy(&json!({"value": ["openid"]})))
        .by_intermediate(&policy(&json!({"value": ["email"]})));
    let critical = json!({"crit": ["region"], "region": "eu"});
    let of_another = json!({"sub": "https://other.example.net"});
    let none_below = json!({"constraints": {"max_path_length": 0}});
    for (statements, code) in [
        (good().but_the_last(), "federation.chain_broken"),
        (good().and(back).but_the_last(), "federation.chain_loop"),
        (
            good().by_intermediate(&of_another).statements(),
            "federation.chain_broken",
        ),
        (
            good().last_signed_by("mallory", "anchor"),
            "federation.statement_signature_invalid",
        ),
        (
            good().last_signed_by("mallory", "mallory"),
            "federation.key_unknown",
        ),
        (
            good().by_intermediate(&at(0)).statements(),
            "federation.statement_expired",
        ),
        (
            good().by_anchor(&none_below).statements(),
            "federation.chain_path_length",
        ),
        (
            conflicting.statements(),
            "federation.metadata_policy_conflict",
        ),
        (
            good().by_anchor(&critical).statements(),
            "federation.statement_critical",
        ),
    ] {
        let refused = shown(&statements);
        assert_eq!(refusal(&refused), ("invalid_request".into(), code.into()));
    }
    for statements in [
        good().statements(),
        good().by_intermediate(&at(1)).statements(),
        good().by_intermediate(&none_below).statements(),
        good().by_anchor(&json!({"region": "eu"})).statements(),
    ] {
        token(&shown(&statements));
    }
}

/// Every way in which the word of an issuer counts.
struct Ways {
    registry: Registry,
    issuer: IssuerServer,
    key: Key,
    number: std::cell::Cell<u32>,
}

impl Ways {
    fn new() -> Self {
        let registry = Registry::new();
        let (issuer, key) = trusted(&registry);
        let for_both = json!({"audiences": [AUDIENCE, OURSELVES]});
        let put = registry.put("ci", &with(document(&issuer), for_both));
        assert_eq!(put.json()["state"], "ok", "{}", put.body);
        let actors = json!([{"anchor": "ci", "facts": {"subject": "bot"}}]);
        give(&registry, "ci", &json!({ "actors": actors }));
        let stream = json!({"issuer": issuer.issuer(), "audience": "here"});
        let put = registry.call("PUT", "/v1/tenants/one/signals/ci", Some(&stream));
        assert!(put.is_put(), "{}", put.body);
        // Someone else, for whom one of the issuer may act.
        let people = json!({
            "issuer": "https://people.test", "jwks": jwks(&[jwk(&Key::p256("people"), "p")]),
            "rules": [{"name": "anna", "facts": {"subject": "anna"}}],
        });
        let put = registry.call("PUT", "/v1/tenants/one/anchors/people", Some(&people));
        assert!(put.is_put(), "{}", put.body);
        let rule = json!({
            "from": {"anchor": "people", "facts": {"subject": "anna"}},
            "actors": actors,
            "gives": {
                "spiffe_id": "spiffe://one.test/anna", "audiences": ["https://cloud.test"],
                "kinds": ["access-token"],
            },
            "bearer": {"reason": "a test", "expires": "2100-01-01T00:00:00Z"},
            "owner": "o", "reason": "r",
        });
        let put = registry.call("PUT", "/v1/tenants/one/rules/anna", Some(&rule));
        assert!(put.is_put(), "{}", put.body);
        Self {
            registry,
            issuer,
            key,
            number: std::cell::Cell::new(0),
        }
    }

    fn number(&self) -> String {
        self.number.set(self.number.get() + 1);
        self.number.get().to_string()
    }

    fn token(&self, subject: &str, audience: &str) -> String {
        let claims = json!({"sub": subject, "aud": audience, "jti": self.number()});
        self.issuer
            .token(self.registry.now(), &claims)
            .sign(&self.key, "k-a")
    }

    /// What is answered by each grant path: as subject, as grant, as actor.
    fn answers(&self) -> [Answer; 3] {
        let send = |form: &str| self.registry.exchange_form(form);
        let bearer = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let job = self.token("job-7", AUDIENCE);
        let grant = form(&[("grant_type", bearer), ("assertion", &job)]);
        let now = self.registry.now();
        let anna = TokenForge::saying(json!({
            "iss": "https://people.test", "sub": "anna", "aud": OURSELVES, "jti": self.number(),
            "iat": now, "exp": now + 300,
        }))
        .sign(&Key::p256("people"), "p");
        let bot = self.token("bot", OURSELVES);
        let acting = [("actor_token", bot.as_str()), ("actor_token_type", JWT)];
        [
            send(&exchange_form(&self.token("job-7", AUDIENCE), &[])),
            send(&grant),
            send(&exchange_form(&anna, &acting)),
        ]
    }

    /// What is answered to an event of it.
    fn event(&self) -> Answer {
        let now = self.registry.now();
        let event = TokenForge::saying(json!({
            "iss": self.issuer.issuer(), "aud": "here", "iat": now, "jti": self.number(),
            "sub_id": {"format": "opaque", "id": "nobody"}, "events": { REVOKED: {} },
        }))
        .header("typ", json!("secevent+jwt"));
        self.registry
            .post_event("one", &event.sign(&self.key, "k-a"))
    }

    fn are_refused(&self, code: &str) {
        let errors = ["invalid_request", "invalid_grant", "invalid_request"];
        for (answer, error) in self.answers().iter().zip(errors) {
            assert_eq!(refusal(answer), (error.to_owned(), code.to_owned()));
        }
    }

    fn are_open(&self) {
        for answer in &self.answers() {
            token(answer);
        }
        let taken = self.event();
        assert_eq!(taken.status, 202, "{}", taken.body);
    }
}

#[test]
fn hostile_25_an_issuer_that_was_disabled_is_believed_by_no_grant_and_ends_nothing() {
    let ways = Ways::new();
    ways.are_open();
    let cause = json!({"reason": "its signing key may be stolen"});
    let path = "/v1/tenants/one/issuers/ci/quarantine";
    let put = ways.registry.call("POST", path, Some(&cause));
    assert!(put.is_put(), "{}", put.body);
    ways.are_refused("federation.issuer_quarantined");
    let refused = ways.event();
    assert_ne!(refused.status, 202, "{}", refused.body);
    ways.registry.release("ci");
    ways.are_open();
    let gone = ways
        .registry
        .call("DELETE", "/v1/tenants/one/issuers/ci", None);
    assert_eq!(gone.status, 204, "{}", gone.body);
    ways.are_refused("federation.issuer_unknown");
    let refused = ways.event();
    assert_ne!(refused.status, 202, "{}", refused.body);
    // Where nothing else was in the way, a name for another kind of token changes nothing.
    for of_type in [ID_TOKEN, ACCESS_TOKEN] {
        let form = exchange_form(
            &ways.token("job-7", AUDIENCE),
            &[("subject_token_type", of_type)],
        );
        assert_eq!(ways.registry.exchange_form(&form).status, 400, "{of_type}");
    }
}

/// The same of an issuer by its keys and of one by its federation.
#[test]
fn hostile_18_what_descends_from_an_issuer_ends_with_its_trust_without_a_pin() {
    for anchor in ["ci", "federation"] {
        let mut registry = Registry::at(NOW_SECONDS);
        let end = avouch_core::time::Time::from_unix(NOW_SECONDS + 30).to_string();
        let unpinned = json!({"unpinned": {"reason": "a test", "expires": end}});
        let trusted = match anchor {
            "ci" => json!({
                "issuer": "https://ci.test", "jwks": jwks(&[jwk(&Key::p256("a"), "k")]),
            }),
            _ => chain::anchor(&json!({})),
        };
        let path = format!("/v1/tenants/one/anchors/{anchor}");
        let put = registry.call("PUT", &path, Some(&with(trusted, unpinned)));
        assert!(put.is_put(), "{}", put.body);
        let first = json!({"spiffe_id": "spiffe://one.test/job/7", "audiences": [OURSELVES],
            "outlives": true});
        give(&registry, anchor, &json!({ "gives": first }));
        let last = json!({
            "from": {"trust_domain": "one.test", "facts": {"spiffe.path": "/job/7"}},
            "gives": {"spiffe_id": "spiffe://one.test/last", "audiences": ["https://cloud.test"]},
            "bearer": {"reason": "no key at hand", "expires": "2100-01-01T00:00:00Z"},
            "owner": "o", "reason": "r",
        });
        let put = registry.call("PUT", "/v1/tenants/one/rules/last", Some(&last));
        assert!(put.is_put(), "{}", put.body);
        let shown = |number: &str| match anchor {
            "ci" => TokenForge::saying(json!({
                "iss": "https://ci.test", "sub": "job-7", "aud": AUDIENCE, "jti": number,
                "iat": NOW_SECONDS, "exp": NOW_SECONDS + 600,
            }))
            .sign(&Key::p256("a"), "k"),
            _ => TokenForge::oidc(chain::LEAF, "job-7", "vault")
                .claim("jti", json!(number))
                .header("trust_chain", json!(ChainForge::default().statements()))
                .sign(&chain::key("token"), "token"),
        };
        let [one, two] = ["1", "2"].map(|number| token(&registry.exchange(&shown(number))));
        registry.pass(29);
        token(&registry.exchange(&one));
        registry.pass(1);
        let refused = refusal(&registry.exchange(&two));
        assert_eq!(refused.1, "issue.lineage_broken", "{anchor}");
    }
}

/// Though what a tenant gives is read anew each minute only.
#[test]
fn a_rule_that_rests_on_unpinned_ends_with_it_to_the_second() {
    let mut registry = Registry::new();
    let (issuer, key) = trusted(&registry);
    let until = |seconds: i64| {
        let end = avouch_core::time::Time::from_unix(START + seconds).to_string();
        json!({"reason": "until the names are known", "expires": end})
    };
    // The second needs it for nothing, and goes on without.
    let everyone = json!({"from": {"anchor": "ci"}, "unpinned": until(30)});
    give(&registry, "ci", &everyone);
    let asked = |registry: &Registry| {
        let claims = json!({"sub": "job-7", "aud": AUDIENCE});
        let shown = issuer.token(registry.now(), &claims).sign(&key, "k-a");
        registry.exchange_form(&exchange_form(&shown, &[]))
    };
    registry.pass(29);
    assert_eq!(asked(&registry).status, 200);
    registry.pass(1);
    let refused = refusal(&asked(&registry));
    assert_eq!(refused.1, "issue.exchange_not_admitted");
    give(&registry, "ci", &json!({"unpinned": until(32)}));
    registry.pass(2);
    assert_eq!(asked(&registry).status, 200);
}
