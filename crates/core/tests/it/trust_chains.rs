//! Trust chains of OpenID Federation: hostile input 56, each with what only looks like it.

use avouch_core::budget::Limits;
use avouch_core::verdict::Verdict;
use avouch_testkit::chain::{
    ANCHOR, AUDIENCE, ChainForge, INTERMEDIATE, LEAF, MARK, anchor, key, sign, statement, token,
    trust_mark,
};
use avouch_testkit::token::{NOW_SECONDS, TokenForge, jwk, jwks};
use serde_json::{Value, json};

use crate::token_ask::Ask;

fn ask(chain: &[String]) -> Ask {
    ask_under(chain, &json!({}))
}

fn ask_under(chain: &[String], more: &Value) -> Ask {
    let mut ask = Ask::jwt(token())
        .audiences(&[AUDIENCE])
        .trust(&anchor(more));
    ask.question.context.trust_chain = chain.to_vec();
    ask
}

fn good() -> ChainForge {
    ChainForge::default()
}

fn policy(parameter: &str, operators: &Value) -> Value {
    json!({"metadata_policy": {"openid_provider": {parameter: operators}}})
}

#[test]
fn a_chain_is_shown_down_to_its_anchor() {
    let identity = ask(&good().statements()).identity();
    assert_eq!(identity.name(), format!("{LEAF}#job-7"));
    let path: Vec<(&str, &str, &str)> = identity
        .path()
        .iter()
        .map(|vouch| (vouch.vouches_for(), vouch.by(), vouch.how().name()))
        .collect();
    assert_eq!(
        path,
        [
            ("job-7", LEAF, "jwt"),
            (LEAF, LEAF, "entity_statement"),
            (LEAF, INTERMEDIATE, "entity_statement"),
            (INTERMEDIATE, ANCHOR, "entity_statement"),
        ]
    );
    assert_eq!(identity.facts()["federation.entity"], LEAF);
    assert_eq!(identity.anchor().anchor.kind.name(), "openid_federation");
}

#[test]
fn statements_may_come_in_any_order_or_in_the_header_of_the_token() {
    let mut turned = good().statements();
    turned.reverse();
    ask(&turned).is_accepted();
    let chained = TokenForge::oidc(LEAF, "job-7", AUDIENCE)
        .header("trust_chain", json!(good().statements()))
        .sign(&key("token"), "token");
    Ask::jwt(chained).trust(&anchor(&json!({}))).is_accepted();
    // Without a chain nobody knows the issuer.
    Ask::jwt(token())
        .trust(&anchor(&json!({})))
        .is_refused("federation.chain_broken");
}

#[test]
fn hostile_56_a_chain_that_breaks_or_turns_back_leads_nowhere() {
    let broken = "federation.chain_broken";
    ask(&good().but_the_last()).is_refused(broken);
    ask(&good().statements()[1..]).is_refused(broken);
    // A statement about someone else, or by someone else.
    let other = json!({"sub": "https://other.example.net"});
    ask(&good().by_intermediate(&other).statements()).is_refused(broken);
    let other = json!({"iss": "https://other.example.org"});
    ask(&good().by_intermediate(&other).statements()).is_refused(broken);
    let back = sign(
        &statement(LEAF, INTERMEDIATE, "intermediate"),
        "leaf",
        "leaf",
    );
    ask(&good().and(back.clone()).but_the_last()).is_refused("federation.chain_loop");
    ask(&good().and(back).statements()).is_accepted();
    let long = vec![good().statements()[0].clone(); 17];
    ask(&long).is_refused("input.entity_statement_malformed");
}

