//! Static credentials: what is known of everything that is good for as long as nobody replaces it, and
//! is good for whoever has it. Secrets themselves are not here; each is told by a digest.
//!
//! Since when one is there is noted when it is first seen: not every kind says so itself. What is
//! replaced has another digest, and begins anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::id::Digest;
use avouch_core::time::Time;
use avouch_core::words::counted;
use avouch_store::keyring::{Sealed, SecretOf};
use avouch_store::{
    AnchorRecord, AttestorRecord, AuthorityRecord, Change, EgressRecord, IssuerRecord,
    JoinTokenRecord, Object, RuleRecord, SignalKind, SignalRecord, Snapshot, TallyId, TallyRecord,
    Upstream,
};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::egress::uses::Uses;
use crate::fault::{Fault, Refused};
use crate::findings::LONG_LIVED;
use crate::introspection::{CLIENT_SECRET, REVIEWER_TOKEN};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// For how many days one may be good before it is told of, and before that is grave: as access keys
/// are usually rotated, and nobody remembers who has one after a year.
const USUAL_DAYS: i64 = 90;
const MOST_DAYS: i64 = 365;

const DAY: i64 = 86_400;

/// The record of when each was first seen, among those of days.
const RECORD: &str = "secrets";

/// The member of it.
const SEEN: &str = "secret";

/// How often it is written anew because something else has changed meanwhile.
const MOST_TRIES: usize = 16;

/// A static credential.
struct Secret {
    kind: &'static str,
    /// Of what.
    name: String,
    /// What tells it from the one before and after it.
    digest: String,
    owner: Option<String>,
    /// Since when it is there, if it says so.
    since: Option<Time>,
    expires: Option<Time>,
    /// The day of its last use, if that is counted.
    last_used: Option<String>,
    used_by: Vec<String>,
    /// The step away from it.
    fix: String,
}

impl Secret {
    /// `told_by` may be the secret itself: whoever guesses it cannot try that on the digest.
    fn of(tenant: &Tenant, kind: &'static str, name: &str, told_by: &[u8], fix: String) -> Self {
        let tag = tenant.keys.sealing().tag("static credential", told_by);
        Self {
            kind,
            name: name.to_owned(),
            digest: Digest::of(&tag).short(),
            owner: None,
            since: None,
            expires: None,
            last_used: None,
            used_by: Vec::new(),
            fix,
        }
    }

    /// By what it is noted.
    fn id(&self) -> String {
        format!("{} {} {}", self.kind, self.name, self.digest)
    }

    fn to_json(&self, seen: Option<Time>, now: Time) -> Value {
        let since = self.since.or(seen);
        let age = since.map(|since| now.since(since).max(0) / DAY);
        let severity = severity(since.unwrap_or(now), self.expires, now);
        let finding = severity.map(|severity| {
            let (kind, name) = (self.kind, &self.name);
            let age = counted(age.unwrap_or_default(), "day", "days");
            let end = match self.expires {
                Some(end) => format!("and is good until {end}"),
                None => "and has no end".to_owned(),
            };
            json!({
                "code": LONG_LIVED.code,
                "severity": severity,
                "place": format!("{kind} {name}"),
                "sentence": format!("The {kind} of {name} has been good for {age} {end}; whoever has it is believed."),
                "fix": self.fix,
            })
        });
        json!({
            "kind": self.kind,
            "name": self.name,
            "digest": self.digest,
            "owner": self.owner,
            "since": since.map(|since| since.to_string()),
            "age_days": age,
            "expires": self.expires.map(|end| end.to_string()),
            "last_used": self.last_used,
            "used_by": self.used_by,
            "migration": self.fix,
            "finding": finding,
        })
    }
}

/// How grave it is; nothing for what ends soon enough by itself.
fn severity(since: Time, expires: Option<Time>, now: Time) -> Option<&'static str> {
    let is_short = expires.is_some_and(|end| end.since(since) <= USUAL_DAYS * DAY);
    match now.since(since) / DAY {
        _ if is_short => None,
        MOST_DAYS.. => Some("high"),
        USUAL_DAYS.. => Some("medium"),
        _ => Some("low"),
    }
}

