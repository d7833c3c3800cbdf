//! What NIST SP 800-207A asks of the identity tier, line by line, answered from what a tenant has.
//!
//! A line is met or not by what is configured and known here, and says by what; what cannot be seen
//! from here is not known, and says so. None is met because it is written down.

use std::collections::BTreeSet;
use std::sync::Arc;

use avouch_core::words::counted;
use avouch_store::{AuthorityRole, AuthorityState, Entry, SignalKind, Snapshot, Upstream};
use serde_json::{Map, Value, json};

use crate::fault::Refused;
use crate::findings::SOFTWARE_ROOT;
use crate::plane::Plane;
use crate::tenant::Tenant;

/// The longest that an identity of a workload may live without being proved anew, in seconds.
const LONGEST_LIFE: u32 = 86_400;

/// What brings keys into hardware.
const KEYS_FIX: &str = "avouch server run --keys pkcs11:…, then avouch authority replace";

/// How many names one line tells.
const MOST_TOLD: usize = 20;

/// How a line is answered.
enum Answer {
    Met(String),
    /// Why not, and which objects are the cause.
    NotMet(String, Vec<String>),
    NotKnown(String),
}

/// One line.
struct Line {
    id: &'static str,
    asks: &'static str,
    answer: Answer,
    /// What mends it.
    fix: &'static str,
}

impl Line {
    fn to_json(&self) -> Value {
        let (answer, why, by) = match &self.answer {
            Answer::Met(why) => ("met", why, &[][..]),
            Answer::NotMet(why, by) => ("not_met", why, by.as_slice()),
            Answer::NotKnown(why) => ("not_known", why, &[][..]),
        };
        let told: Vec<&String> = by.iter().take(MOST_TOLD).collect();
        json!({
            "id": self.id,
            "asks": self.asks,
            "answer": answer,
            "why": why,
            "by": told,
            "more": by.len().saturating_sub(MOST_TOLD),
            "fix": (answer != "met").then_some(self.fix),
        })
    }
}

/// What several lines look at.
struct Seen {
    entries: Vec<Arc<Entry>>,
    /// The rules and the issuers of the tenant by name.
    rules: Vec<(String, Map<String, Value>)>,
    issuers: Vec<(String, Map<String, Value>)>,
    /// Anchors for whom others sign in: issuers, providers of SAML and federations.
    anchors: Vec<(String, Map<String, Value>)>,
    egresses: Vec<(String, Map<String, Value>)>,
    /// Anchors that are keys of APIs: whoever has one is believed.
    api_keys: BTreeSet<String>,
    signals: BTreeSet<String>,
    /// Roots that sign, and where their keys are.
    roots: Vec<(String, bool)>,
    /// The trust domains whose root is elsewhere.
    rooted_elsewhere: Vec<String>,
    /// Those that may serve the tenant, also of tenants above.
    nodes: usize,
}

impl Seen {
    fn of(snapshot: &Snapshot, nodes: usize) -> Self {
        let signals = snapshot.signals_of(SignalKind::Signal);
        let signals = signals.filter_map(|record| {
            let issuer = object(&record.document).remove("issuer")?;
            issuer.as_str().map(str::to_owned)
        });
        let roots = snapshot
            .authorities
            .values()
            .filter(|one| one.role == AuthorityRole::Root && one.state == AuthorityState::Active);
        Self {
            entries: snapshot.entries.values().cloned().collect(),
            rules: documents(
                snapshot
                    .rules
                    .values()
                    .map(|one| (one.id.as_str(), &one.document)),
            ),
            issuers: documents(
                snapshot
                    .issuers
                    .values()
                    .map(|one| (one.id.as_str(), &one.document)),
            ),
            anchors: anchors_of_logins(snapshot),
            egresses: documents(
                snapshot
                    .egresses
                    .values()
                    .map(|one| (one.id.as_str(), &one.document)),
            ),
            api_keys: api_keys(snapshot),
            signals: signals.collect(),
            roots: roots
                .map(|one| (one.id.to_string(), one.key_address.is_some()))
                .collect(),
            rooted_elsewhere: snapshot
                .trust_domains
                .values()
                .filter(|domain| domain.upstream == Upstream::Elsewhere)
                .map(|domain| domain.name.to_string())
                .collect(),
            nodes,
        }
    }

