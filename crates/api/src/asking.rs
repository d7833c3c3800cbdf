//! A question as it is sent to a server: what [`Asked`](crate::Asked) reads.

use avouch_core::credential::Credential;
use avouch_core::question::{Context, ExpectedName, InitialPolicies, Question};
use avouch_core::time::Time;
use base64ct::{Base64, Encoding};
use serde_json::{Map, Value, json};

/// The JSON object that asks this question. A server reads its own clock unless `at` is given. What
/// only a server can know, such as which keys a caller has proved to have, is never asked for.
pub fn question_to_json(question: &Question, at: Option<Time>) -> Value {
    let mut asked = context_to_json(question);
    if let Some(members) = asked.as_object_mut() {
        members.extend(at.map(|at| ("at".to_owned(), json!(at.to_string()))));
        let Context {
            issuer,
            trust_chain,
            ..
        } = &question.context;
        let shown = credential(&question.credential, issuer.as_deref(), trust_chain);
        members.insert("credential".to_owned(), shown);
    }
    asked
}

/// The same without what was shown and when: nothing in it is a secret.
pub fn context_to_json(question: &Question) -> Value {
    let Context {
        expected,
        audiences,
        nonce,
        max_path_length,
        require_revocation,
        policies,
        recipients,
        in_response_to,
        ..
    } = &question.context;
    let limits = max_path_length.map(|length| json!({ "max_path_length": length }));
    present([
        ("profile", Some(json!(question.profile.name()))),
        ("purpose", Some(json!(question.purpose.name()))),
        ("expect", expect(expected)),
        ("audience", some(audiences)),
        ("nonce", nonce.as_ref().map(|nonce| json!(nonce))),
        ("recipient", some(recipients)),
        (
            "in_response_to",
            in_response_to.as_ref().map(|id| json!(id)),
        ),
        ("require_revocation", yes(*require_revocation)),
        ("policies", asked_policies(policies)),
        ("limits", limits),
    ])
}

fn credential(credential: &Credential, issuer: Option<&str>, trust_chain: &[String]) -> Value {
    let shown = match credential {
        Credential::X509(chain) => {
            let chain = chain.iter().map(|der| Base64::encode_string(der));
            json!({ "chain": chain.collect::<Vec<_>>() })
        }
        Credential::Ssh { key, proof } => present([
            ("key", Some(json!(key))),
            ("proof", proof.as_ref().map(|proof| json!(proof))),
        ]),
        Credential::Wit { token, proof } => present([
            ("token", Some(json!(token))),
            ("proof", proof.as_ref().map(|proof| json!(proof))),
        ]),
        Credential::ApiKey(text)
        | Credential::Jwt(text)
        | Credential::Opaque(text)
        | Credential::Saml(text) => json!(text),
        // It is decided by its name alone.
        Credential::Unsupported(_) => json!({}),
    };
    present([
        (credential.kind(), Some(shown)),
        ("issuer", issuer.map(|issuer| json!(issuer))),
        ("trust_chain", some(trust_chain)),
    ])
}

fn expect(expected: &[ExpectedName]) -> Option<Value> {
    let of = |kind: fn(&ExpectedName) -> Option<String>| {
        let names: Vec<String> = expected.iter().filter_map(kind).collect();
        some(&names)
    };
    let names = present([
        (
            "dns",
            of(|name| match name {
                ExpectedName::Dns(name) => Some(name.clone()),
                _ => None,
            }),
        ),
        (
            "ip",
            of(|name| match name {
                ExpectedName::Ip(address) => Some(address.to_string()),
                _ => None,
            }),
        ),
        (
            "email",
            of(|name| match name {
                ExpectedName::Email(mailbox) => Some(mailbox.clone()),
                _ => None,
            }),
        ),
        (
            "spiffe",
            of(|name| match name {
                ExpectedName::Spiffe(id) => Some(id.to_string()),
                ExpectedName::TrustDomain(name) => Some(name.to_string()),
                _ => None,
            }),
        ),
    ]);
    (!expected.is_empty()).then_some(names)
}