impl Plane {
    /// The static credentials that are known of a tenant, the gravest first, and what is found.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn secrets(&self, tenant: &Arc<Tenant>) -> Result<Value, Refused> {
        let now = self.now();
        let seen = seen(tenant);
        let secrets = self.inventory(tenant)?;
        let mut rows: Vec<Value> = secrets
            .iter()
            .map(|one| one.to_json(seen.get(&one.id()).copied(), now))
            .collect();
        let weight = |row: &Value| {
            let severity = row.pointer("/finding/severity").and_then(Value::as_str);
            let severities = ["high", "medium", "low"];
            severities.iter().position(|one| Some(*one) == severity)
        };
        let age = |row: &Value| row.get("age_days").and_then(Value::as_i64);
        rows.sort_by_key(|row| {
            (
                weight(row).unwrap_or(usize::MAX),
                age(row).map(|days| -days),
            )
        });
        let findings: Vec<Value> = rows
            .iter()
            .filter_map(|row| row.get("finding").filter(|it| !it.is_null()).cloned())
            .collect();
        let gravest = findings
            .first()
            .and_then(|one| one.get("severity").cloned());
        Ok(json!({ "secrets": rows, "findings": findings, "severity": gravest }))
    }

    /// Notes static credentials that were not there before, and forgets those that are gone.
    ///
    /// # Errors
    ///
    /// What failed on our side.
    pub(crate) fn note_secrets(&self, tenant: &Arc<Tenant>) -> Result<(), Refused> {
        for _ in 0..MOST_TRIES {
            let (at, now) = (tenant.read(|snapshot| snapshot.sequence), self.now());
            if tenant.tallies.is_noted(at, now) {
                return Ok(());
            }
            let before = seen(tenant);
            // What says itself since when it is there needs no note.
            let secrets = self.inventory(tenant)?.into_iter();
            let silent = secrets.filter(|one| one.since.is_none());
            let after: BTreeMap<String, Time> = silent
                .map(|one| one.id())
                .map(|id| {
                    let since = before.get(&id).copied().unwrap_or(now);
                    (id, since)
                })
                .collect();
            if after == before {
                tenant.tallies.note(at, now);
                return Ok(());
            }
            let id = TallyId::parse(RECORD);
            let id = id.ok_or_else(|| Fault::Bug(format!("{RECORD} is no name")))?;
            let seen: Map<String, Value> = after
                .into_iter()
                .map(|(id, since)| (id, since.unix().into()))
                .collect();
            let document = json!({ SEEN: seen }).to_string();
            let put = Change::Put(Object::Tally(TallyRecord { id, document }));
            match self.apply_at(tenant, at, &[put]) {
                Ok(_) => {
                    tenant.tallies.note(at, now);
                    return Ok(());
                }
                Err(refused) if refused.is_conflict() => {}
                Err(failed) => return Err(failed),
            }
        }
        // Whoever changes the tenant so fast is looked at in the next minute.
        Ok(())
    }

    fn inventory(&self, tenant: &Arc<Tenant>) -> Result<Vec<Secret>, Refused> {
        let now = self.now();
        let kept = tenant.read(Kept::of);
        let from = rules_by_anchor(&kept.rules);
        let mut all = anchors(tenant, &kept.anchors, &from);
        all.extend(issuers(tenant, &kept.issuers, &from));
        all.extend(rules(tenant, &kept.rules));
        all.extend(join_tokens(tenant, &kept.join_tokens, now));
        all.extend(tokens_of_ours(tenant, &kept));
        all.extend(roots(tenant, &kept.roots));
        let of_keys = tenant.tallies.days(tenant, "api_key", now);
        for one in all.iter_mut().filter(|one| one.kind == "API key") {
            let mut days = of_keys.iter().rev();
            let last = days.find(|(_, names)| names.contains_key(&one.name));
            one.last_used = last.map(|(day, _)| day.clone());
        }
        all.extend(self.keys_of_others(tenant, &kept.egresses)?);
        Ok(all)
    }

    /// Keys of APIs of others, and secrets of their webhooks.
    fn keys_of_others(
        &self,
        tenant: &Arc<Tenant>,
        records: &[EgressRecord],
    ) -> Result<Vec<Secret>, Refused> {
        let mut all = Vec::new();
        if records.is_empty() {
            return Ok(all);
        }
        let uses = Uses::of(tenant, self.now());
        for record in records {
            let name = record.id.as_str();
            let used_by: Vec<String> = uses
                .workloads(name)
                .into_iter()
                .map(str::to_owned)
                .collect();
            for digest in self.keys_of_egress(tenant, record)? {
                let fix = format!(
                    "Make a new key at the API, `avouch egress rotate {name} --key-file FILE`, end the old one there, `avouch egress promote {name}`."
                );
                all.push(Secret {
                    last_used: uses.last_day(name).map(str::to_owned),
                    used_by: used_by.clone(),
                    ..Secret::of(tenant, "egress key", name, digest.as_bytes(), fix)
                });
            }
            for digest in self.webhook_secrets_of_egress(tenant, record)? {
                let fix = format!(
                    "Roll the secret at the API, `avouch egress put {name} -f FILE --webhook-secret-file OLD --webhook-secret-file NEW`, and later with the new one alone."
                );
                let told_by = digest.as_bytes();
                all.push(Secret::of(tenant, "webhook secret", name, told_by, fix));
            }
        }
        Ok(all)
    }
}