#[test]
fn hostile_56_each_statement_is_signed_with_a_key_that_whoever_is_above_names() {
    let invalid = "federation.statement_signature_invalid";
    ask(&good().last_signed_by("mallory", "anchor")).is_refused(invalid);
    ask(&good().last_signed_by("mallory", "mallory")).is_refused("federation.key_unknown");
    // The superior says that the entity has another key.
    let other = json!({"jwks": jwks(&[jwk(&key("mallory"), "leaf")])});
    ask(&good().by_intermediate(&other).statements()).is_refused(invalid);
    let both = json!({"jwks": jwks(&[jwk(&key("mallory"), "mallory"), jwk(&key("leaf"), "leaf")])});
    ask(&good().by_intermediate(&both).statements()).is_accepted();
    // The token is signed with a key of the federation instead of one for tokens.
    let mut wrong = ask(&good().statements());
    let token = TokenForge::oidc(LEAF, "job-7", AUDIENCE).sign(&key("leaf"), "token");
    wrong.question.credential = avouch_core::credential::Credential::Jwt(token);
    wrong.is_refused("federation.signature_invalid");
}

#[test]
fn hostile_56_a_statement_in_the_middle_that_expired_ends_the_chain() {
    let at = |seconds: i64| json!({"exp": NOW_SECONDS + seconds});
    let expired = "federation.statement_expired";
    ask(&good().by_intermediate(&at(0)).statements()).is_refused(expired);
    ask(&good().by_intermediate(&at(1)).statements()).is_accepted();
    ask(&good().by_anchor(&at(0)).statements()).is_refused(expired);
    ask(&good().leaf(&at(0)).statements()).is_refused(expired);
    let future = json!({"iat": NOW_SECONDS + 61});
    ask(&good().by_anchor(&future).statements()).is_refused("federation.issued_in_future");
    let until = ask(&good().by_intermediate(&at(5)).statements())
        .identity()
        .valid_until();
    assert_eq!(until.unix(), NOW_SECONDS + 4);
}

#[test]
fn hostile_56_constraints_hold_for_all_below() {
    let constrained = |constraints: Value| {
        ask(&good()
            .by_anchor(&json!({ "constraints": constraints }))
            .statements())
    };
    let length = "federation.chain_path_length";
    constrained(json!({"max_path_length": 0})).is_refused(length);
    constrained(json!({"max_path_length": 1})).is_accepted();
    let none_below = json!({"constraints": {"max_path_length": 0}});
    ask(&good().by_intermediate(&none_below).statements()).is_accepted();
    let name = "federation.chain_name_excluded";
    let naming = |kind: &str, names: Value| json!({"naming_constraints": {kind: names}});
    constrained(naming("excluded", json!(["op.example.net"]))).is_refused(name);
    constrained(naming("excluded", json!([".example.net"]))).is_refused(name);
    constrained(naming(
        "excluded",
        json!(["example.net", "xop.example.net"]),
    ))
    .is_accepted();
    constrained(naming("permitted", json!(["edu.example.org"]))).is_refused(name);
    constrained(naming("permitted", json!([]))).is_refused(name);
    constrained(naming(
        "permitted",
        json!(["edu.example.org", "OP.example.net"]),
    ))
    .is_accepted();
    // What is in no domain is neither inside nor outside of one.
    let named = |entity: &str, constraints: &Value| {
        let keys = jwks(&[jwk(&key("token"), "token")]);
        let metadata = json!({"openid_provider": {"issuer": entity, "jwks": keys}});
        let leaf = json!({"iss": entity, "sub": entity, "metadata": metadata});
        let chain = good()
            .leaf(&leaf)
            .by_intermediate(&json!({"sub": entity}))
            .by_anchor(&json!({ "constraints": constraints }));
        let token = TokenForge::oidc(entity, "job-7", AUDIENCE).sign(&key("token"), "token");
        let mut ask = ask(&chain.statements());
        ask.question.credential = avouch_core::credential::Credential::Jwt(token);
        ask
    };
    let excluded = naming("excluded", json!([".example.net"]));
    for entity in ["https://203.0.113.5", "https://[2001:db8::1]", "https://op"] {
        named(entity, &excluded).is_refused(name);
        named(entity, &json!({})).is_accepted();
    }
    named("https://op.example.com:8443/a", &excluded).is_accepted();
    for spelling in ["https://op.example.net.", "https://op%2eexample.net"] {
        named(spelling, &excluded).is_refused("input.entity_statement_malformed");
    }
    let types = |names: Value| json!({ "allowed_entity_types": names });
    constrained(types(json!(["openid_relying_party"])))
        .is_refused("federation.entity_keys_missing");
    constrained(types(json!(["openid_provider"]))).is_accepted();
    for wrong in [
        json!({"max_path_length": -1}),
        json!({"naming_constraints": []}),
    ] {
        constrained(wrong).is_refused("input.entity_statement_malformed");
    }
}

