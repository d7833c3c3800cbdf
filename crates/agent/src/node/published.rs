//! What the tenant of a trust domain publishes of it, by which its certificates are decided on, and which
//! of the SVIDs that are held are believed nowhere any more by that.

use std::collections::BTreeMap;
use std::sync::Arc;

use avouch_core::anchor::{Anchor, AnchorKind};
use avouch_core::budget::Budget;
use avouch_core::credential::Credential;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::credential::x509::{Certificate, Crl};
use avouch_core::crypto::AwsLc;
use avouch_core::decide;
use avouch_core::id::{Digest, TenantId, TrustDomain, hex};
use avouch_core::question::{Context, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::Verdict;
use avouch_core::view::View;

use super::holdings::{EntryKey, Holdings};
use crate::identities::X509Svid;

/// The bundle and the revocation lists of a trust domain, as its own tenant publishes them: what another
/// tenant says of it does not count.
pub(super) struct Published {
    tenant: TenantId,
    bundle: Bundle,
    /// As DER: they may be long, and are read where nobody waits.
    lists: Vec<Vec<u8>>,
}

impl Published {
    pub(super) fn of(holdings: &Holdings, domain: &TrustDomain) -> Option<Self> {
        let (tenant, held) = holdings.published(domain)?;
        Some(Self {
            tenant: tenant.clone(),
            bundle: held.whole.clone(),
            lists: held.revocation_lists.clone(),
        })
    }

    /// In which nothing else vouches for anyone.
    pub(super) fn view(self) -> View {
        let bundle = self.bundle.digest();
        let lists = self.lists.iter().map(Vec::as_slice);
        let epoch = Digest::of_list(std::iter::once(bundle.as_bytes().as_slice()).chain(lists));
        let kind = AnchorKind::TrustDomain(self.bundle);
        let anchor = Anchor::bare("SPIFFE bundle", kind, &self.tenant);
        let lists = self.lists.iter();
        let lists = lists.filter_map(|der| Crl::parse(der).ok()).collect();
        View::new(self.tenant, vec![anchor], lists, Vec::new(), epoch)
    }
}

/// SVIDs that are held, and what is published of their trust domains.
pub(super) struct Looked {
    held: Vec<(EntryKey, Arc<X509Svid>)>,
    published: BTreeMap<TrustDomain, Published>,
}

impl Looked {
    pub(super) fn at(holdings: &Holdings, held: Vec<(EntryKey, Arc<X509Svid>)>) -> Self {
        let mut published = BTreeMap::new();
        for (_, svid) in &held {
            let domain = svid.spiffe_id.trust_domain();
            if !published.contains_key(domain)
                && let Some(found) = Published::of(holdings, domain)
            {
                published.insert(domain.clone(), found);
            }
        }
        Self { held, published }
    }

    /// Those that a list names, or names something above, and those whose root is not published any more,
    /// as after the server's database was put back to a time before it. It takes as long as there are
    /// SVIDs and entries of lists.
    pub(super) fn disbelieved(self, now: Time) -> Vec<EntryKey> {
        let views = self.published.into_iter();
        let views: BTreeMap<TrustDomain, View> = views
            .map(|(domain, published)| (domain, published.view()))
            .collect();
        let is_disbelieved = |svid: &X509Svid| {
            let view = views.get(svid.spiffe_id.trust_domain());
            view.is_some_and(|view| is_disbelieved(svid, view, now))
        };
        let held = self.held.into_iter();
        held.filter_map(|(key, svid)| is_disbelieved(&svid).then_some(key))
            .collect()
    }
}

fn is_disbelieved(svid: &X509Svid, view: &View, now: Time) -> bool {
    let chain = std::iter::once(&svid.certificate).chain(&svid.intermediates);
    let read = chain.clone().flat_map(|der| Certificate::parse(der));
    let read: Vec<Certificate> = read.collect();
    // Hardly any number stands in a list, and hardly any root goes before what is below it; only then it is
    // worth its signatures to decide.
    let is_named = |certificate: &Certificate| {
        let mut lists = view.crls().iter();
        lists.any(|list| list.names(certificate.serial()))
    };
    let has_root = read.last().is_some_and(|last| is_below_a_root(last, view));
    if has_root && !read.iter().any(is_named) {
        return false;
    }
    let question = Question {
        tenant: view.tenant().clone(),
        credential: Credential::X509(chain.cloned().collect()),
        profile: Profile::Spiffe,
        purpose: Purpose::Any,
        now,
        context: Context::default(),
    };
    let verdict = decide(&question, view, &AwsLc, &mut Budget::default());
    matches!(verdict, Verdict::Reject(refusal)
    if matches!(
        refusal.reason(),
        Reason::CredentialRevoked { .. } | Reason::IssuerNotFound { .. }
    ))
}

/// Whether it names a key that is published as the one that signed it.
fn is_below_a_root(certificate: &Certificate, view: &View) -> bool {
    let signer = certificate.authority_key_id().map(hex);
    let mut kinds = view.anchors().iter().map(|anchor| &anchor.kind);
    kinds.any(|kind| match kind {
        AnchorKind::TrustDomain(bundle) => {
            let mut roots = bundle.x509_authorities.iter();
            roots.any(|root| Some(&*root.key_id()) == signer.as_deref())
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use avouch_api::grpc::node;
    use avouch_testkit::certificate::CertificateForge;
    use avouch_testkit::crl::{CrlForge, Entry};
    use avouch_testkit::key::Key;
    use avouch_testkit::world::Authority;
    use base64ct::{Base64, Encoding};
    use serde_json::json;
    use zeroize::Zeroizing;

    use super::*;
    use crate::identities::PrivateKey;
    use avouch_core::id::SpiffeId;

    const ID: &str = "spiffe://demo.avouch.test/web";
    const BEFORE: &str = "2024-05-30T00:00:00Z";

    /// What the list of `authority` names, in a trust domain that has `others`, too.
    fn holdings(authority: &Authority, others: &[&Authority], named: &[&[u8]]) -> Holdings {
        let keys = std::iter::once(&authority).chain(others).map(|one| {
            let x5c = [Base64::encode_string(&one.certificate)];
            json!({"use": "x509-svid", "kty": "OKP", "crv": "Ed25519", "x5c": x5c})
        });
        let keys: Vec<_> = keys.collect();
        let list = named.iter().fold(CrlForge::complete(), |list, serial| {
            list.revoke(Entry::new(serial, BEFORE).reason(4))
        });
        let mut holdings = Holdings::default();
        holdings.follow(node::Update {
            tenant: "demo".to_owned(),
            sequence: 1,
            bundles: vec![node::Bundle {
                trust_domain: "demo.avouch.test".to_owned(),
                document: json!({ "keys": keys }).to_string(),
                revocation_lists: vec![authority.crl(list)],
                own: true,
            }],
            distrust: Some(node::Distrust::default()),
            ..node::Update::default()
        });
        holdings
    }

    fn forge(serial: &[u8]) -> CertificateForge {
        CertificateForge::svid(ID, &Key::ed25519(ID)).serial(serial)
    }

    fn held(name: &str, certificate: Vec<u8>, above: &[&Authority]) -> (EntryKey, Arc<X509Svid>) {
        let key = EntryKey {
            tenant: TenantId::parse("demo").unwrap(),
            id: name.to_owned(),
            facts: Vec::new(),
        };
        let svid = X509Svid {
            spiffe_id: SpiffeId::parse(ID).unwrap(),
            certificate,
            intermediates: above.iter().map(|one| one.certificate.clone()).collect(),
            private_key: PrivateKey::from_pkcs8(Zeroizing::new(Vec::new())),
            hint: None,
        };
        (key, Arc::new(svid))
    }

    fn disbelieved(holdings: &Holdings, held: Vec<(EntryKey, Arc<X509Svid>)>) -> Vec<String> {
        let now = Time::from_unix(1_717_200_000);
        let disbelieved = Looked::at(holdings, held).disbelieved(now).into_iter();
        disbelieved.map(|key| key.id).collect()
    }

    #[test]
    fn what_a_list_of_its_authority_names_is_revoked_and_what_is_below_that() {
        let root = Authority::root("Root");
        let below =
            root.intermediate_with("Below", Key::ed25519("Below"), |forge| forge.serial(&[7]));
        let holdings = holdings(&root, &[], &[&[1], &[7]]);
        let held = vec![
            held("named", root.issue(forge(&[1])), &[]),
            held("free", root.issue(forge(&[2])), &[]),
            held("below", below.issue(forge(&[3])), &[&below]),
        ];
        assert_eq!(disbelieved(&holdings, held), ["named", "below"]);
    }

    #[test]
    fn the_same_number_of_another_authority_is_not_revoked() {
        let (root, other) = (Authority::root("Root"), Authority::root("Other"));
        let holdings = holdings(&root, &[&other], &[&[1]]);
        let ended = forge(&[1]).valid("2024-05-01T00:00:00Z", BEFORE);
        let held = vec![
            held("another", other.issue(forge(&[1])), &[]),
            // It is refused for another reason.
            held("ended", other.issue(ended), &[]),
            held("named", root.issue(forge(&[1])), &[]),
        ];
        assert_eq!(disbelieved(&holdings, held), ["named"]);
    }

    #[test]
    fn what_is_below_a_root_that_is_not_published_any_more_is_believed_no_more() {
        let (root, gone) = (Authority::root("Root"), Authority::root("Gone"));
        let below = |root: &Authority| root.intermediate("Below");
        let (here, there) = (below(&root), below(&gone));
        let holdings = holdings(&root, &[], &[]);
        let held = vec![
            held("stays", here.issue(forge(&[1])), &[&here]),
            held("gone", there.issue(forge(&[1])), &[&there]),
        ];
        assert_eq!(disbelieved(&holdings, held), ["gone"]);
    }
}