/// What is looked at, as it was at one moment: nobody waits for the tenant while it is read.
struct Kept {
    anchors: Vec<AnchorRecord>,
    issuers: Vec<IssuerRecord>,
    rules: Vec<RuleRecord>,
    join_tokens: Vec<JoinTokenRecord>,
    attestors: Vec<AttestorRecord>,
    signals: Vec<SignalRecord>,
    egresses: Vec<EgressRecord>,
    /// Authorities below a foreign root whose keys are stored here.
    roots: Vec<AuthorityRecord>,
}

impl Kept {
    fn of(snapshot: &Snapshot) -> Self {
        let foreign = |authority: &&AuthorityRecord| {
            let domain = snapshot.trust_domains.get(&authority.trust_domain);
            domain.is_some_and(|domain| domain.upstream != Upstream::Own)
                && authority.private_key.is_some()
                && authority.certificates.len() > 1
        };
        let signals = [SignalKind::Signal, SignalKind::Receiver].into_iter();
        let signals = signals.flat_map(|kind| snapshot.signals_of(kind));
        let roots = snapshot.authorities.values().filter(foreign);
        Self {
            anchors: snapshot.anchors.values().cloned().collect(),
            issuers: snapshot.issuers.values().cloned().collect(),
            rules: snapshot.rules.values().cloned().collect(),
            join_tokens: snapshot.join_tokens.values().cloned().collect(),
            attestors: snapshot.attestors.values().cloned().collect(),
            signals: signals.cloned().collect(),
            egresses: snapshot.egresses.values().cloned().collect(),
            roots: roots.cloned().collect(),
        }
    }
}

/// By what a secret is told that is under seal: by itself, since a seal is another each time. What does
/// not open any more is told by its seal.
fn opened(tenant: &Tenant, owner: SecretOf<'_>, sealed: &Sealed) -> Zeroizing<Vec<u8>> {
    let secret = tenant.keys.sealing().open(owner, sealed);
    secret.unwrap_or_else(|_| Zeroizing::new(sealed.to_text().into_bytes()))
}

/// Keys whose holders are believed for what they are, and issuers whose keys were given by hand.
fn anchors(tenant: &Tenant, anchors: &[AnchorRecord], from: &RulesByAnchor) -> Vec<Secret> {
    let mut all = Vec::new();
    for record in anchors {
        let document = object(&record.document);
        let name = record.id.as_str();
        let found = if let Some(key) = document.get("api_key") {
            let fix = format!(
                "Have its holder bring what its platform vouches for (`avouch issuer put`, `avouch rule put` with `from.anchor`), then `avouch anchor delete {name}`; until then give it an `expires`."
            );
            Secret::of(tenant, "API key", name, key.to_string().as_bytes(), fix)
        } else if let (Some(_), Some(keys)) = (document.get("issuer"), document.get("jwks")) {
            let fix = format!(
                "Follow what the issuer publishes (`avouch issuer put {name}` without `jwks`), then `avouch anchor delete {name}`."
            );
            Secret::of(
                tenant,
                "uploaded key set",
                name,
                keys.to_string().as_bytes(),
                fix,
            )
        } else {
            continue;
        };
        all.push(Secret {
            used_by: from.get(name).cloned().unwrap_or_default(),
            ..stewarded(found, &document)
        });
    }
    all
}