#[test]
fn hostile_56_policies_that_conflict_or_are_not_met_refuse() {
    let conflict = "federation.metadata_policy_conflict";
    let of = |upper: Value, lower: Value| {
        let chain = good()
            .by_anchor(&policy("scopes_supported", &upper))
            .by_intermediate(&policy("scopes_supported", &lower));
        ask(&chain.statements())
    };
    of(json!({"value": ["openid"]}), json!({"value": ["email"]})).is_refused(conflict);
    of(json!({"value": ["openid"]}), json!({"value": ["openid"]})).is_accepted();
    of(json!({"subset_of": ["openid"]}), json!({"add": ["phone"]})).is_refused(conflict);
    of(
        json!({"subset_of": ["openid", "phone"]}),
        json!({"add": ["phone"]}),
    )
    .is_accepted();
    let violated = "federation.metadata_policy_violated";
    of(json!({"superset_of": ["phone"]}), json!({})).is_refused(violated);
    of(json!({"superset_of": ["openid"]}), json!({})).is_accepted();
    of(json!({"subset_of": ["phone"]}), json!({"essential": true})).is_refused(violated);
    // What is done with lists grows with their product, so they are no longer than they need be.
    let many = |count: usize| json!({"add": (0..count).collect::<Vec<_>>()});
    of(many(65), json!({})).is_refused(conflict);
    of(many(64), json!({})).is_accepted();
    // A policy that takes the keys away, and one that gives others.
    let no_keys = policy("jwks", &json!({"value": null}));
    ask(&good().by_anchor(&no_keys).statements()).is_refused("federation.entity_keys_missing");
    let metadata = |name: &str| {
        let keys = jwks(&[jwk(&key(name), "token")]);
        json!({"metadata": {"openid_provider": {"jwks": keys}}})
    };
    let other = good().by_intermediate(&metadata("mallory")).statements();
    ask(&other).is_refused("federation.signature_invalid");
    ask(&good().by_intermediate(&metadata("token")).statements()).is_accepted();
}

/// What a superior sets stands in the place of what the entity says itself (sections 5.2, 6.1.3.1.1).
#[test]
fn keys_that_a_superior_sets_sign_tokens_and_those_of_the_entity_do_not() {
    let keys = |name: &str| jwks(&[jwk(&key(name), name)]);
    let metadata = |name: &str| json!({"metadata": {"openid_provider": {"jwks": keys(name)}}});
    let of = |name: &str| good().leaf(&metadata(name));
    ask(&of("old").statements()).is_refused("federation.key_unknown");
    let set = [
        metadata("token"),
        policy("jwks", &json!({"value": keys("token")})),
    ];
    for said in &set {
        ask(&of("old").by_intermediate(said).statements()).is_accepted();
    }
    ask(&of("old").by_anchor(&set[1]).statements()).is_accepted();
    // What the anchor says of the intermediate itself is nothing of the entity's.
    ask(&of("old").by_anchor(&set[0]).statements()).is_refused("federation.key_unknown");
    // The entity's own are none any more.
    for said in [
        metadata("new"),
        policy("jwks", &json!({"value": keys("new")})),
    ] {
        let replaced = of("token").by_intermediate(&said).statements();
        ask(&replaced).is_refused("federation.key_unknown");
    }
}

