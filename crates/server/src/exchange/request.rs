//! What is asked for at the token endpoint, read strictly (RFC 6749 3.2, RFC 8693 2.1).

use std::collections::{BTreeMap, BTreeSet};

use avouch_api::members::Document;
use avouch_core::exchange::{IssuedKind, Wanted};
use avouch_core::reason::Reason;

/// RFC 8693 2.1.
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// RFC 7523 2.1.
const ASSERTION: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// RFC 6749 4.4.
const CLIENT_CREDENTIALS: &str = "client_credentials";

/// The grants that are known.
pub(crate) const GRANTS: [&str; 3] = [EXCHANGE, ASSERTION, CLIENT_CREDENTIALS];

/// RFC 7523 2.2.
const BY_KEY: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// draft-ietf-oauth-spiffe-client-auth-01.
const BY_SVID: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// The types of RFC 8693 3, and names of our own for what it has none for.
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(crate) const JWT_SVID: &str = "urn:avouch:params:token-type:jwt-svid";
pub(crate) const X509_SVID: &str = "urn:avouch:params:token-type:x509-svid";
pub(crate) const WIT_SVID: &str = "urn:avouch:params:token-type:wit-svid";
/// RFC 8693 3: base64url of an assertion or a response.
const SAML2: &str = "urn:ietf:params:oauth:token-type:saml2";
const API_KEY: &str = "urn:avouch:params:token-type:api-key";
/// A key or a certificate of SSH, one line as in a file `.pub`.
const SSH: &str = "urn:avouch:params:token-type:ssh";

/// What may be presented.
const FORMS: [(&str, Form); 9] = [
    (JWT, Form::Jwt),
    (ID_TOKEN, Form::IdToken),
    (ACCESS_TOKEN, Form::AccessToken),
    (JWT_SVID, Form::JwtSvid),
    (WIT_SVID, Form::Wit),
    (X509_SVID, Form::X509),
    (SAML2, Form::Saml),
    (API_KEY, Form::ApiKey),
    (SSH, Form::Ssh),
];

/// What may be asked for.
const KINDS: [(&str, IssuedKind); 5] = [
    (ACCESS_TOKEN, IssuedKind::AccessToken),
    (JWT, IssuedKind::JwtSvid),
    (JWT_SVID, IssuedKind::JwtSvid),
    (WIT_SVID, IssuedKind::WitSvid),
    (X509_SVID, IssuedKind::X509Svid),
];

/// How a client shows who it is (RFC 7521 4.2).
pub(crate) const CLIENT_ASSERTION_TYPE: &str = "client_assertion_type";

/// What is wrong with how a client shows who it is, where that is nothing but what it sent.
pub(crate) const SHARED_SECRET: &str = "shared secrets are not taken here";
pub(crate) const NO_CREDENTIAL: &str = "it sent neither `client_assertion` nor a certificate";
pub(crate) const OTHER_CLIENT: &str = "`client_id` names another client";

/// Parameters that may stand more than once (RFC 8693 2.1).
const REPEATED: [&str; 2] = ["audience", "resource"];

/// The most values of one of them.
const REPEATED_MAX: usize = 8;

/// The most parameters.
const PARAMETERS_MAX: usize = 64;

/// A request.
#[derive(Debug)]
pub(crate) struct TokenRequest {
    pub(crate) grant: Grant,
    pub(crate) wanted: Wanted,
    /// The name under which the type was asked for.
    pub(crate) wanted_type: Option<String>,
    /// A signing request in PEM.
    pub(crate) certificate_request: Option<String>,
    /// Who asks, as they call themselves (RFC 6749 3.2.1).
    pub(crate) client_id: Option<String>,
    pub(crate) client: Option<Client>,
}

/// On what grounds something is asked for.
#[derive(Debug)]
pub(crate) enum Grant {
    /// An assertion about someone (RFC 7523 2.1).
    Assertion(Token),
    /// That the client is who it is (RFC 6749 4.4).
    ClientCredentials,
    /// A token of someone, and perhaps one of who acts for them (RFC 8693).
    Exchange {
        subject: Token,
        actor: Option<Token>,
    },
}

/// Something that is presented. It has no `Debug` of its text.
pub(crate) struct Token {
    pub(crate) form: Form,
    pub(crate) text: String,
    pub(crate) proof: Option<String>,
    /// Who has issued it, if only they can read it.
    pub(crate) issuer: Option<String>,
    /// The challenge of this server that the proof answers.
    pub(crate) challenge: Option<String>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({:?})", self.form)
    }
}

/// What something is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    AccessToken,
    ApiKey,
    IdToken,
    Jwt,
    JwtSvid,
    Saml,
    Ssh,
    Wit,
    X509,
}