fn issuers(tenant: &Tenant, issuers: &[IssuerRecord], from: &RulesByAnchor) -> Vec<Secret> {
    let mut all = Vec::new();
    for record in issuers {
        let document = object(&record.document);
        let name = record.id.as_str();
        if let Some(keys) = document.get("jwks") {
            let fix = format!(
                "Put the issuer {name} without `jwks`, so that what it publishes is followed and replaced keys end (`avouch issuer put {name}`)."
            );
            let found = Secret::of(
                tenant,
                "uploaded key set",
                name,
                keys.to_string().as_bytes(),
                fix,
            );
            all.push(Secret {
                used_by: from.get(name).cloned().unwrap_or_default(),
                ..stewarded(found, &document)
            });
        }
        let sealed = |part: &str, member: &str| {
            Sealed::from_text(document.get(part)?.get(member)?.as_str()?)
        };
        if let Some(sealed) = sealed("introspection", CLIENT_SECRET) {
            let fix = format!(
                "Have the issuer take a JWT-SVID or a certificate of this server instead, or roll the secret there and `avouch issuer put {name}` with the new one."
            );
            let told_by = opened(tenant, SecretOf::Introspection(&record.id), &sealed);
            let kind = "introspection client secret";
            let found = Secret::of(tenant, kind, name, &told_by, fix);
            all.push(stewarded(found, &document));
        }
        if let Some(sealed) = sealed("review", REVIEWER_TOKEN) {
            let fix = format!(
                "Give {name} a token of the cluster that ends within days (`kubectl create token`), and put it again in time (`avouch issuer put {name}`)."
            );
            let told_by = opened(tenant, SecretOf::Review(&record.id), &sealed);
            let found = Secret::of(tenant, "reviewer token", name, &told_by, fix);
            all.push(stewarded(found, &document));
        }
    }
    all
}

/// Exceptions for bearers, and keys of clients that were given by hand.
fn rules(tenant: &Tenant, rules: &[RuleRecord]) -> Vec<Secret> {
    let mut all = Vec::new();
    for record in rules {
        let document = object(&record.document);
        let name = record.id.as_str();
        if let Some(bearer) = document.get("bearer") {
            let fix = format!(
                "Have the clients of {name} prove a key (DPoP, or mutual TLS), then put the rule without `bearer`."
            );
            let found = Secret::of(tenant, "bearer exception", name, b"", fix);
            all.push(Secret {
                since: Some(record.created),
                expires: time(bearer.get("expires")),
                owner: text(document.get("owner")),
                ..found
            });
        }
        let clients = document
            .get("actors")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for from in document.get("from").into_iter().chain(clients) {
            let (Some(client), Some(keys)) = (text(from.get("client")), from.get("jwks")) else {
                continue;
            };
            let fix = format!(
                "Give the client {client} an identity of its own (`avouch entry create`) and admit it in {name} by `from.trust_domain`, without `jwks`."
            );
            let found = Secret::of(tenant, "client key", name, keys.to_string().as_bytes(), fix);
            all.push(Secret {
                used_by: vec![client],
                ..stewarded(found, &document)
            });
        }
    }
    all
}

/// Join tokens that somebody may still use.
fn join_tokens(tenant: &Tenant, tokens: &[JoinTokenRecord], now: Time) -> Vec<Secret> {
    let open = tokens
        .iter()
        .filter(|token| token.used.is_none() && token.expires > now);
    open.map(|token| {
        let fix = "Let nodes join by what their platform attests (`avouch node attestor put`) instead of a token that lives so long.";
        let id = token.id.as_str();
        Secret {
            since: Some(token.created),
            expires: Some(token.expires),
            used_by: vec![token.node.to_string()],
            ..Secret::of(tenant, "join token", token.node.as_str(), id.as_bytes(), fix.to_owned())
        }
    })
    .collect()
}