#[test]
fn what_the_metadata_calls_the_issuer_is_what_its_tokens_do() {
    let of = |issuer: &str| good().by_anchor(&policy("issuer", &json!({"value": issuer})));
    ask(&of(LEAF).statements()).is_accepted();
    let other = of("https://evil.example.org").statements();
    ask(&other).is_refused("federation.metadata_policy_violated");
}

/// A superior bounds what an entity is by its type, so keys under another type are no way around.
#[test]
fn hostile_56_keys_under_another_type_escape_no_superior() {
    let missing = "federation.entity_keys_missing";
    let keys = json!({"jwks": jwks(&[jwk(&key("token"), "token")])});
    let published =
        |entity_type: &str| json!({"metadata": {entity_type: keys, "openid_provider": {}}});
    for entity_type in ["federation_entity", "openid_relying_party", "made_up"] {
        ask(&good().leaf(&published(entity_type)).statements()).is_refused(missing);
    }
    let server = "oauth_authorization_server";
    ask(&good().leaf(&published(server)).statements()).is_accepted();
    let allowed = json!({"constraints": {"allowed_entity_types": ["openid_provider"]}});
    for entity_type in [server, "federation_entity"] {
        let chain = good().leaf(&published(entity_type)).by_anchor(&allowed);
        ask(&chain.statements()).is_refused(missing);
    }
    // A policy for providers of identities holds for whoever calls itself something else, too.
    let policy = policy("jwks", &json!({"value": null}));
    let chain = good().leaf(&published(server)).by_anchor(&policy);
    ask(&chain.statements()).is_refused(missing);
    // Whoever is between gives no type back by speaking of it, and can take one away.
    let speaks_of = |name: &str| json!({"metadata_policy": {name: {}}});
    let widened = good()
        .leaf(&published(server))
        .by_anchor(&policy)
        .by_intermediate(&speaks_of(server));
    ask(&widened.statements()).is_refused(missing);
    let narrowed = good().leaf(&published(server));
    ask(&narrowed
        .clone()
        .by_intermediate(&speaks_of(server))
        .statements())
    .is_accepted();
    let narrowed = narrowed.by_intermediate(&speaks_of("openid_provider"));
    ask(&narrowed.statements()).is_refused(missing);
    // Speaking of what signs nothing changes nothing.
    let other = good().by_anchor(&speaks_of("openid_relying_party"));
    ask(&other.statements()).is_accepted();
    // An anchor that names a type means it.
    let chain = good().leaf(&published("openid_relying_party")).statements();
    let named = json!({"entity_types": ["openid_relying_party"]});
    ask_under(&chain, &named).is_accepted();
}

#[test]
fn hostile_56_the_same_statement_many_times_is_walked_once() {
    let attempts = |chain: &[String]| match ask(chain).decide() {
        Verdict::Reject(refusal) => {
            refusal.attempts().iter().count() + refusal.attempts().left_out()
        }
        other => panic!("{other:?}"),
    };
    let chain = good().last_signed_by("mallory", "anchor");
    let once = attempts(&chain);
    let mut often = chain.clone();
    for _ in 0..4 {
        often.extend(chain.iter().cloned());
    }
    assert_eq!(attempts(&often), once);
    ask(&[good().statements(), good().statements()].concat()).is_accepted();
}

#[test]
fn hostile_56_policies_are_paid_for() {
    let list = |from: usize| {
        (from..from + 64)
            .map(|n| format!("scope{n}"))
            .collect::<Vec<_>>()
    };
    let policies = |count: usize| {
        let parameters: serde_json::Map<String, Value> = (0..count)
            .map(|n| {
                (
                    format!("p{n}"),
                    json!({"subset_of": list(0), "superset_of": list(0)}),
                )
            })
            .collect();
        json!({"metadata_policy": {"openid_provider": parameters}})
    };
    let asked = |count: usize| ask(&good().by_anchor(&policies(count)).statements());
    let limits = Limits {
        search_steps: 3_000,
        ..Limits::default()
    };
    let code = |verdict: Verdict| match verdict {
        Verdict::Reject(refusal) => refusal.reason().code(),
        _ => "accepted",
    };
    assert_eq!(code(asked(2).decide_within(limits)), "accepted");
    assert_eq!(code(asked(8).decide_within(limits)), "limit.search_steps");
    asked(8).is_accepted();
}

