//! The kinds of SVIDs that a node holds keys for.

use avouch_api::grpc::node::{
    IssueWitRequest, IssueX509Request, KeyForEntry, Refusal, WitAnswer, X509Answer,
};
use avouch_core::credential::x509::Certificate;
use avouch_core::id::hex;
use avouch_core::time::Time;
use tonic::Status;
use zeroize::Zeroizing;

use super::holdings::{Entry, EntryKey, Holdings};
use super::key::NodeKey;
use super::svids::{Issued, Kind, Svids};
use super::tokens::{id_of, key_of};
use super::validity::Validity;
use super::{Shared, now};
use crate::identities::{PrivateKey, Token, WitSvid, X509Svid};

/// X.509-SVIDs.
pub(super) struct X509;

impl Kind for X509 {
    type Svid = X509Svid;
    type Answer = X509Answer;

    const NAME: &'static str = "X.509-SVID";

    fn all(shared: &Shared) -> &Svids<Self> {
        &shared.x509
    }

    async fn ask(
        shared: &Shared,
        tenant: String,
        items: Vec<KeyForEntry>,
    ) -> Result<Vec<X509Answer>, Status> {
        let mut client = shared.link.client();
        let answer = client
            .issue_x509(IssueX509Request { tenant, items })
            .await?;
        Ok(answer.into_inner().answers)
    }

    fn refusal(answer: &X509Answer) -> Option<&Refusal> {
        answer.refusal.as_ref()
    }

    /// Of what is above it the chain tells ([`super::published`]).
    fn is_distrusted(holdings: &Holdings, entry: &EntryKey, authority: &str) -> bool {
        holdings.distrusts(&entry.tenant, authority)
    }

    fn take(entry: &Entry, key: &NodeKey, answer: X509Answer) -> Option<Issued<Self>> {
        let mut certificates = answer.certificates.into_iter();
        let own = certificates.next()?;
        let parsed = Certificate::parse(&own).ok()?;
        let is_ours = parsed.public_key_info() == key.public_key()
            && parsed.uris().any(|uri| uri == entry.spiffe_id.as_str());
        let authority = parsed.authority_key_id()?;
        is_ours.then(|| Issued {
            validity: Validity::of(&parsed, now(), parsed.serial()),
            authority: hex(authority),
            token_id: None,
            born: parsed.not_before(),
            svid: X509Svid {
                spiffe_id: entry.spiffe_id.clone(),
                certificate: own,
                intermediates: certificates.collect(),
                private_key: PrivateKey::from_pkcs8(Zeroizing::new(key.pkcs8().to_vec())),
                hint: entry.hint.clone(),
            },
        })
    }
}

/// WIT-SVIDs.
pub(super) struct Wit;

impl Kind for Wit {
    type Svid = WitSvid;
    type Answer = WitAnswer;

    const NAME: &'static str = "WIT-SVID";

    fn all(shared: &Shared) -> &Svids<Self> {
        &shared.wit
    }

    async fn ask(
        shared: &Shared,
        tenant: String,
        items: Vec<KeyForEntry>,
    ) -> Result<Vec<WitAnswer>, Status> {
        let mut client = shared.link.client();
        let answer = client.issue_wit(IssueWitRequest { tenant, items }).await?;
        Ok(answer.into_inner().answers)
    }

    fn refusal(answer: &WitAnswer) -> Option<&Refusal> {
        answer.refusal.as_ref()
    }

    fn is_distrusted(holdings: &Holdings, entry: &EntryKey, authority: &str) -> bool {
        holdings.distrusts_signer(entry, authority)
    }

    fn take(entry: &Entry, key: &NodeKey, answer: WitAnswer) -> Option<Issued<Self>> {
        let expires = Time::from_unix(answer.expires);
        let token = Token::new(answer.token);
        Some(Issued {
            validity: Validity::until(expires, now(), key.public_key()),
            authority: key_of(&token)?,
            token_id: id_of(&token),
            born: Time::from_unix(answer.issued),
            svid: WitSvid {
                spiffe_id: entry.spiffe_id.clone(),
                private_key: Token::new(key.to_jwk().ok()?.as_str()),
                hint: entry.hint.clone(),
                token,
            },
        })
    }
}
