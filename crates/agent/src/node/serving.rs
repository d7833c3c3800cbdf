//! What each workload may hold, made of entries, bundles and SVIDs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{SpiffeId, TrustDomain};
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::Value;
use tokio::sync::watch;

use super::holdings::{Entry, Holdings};
use super::kinds::{Wit, X509};
use super::relied::Relied;
use super::{Absence, Node, Shared, asking, now, svids};
use crate::identities::{
    Entitled, Entitlement, Identities, JwtBundle, JwtSvid, NotIssued, Pending, Token, ValidJwt,
    WitEntitled, WitEntitlement, WitSvid, X509Svid,
};
use crate::quiet::Quiet;
use crate::selector::Selector;

/// How long a workload that calls right after the agent has started waits for the first words of
/// the server, which may be away or have a lot to say. Workloads ask again.
const LONGEST_START: Duration = Duration::from_secs(4);

/// How long a workload that listens goes without a look at what it holds: well within the time for
/// which unused SVIDs are kept.
const LONGEST_UNSEEN: Duration = Duration::from_secs(1_200);

impl Identities for Node {
    fn subscribe<'a>(
        &'a self,
        selectors: &'a [Selector],
    ) -> Pending<'a, watch::Receiver<Arc<Entitlement>>> {
        Box::pin(async move {
            self.wait_for_start().await;
            // Before looking, so that what changes meanwhile is looked at again.
            let news = self.shared.news.subscribe();
            let first = entitlement(Arc::clone(&self.shared), selectors.to_vec()).await;
            let (sender, receiver) = watch::channel(Arc::new(first));
            let (shared, selectors) = (Arc::downgrade(&self.shared), selectors.to_vec());
            let made = move |shared| entitlement(shared, selectors.clone());
            tokio::spawn(follow(shared, made, news, sender));
            receiver
        })
    }

    fn subscribe_wit<'a>(
        &'a self,
        selectors: &'a [Selector],
        wanted: Option<&'a SpiffeId>,
    ) -> Option<Pending<'a, watch::Receiver<Arc<WitEntitlement>>>> {
        Some(Box::pin(async move {
            self.wait_for_start().await;
            let news = self.shared.news.subscribe();
            let (selectors, wanted) = (selectors.to_vec(), wanted.cloned());
            let made = move |shared| wit_entitlement(shared, selectors.clone(), wanted.clone());
            let first = made(Arc::clone(&self.shared)).await;
            let (sender, receiver) = watch::channel(Arc::new(first));
            tokio::spawn(follow(Arc::downgrade(&self.shared), made, news, sender));
            receiver
        }))
    }

    fn jwt_svids<'a>(
        &'a self,
        selectors: &'a [Selector],
        audiences: &'a [String],
        wanted: Option<&'a SpiffeId>,
    ) -> Pending<'a, Result<Vec<JwtSvid>, NotIssued>> {
        Box::pin(async move {
            self.wait_for_start().await;
            let mut chosen = chosen(entries(&self.shared, selectors)?, wanted)?;
            // One token for each identity, whatever number of entries it has.
            let mut seen = BTreeSet::new();
            chosen.retain(|entry| seen.insert(entry.spiffe_id.to_string()));
            let tokens = asking::tokens(&self.shared, &chosen, audiences).await;
            those_issued(chosen, tokens)
        })
    }

    fn validate_jwt<'a>(
        &'a self,
        selectors: &'a [Selector],
        audience: &'a str,
        token: &'a Token,
    ) -> Pending<'a, Result<ValidJwt, Box<Reason>>> {
        Box::pin(async move {
            let holdings = self.shared.holdings();
            let entries = holdings.selecting(selectors);
            let entries: Vec<&Entry> = entries.iter().collect();
            let claimed = trust_domain_of(token);
            let view = Relied::by(&holdings, &entries).view_for(claimed.as_ref());
            let view = view.ok_or_else(|| Reason::IssueObjectUnknown {
                object: "registration entry",
                name: "of the workload".to_owned(),
            })?;
            drop(holdings);
            validate(&view, audience, token, now())
        })
    }
}

/// A workload may ask as often as it likes.
static REFUSED: Quiet = Quiet::new();

/// Those that there is a token for; what is refused of one is told in the log.
///
/// # Errors
///
/// Why there is none of the first, where there is none at all.
fn those_issued(
    entries: Vec<Entry>,
    tokens: Vec<Result<Token, NotIssued>>,
) -> Result<Vec<JwtSvid>, NotIssued> {
    let (mut svids, mut refused) = (Vec::new(), Vec::new());
    for (entry, token) in entries.into_iter().zip(tokens) {
        match token {
            Ok(token) => svids.push(JwtSvid {
                token,
                tenant: entry.key.tenant,
                spiffe_id: entry.spiffe_id,
                hint: entry.hint,
            }),
            Err(why) => refused.push((entry, why)),
        }
    }
    if svids.is_empty() {
        let first = refused.into_iter().next();
        return first.map_or_else(|| Ok(svids), |(_, why)| Err(why));
    }
    for (entry, why) in refused {
        let (tenant, id) = (&entry.key.tenant, &entry.key.id);
        REFUSED.tell(|left_out| {
            tracing::warn!(%tenant, entry = id, %why, left_out, "a JWT-SVID was refused, and the others are given");
        });
    }
    Ok(svids)
}