#[test]
fn hostile_56_what_is_critical_and_not_understood_refuses() {
    let critical = "federation.statement_critical";
    let region = json!({"crit": ["region"], "region": "eu"});
    ask(&good().by_anchor(&region).statements()).is_refused(critical);
    ask(&good().by_anchor(&json!({"region": "eu"})).statements()).is_accepted();
    ask(&good().by_anchor(&json!({"crit": []})).statements())
        .is_refused("input.entity_statement_malformed");
    let mut unknown = policy("contacts", &json!({"regexp": ".*"}));
    ask(&good().by_anchor(&unknown).statements()).is_accepted();
    unknown["metadata_policy_crit"] = json!(["regexp"]);
    ask(&good().by_anchor(&unknown).statements()).is_refused(critical);
    // Wherever the operator stands, in a policy below or in none.
    let needed = |names: Value| {
        let claims = json!({ "metadata_policy_crit": names });
        ask(&good().by_anchor(&claims).statements())
    };
    needed(json!(["regexp"])).is_refused(critical);
    needed(json!(["regexp", "intersects"])).is_refused(critical);
    for wrong in [
        json!([]),
        json!(["value"]),
        json!(["regexp", "one_of"]),
        json!("regexp"),
    ] {
        needed(wrong).is_refused("input.entity_statement_malformed");
    }
}

#[test]
fn hostile_56_a_trust_mark_that_another_made_is_none() {
    let required = json!({"trust_marks": [{"type": MARK, "issuers": [ANCHOR, INTERMEDIATE]}]});
    let with = |mark: &str| {
        let marks = json!({"trust_marks": [{"trust_mark_type": MARK, "trust_mark": mark}]});
        ask_under(&good().leaf(&marks).statements(), &required)
    };
    let missing = "federation.trust_mark_missing";
    ask_under(&good().statements(), &required).is_refused(missing);
    with(&trust_mark(ANCHOR, "anchor", &json!({}))).is_accepted();
    with(&trust_mark(INTERMEDIATE, "intermediate", &json!({}))).is_accepted();
    for spoofed in [
        trust_mark(ANCHOR, "leaf", &json!({})),
        trust_mark(LEAF, "leaf", &json!({})),
        trust_mark(
            ANCHOR,
            "anchor",
            &json!({"sub": "https://other.example.net"}),
        ),
        trust_mark(
            ANCHOR,
            "anchor",
            &json!({"trust_mark_type": "https://a.test/other"}),
        ),
        trust_mark(ANCHOR, "anchor", &json!({"exp": NOW_SECONDS})),
        trust_mark(ANCHOR, "anchor", &json!({"iat": NOW_SECONDS + 61})),
        token(),
        "no.trust.mark".to_owned(),
    ] {
        with(&spoofed).is_refused(missing);
    }
}

#[test]
fn hostile_56_an_identity_holds_no_longer_than_the_marks_it_needs() {
    let required = json!({"trust_marks": [{"type": MARK, "issuers": [ANCHOR]}]});
    let until = |ends: &[i64]| {
        let marks: Vec<Value> = ends
            .iter()
            .map(|end| trust_mark(ANCHOR, "anchor", &json!({"exp": NOW_SECONDS + end})))
            .map(|mark| json!({"trust_mark_type": MARK, "trust_mark": mark}))
            .collect();
        let chain = good().leaf(&json!({ "trust_marks": marks })).statements();
        let identity = ask_under(&chain, &required).identity();
        identity.valid_until().unix() - NOW_SECONDS
    };
    assert_eq!(until(&[5]), 4);
    assert_eq!(until(&[5, 9]), 8);
    assert!(until(&[1_000_000]) > 9);
    let endless = trust_mark(ANCHOR, "anchor", &json!({"exp": null}));
    let marks = json!({"trust_marks": [{"trust_mark_type": MARK, "trust_mark": endless}]});
    ask_under(&good().leaf(&marks).statements(), &required).is_accepted();
}