    /// Who vouches for others that come in, as they are called here.
    fn vouchers(&self) -> impl Iterator<Item = (String, &str, &Map<String, Value>)> {
        let issuers = self.issuers.iter();
        let issuers = issuers.map(|(name, one)| (format!("issuer {name}"), name.as_str(), one));
        let anchors = self.anchors.iter();
        issuers.chain(anchors.map(|(name, one)| (format!("anchor {name}"), name.as_str(), one)))
    }

    /// All that has an owner, as it is called here, and who that is.
    fn owned(&self) -> impl Iterator<Item = (String, &str)> {
        let entries = self.entries.iter().filter_map(|entry| {
            let owner = entry.extras.owner.as_deref()?;
            Some((format!("entry {}", entry.id), owner))
        });
        let documents = [
            ("rule", &self.rules),
            ("issuer", &self.issuers),
            ("anchor", &self.anchors),
            ("egress", &self.egresses),
        ];
        let documents = documents.into_iter().flat_map(|(kind, all)| {
            all.iter().filter_map(move |(name, document)| {
                let owner = document.get("owner")?.as_str()?;
                Some((format!("{kind} {name}"), owner))
            })
        });
        entries.chain(documents)
    }

    fn follows_nobody(&self) -> bool {
        self.issuers.is_empty() && self.anchors.is_empty()
    }

    fn entries_that(&self, is_one: impl Fn(&Entry) -> bool) -> Vec<String> {
        let entries = self.entries.iter().filter(|entry| is_one(entry));
        entries.map(|entry| format!("entry {}", entry.id)).collect()
    }
}

impl Plane {
    /// The checklist of a tenant.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn zero_trust(&self, tenant: &Arc<Tenant>) -> Result<Value, Refused> {
        let nodes = |snapshot: &Snapshot| {
            let nodes = snapshot.nodes.values();
            nodes.filter(|one| one.banned.is_none()).count()
        };
        let nodes = self.with_all_above(tenant).map(|tenant| tenant.read(nodes));
        let nodes = nodes.sum();
        let seen = tenant.read(|snapshot| Seen::of(snapshot, nodes));
        let secrets = self.secrets(tenant)?;
        let orphans = self.orphans(tenant)?;
        let owned = seen.owned();
        let orphaned = owned.filter_map(|(place, owner)| orphans.finding(&place, owner));
        let orphaned: Vec<Value> = orphaned.collect();
        let x509 = self.settings.node_ttl;
        let lines = [
            service_identity(&seen),
            attestation(&seen),
            short_life(&seen, x509),
            encryption(&self.settings.public_url),
            sender_constraint(&seen),
            authorization(&seen),
            user_authentication(&seen),
            monitoring(&seen),
            keys(&seen),
            static_credentials(&secrets),
            ownership(&seen, &orphaned),
            review(&seen),
        ];
        let count = |word: &str| {
            let lines = lines.iter().map(Line::to_json);
            let these =
                lines.filter(|line| line.get("answer").and_then(Value::as_str) == Some(word));
            these.count()
        };
        let mut findings = orphaned;
        findings.extend(software_roots(&seen));
        // All rules here are as grave as a line that is not met.
        let severity = findings
            .first()
            .and_then(|one| one.get("severity"))
            .cloned();
        Ok(json!({
            "findings": findings,
            "severity": severity,
            "standard": "NIST SP 800-207A, identity tier",
            "at": self.now().to_string(),
            "lines": lines.iter().map(Line::to_json).collect::<Vec<_>>(),
            "met": count("met"),
            "not_met": count("not_met"),
            "not_known": count("not_known"),
        }))
    }
}

