//! JWT-SVIDs and WIT-SVIDs: signed statements of who a workload is (SPIFFE JWT-SVID, WIT-SVID).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use avouch_core::anchor::AnchorKind;
use avouch_core::credential::Credential;
use avouch_core::credential::jose::bundle::Bundle;
use avouch_core::crypto::{KeyKind, Verifier};
use avouch_core::id::{Digest, SpiffeId, TenantId, TrustDomain};
use avouch_core::question::{Context, Holder};
use avouch_core::reason::Reason;
use avouch_core::signal::TYPE;
use avouch_core::time::Time;
use avouch_core::view::View;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::bundle::token_key;
use crate::fault::{Fault, NotIssued};
use crate::intent::{CredentialKind, Intent};
use crate::key::PublicHalf;
use crate::life_cycle::LifeCycle;
use crate::lint::{Throwaway, anchor, ask, question};
use crate::profile::{JwtProfile, WitProfile, check_id};
use crate::random::{Random, token_id};
use crate::signer::{Signature, Signer, SigningKind};
use crate::stages::{Draft, Prepared, private};

/// The most audiences of one token. Each of them can show the token to the others as its holder
/// would, so JWT-SVID 3.2 recommends one.
const AUDIENCES_MAX: usize = 8;

/// The longest audience, in bytes, as for a SPIFFE ID.
const AUDIENCE_BYTES_MAX: usize = 2_048;

/// What a signature and the dots around it take in a token.
const SIGNATURE_ROOM: usize = 90;

/// Which tokens an authority signs. A key for one kind never signs the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenKind {
    /// JWT-SVIDs.
    Jwt,
    /// WIT-SVIDs.
    Wit,
}

impl TokenKind {
    /// The `use` of its keys in a bundle.
    pub(crate) fn key_use(self) -> &'static str {
        match self {
            Self::Jwt => "jwt-svid",
            Self::Wit => "wit-svid",
        }
    }

    /// The `typ` of its tokens.
    fn header_type(self) -> &'static str {
        match self {
            Self::Jwt => "JWT",
            Self::Wit => "wit+jwt",
        }
    }
}

/// A key that signs tokens for a trust domain, and its life.
#[derive(Clone)]
pub struct TokenAuthority {
    tenant: TenantId,
    trust_domain: TrustDomain,
    kind: TokenKind,
    signer: Arc<dyn Signer>,
    life: LifeCycle,
    id: String,
    /// The encoded header of its tokens.
    header: String,
    /// The encoded header of access tokens, which it signs if it signs JWT-SVIDs.
    access_header: String,
    /// The encoded header of security events, likewise.
    pub(crate) event_header: String,
    /// In which it alone vouches.
    view: Arc<View>,
}

/// How the authority of a key that signs tokens is called: the thumbprint of the key (RFC 7638);
/// empty for a key that signs none.
pub fn name_of(key: &PublicHalf) -> String {
    key.thumbprint().unwrap_or_default()
}

impl TokenAuthority {
    /// An authority with the key of `signer`, new or stored. The key is P-256: SPIFFE does not
    /// allow Ed25519 for tokens (JWT-SVID 2.2, WIT-SVID 2).
    ///
    /// # Errors
    ///
    /// [`Fault::AuthorityUnusable`] for another kind of key.
    pub fn open(
        tenant: TenantId,
        trust_domain: TrustDomain,
        kind: TokenKind,
        signer: Arc<dyn Signer>,
        life: LifeCycle,
    ) -> Result<Self, Fault> {
        let unusable = |detail: &str| Fault::AuthorityUnusable(format!("{trust_domain}: {detail}"));
        let public = signer.public_half();
        if SigningKind::of(public.kind()) != Some(SigningKind::P256) {
            return Err(unusable("tokens are signed with P-256 keys only"));
        }
        let id = public
            .thumbprint()
            .ok_or_else(|| unusable("its key is no JSON Web Key"))?;
        let header = |token_type: &str| {
            let header = json!({"alg": "ES256", "kid": id, "typ": token_type});
            URL_SAFE_NO_PAD.encode(header.to_string().as_bytes())
        };
        let (header, access_header, event_header) =
            (header(kind.header_type()), header("at+jwt"), header(TYPE));
        let view = view_of_key(&tenant, &trust_domain, token_key(public, kind, &id)?)?;
        Ok(Self {
            tenant,
            trust_domain,
            kind,
            life,
            id,
            header,
            access_header,
            event_header,
            view: Arc::new(view),
            signer,
        })
    }

