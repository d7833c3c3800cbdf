//! Streams of events as administrators want them and see them, and what they end themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::ended::{Mark, Marking, Turn};
use avouch_core::model::federation::IssuerAnchor;
use avouch_core::reason::Reason;
use avouch_store::keyring::SecretOf;
use avouch_store::{Change, Object, SignalId, SignalKind, SignalRecord};
use serde_json::{Value, json};

use super::ending::{MOST_OF_STREAMS, ToEnd, tell_endings};
use super::settings::{Settings, apart, document_of};
use super::state::state_of;
use super::{key_of, named, new_name, record_of, records_of, remove};
use crate::fault::{Fault, Refused};
use crate::plane::Plane;
use crate::tenant::Tenant;

/// What an administrator ends.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// The issuer whose it is.
    pub(crate) issuer: String,
    /// What kind of name the other is.
    pub(crate) kind: &'static str,
    pub(crate) marking: Marking,
    /// The name.
    pub(crate) name: String,
    pub(crate) turn: Turn,
    pub(crate) why: String,
}

impl Named {
    pub(crate) const TURNS: [(&'static str, Turn); 3] = [
        ("closed", Turn::Closed),
        ("ended", Turn::Ended),
        ("opened", Turn::Opened),
    ];

    /// Its marks. What the tenant has issued itself is known by its trust domains, and names the tenant as
    /// its issuer.
    fn marks(&self, tenant: &Tenant, own: &str) -> Vec<Mark> {
        let of = |issuer: &str| (self.marking)(issuer, &self.name);
        if self.issuer != own {
            return vec![of(&self.issuer)];
        }
        tenant.read(|snapshot| {
            let domains = snapshot.trust_domains.keys();
            let domains = domains.map(|domain| format!("spiffe://{domain}"));
            let is_anothers = |domain: &String| {
                let path = self.name.strip_prefix(domain.as_str());
                self.kind == "subject" && !path.is_some_and(|path| path.starts_with('/'))
            };
            let domains = domains.filter(|domain| !is_anothers(domain));
            domains.map(|domain| of(&domain)).collect()
        })
    }
}

impl Plane {
    /// Takes events of a transmitter from now on, in the place of the stream that had this name. What
    /// was known of it is forgotten if the transmitter is another.
    pub(crate) fn put_signal(
        &self,
        tenant: &Arc<Tenant>,
        name: &str,
        text: &str,
    ) -> Result<SignalId, Refused> {
        let id = new_name("signal", name)?;
        let (document, secret) = apart(text, "signal")?;
        let usual = self.issuer_of(tenant.id());
        let settings = Settings::read(&document, &usual)?;
        check_speaks_of_one(tenant, &settings)?;
        let sealed = match secret {
            Some(secret) => {
                let sealing = tenant.keys.sealing();
                Some(sealing.seal(SecretOf::Signal(&id), secret.as_bytes())?)
            }
            None => None,
        };
        self.change_signals(tenant, || {
            self.check_shares(tenant, &id, &settings)?;
            let before = record_of(tenant, SignalKind::Signal, &id);
            let is_another = before
                .as_ref()
                .is_some_and(|before| !is_of(before, &usual, &settings.issuer));
            let mut changes = vec![Change::Put(Object::Signal(SignalRecord {
                key: key_of(SignalKind::Signal, &id),
                document: document.clone(),
                ends: None,
                // The credential stays with the transmitter that it is for.
                secret: sealed.clone().or_else(|| {
                    before
                        .filter(|_| !is_another)
                        .and_then(|before| before.secret)
                }),
            }))];
            if is_another {
                changes.push(remove(SignalKind::SignalState, &id));
            }
            Ok(changes)
        })?;
        self.following.forget(&(tenant.id().clone(), id.clone()));
        Ok(id)
    }