/// `causes` are what keeps it from being met.
fn unless(causes: Vec<String>, met: impl Into<String>, not_met: impl Into<String>) -> Answer {
    match causes.is_empty() {
        true => Answer::Met(met.into()),
        false => Answer::NotMet(not_met.into(), causes),
    }
}

fn service_identity(seen: &Seen) -> Line {
    Line {
        id: "service-identity",
        asks: "Every service has a cryptographic identity that says nothing of where it runs.",
        answer: match (seen.entries.len(), seen.nodes) {
            (0, _) => Answer::NotMet(
                "no workload is registered, so none has an identity".to_owned(),
                Vec::new(),
            ),
            (_, 0) => Answer::NotMet(
                "workloads are registered, and no node serves them".to_owned(),
                Vec::new(),
            ),
            (entries, nodes) => Answer::Met(format!(
                "{}, served by {}",
                counted(entries, "registration entry", "registration entries"),
                counted(nodes, "node", "nodes")
            )),
        },
        fix: "avouch entry create --spiffe-id ID --selector …, and avouch node token NAME for a node",
    }
}

/// A selector that anyone who starts a process can meet proves nothing.
fn attestation(seen: &Seen) -> Line {
    const ANYONE: [&str; 2] = ["unix:uid:0", "k8s:sa:default"];
    let weak = seen.entries_that(|entry| {
        let mut selectors = entry.selectors.iter().map(|one| one.as_str());
        let is_fixed = entry.spiffe_id.fixed().is_some();
        is_fixed && selectors.all(|one| ANYONE.contains(&one))
    });
    Line {
        id: "attested-at-runtime",
        asks: "An identity is given by what is attested of a workload as it runs, and not to anyone on the machine.",
        answer: match seen.entries.is_empty() {
            true => Answer::NotKnown("there are no entries to look at".to_owned()),
            false => unless(
                weak,
                "every entry asks for something that not just anyone there has",
                "some entries ask for no more than root or the default account",
            ),
        },
        fix: "avouch entry update NAME --selector …, with the path, the digest, the namespace or a service account of its own",
    }
}

fn short_life(seen: &Seen, usual: u32) -> Line {
    let long = seen.entries_that(|entry| {
        let x509 = entry.extras.x509_ttl.unwrap_or(usual);
        x509.max(entry.extras.jwt_ttl.unwrap_or_default()) > LONGEST_LIFE
    });
    let given = seen.rules.iter().filter(|(_, rule)| {
        let lifetime = rule.get("gives").and_then(|gives| gives.get("lifetime"));
        lifetime.and_then(Value::as_u64).unwrap_or_default() > u64::from(LONGEST_LIFE)
    });
    let mut long = long;
    long.extend(given.map(|(name, _)| format!("rule {name}")));
    Line {
        id: "short-lived",
        asks: "Identities are short-lived and renewed, so that a stolen one ends by itself within a day.",
        answer: match usual > LONGEST_LIFE {
            true => Answer::NotMet(
                format!("X.509-SVIDs live {usual} seconds if nothing else is said"),
                long,
            ),
            false => unless(
                long,
                format!("none lives longer than {LONGEST_LIFE} seconds; usually {usual}"),
                format!("some live longer than {LONGEST_LIFE} seconds"),
            ),
        },
        fix: "avouch entry update NAME --x509-ttl 3600 --jwt-ttl 300; the server's own with --x509-ttl",
    }
}

fn encryption(public_url: &str) -> Line {
    Line {
        id: "encryption-in-transit",
        asks: "What is said to the trust plane is encrypted wherever it comes from; between services, mutual TLS.",
        answer: match public_url.starts_with("https://") {
            true => Answer::Met(format!(
                "verifiers and workloads call {public_url}; what services say to each other is not seen from here"
            )),
            false => Answer::NotMet(
                format!("verifiers and workloads call {public_url}, in the clear"),
                Vec::new(),
            ),
        },
        fix: "avouch server run --public-url https://… with --tls-cert and --tls-key, or --spiffe-listen",
    }
}