/// Tokens by which this server shows elsewhere who it is.
fn tokens_of_ours(tenant: &Tenant, kept: &Kept) -> Vec<Secret> {
    let attestors = kept.attestors.iter().filter_map(|record| {
        let name = record.id.as_str();
        let fix = format!(
            "Attest {name} by the key set of the cluster (`jwks` in the place of `review`), which needs no token; or put it anew with a fresh one (`avouch node attestor put`)."
        );
        let owner = SecretOf::Attestor(&record.id);
        let told_by = opened(tenant, owner, record.secret.as_ref()?);
        let found = Secret::of(tenant, "TokenReview token", name, &told_by, fix);
        Some(stewarded(found, &object(&record.document)))
    });
    let signals = kept.signals.iter().filter_map(|record| {
        let kind = match record.key.kind {
            SignalKind::Signal => "token of a signal",
            SignalKind::Receiver => "token of a receiver",
            _ => return None,
        };
        let name = record.key.id.as_str();
        let fix = format!("Have a new token given there, and put {name} again with it.");
        let owner = SecretOf::Signal(&record.key.id);
        let told_by = opened(tenant, owner, record.secret.as_ref()?);
        let found = Secret::of(tenant, kind, name, &told_by, fix);
        Some(stewarded(found, &object(&record.document)))
    });
    attestors.chain(signals).collect()
}

/// Roots of the tenant's own whose private key is stored here, and not in a token.
fn roots(tenant: &Tenant, authorities: &[AuthorityRecord]) -> Vec<Secret> {
    let secrets = authorities.iter().map(|authority| {
        let domain = authority.trust_domain.as_str();
        let fix = format!(
            "Replace it: `avouch authority replace` for {domain}, with a new certificate from above, or have its key made in a token (`avouch server run --keys pkcs11:…`)."
        );
        let kind = "key below a foreign root";
        Secret {
            since: Some(authority.not_before),
            expires: Some(authority.not_after),
            ..Secret::of(tenant, kind, domain, &authority.public_key, fix)
        }
    });
    secrets.collect()
}

/// The rules that admit from an anchor, by its name.
type RulesByAnchor = BTreeMap<String, Vec<String>>;

fn rules_by_anchor(rules: &[RuleRecord]) -> RulesByAnchor {
    let mut all = RulesByAnchor::new();
    for record in rules {
        let document = object(&record.document);
        let anchor = document.get("from").and_then(|from| from.get("anchor"));
        if let Some(anchor) = anchor.and_then(Value::as_str) {
            let names = all.entry(anchor.to_owned()).or_default();
            names.push(format!("rule {}", record.id.as_str()));
        }
    }
    all
}

/// With what its document says of who answers for it.
fn stewarded(secret: Secret, document: &Map<String, Value>) -> Secret {
    Secret {
        owner: text(document.get("owner")),
        since: time(document.get("added")),
        expires: time(document.get("expires")),
        ..secret
    }
}

fn seen(tenant: &Tenant) -> BTreeMap<String, Time> {
    let id = TallyId::parse(RECORD);
    let record = id.and_then(|id| tenant.read(|snapshot| snapshot.tallies.get(&id).cloned()));
    let Some(record) = record else {
        return BTreeMap::new();
    };
    let document = object(&record.document);
    let seen = document
        .get(SEEN)
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    seen.filter_map(|(id, since)| Some((id.clone(), Time::from_unix(since.as_i64()?))))
        .collect()
}

fn object(document: &str) -> Map<String, Value> {
    match serde_json::from_str(document) {
        Ok(Value::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

fn time(value: Option<&Value>) -> Option<Time> {
    value
        .and_then(Value::as_str)
        .and_then(avouch_api::text::time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_soon_is_no_finding_and_what_is_old_is_graver() {
        let now = Time::from_unix(1_800_000_000);
        let ago = |days: i64| now.plus(-days * DAY);
        for (age, lives, found) in [
            (1, Some(10), None),
            (80, Some(90), None),
            (1, Some(91), Some("low")),
            (1, None, Some("low")),
            (89, None, Some("low")),
            (90, None, Some("medium")),
            (364, Some(4_000), Some("medium")),
            (365, None, Some("high")),
            (4_000, Some(5_000), Some("high")),
        ] {
            let end = lives.map(|lives| ago(age).plus(lives * DAY));
            assert_eq!(severity(ago(age), end, now), found, "{age} {lives:?}");
        }
    }
}