fn asked_policies(policies: &InitialPolicies) -> Option<Value> {
    let accepted: Vec<String> = policies.accepted.iter().map(ToString::to_string).collect();
    (*policies != InitialPolicies::default()).then(|| {
        present([
            ("accepted", some(&accepted)),
            ("require_explicit", yes(policies.require_explicit)),
            ("inhibit_mapping", yes(policies.inhibit_mapping)),
            ("inhibit_any", yes(policies.inhibit_any)),
        ])
    })
}

/// A list, unless it is empty: an empty one is refused.
fn some(list: &[String]) -> Option<Value> {
    (!list.is_empty()).then(|| json!(list))
}

fn yes(flag: bool) -> Option<Value> {
    flag.then_some(Value::Bool(true))
}

fn present<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<String, Value>>())
}

#[cfg(test)]
mod tests {
    use avouch_core::id::TenantId;
    use avouch_core::question::{Profile, Purpose};

    use super::*;
    use crate::{Asked, expected_name, expected_spiffe, policy_identifier};

    fn asked(credential: Credential, context: Context) -> Question {
        Question {
            tenant: TenantId::parse("one").unwrap(),
            credential,
            profile: Profile::Private,
            purpose: Purpose::Client,
            now: Time::from_unix(1_700_000_000),
            context,
        }
    }

    fn assert_read_again(question: &Question) {
        let text = question_to_json(question, Some(question.now)).to_string();
        let read = Asked::read(&text)
            .map_err(|why| why.reason.sentence())
            .unwrap();
        let read = read.into_question(question.tenant.clone(), Time::from_unix(0));
        assert_eq!(format!("{read:?}"), format!("{question:?}"));
        assert_eq!(read.context, question.context);
        assert_eq!(read.credential, question.credential);
    }

    #[test]
    fn what_is_asked_is_read_as_it_was_meant() {
        let everything = Context {
            expected: vec![
                expected_name("db.example.com"),
                expected_name("127.0.0.1"),
                ExpectedName::Email("mia@example.com".to_owned()),
                expected_spiffe("spiffe://a.test/api").unwrap(),
                expected_spiffe("b.test").unwrap(),
            ],
            audiences: vec!["vault".to_owned(), "db".to_owned()],
            nonce: Some("n".to_owned()),
            max_path_length: Some(3),
            require_revocation: true,
            policies: InitialPolicies {
                accepted: vec![policy_identifier("2.23.140.1.2.1").unwrap()],
                require_explicit: true,
                inhibit_mapping: true,
                inhibit_any: true,
            },
            recipients: vec!["https://sp.example.com/acs".to_owned()],
            in_response_to: Some("_1".to_owned()),
            ..Context::default()
        };
        let chain = Credential::X509(vec![vec![1, 2, 3], vec![0xff; 40]]);
        assert_read_again(&asked(chain, everything));
    }

    #[test]
    fn every_kind_of_credential_can_be_asked_about() {
        let token = "e30.e30.AAAA".to_owned();
        let federated = Context {
            trust_chain: vec![token.clone(), token.clone()],
            ..Context::default()
        };
        assert_read_again(&asked(Credential::Jwt(token.clone()), federated));
        let issued = Context {
            issuer: Some("https://issuer.test".to_owned()),
            ..Context::default()
        };
        assert_read_again(&asked(Credential::Opaque("opaque".to_owned()), issued));
        for credential in [
            Credential::Jwt(token.clone()),
            Credential::Opaque("opaque".to_owned()),
            Credential::Wit {
                token: token.clone(),
                proof: Some(token.clone()),
            },
            Credential::Wit { token, proof: None },
            Credential::ApiKey("avk_1".to_owned()),
            Credential::Saml("<Response/>".to_owned()),
            Credential::Ssh {
                key: "ssh-ed25519 AAAA".to_owned(),
                proof: Some("a signature".to_owned()),
            },
            Credential::Unsupported("openpgp".to_owned()),
        ] {
            assert_read_again(&asked(credential, Context::default()));
        }
    }
}