fn sender_constraint(seen: &Seen) -> Line {
    let rules = seen.rules.iter().filter(|(_, rule)| {
        let from = rule.get("from").and_then(|from| from.get("anchor"));
        let takes_key = from.and_then(Value::as_str);
        takes_key.is_some_and(|name| seen.api_keys.contains(name)) || rule.contains_key("bearer")
    });
    let mut bearers: Vec<String> = rules.map(|(name, _)| format!("rule {name}")).collect();
    let lent = seen
        .egresses
        .iter()
        .filter(|(_, egress)| egress.get("bearer").and_then(Value::as_bool) == Some(true));
    bearers.extend(lent.map(|(name, _)| format!("egress {name}")));
    Line {
        id: "no-bearers",
        asks: "Who presents a credential proves that it is theirs; being inside the network, or having read it, is not enough.",
        answer: unless(
            bearers,
            "no rule and no API is for bearers",
            "some are for whoever has the token or the key of an API",
        ),
        fix: "avouch rule put NAME without `bearer` and from no anchor with `api_key`, and avouch egress put NAME without `bearer`",
    }
}

fn authorization(seen: &Seen) -> Line {
    let open = seen
        .rules
        .iter()
        .filter(|(_, rule)| rule.contains_key("unpinned"));
    let mut open: Vec<String> = open.map(|(name, _)| format!("rule {name}")).collect();
    // An issuer says `override` where an anchor says `unpinned`.
    let vouchers = seen.vouchers().filter(|(_, _, document)| {
        document.contains_key("unpinned") || document.contains_key("override")
    });
    open.extend(vouchers.map(|(title, _, _)| title));
    let rules = seen.rules.len() + seen.egresses.len();
    Line {
        id: "authorization-per-identity",
        asks: "Each service may do what a policy names for its identity, and no policy admits whoever comes.",
        answer: match rules + seen.issuers.len() + seen.anchors.len() {
            0 => Answer::NotKnown("there are no rules, egresses or issuers here; what services let each other do is theirs".to_owned()),
            _ => unless(open, "every rule names whom it admits", "some admit whoever their issuer vouches for (`unpinned`, `override`)"),
        },
        fix: "avouch rule put NAME with `from.facts` that name the subject for good, and without `unpinned`; avouch issuer put NAME without `override`",
    }
}

fn user_authentication(seen: &Seen) -> Line {
    let unsure = seen.rules.iter().filter(|(_, rule)| {
        let from = rule.get("from").and_then(|from| from.get("anchor"));
        let from = from.and_then(Value::as_str);
        let is_of_issuer = seen.vouchers().any(|(_, name, _)| from == Some(name));
        is_of_issuer && !rule.contains_key("assurance")
    });
    let unsure: Vec<String> = unsure.map(|(name, _)| format!("rule {name}")).collect();
    Line {
        id: "user-authentication",
        asks: "Where people or their pipelines come in by an issuer, it is said how surely they must have signed in.",
        answer: match seen.follows_nobody() {
            true => Answer::NotKnown("no issuer is followed here".to_owned()),
            false => unless(
                unsure,
                "every rule for an issuer asks for assurance",
                "some rules take any sign-in",
            ),
        },
        fix: "avouch rule put NAME with `assurance` (acr, amr or max_age), or avouch issuer put NAME with `grants_at_most`",
    }
}

fn monitoring(seen: &Seen) -> Line {
    let silent = seen.vouchers().filter(|(_, _, document)| {
        let issuer = called(document).unwrap_or_default();
        !seen.signals.contains(issuer)
    });
    let silent: Vec<String> = silent.map(|(title, _, _)| title).collect();
    Line {
        id: "continuous-evaluation",
        asks: "What was granted ends when its ground is gone: issuers tell of ended sessions and accounts.",
        answer: match seen.follows_nobody() {
            true => Answer::NotKnown("no issuer is followed here".to_owned()),
            false => unless(
                silent,
                "every issuer has a stream of events",
                "some issuers tell nothing",
            ),
        },
        fix: "avouch signal put NAME with the issuer's stream (docs/how-to/signals.md)",
    }
}