/// A client and how it shows who it is.
pub(crate) struct Client {
    pub(crate) kind: ClientKind,
    pub(crate) id: Option<String>,
    pub(crate) assertion: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({:?})", self.kind)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientKind {
    /// An assertion signed with a key of its own.
    PrivateKey,
    /// A JWT-SVID.
    Spiffe,
}

impl TokenRequest {
    /// Reads a form.
    pub(crate) fn read(body: &str) -> Result<Self, Reason> {
        let mut form = Parameters::read(body)?;
        let grant_type = form.required("grant_type")?;
        let grant = match grant_type.as_str() {
            EXCHANGE => Grant::Exchange {
                subject: form
                    .token(&SUBJECT)?
                    .ok_or_else(|| missing(SUBJECT.token))?,
                actor: form.token(&ACTOR)?,
            },
            ASSERTION => Grant::Assertion(Token {
                form: Form::Jwt,
                text: form.required("assertion")?,
                proof: None,
                issuer: None,
                challenge: None,
            }),
            CLIENT_CREDENTIALS => Grant::ClientCredentials,
            other => {
                return Err(Reason::IssueGrant {
                    grant: as_name(other),
                    supported: GRANTS.map(str::to_owned).to_vec(),
                });
            }
        };
        let wanted_type = form.one("requested_token_type")?;
        let kind = wanted_type.as_deref().map(kind_of).transpose()?;
        let mut audiences = form.all("audience");
        audiences.extend(form.all("resource"));
        // Whoever is named twice, by whichever parameter, is one.
        let mut named = BTreeSet::new();
        audiences.retain(|audience| named.insert(audience.clone()));
        let request = Self {
            wanted: Wanted {
                kind,
                audiences,
                scopes: form.one("scope")?.as_deref().map(scopes),
            },
            wanted_type,
            certificate_request: form.one("certificate_request")?,
            client_id: form.first("client_id").cloned(),
            client: form.client()?,
            grant,
        };
        let wants_certificate = request.wanted.kind == Some(IssuedKind::X509Svid);
        if wants_certificate && request.certificate_request.is_none() {
            return Err(missing("certificate_request"));
        }
        Ok(request)
    }

    /// A request that is only tried.
    pub(crate) fn trial(
        text: String,
        form: Option<&str>,
        issuer: Option<String>,
        kind: Option<&str>,
        audiences: Vec<String>,
        scope: Option<&str>,
    ) -> Result<Self, Reason> {
        let form = match form {
            Some(form) => form_of("subject_token_type", form)?,
            None => Form::Jwt,
        };
        Ok(Self {
            grant: Grant::Exchange {
                subject: Token {
                    form,
                    text,
                    proof: None,
                    issuer,
                    challenge: None,
                },
                actor: None,
            },
            wanted: Wanted {
                kind: kind.map(kind_of).transpose()?,
                audiences,
                scopes: scope.map(scopes),
            },
            wanted_type: kind.map(str::to_owned),
            certificate_request: None,
            client_id: None,
            client: None,
        })
    }
}

impl TokenRequest {
    /// Whether it rests on one token that the core alone decides on.
    pub(crate) fn is_plain(&self) -> bool {
        let token = match &self.grant {
            Grant::Assertion(token)
            | Grant::Exchange {
                subject: token,
                actor: None,
            } => token,
            Grant::Exchange { actor: Some(_), .. } | Grant::ClientCredentials => return false,
        };
        let is_token = match token.form {
            Form::AccessToken | Form::IdToken | Form::Jwt | Form::JwtSvid => true,
            Form::ApiKey | Form::Saml | Form::Ssh | Form::Wit | Form::X509 => false,
        };
        is_token && self.client.is_none()
    }
}

/// Who asks about which token (RFC 7662 2.1).
pub(crate) struct IntrospectionRequest {
    pub(crate) token: String,
    pub(crate) client: Option<Client>,
}

impl IntrospectionRequest {
    /// Reads a form. What kind of token it may be is passed over: it says itself.
    pub(crate) fn read(body: &str) -> Result<Self, Reason> {
        let mut form = Parameters::read(body)?;
        Ok(Self {
            token: form.required("token")?,
            client: form.client()?,
        })
    }
}

