//! Who signed for an identity, who signed for them, and the anchor in which it ends: the same lines
//! whether it was decided here or by a server. Texts are safe to print already.

use avouch_core::vouch::How;

use super::layout::{Page, branch, count};

/// An identity with its path.
pub(super) struct Ladder {
    pub(super) name: String,
    /// From the identity up.
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

/// One vouch.
pub(super) struct Step {
    /// None where a server has a word for it that is not known here.
    pub(super) how: Option<How>,
    pub(super) by: String,
    pub(super) key: String,
}

/// The anchor.
pub(super) struct End {
    /// As a verdict has it.
    pub(super) kind: String,
    pub(super) name: String,
    /// What its key is called.
    pub(super) subject: String,
    pub(super) source: Option<String>,
    /// The label of the public store that it is of.
    pub(super) store: Option<String>,
    /// Of a bundle: whose it is.
    pub(super) trust_domain: Option<String>,
    /// Of SSH: whether it is the key of the subject itself, and no authority.
    pub(super) is_listed_key: bool,
}

/// All ways, by the names that they have in verdicts.
const WAYS: [How; 10] = [
    How::ApiKey,
    How::EntityStatement,
    How::Introspection,
    How::Jwt,
    How::Saml,
    How::Ssh,
    How::SshProved,
    How::TokenReview,
    How::Wit,
    How::X509,
];

/// The way of this name.
pub(super) fn way(name: &str) -> Option<How> {
    WAYS.into_iter().find(|how| how.name() == name)
}

impl Ladder {
    pub(super) fn draw(&self, page: &mut Page) {
        page.line(&format!("  {}", page.style.strong(&self.name)));
        for (depth, step) in (1..).zip(&self.steps) {
            page.line(&format!("  {}{}", branch(depth), step.in_words()));
        }
        let place = self.end.in_words();
        let depth = self.steps.len() + 1;
        page.line(&format!("  {}anchored in {place}", branch(depth)));
        page.line(&format!("  {}", page.style.faint(&self.counts())));
    }

    /// What it is made of. The anchor is not a certificate of the path: it is what the tenant holds (RFC
    /// 5280 6.1), so it is counted apart, though its key made the last signature.
    fn counts(&self) -> String {
        let signatures = self.steps.len();
        let in_words = count(signatures, "issuer signature", "issuer signatures");
        let ways = || self.steps.iter().map(|step| step.how);
        match ways().next() {
            Some(Some(How::ApiKey)) | None => "1 anchor, no signature".to_owned(),
            Some(Some(How::X509)) if ways().all(|how| how == Some(How::X509)) => {
                let certificates = count(signatures + 1, "certificate", "certificates");
                format!("{certificates}, {in_words}, 1 anchor")
            }
            Some(_) => format!("{in_words}, 1 anchor"),
        }
    }
}

impl Step {
    pub(super) fn in_words(&self) -> String {
        let Self { how, by, key } = self;
        match how {
            Some(How::X509) => format!("signed by {by}"),
            Some(How::EntityStatement | How::Jwt | How::Saml) | None => {
                format!("signed by {by}, key {key}")
            }
            Some(How::Introspection | How::TokenReview) => {
                format!("told by {by} when it was asked")
            }
            Some(How::Wit) => format!("signed by {by}, key {key}, and proved by its holder"),
            Some(How::Ssh) => format!("known to {by} by key {key}"),
            Some(How::SshProved) => {
                format!("known to {by} by key {key}, and proved by its holder")
            }
            Some(How::ApiKey) => "known by its digest".to_owned(),
        }
    }
}

impl End {
    fn in_words(&self) -> String {
        let name = &self.name;
        // Its name was told as that of the last signer.
        let is_told = *name == self.subject;
        match (self.kind.as_str(), &self.store, &self.source) {
            ("x509", Some(store), _) => match is_told {
                true => format!("that certificate, of the public store {store}"),
                false => format!("the certificate {name}, of the public store {store}"),
            },
            ("x509", None, Some(source)) if is_told => format!("that certificate, from {source}"),
            ("x509", None, _) => format!("the trusted certificate {name}"),
            ("api_key", _, _) => format!("the digest kept as {name}"),
            ("issuer", _, _) => format!("the trusted issuer {name}"),
            ("openid_federation", _, _) => format!("the trust anchor {name} of a federation"),
            ("saml", _, _) => format!("the trusted identity provider {name}"),
            ("trust_domain", _, _) => {
                let whose = self.trust_domain.as_ref().unwrap_or(name);
                format!("the bundle of {whose}")
            }
            ("ssh", _, _) => match self.is_listed_key {
                true => format!("the key listed as {name}"),
                false => format!("the trusted authority {name}"),
            },
            (kind, _, _) => format!("the trusted {} {name}", kind.replace('_', " ")),
        }
    }
}