/// The roots whose keys can be copied, as they are called here.
fn soft_roots(seen: &Seen) -> impl Iterator<Item = String> {
    let soft = seen.roots.iter().filter(|(_, is_in_token)| !is_in_token);
    soft.map(|(name, _)| format!("authority {name}"))
}

/// The rule `software-root`: each root whose key is where a program can read it.
fn software_roots(seen: &Seen) -> Vec<Value> {
    let found = soft_roots(seen).map(|place| {
        json!({
            "code": SOFTWARE_ROOT.code,
            "severity": SOFTWARE_ROOT.severity,
            "sentence": format!("The key of the root {place} is in the store and not in hardware; whoever has a copy of it signs as this root."),
            "place": place,
            "fix": KEYS_FIX,
        })
    });
    found.collect()
}

fn keys(seen: &Seen) -> Line {
    let soft: Vec<String> = soft_roots(seen).collect();
    Line {
        id: "keys-in-hardware",
        asks: "The keys on which all identities rest cannot be copied.",
        answer: match (seen.roots.as_slice(), seen.rooted_elsewhere.as_slice()) {
            ([], []) => Answer::NotKnown("no root signs here".to_owned()),
            (_, [_, ..]) if soft.is_empty() => Answer::NotKnown(format!(
                "the root of {} is elsewhere, and where its key is is not known here",
                seen.rooted_elsewhere.join(", ")
            )),
            _ => unless(
                soft,
                "the key of every root is in a token",
                "the keys of some roots are in the store",
            ),
        },
        fix: KEYS_FIX,
    }
}

fn static_credentials(secrets: &Value) -> Line {
    let findings = secrets.get("findings").and_then(Value::as_array);
    let places = findings
        .into_iter()
        .flatten()
        .filter_map(|one| one.get("place")?.as_str().map(str::to_owned));
    Line {
        id: "no-long-lived-secrets",
        asks: "No static credential is good for longer than 90 days.",
        answer: unless(
            places.collect(),
            "none is known that is good for longer",
            "some are, or have no end",
        ),
        fix: "avouch audit secrets, which tells the step away from each",
    }
}

fn ownership(seen: &Seen, orphaned: &[Value]) -> Line {
    let mut silent =
        seen.entries_that(|entry| entry.extras.owner.is_none() || entry.extras.purpose.is_none());
    let orphaned = orphaned.iter().filter_map(|one| one.get("place")?.as_str());
    silent.extend(orphaned.map(str::to_owned));
    Line {
        id: "identity-record",
        asks: "Somebody answers for every identity, and it is written down what it is for.",
        answer: match seen.entries.is_empty() && silent.is_empty() {
            true => Answer::NotKnown("there are no entries to look at".to_owned()),
            false => unless(
                silent,
                "every entry names an owner and a purpose, and no account of an owner is known to be closed",
                "some entries name no owner or no purpose, or the account of an owner is closed",
            ),
        },
        fix: "avouch entry update NAME --owner WHO --purpose WHY; the same of rules, issuers, anchors and egresses whose owner is gone",
    }
}

fn review(seen: &Seen) -> Line {
    let endless = seen.entries_that(|entry| entry.extras.expires.is_none());
    Line {
        id: "reviewed",
        asks: "No grant is for ever: each is looked at again by a day that it names.",
        answer: match seen.entries.is_empty() {
            true => Answer::NotKnown("there are no entries to look at".to_owned()),
            false => unless(
                endless,
                "every entry has an end",
                "some entries have no end",
            ),
        },
        fix: "avouch entry update NAME --expires DATE",
    }
}