impl Node {
    async fn wait_for_start(&self) {
        let mut complete = self.shared.complete.subscribe();
        let mut absence = self.shared.absence.subscribe();
        let absent = async {
            let refused = absence.wait_for(|noted| {
                noted
                    .as_ref()
                    .is_some_and(|noted| noted.absence != Absence::Away)
            });
            tokio::select! {
                // It does not change its mind so soon.
                _ = refused => {}
                () = tokio::time::sleep(LONGEST_START) => {}
            }
        };
        // When nothing has arrived, the workload is told that nothing can be issued now, and why.
        tokio::select! {
            _ = complete.wait_for(|complete| *complete) => {}
            () = absent => {}
        }
    }
}

/// Keeps what a workload may hold up to date, for as long as someone looks at it.
async fn follow<E, W>(
    shared: Weak<Shared>,
    made: impl Fn(Arc<Shared>) -> W,
    mut news: watch::Receiver<u64>,
    sender: watch::Sender<Arc<E>>,
) where
    E: PartialEq,
    W: Future<Output = E>,
{
    loop {
        let changed = tokio::select! {
            changed = news.changed() => changed,
            // What nobody looks at for long is not renewed, and this workload looks at it.
            () = tokio::time::sleep(LONGEST_UNSEEN) => Ok(()),
            () = sender.closed() => return,
        };
        let Some(shared) = shared.upgrade().filter(|_| changed.is_ok()) else {
            return;
        };
        let now = made(shared).await;
        sender.send_if_modified(|held| {
            let is_news = **held != now;
            if is_news {
                *held = Arc::new(now);
            }
            is_news
        });
    }
}

async fn entitlement(shared: Arc<Shared>, selectors: Vec<Selector>) -> Entitlement {
    let entries = entries(&shared, &selectors)?;
    let ensured = svids::ensure::<X509>(&shared, &entries).await;
    let at = now();
    let svids = entries
        .iter()
        .filter_map(|entry| shared.x509.of(entry, at).map(|svid| (entry, svid)));
    let svids: Vec<(&Entry, X509Svid)> = svids
        .map(|(entry, svid)| {
            let hint = entry.hint.clone();
            let svid = X509Svid {
                hint,
                ..X509Svid::clone(&svid)
            };
            (entry, svid)
        })
        .collect();
    if let (true, Err(why)) = (svids.is_empty(), ensured) {
        return Err(NotIssued::Unavailable { why });
    }
    entitled(&shared.holdings(), svids)
}

async fn wit_entitlement(
    shared: Arc<Shared>,
    selectors: Vec<Selector>,
    wanted: Option<SpiffeId>,
) -> WitEntitlement {
    let entries = chosen(entries(&shared, &selectors)?, wanted.as_ref())?;
    let ensured = svids::ensure::<Wit>(&shared, &entries).await;
    let at = now();
    let svids = entries.iter().filter_map(|entry| {
        let svid = shared.wit.of(entry, at)?;
        let hint = entry.hint.clone();
        Some(WitSvid {
            hint,
            ..WitSvid::clone(&svid)
        })
    });
    let svids: Vec<WitSvid> = svids.collect();
    if let (true, Err(why)) = (svids.is_empty(), ensured) {
        return Err(NotIssued::Unavailable { why });
    }
    let holdings = shared.holdings();
    let entries: Vec<&Entry> = entries.iter().collect();
    let relied = Relied::by(&holdings, &entries);
    let bundles = relied.bundles();
    let bundles = bundles.map(|(name, bundle)| (name.clone(), bundle.wit.clone()));
    let bundles: BTreeMap<TrustDomain, JwtBundle> = bundles.collect();
    WitEntitled::new(svids, bundles, relied.tenants()).map_err(|incomplete| {
        NotIssued::Unavailable {
            why: incomplete.to_string(),
        }
    })
}

/// Those of the entries that are for the identity that is wanted, if one is.
fn chosen(entries: Vec<Entry>, wanted: Option<&SpiffeId>) -> Result<Vec<Entry>, NotIssued> {
    let Some(wanted) = wanted else {
        return Ok(entries);
    };
    let (chosen, others): (Vec<Entry>, Vec<Entry>) = entries
        .into_iter()
        .partition(|entry| entry.spiffe_id == *wanted);
    if chosen.is_empty() {
        return Err(NotIssued::OtherIdentity {
            wanted: wanted.clone(),
            entitled: others.into_iter().map(|entry| entry.spiffe_id).collect(),
        });
    }
    Ok(chosen)
}