    /// The same authority at another point of its life.
    #[must_use]
    pub fn with_life(self, life: LifeCycle) -> Self {
        Self { life, ..self }
    }

    /// Its name in records, refusals and the `kid` of its tokens: the thumbprint of its key
    /// (RFC 7638).
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whose it is.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// For which trust domain it vouches.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Which tokens it signs.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// Where it is in its life.
    pub fn life(&self) -> LifeCycle {
        self.life
    }

    /// What signs for it.
    pub fn signer(&self) -> &Arc<dyn Signer> {
        &self.signer
    }

    pub(crate) fn key_digest(&self) -> Digest {
        Digest::of(self.signer.public_half().info())
    }

    /// In which it alone vouches.
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Settles a token with `further` claims, and `sub`, `jti`, `iat` and `exp` beside them.
    fn draft(
        self: &Arc<Self>,
        id: SpiffeId,
        ttl: u32,
        header: &str,
        further: ClaimsSet<'_>,
        now: Time,
        token_id: String,
    ) -> Result<TokenParts, NotIssued> {
        self.life.check_may_sign(&self.id, now)?;
        check_id(&id, &self.trust_domain)?;
        let expires = now.plus(i64::from(ttl)).min(self.life.not_after());
        let mut claims = further;
        claims.insert("sub", Claim::Text(id.as_str()));
        claims.insert("jti", Claim::Text(&token_id));
        claims.insert("iat", Claim::Number(now.unix()));
        claims.insert("exp", Claim::Number(expires.unix()));
        let claims =
            serde_json::to_vec(&claims).map_err(|_| Fault::Bug("claims cannot be written"))?;
        let kind = match self.kind {
            TokenKind::Jwt => CredentialKind::JwtSvid,
            TokenKind::Wit => CredentialKind::WitSvid,
        };
        let named = Named {
            kind,
            subject: id,
            serial: token_id,
            from: now,
            until: expires,
        };
        Ok(self.put_together(header, &claims, named))
    }

    /// What is to be signed, and the intent to. `header` is encoded already.
    pub(crate) fn put_together(
        self: &Arc<Self>,
        header: &str,
        claims: &[u8],
        Named {
            kind,
            subject,
            serial,
            from,
            until,
        }: Named,
    ) -> TokenParts {
        // Base64 makes four letters of three bytes.
        let room = header.len() + claims.len().div_ceil(3) * 4 + SIGNATURE_ROOM;
        let mut message = String::with_capacity(room);
        message.push_str(header);
        message.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut message);
        let intent = Intent {
            tenant: self.tenant.clone(),
            trust_domain: self.trust_domain.clone(),
            kind,
            subject,
            serial,
            authority: self.id.clone(),
            not_before: from,
            not_after: until,
            digest: Digest::of(message.as_bytes()),
        };
        TokenParts {
            authority: Arc::clone(self),
            message,
            intent,
            now: from,
        }
    }
}

/// A view in which exactly this key vouches for a trust domain, read as any bundle would be.
fn view_of_key(
    tenant: &TenantId,
    trust_domain: &TrustDomain,
    key: Map<String, Value>,
) -> Result<View, Fault> {
    let document = json!({"keys": [key]});
    let bundle = Bundle::read(trust_domain.as_str(), &document)
        .map_err(|_| Fault::Bug("the core cannot read our own bundle"))?;
    let anchor = anchor(tenant, trust_domain, AnchorKind::TrustDomain(bundle));
    let epoch = Digest::of(document.to_string().as_bytes());
    let tenant = tenant.clone();
    Ok(View::new(
        tenant,
        vec![anchor],
        Vec::new(),
        Vec::new(),
        epoch,
    ))
}

impl fmt::Debug for TokenAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenAuthority")
            .field("trust_domain", &self.trust_domain)
            .field("kind", &self.kind)
            .field("id", &self.id)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