/// The anchors for whom others sign in.
fn anchors_of_logins(snapshot: &Snapshot) -> Vec<(String, Map<String, Value>)> {
    const KINDS: [&str; 3] = ["issuer", "openid_federation", "saml"];
    let anchors = snapshot.anchors.values();
    let mut anchors = documents(anchors.map(|one| (one.id.as_str(), &one.document)));
    anchors.retain(|(_, document)| KINDS.iter().any(|kind| document.contains_key(*kind)));
    anchors
}

/// The anchors that are keys of APIs.
fn api_keys(snapshot: &Snapshot) -> BTreeSet<String> {
    let anchors = snapshot.anchors.values();
    let keys = anchors.filter(|one| object(&one.document).contains_key("api_key"));
    keys.map(|one| one.id.to_string()).collect()
}

/// How an issuer or a provider is called in the events that it sends.
fn called(document: &Map<String, Value>) -> Option<&str> {
    let entity = |kind: &str| document.get(kind)?.get("entity_id");
    let name = document.get("issuer").or_else(|| entity("saml"));
    name.or_else(|| entity("openid_federation"))?.as_str()
}

fn documents<'a>(
    all: impl Iterator<Item = (&'a str, &'a String)>,
) -> Vec<(String, Map<String, Value>)> {
    all.map(|(name, document)| (name.to_owned(), object(document)))
        .collect()
}