/// A scope is a set (RFC 6749 3.3): a word that stands twice is granted once, and told once.
fn scopes(text: &str) -> Vec<String> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in text.split(' ').filter(|scope| !scope.is_empty()) {
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

fn kind_of(text: &str) -> Result<IssuedKind, Reason> {
    let found = KINDS.iter().find(|(name, _)| *name == text);
    found
        .map(|(_, kind)| *kind)
        .ok_or_else(|| Reason::IssueTokenType {
            parameter: "requested_token_type",
            found: as_name(text),
            supported: KINDS.map(|(name, _)| name.to_owned()).to_vec(),
        })
}

fn form_of(parameter: &'static str, text: &str) -> Result<Form, Reason> {
    let found = FORMS.iter().find(|(name, _)| *name == text);
    found
        .map(|(_, form)| *form)
        .ok_or_else(|| Reason::IssueTokenType {
            parameter,
            found: as_name(text),
            supported: FORMS.map(|(name, _)| name.to_owned()).to_vec(),
        })
}

/// A name that nobody knows, as whoever sent it is told and as it is kept: what stands in the wrong place
/// may be a secret, so only what has the form of such names is repeated.
pub(crate) fn as_name(text: &str) -> String {
    let is_of = |most: usize, known: fn(u8) -> bool, text: &str| {
        (1..=most).contains(&text.len()) && text.bytes().all(known)
    };
    let is_word = |text: &str| is_of(32, |byte| matches!(byte, b'a'..=b'z' | b'_'), text);
    let is_urn = |text: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.".contains(&byte);
        text.strip_prefix("urn:")
            .is_some_and(|rest| is_of(124, known, rest))
    };
    match is_word(text) || is_urn(text) {
        true => text.to_owned(),
        false => format!(
            "of {} characters (not repeated here, for it may be a secret)",
            text.chars().count()
        ),
    }
}

fn refuse(detail: String) -> Reason {
    Document::Request("token request").refuse(detail)
}

fn missing(name: &str) -> Reason {
    refuse(format!("`{name}` is missing"))
}

/// What the parameters of something that is presented are called.
struct Names {
    token: &'static str,
    form: &'static str,
    proof: &'static str,
    challenge: &'static str,
    issuer: &'static str,
}

const SUBJECT: Names = Names {
    token: "subject_token",
    form: "subject_token_type",
    proof: "subject_token_proof",
    challenge: "subject_token_challenge",
    issuer: "subject_issuer",
};

const ACTOR: Names = Names {
    token: "actor_token",
    form: "actor_token_type",
    proof: "actor_token_proof",
    challenge: "actor_token_challenge",
    issuer: "actor_issuer",
};

/// The parameters of a form. Those that are not known are passed over (RFC 6749 3.2).
struct Parameters(BTreeMap<String, Vec<String>>);