/// A signed token. Its `Debug` does not show the text: whoever has it can use it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSvid {
    /// Whose it is.
    pub id: SpiffeId,
    /// The compact JWS (RFC 7515 3.1).
    pub token: String,
    /// Its identifier (`jti`).
    pub token_id: String,
    /// When it was issued (`iat`).
    pub issued: Time,
    /// The first second in which it is no longer valid (`exp`).
    pub expires: Time,
}

impl fmt::Debug for TokenSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSvid")
            .field("id", &self.id)
            .field("token_id", &self.token_id)
            .field("issued", &self.issued)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The claims of a token by their names.
type ClaimsSet<'a> = BTreeMap<&'a str, Claim<'a>>;

/// What a claim says, lent by whoever has it: a token is written once, and a copy of its claims would
/// cost more than that.
#[derive(Serialize)]
#[serde(untagged)]
enum Claim<'a> {
    Number(i64),
    Text(&'a str),
    Texts(&'a [String]),
    Other(&'a Value),
}

/// Claims that stand in a token beside those that bound it.
fn further(claims: &Map<String, Value>) -> ClaimsSet<'_> {
    let claims = claims.iter();
    claims
        .map(|(name, value)| (name.as_str(), Claim::Other(value)))
        .collect()
}

/// What an intent says of a token beside by whom it is signed.
pub(crate) struct Named {
    pub(crate) kind: CredentialKind,
    pub(crate) subject: SpiffeId,
    pub(crate) serial: String,
    /// When it is signed, from when on it holds.
    pub(crate) from: Time,
    pub(crate) until: Time,
}

/// What drafts of all that a [`TokenAuthority`] signs have in common.
pub(crate) struct TokenParts {
    pub(crate) authority: Arc<TokenAuthority>,
    pub(crate) message: String,
    pub(crate) intent: Intent,
    pub(crate) now: Time,
}

impl TokenParts {
    pub(crate) fn token(&self, signature: &Signature) -> String {
        let mut token = String::with_capacity(self.message.len() + SIGNATURE_ROOM);
        token.push_str(&self.message);
        sign_off(&mut token, signature);
        token
    }

    fn release(mut self, signature: &Signature) -> TokenSvid {
        sign_off(&mut self.message, signature);
        TokenSvid {
            token: self.message,
            id: self.intent.subject,
            token_id: self.intent.serial,
            issued: self.intent.not_before,
            expires: self.intent.not_after,
        }
    }
}

/// Ends a token with its signature.
fn sign_off(message: &mut String, signature: &Signature) {
    message.push('.');
    URL_SAFE_NO_PAD.encode_string(signature.as_bytes(), message);
}

/// What is asked for as a JWT-SVID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtRequest {
    /// For whom.
    pub id: SpiffeId,
    /// Who will receive it, at least one.
    pub audiences: Vec<String>,
    /// For how many seconds; the usual time of the profile if nothing is said.
    pub ttl: Option<u32>,
    /// The address of the issuer (`iss`), for verifiers of OIDC that look there for its keys;
    /// SPIFFE needs none.
    pub issuer: Option<String>,
}