    /// Whether what all streams may end fits into what is there for them, so that none can take what
    /// is another's.
    fn check_shares(
        &self,
        tenant: &Tenant,
        id: &SignalId,
        settings: &Settings,
    ) -> Result<(), Refused> {
        let usual = self.issuer_of(tenant.id());
        let mut mosts = BTreeMap::new();
        for record in records_of(tenant, SignalKind::Signal) {
            let most = Settings::stored(&record, &usual)?.most_ended;
            mosts.insert(record.key.id, most);
        }
        mosts.insert(id.clone(), 0);
        let taken = tenant.held().shares.taken(&mosts);
        let left = MOST_OF_STREAMS.saturating_sub(taken);
        if usize::try_from(settings.most_ended).is_ok_and(|most| most <= left) {
            return Ok(());
        }
        Err(Reason::IssueObjectMalformed {
            object: "signal",
            member: "most_ended".to_owned(),
            detail: format!(
                "all streams of the tenant share {MOST_OF_STREAMS}, of which {left} are left; ask for \
                 fewer here (`most_ended: {left}`) or for another stream"
            ),
        }
        .into())
    }

    /// Takes no events of a stream any more. What it ended stays ended.
    pub(crate) fn remove_signal(&self, tenant: &Arc<Tenant>, name: &str) -> Result<(), Refused> {
        let id = named(tenant, SignalKind::Signal, "signal", name)?;
        let changes = [
            remove(SignalKind::Signal, &id),
            remove(SignalKind::SignalState, &id),
        ];
        self.apply(tenant, &changes)?;
        Ok(())
    }

    /// All streams, as administrators see them.
    pub(crate) fn tell_signals(&self, tenant: &Tenant) -> Result<Vec<Value>, Refused> {
        let records = records_of(tenant, SignalKind::Signal);
        let told = records.iter().map(|record| self.told(tenant, record));
        told.collect()
    }

    /// One stream, as administrators see it.
    pub(crate) fn tell_signal(&self, tenant: &Tenant, name: &str) -> Result<Value, Refused> {
        let id = named(tenant, SignalKind::Signal, "signal", name)?;
        match record_of(tenant, SignalKind::Signal, &id) {
            Some(record) => self.told(tenant, &record),
            None => Err(Fault::Bug("a signal went away".to_owned()).into()),
        }
    }

    fn told(&self, tenant: &Tenant, record: &SignalRecord) -> Result<Value, Refused> {
        let id = &record.key.id;
        let settings = Settings::stored(record, &self.issuer_of(tenant.id()))?;
        let keys = keys_of(tenant, &settings);
        let mut state = state_of(tenant, id);
        state.repeated += self.receiving.repeated(tenant.id(), id);
        let mut told = state.told(settings.heartbeat, self.now());
        if let Some(members) = told.as_object_mut() {
            members.insert("name".to_owned(), id.as_str().into());
            members.insert("issuer".to_owned(), settings.issuer.into());
            members.insert("of".to_owned(), settings.of.into());
            members.insert("audience".to_owned(), settings.audiences.into());
            members.insert("delivery".to_owned(), settings.delivery.name().into());
            members.insert("heartbeat".to_owned(), settings.heartbeat.into());
            members.insert("keys".to_owned(), keys.into());
            members.insert("holds".to_owned(), tenant.held().shares.held_by(id).into());
            members.insert("most_ended".to_owned(), settings.most_ended.into());
            members.insert("document".to_owned(), document_of(record));
        }
        Ok(told)
    }

    /// What ended, the latest first.
    pub(crate) fn tell_ended(&self, tenant: &Tenant) -> Vec<Value> {
        tell_endings(tenant)
    }

    /// Ends what an administrator names, or closes it, or opens it again.
    pub(crate) fn end_named(
        &self,
        tenant: &Arc<Tenant>,
        named: &Named,
        by: &str,
    ) -> Result<Value, Refused> {
        if named.name.is_empty() || named.issuer.is_empty() {
            return Err(Reason::IssueObjectMalformed {
                object: "ending",
                member: named.kind.to_owned(),
                detail: "it is empty".to_owned(),
            }
            .into());
        }
        let own = self.issuer_of(tenant.id());
        let marks = named.marks(tenant, &own);
        let [mark, ..] = marks.as_slice() else {
            return Err(Reason::IssueObjectMalformed {
                object: "ending",
                member: named.kind.to_owned(),
                detail: "is in no trust domain of the tenant".to_owned(),
            }
            .into());
        };
        let ending = ToEnd {
            marks: &marks,
            name: &named.name,
            turn: named.turn,
            at: self.now(),
            event: &named.why,
            by,
            stream: None,
            kept: None,
        };
        let is_news = self.end(tenant, &ending, |_| Ok(Vec::new()))?;
        // What the tenant has issued itself may be of any of its trust domains.
        let all: Vec<String> = marks.iter().map(|mark| mark.digest().to_string()).collect();
        Ok(json!({ "mark": mark.digest().to_string(), "marks": all, "changed": is_news }))
    }