fn entries(shared: &Shared, selectors: &[Selector]) -> Result<Vec<Entry>, NotIssued> {
    if !*shared.complete.borrow() {
        return Err(NotIssued::NotHeard {
            why: shared.why_absent().unwrap_or_else(|| {
                "the server of this node has not said yet who may hold what".to_owned()
            }),
        });
    }
    let holdings = shared.holdings();
    let entries = holdings.selecting(selectors);
    if entries.is_empty() {
        return Err(NotIssued::nearest(holdings.misses(selectors)));
    }
    Ok(entries)
}

/// The identities, with the bundles that a workload relies on who has them.
fn entitled(holdings: &Holdings, svids: Vec<(&Entry, X509Svid)>) -> Entitlement {
    let entries: Vec<&Entry> = svids.iter().map(|(entry, _)| *entry).collect();
    let mut x509_bundles = BTreeMap::new();
    let mut jwt_bundles = BTreeMap::new();
    let mut lists = BTreeMap::new();
    let relied = Relied::by(holdings, &entries);
    for (name, bundle) in relied.bundles() {
        x509_bundles.insert(name.clone(), bundle.x509.clone());
        jwt_bundles.insert(name.clone(), bundle.jwt.clone());
        lists.insert(name.clone(), bundle.revocation_lists.clone());
    }
    let svids = svids.into_iter().map(|(_, svid)| svid).collect();
    let tenants = relied.tenants();
    Entitled::new(svids, x509_bundles, lists, jwt_bundles, tenants).map_err(|incomplete| {
        NotIssued::Unavailable {
            why: incomplete.to_string(),
        }
    })
}

fn validate(
    view: &View,
    audience: &str,
    token: &Token,
    now: Time,
) -> Result<ValidJwt, Box<Reason>> {
    let question = Question {
        tenant: view.tenant().clone(),
        credential: Credential::Jwt(token.expose().to_owned()),
        profile: Profile::Spiffe,
        purpose: Purpose::Any,
        now,
        context: Context {
            audiences: vec![audience.to_owned()],
            ..Context::default()
        },
    };
    let malformed = |detail: &str| {
        Box::new(Reason::Malformed {
            detail: detail.to_owned(),
        })
    };
    match decide(&question, view, &AwsLc, &mut Budget::default()) {
        Verdict::Accept(sealed) => Ok(ValidJwt {
            spiffe_id: SpiffeId::parse(sealed.preview().name())?,
            claims: claims_of(token).ok_or_else(|| malformed("it has no claims"))?,
        }),
        Verdict::Reject(refusal) => Err(Box::new(refusal.reason().clone())),
        Verdict::Undetermined(_) => Err(malformed("it cannot be told whom it is for")),
    }
}

/// Of which trust domain a token says that it is. That says under whose word it is to be judged, and
/// nothing else.
fn trust_domain_of(token: &Token) -> Option<TrustDomain> {
    let claims = claims_of(token)?;
    let subject = SpiffeId::parse(claims.get("sub")?.as_str()?).ok()?;
    Some(subject.trust_domain().clone())
}

/// What a token claims.
fn claims_of(token: &Token) -> Option<serde_json::Map<String, Value>> {
    let claims = token.expose().split('.').nth(1)?;
    let claims = Base64UrlUnpadded::decode_vec(claims).ok()?;
    serde_json::from_slice(&claims).ok()
}

#[cfg(test)]
mod tests {
    use avouch_core::id::TenantId;

    use super::super::holdings::EntryKey;
    use super::*;

    fn entry(tenant: &str) -> Entry {
        Entry {
            key: EntryKey {
                tenant: TenantId::parse(tenant).unwrap(),
                id: "web".to_owned(),
                facts: Vec::new(),
            },
            spiffe_id: SpiffeId::parse(&format!("spiffe://{tenant}.test/web")).unwrap(),
            federates_with: Vec::new(),
            hint: None,
            created: 0,
            revision: 0,
        }
    }

    fn refused(why: &str) -> Result<Token, NotIssued> {
        let why = why.to_owned();
        Err(NotIssued::Unavailable { why })
    }

    #[test]
    fn what_is_refused_of_one_tenant_takes_nothing_from_another() {
        let entries = || vec![entry("spent"), entry("demo")];
        let tokens = vec![refused("its quota is spent"), Ok(Token::new("a.b.c"))];
        let given = those_issued(entries(), tokens).unwrap();
        let given: Vec<&str> = given.iter().map(|svid| svid.spiffe_id.as_str()).collect();
        assert_eq!(given, ["spiffe://demo.test/web"]);

        let tokens = vec![refused("its quota is spent"), refused("it is away")];
        let why = those_issued(entries(), tokens).unwrap_err().to_string();
        assert!(why.contains("its quota is spent"), "{why}");
    }
}