impl JwtProfile {
    /// Prepares a JWT-SVID. It ends with its authority at the latest.
    ///
    /// # Errors
    ///
    /// `issue.authority_state`, `issue.authority_expired`, `issue.id_outside_trust_domain`,
    /// `spiffe.leaf_id_without_path`, `issue.audience_invalid`, `issue.ttl_out_of_bounds`, or what
    /// failed on our side.
    pub fn prepare(
        &self,
        authority: &Arc<TokenAuthority>,
        request: JwtRequest,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<JwtDraft>, NotIssued> {
        self.prepare_with(authority, request, More::default(), now, random)
    }

    /// Prepares a JWT-SVID or an access token that says more than whose it is.
    ///
    /// # Errors
    ///
    /// Those of [`JwtProfile::prepare`].
    pub fn prepare_with(
        &self,
        authority: &Arc<TokenAuthority>,
        request: JwtRequest,
        more: More,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<JwtDraft>, NotIssued> {
        if authority.kind != TokenKind::Jwt {
            return Err(Fault::Bug("another kind of authority was asked for a JWT-SVID").into());
        }
        let audience = check_audiences(&request.audiences)?.to_owned();
        let ttl = self.lifetime.choose(request.ttl)?;
        let mut claims = further(&more.claims);
        // RFC 7519 4.1.3: one audience may be a text, several are a list.
        let audiences = match request.audiences.as_slice() {
            [one] => Claim::Text(one),
            several => Claim::Texts(several),
        };
        claims.insert("aud", audiences);
        if let Some(issuer) = &request.issuer {
            claims.insert("iss", Claim::Text(issuer));
        }
        let confirmation = confirmation(&more.holder);
        if let Some(confirmation) = &confirmation {
            claims.insert("cnf", Claim::Other(confirmation));
        }
        let header = if more.access_token {
            &authority.access_header
        } else {
            &authority.header
        };
        let name = match more.token_id {
            Some(name) => name,
            None => token_id(random)?,
        };
        let parts = authority.draft(request.id, ttl, header, claims, now, name)?;
        let context = Context {
            audiences: vec![audience],
            holder: more.holder,
            access_token: more.access_token,
            ..Context::default()
        };
        Ok(Prepared::new(JwtDraft { parts, context }))
    }
}

/// What a token says beside whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// Whether it is an access token (RFC 9068), which only those take who ask for one.
    pub access_token: bool,
    /// What it is called (`jti`), unless chance is to say: a name that nothing else has.
    pub token_id: Option<String>,
    /// To which keys it is bound (RFC 7800): from anyone else it is worth nothing.
    pub holder: Holder,
    /// Further claims; those that bound the token itself are not taken from here.
    pub claims: Map<String, Value>,
}

/// The claim `cnf` of a token that is bound to keys (RFC 9449 6.1, RFC 8705 3.1).
fn confirmation(holder: &Holder) -> Option<Value> {
    let mut members = Map::new();
    for (name, digest) in [("jkt", holder.jkt), ("x5t#S256", holder.certificate)] {
        if let Some(digest) = digest {
            let digest = URL_SAFE_NO_PAD.encode(digest.as_bytes());
            members.insert(name.to_owned(), digest.into());
        }
    }
    (!members.is_empty()).then_some(Value::Object(members))
}

/// Checks the audiences; gives the first.
fn check_audiences(audiences: &[String]) -> Result<&str, Reason> {
    let refuse = |detail| Reason::IssueAudience { detail };
    let Some(first) = audiences.first() else {
        return Err(refuse("none is named".to_owned()));
    };
    if audiences.len() > AUDIENCES_MAX {
        return Err(refuse(format!(
            "{} are named, and {AUDIENCES_MAX} are allowed",
            audiences.len()
        )));
    }
    for audience in audiences {
        if audience.is_empty() {
            return Err(refuse("one of them is empty".to_owned()));
        }
        if audience.len() > AUDIENCE_BYTES_MAX {
            return Err(refuse(format!(
                "one of them has {} bytes, and {AUDIENCE_BYTES_MAX} are allowed",
                audience.len()
            )));
        }
    }
    Ok(first)
}

/// A JWT-SVID that is to be signed.
pub struct JwtDraft {
    parts: TokenParts,
    /// What whoever it is for knows, and its holder proves.
    context: Context,
}

impl private::Draft for JwtDraft {
    fn message(&self) -> &[u8] {
        self.parts.message.as_bytes()
    }

    fn signer(&self) -> &dyn Signer {
        self.parts.authority.signer.as_ref()
    }

    fn intent(&self) -> &Intent {
        &self.parts.intent
    }

    fn judge(&self, signature: &Signature, crypto: &dyn Verifier) -> Result<(), NotIssued> {
        let parts = &self.parts;
        let credential = Credential::Jwt(parts.token(signature));
        let (id, view) = (&parts.intent.subject, &parts.authority.view);
        let question = question(credential, id, self.context.clone(), parts.now, view);
        ask(&question, view, crypto)
    }
}

impl Draft for JwtDraft {
    type Issued = TokenSvid;

    fn release(self, signature: &Signature) -> Result<TokenSvid, Fault> {
        Ok(self.parts.release(signature))
    }
}

/// What is asked for as a WIT-SVID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitRequest {
    /// For whom.
    pub id: SpiffeId,
    /// The key that its holder will prove to have: P-256 or P-384 (WIT-SVID 3).
    pub public_half: PublicHalf,
    /// For how many seconds; the usual time of the profile if nothing is said.
    pub ttl: Option<u32>,
}