/// Whoever may speak of entities below speaks of a giver of marks, too, and gives it a key of its own.
#[test]
fn hostile_56_with_which_keys_marks_are_made_is_no_word_of_whoever_is_between() {
    let giver = "https://marks.example.org";
    let mark = trust_mark(giver, "made up", &json!({}));
    let marks = json!({"trust_marks": [{"trust_mark_type": MARK, "trust_mark": mark}]});
    let own = good().leaf(&marks).statements().swap_remove(0);
    let below = |above: &str, subject: &str, key: &str, signer: &str| {
        sign(&statement(above, subject, key), signer, signer)
    };
    let chain = [
        own,
        below(giver, LEAF, "leaf", "made up"),
        below(INTERMEDIATE, giver, "made up", "intermediate"),
        below(ANCHOR, INTERMEDIATE, "intermediate", "anchor"),
    ];
    ask(&chain).is_accepted();
    let required = json!({"trust_marks": [{"type": MARK, "issuers": [giver]}]});
    ask_under(&chain, &required).is_refused("federation.trust_mark_missing");
}

#[test]
fn hostile_56_an_anchor_changes_its_key_only_in_its_old_ones_name() {
    let own = |exp: i64| {
        let mut own = statement(ANCHOR, ANCHOR, "anchor-2");
        own["exp"] = json!(NOW_SECONDS + exp);
        own
    };
    let with = |configuration: String| {
        let chain = good().and(configuration);
        ask(&chain.last_signed_by("anchor-2", "anchor-2"))
    };
    with(sign(&own(60), "anchor", "anchor")).is_accepted();
    with(sign(&own(0), "anchor", "anchor")).is_refused("federation.statement_expired");
    with(sign(&own(60), "anchor-2", "anchor-2")).is_refused("federation.key_unknown");
    with(sign(&own(60), "anchor-2", "anchor")).is_refused("federation.statement_signature_invalid");
    ask(&good().last_signed_by("anchor-2", "anchor-2")).is_refused("federation.key_unknown");
}

#[test]
fn a_statement_says_what_it_is() {
    let malformed = "input.entity_statement_malformed";
    for wrong in [
        json!({"jwks": null}),
        json!({"iat": null}),
        json!({"iss": "op.example.net", "sub": "op.example.net"}),
        json!({"constraints": {}}),
        json!({"metadata": {"openid_provider": {"contacts": null}}}),
        json!({"metadata": []}),
        json!({"trust_marks": {}}),
    ] {
        ask(&good().leaf(&wrong).statements()).is_refused(malformed);
    }
    ask(&good()
        .by_anchor(&json!({"authority_hints": []}))
        .statements())
    .is_refused(malformed);
    let plain = TokenForge::saying(statement(ANCHOR, INTERMEDIATE, "intermediate"))
        .sign(&key("anchor"), "anchor");
    let mut chain = good().but_the_last();
    chain.push(plain);
    ask(&chain).is_refused("federation.type_unexpected");
}

#[test]
fn rules_and_types_bound_whom_a_federation_brings() {
    let rule = |entity: &str| json!({"rules": [{"facts": {"federation.entity": entity}}]});
    ask_under(&good().statements(), &rule(LEAF)).is_accepted();
    ask_under(&good().statements(), &rule("https://other.example.net"))
        .is_refused("policy.rule_not_matched");
    let types = |name: &str| json!({ "entity_types": [name] });
    ask_under(&good().statements(), &types("openid_provider")).is_accepted();
    ask_under(&good().statements(), &types("oauth_client"))
        .is_refused("federation.entity_keys_missing");
    // Another tenant's federation vouches for nobody here.
    let foreign = ask(&good().statements())
        .with_anchor(|anchor| anchor.tenant = avouch_core::id::TenantId::parse("other").unwrap());
    foreign.is_refused("policy.anchor_tenant");
}