fn object(document: &str) -> Map<String, Value> {
    match serde_json::from_str(document) {
        Ok(Value::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use avouch_core::template::IdTemplate;
    use avouch_core::time::Time;
    use avouch_store::{EntryExtras, EntryId, Selector};

    use super::*;

    fn nothing() -> Seen {
        Seen {
            entries: Vec::new(),
            rules: Vec::new(),
            issuers: Vec::new(),
            anchors: Vec::new(),
            egresses: Vec::new(),
            api_keys: BTreeSet::new(),
            signals: BTreeSet::new(),
            roots: Vec::new(),
            rooted_elsewhere: Vec::new(),
            nodes: 0,
        }
    }

    fn entry(selector: &str, extras: EntryExtras) -> Seen {
        let entry = Entry {
            id: EntryId::parse("web").unwrap(),
            spiffe_id: IdTemplate::parse("spiffe://one.test/web").unwrap(),
            parent: None,
            selectors: Box::new([Selector::parse(selector).unwrap()]),
            created: Time::from_unix(0),
            extras: extras.into(),
        };
        Seen {
            entries: vec![Arc::new(entry)],
            nodes: 1,
            ..nothing()
        }
    }

    fn named(name: &str, document: Value) -> Vec<(String, Map<String, Value>)> {
        vec![(name.to_owned(), document.as_object().cloned().unwrap())]
    }

    fn answer(line: Line) -> (String, Value) {
        let line = line.to_json();
        let word = line["answer"].as_str().unwrap().to_owned();
        assert_eq!(line["fix"].is_null(), word == "met", "{line}");
        (word, line["by"].clone())
    }

    fn check(line: Line, word: &str, by: Value) {
        let id = line.id;
        assert_eq!(answer(line), (word.to_owned(), by), "{id}");
    }

    #[test]
    fn each_line_about_workloads_is_met_by_some_and_not_by_others() {
        let bare = || entry("unix:uid:0", EntryExtras::NONE);
        let good = || {
            entry(
                "unix:path:/usr/bin/web",
                EntryExtras {
                    owner: Some("the web team".to_owned()),
                    purpose: Some("shows the shop".to_owned()),
                    expires: Some(Time::from_unix(1)),
                    ..EntryExtras::NONE
                },
            )
        };
        let web = || json!(["entry web"]);
        check(service_identity(&nothing()), "not_met", json!([]));
        check(
            service_identity(&Seen { nodes: 0, ..good() }),
            "not_met",
            json!([]),
        );
        check(service_identity(&good()), "met", json!([]));
        for (line, name) in [
            (attestation as fn(&Seen) -> Line, "attestation"),
            (|seen| ownership(seen, &[]), "ownership"),
            (review, "review"),
        ] {
            assert_eq!(answer(line(&nothing())).0, "not_known", "{name}");
            assert_eq!(
                answer(line(&bare())),
                ("not_met".to_owned(), web()),
                "{name}"
            );
            assert_eq!(answer(line(&good())).0, "met", "{name}");
        }
        let long = entry(
            "unix:uid:1",
            EntryExtras {
                x509_ttl: Some(LONGEST_LIFE + 1),
                ..EntryExtras::NONE
            },
        );
        check(short_life(&long, 3_600), "not_met", web());
        check(short_life(&good(), 3_600), "met", json!([]));
        check(short_life(&good(), LONGEST_LIFE + 1), "not_met", web());
        let given = Seen {
            rules: named("r", json!({"gives": {"lifetime": 90_000}})),
            ..nothing()
        };
        check(short_life(&given, 3_600), "not_met", json!(["rule r"]));
    }

    #[test]
    fn each_line_about_who_comes_in_is_met_by_some_and_not_by_others() {
        check(encryption("http://a.test"), "not_met", json!([]));
        check(encryption("https://a.test"), "met", json!([]));
        let rules = |document: Value| Seen {
            rules: named("r", document),
            issuers: named("ci", json!({"issuer": "https://ci.test"})),
            ..nothing()
        };
        let strict = || rules(json!({"from": {"anchor": "ci"}, "assurance": {"acr": ["high"]}}));
        check(sender_constraint(&strict()), "met", json!([]));
        check(
            sender_constraint(&rules(json!({"bearer": {}}))),
            "not_met",
            json!(["rule r"]),
        );
        let lent = Seen {
            egresses: named("stripe", json!({"bearer": true})),
            ..nothing()
        };
        check(
            sender_constraint(&lent),
            "not_met",
            json!(["egress stripe"]),
        );
        check(authorization(&nothing()), "not_known", json!([]));
        check(authorization(&strict()), "met", json!([]));
        check(
            authorization(&rules(json!({"unpinned": {}}))),
            "not_met",
            json!(["rule r"]),
        );
        check(user_authentication(&nothing()), "not_known", json!([]));
        check(user_authentication(&strict()), "met", json!([]));
        let any = rules(json!({"from": {"anchor": "ci"}}));
        check(user_authentication(&any), "not_met", json!(["rule r"]));
        check(monitoring(&nothing()), "not_known", json!([]));
        check(monitoring(&strict()), "not_met", json!(["issuer ci"]));
        let told = Seen {
            signals: BTreeSet::from(["https://ci.test".to_owned()]),
            ..strict()
        };
        check(monitoring(&told), "met", json!([]));
    }

    #[test]
    fn the_lines_about_keys_and_secrets_are_met_by_some_and_not_by_others() {
        let roots = |is_in_token| Seen {
            roots: vec![("r1".to_owned(), is_in_token)],
            ..nothing()
        };
        check(keys(&nothing()), "not_known", json!([]));
        check(keys(&roots(true)), "met", json!([]));
        check(keys(&roots(false)), "not_met", json!(["authority r1"]));
        let elsewhere = |is_in_token| Seen {
            rooted_elsewhere: vec!["one.test".to_owned()],
            ..roots(is_in_token)
        };
        check(keys(&elsewhere(true)), "not_known", json!([]));
        check(keys(&elsewhere(false)), "not_met", json!(["authority r1"]));
        let found =
            |severity: &str| json!({"findings": [{"severity": severity, "place": "API key k"}]});
        check(
            static_credentials(&json!({"findings": []})),
            "met",
            json!([]),
        );
        // What was made yesterday and has no end is good for longer, too.
        for severity in ["low", "high"] {
            let line = static_credentials(&found(severity));
            check(line, "not_met", json!(["API key k"]));
        }
    }
}