impl WitProfile {
    /// Prepares a WIT-SVID. It ends with its authority at the latest.
    ///
    /// # Errors
    ///
    /// `issue.authority_state`, `issue.authority_expired`, `issue.id_outside_trust_domain`,
    /// `spiffe.leaf_id_without_path`, `issue.key_not_accepted`, `issue.ttl_out_of_bounds`, or what
    /// failed on our side.
    pub fn prepare(
        &self,
        authority: &Arc<TokenAuthority>,
        request: WitRequest,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<WitDraft>, NotIssued> {
        self.prepare_with(authority, request, Map::new(), now, random)
    }

    /// Prepares a WIT-SVID that says more than whose it is.
    ///
    /// # Errors
    ///
    /// Those of [`WitProfile::prepare`].
    pub fn prepare_with(
        &self,
        authority: &Arc<TokenAuthority>,
        request: WitRequest,
        more: Map<String, Value>,
        now: Time,
        random: &dyn Random,
    ) -> Result<Prepared<WitDraft>, NotIssued> {
        if authority.kind != TokenKind::Wit {
            return Err(Fault::Bug("another kind of authority was asked for a WIT-SVID").into());
        }
        let holder = request.public_half;
        holder.check_kind(&[KeyKind::P256, KeyKind::P384])?;
        let ttl = self.lifetime.choose(request.ttl)?;
        let algorithm = match holder.kind() {
            KeyKind::P384 => "ES384",
            _ => "ES256",
        };
        let mut key = holder
            .jwk()
            .ok_or(Fault::Bug("an accepted key is no JSON Web Key"))?;
        key.insert("alg".to_owned(), algorithm.into());
        let confirmation = json!({"jwk": key});
        let mut claims = further(&more);
        claims.insert("cnf", Claim::Other(&confirmation));
        let name = token_id(random)?;
        let parts = authority.draft(request.id, ttl, &authority.header, claims, now, name)?;
        Ok(Prepared::new(WitDraft {
            parts,
            holder,
            algorithm,
        }))
    }
}

/// A WIT-SVID that is to be signed.
pub struct WitDraft {
    parts: TokenParts,
    holder: PublicHalf,
    algorithm: &'static str,
}

impl WitDraft {
    /// What the holder would have signed to prove that it has the key (draft-ietf-wimse-wpt-02 2):
    /// without a proof, the core would not believe the token.
    fn proof(&self, token: &str) -> String {
        let header = json!({"typ": "wpt+jwt", "alg": self.algorithm});
        let token_hash = Digest::of(token.as_bytes());
        let claims = json!({
            "aud": "lint",
            "exp": self.parts.now.plus(60).unix(),
            "jti": "lint",
            "wth": URL_SAFE_NO_PAD.encode(token_hash.as_bytes()),
        });
        let part = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string().as_bytes());
        format!("{}.{}", part(header), part(claims))
    }
}

impl private::Draft for WitDraft {
    fn message(&self) -> &[u8] {
        self.parts.message.as_bytes()
    }

    fn signer(&self) -> &dyn Signer {
        self.parts.authority.signer.as_ref()
    }

    fn intent(&self) -> &Intent {
        &self.parts.intent
    }

    fn judge(&self, signature: &Signature, crypto: &dyn Verifier) -> Result<(), NotIssued> {
        let parts = &self.parts;
        let token = parts.token(signature);
        let proof = self.proof(&token);
        let holder = Throwaway::over(proof.as_bytes(), self.holder.key(), crypto)?;
        let signed = URL_SAFE_NO_PAD.encode(holder.signature().as_bytes());
        let credential = Credential::Wit {
            token,
            proof: Some(format!("{proof}.{signed}")),
        };
        let (id, view) = (&parts.intent.subject, &parts.authority.view);
        let context = Context {
            audiences: vec!["lint".to_owned()],
            ..Context::default()
        };
        let question = question(credential, id, context, parts.now, view);
        ask(&question, view, &holder)
    }
}

impl Draft for WitDraft {
    type Issued = TokenSvid;

    fn release(self, signature: &Signature) -> Result<TokenSvid, Fault> {
        Ok(self.parts.release(signature))
    }
}