    /// How all streams stand, for whoever watches.
    pub(crate) fn signal_states(&self) -> BTreeMap<&'static str, u64> {
        let mut states = BTreeMap::new();
        for tenant in self.open_tenants() {
            for record in records_of(&tenant, SignalKind::Signal) {
                let Ok(settings) = Settings::stored(&record, "") else {
                    continue;
                };
                let state = state_of(&tenant, &record.key.id);
                let word = state.word(settings.heartbeat, self.now());
                *states.entry(word).or_default() += 1;
            }
        }
        states
    }
}

/// Refuses a stream that speaks for, or of, several clusters that call themselves the same: none of them
/// sends events, and of which one's subjects they were nobody could tell.
pub(super) fn check_speaks_of_one(tenant: &Tenant, settings: &Settings) -> Result<(), Reason> {
    let named: Vec<(String, Option<String>)> = tenant.read(|snapshot| {
        let issuers = snapshot.issuers.values().map(|record| &record.document);
        let anchors = snapshot.anchors.values().map(|record| &record.document);
        let all = issuers.chain(anchors).filter_map(|document| {
            let document: Value = serde_json::from_str(document).ok()?;
            let text = |name: &str| Some(document.get(name)?.as_str()?.to_owned());
            Some((text("issuer")?, text("cluster")))
        });
        all.collect()
    });
    let clusters_of = |issuer: &str| {
        let of: Vec<_> = named.iter().filter(|(name, _)| name == issuer).collect();
        let is_shared = !of.is_empty() && of.iter().all(|(_, cluster)| cluster.is_some());
        let first = of.into_iter().find_map(|(_, cluster)| cluster.clone());
        first.filter(|_| is_shared)
    };
    let refuse = |member: &str, detail: String| {
        Err(Reason::IssueObjectMalformed {
            object: "signal",
            member: member.to_owned(),
            detail,
        })
    };
    if let Some(cluster) = clusters_of(&settings.of) {
        let called = IssuerAnchor::called(&settings.of, Some(&cluster));
        return refuse(
            "of",
            format!("is the name of several clusters; say of which one, such as `{called}`"),
        );
    }
    if settings.keys.is_none() && clusters_of(&settings.issuer).is_some() {
        return refuse(
            "issuer",
            "is the name of several clusters, none of which sends events; name who sends them, with \
             their keys (`jwks`), and the cluster as `of`"
                .to_owned(),
        );
    }
    Ok(())
}

/// By what the events of a stream are checked; nothing where none of them could be.
fn keys_of(tenant: &Tenant, settings: &Settings) -> Option<String> {
    if settings.keys.is_some() {
        return Some("its own".to_owned());
    }
    if let Some(domain) = settings.of.strip_prefix("spiffe://") {
        return Some(format!("the bundle of {domain}"));
    }
    let named = tenant.read(|snapshot| {
        let issuers = snapshot.issuers.values();
        let issuers = issuers.map(|record| (record.id.to_string(), &record.document));
        let anchors = snapshot.anchors.values();
        let anchors = anchors.map(|record| (record.id.to_string(), &record.document));
        let is_of = |document: &String| {
            let document: Option<Value> = serde_json::from_str(document).ok();
            document.is_some_and(|document| document.get("issuer") == Some(&json!(settings.issuer)))
        };
        let mut all = issuers.chain(anchors);
        all.find(|(_, document)| is_of(document)).map(|(id, _)| id)
    });
    named.map(|id| format!("those of the issuer {id}"))
}

fn is_of(record: &SignalRecord, usual: &str, issuer: &str) -> bool {
    Settings::stored(record, usual).is_ok_and(|before| before.issuer == issuer)
}