impl Parameters {
    fn read(body: &str) -> Result<Self, Reason> {
        let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut count = 0;
        for part in body.split('&').filter(|part| !part.is_empty()) {
            count += 1;
            if count > PARAMETERS_MAX {
                return Err(refuse(format!(
                    "it has more than {PARAMETERS_MAX} parameters"
                )));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let decoded = decode(name).zip(decode(value));
            let (name, value) =
                decoded.ok_or_else(|| refuse("it is not form-encoded UTF-8".to_owned()))?;
            // RFC 6749 3.2: without a value it is as if it were not there.
            if value.is_empty() {
                continue;
            }
            let values = parameters.entry(name.clone()).or_default();
            values.push(value);
            let most = if REPEATED.contains(&name.as_str()) {
                REPEATED_MAX
            } else {
                1
            };
            if values.len() > most {
                let name = as_name(&name);
                let times = match most {
                    1 => "once".to_owned(),
                    more => format!("{more} times"),
                };
                return Err(refuse(format!(
                    "the parameter {name} stands more than {times}"
                )));
            }
        }
        Ok(Self(parameters))
    }

    fn all(&mut self, name: &str) -> Vec<String> {
        self.0.remove(name).unwrap_or_default()
    }

    fn first(&self, name: &str) -> Option<&String> {
        self.0.get(name)?.first()
    }

    fn one(&mut self, name: &str) -> Result<Option<String>, Reason> {
        Ok(self.all(name).into_iter().next())
    }

    fn required(&mut self, name: &str) -> Result<String, Reason> {
        self.one(name)?.ok_or_else(|| missing(name))
    }

    /// Something that is presented, and what is said of it.
    fn token(&mut self, names: &Names) -> Result<Option<Token>, Reason> {
        let (text, form) = (self.one(names.token)?, self.one(names.form)?);
        let (proof, challenge) = (self.one(names.proof)?, self.one(names.challenge)?);
        let issuer = self.one(names.issuer)?;
        match (text, form) {
            (Some(text), Some(form)) => Ok(Some(Token {
                form: form_of(names.form, &form)?,
                text,
                proof,
                issuer,
                challenge,
            })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(missing(names.form)),
            // RFC 8693 2.1: it must not be there without the token.
            (None, Some(_)) => Err(missing(names.token)),
        }
    }

    fn client(&mut self) -> Result<Option<Client>, Reason> {
        let id = self.one("client_id")?;
        if self.one("client_secret")?.is_some() {
            return Err(Reason::IssueClient {
                detail: SHARED_SECRET.to_owned(),
            });
        }
        let (kind, assertion) = (
            self.one(CLIENT_ASSERTION_TYPE)?,
            self.one("client_assertion")?,
        );
        match (kind, assertion) {
            (None, None) => Ok(None),
            (Some(kind), Some(assertion)) => {
                let kind = match kind.as_str() {
                    BY_KEY => ClientKind::PrivateKey,
                    BY_SVID => ClientKind::Spiffe,
                    other => {
                        return Err(Reason::IssueTokenType {
                            parameter: CLIENT_ASSERTION_TYPE,
                            found: as_name(other),
                            supported: [BY_KEY, BY_SVID].map(str::to_owned).to_vec(),
                        });
                    }
                };
                Ok(Some(Client {
                    kind,
                    id,
                    assertion,
                }))
            }
            (Some(_), None) => Err(missing("client_assertion")),
            (None, Some(_)) => Err(missing(CLIENT_ASSERTION_TYPE)),
        }
    }
}

/// Takes the escapes of a form away (URL Standard 5.1), if they are in order.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            plain => plain,
        });
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> &'static str {
        TokenRequest::read(body).unwrap_err().code()
    }

    #[test]
    fn hostile_51_types_that_are_not_known_are_refused_by_name() {
        let with = |subject: &str, more: &str| {
            format!("grant_type={EXCHANGE}&subject_token=x&subject_token_type={subject}{more}")
        };
        let oauth = "urn:ietf:params:oauth:token-type:";
        for known in ["jwt", "id_token", "access_token", "saml2"] {
            assert!(TokenRequest::read(&with(&format!("{oauth}{known}"), "")).is_ok());
        }
        for unknown in ["refresh_token", "saml1", "logout", "JWT"] {
            let body = with(&format!("{oauth}{unknown}"), "");
            assert_eq!(code(&body), "issue.token_type_unsupported", "{unknown}");
        }
        let wanted = with(
            &format!("{oauth}jwt"),
            &format!("&requested_token_type={oauth}refresh_token"),
        );
        assert_eq!(code(&wanted), "issue.token_type_unsupported");
        assert_eq!(code("grant_type=password"), "issue.grant_unsupported");
        assert_eq!(
            code("grant_type=client_credentials&client_secret=x"),
            "issue.client_not_authenticated"
        );
    }

    #[test]
    fn what_stands_in_the_wrong_place_is_not_repeated() {
        let secret = "sk_live_51Mszz";
        for body in [
            format!("grant_type={secret}"),
            format!("grant_type={EXCHANGE};subject_token={secret}"),
            format!("grant_type={EXCHANGE}&subject_token=x&subject_token_type={secret}"),
            format!("grant_type={CLIENT_CREDENTIALS}&requested_token_type={secret}"),
            format!(
                "grant_type={CLIENT_CREDENTIALS}&client_assertion=x&client_assertion_type={secret}"
            ),
            format!("{secret}=1&{secret}=2"),
        ] {
            let told = format!("{:?}", TokenRequest::read(&body).unwrap_err());
            assert!(!told.contains(secret), "{told}");
        }
        assert_eq!(as_name("password"), "password");
        assert_eq!(as_name(EXCHANGE), EXCHANGE);
    }

    #[test]
    fn whoever_is_named_twice_is_one_audience() {
        let body = format!(
            "grant_type={CLIENT_CREDENTIALS}&audience=a&audience=b&audience=a&resource=b&resource=c"
        );
        let request = TokenRequest::read(&body).unwrap();
        assert_eq!(request.wanted.audiences, ["a", "b", "c"]);
    }

    #[test]
    fn a_form_that_could_be_read_two_ways_is_refused() {
        for body in [
            "",
            "grant_type",
            "grant_type=",
            "grant_type=a&grant_type=a",
            "grant_type=%zz",
            "grant_type=%e9",
            "grant_type=a%00b",
            &format!("grant_type={EXCHANGE}"),
            &format!("grant_type={EXCHANGE}&subject_token=x"),
            &format!("grant_type={EXCHANGE}&subject_token_type={JWT}"),
            &format!(
                "grant_type={EXCHANGE}&subject_token=x&subject_token_type={JWT}&actor_token_type={JWT}"
            ),
            &format!("grant_type={CLIENT_CREDENTIALS}&client_assertion=x"),
            &"a=b&".repeat(65),
        ] {
            assert_eq!(code(body), "issue.body_malformed", "{body}");
        }
        assert_eq!(decode("a+b%2Fc").as_deref(), Some("a b/c"));
    }
}
