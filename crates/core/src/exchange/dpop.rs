//! Proofs that the sender of a request has a key (RFC 9449).

use super::introspection::Presented;
use crate::budget::{Budget, Limits};
use crate::credential::Credential;
use crate::credential::jose::base64url;
use crate::credential::jose::jwk::Jwk;
use crate::credential::jose::jws::Jws;
use crate::crypto::{PublicKey, Verifier};
use crate::id::Digest;
use crate::model::federation::claims::{Rounded, seconds, text};
use crate::question::Question;
use crate::reason::{Reason, printable};
use crate::stop::Stop;
use crate::time::Time;
use crate::verdict::Effect;

/// How many seconds from now a proof may be, before or after: the clocks of clients are what they
/// are, and a proof is remembered for as long as it would be taken again (RFC 9449 11.1).
pub const WINDOW: i64 = 60;

/// The longest `jti` that is looked at; nobody needs more than a UUID.
const ID_BYTES_MAX: usize = 256;

/// The request that a proof is for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its address, as its sender knows it, without query and fragment.
    pub address: &'a str,
    /// The access token that comes with it, if one does.
    pub access_token: Option<&'a str>,
    /// When it came.
    pub now: Time,
}

/// A proof that holds, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The thumbprint of the key (RFC 7638).
    pub thumbprint: Digest,
    /// The key itself.
    pub key: PublicKey,
    /// The nonce that it answers (RFC 9449 8), which whoever gave it out must know again.
    pub nonce: Option<String>,
    /// What may be used once: the key and the `jti`.
    pub use_digest: Digest,
    /// Until when that must be remembered.
    pub until: Time,
}

impl Proved {
    /// Checks a proof in the order of RFC 9449 4.3.
    ///
    /// # Errors
    ///
    /// `issue.proof_invalid`, and `limit.signature_work`.
    pub fn check(
        proof: &str,
        request: Request<'_>,
        crypto: &dyn Verifier,
        budget: &mut Budget,
    ) -> Result<Self, Reason> {
        let (jws, key) = read(proof, budget.limits())?;
        let signed = jws.is_signed_by(key.key(), crypto, budget);
        match signed {
            Ok(true) => {}
            Ok(false) => return Err(invalid("it was not signed by the key in it")),
            Err(Stop::Decided(reason) | Stop::Exhausted(reason) | Stop::Refused(reason)) => {
                return Err(reason);
            }
        }
        let claim = |name: &'static str| said(text(&jws.claims, name));
        let required = |name: &'static str| {
            claim(name)?.ok_or_else(|| invalid(&format!("`{name}` is missing")))
        };
        let method = required("htm")?;
        if method != request.method {
            let method = printable(method);
            return Err(invalid(&format!(
                "`htm` is {method}, which is not how this was sent"
            )));
        }
        let address = required("htu")?;
        // What is no address is none that anything was sent to.
        let sent_to = normalised(request.address);
        if sent_to.is_none() || normalised(address) != sent_to {
            let address = printable(address);
            return Err(invalid(&format!(
                "`htu` is {address}, which is not this address"
            )));
        }
        let made = said(seconds(&jws.claims, "iat", Rounded::Down))?
            .ok_or_else(|| invalid("`iat` is missing"))?;
        if request.now.since(made).abs() > WINDOW {
            return Err(invalid(&format!(
                "it was made on {made}, and it is {}",
                request.now
            )));
        }
        check_life(&jws, request.now)?;
        check_token(request.access_token, claim("ath")?)?;
        let id = required("jti")?;
        if id.len() > ID_BYTES_MAX {
            return Err(invalid("its `jti` is too long"));
        }
        let nonce = claim("nonce")?.map(str::to_owned);
        let thumbprint = key.thumbprint();
        Ok(Self {
            thumbprint,
            key: key.key().clone(),
            nonce,
            use_digest: Digest::of_list([b"dpop", thumbprint.as_bytes().as_slice(), id.as_bytes()]),
            until: made.plus(2 * WINDOW),
        })
    }
}

impl Proved {
    /// That it is used once: what whoever does not keep proofs is handed out to keep (RFC 9449 11.1).
    pub fn effect(&self) -> Effect {
        Effect::ConsumeNonce {
            scope: "DPoP proof".to_owned(),
            nonce: self.use_digest.to_string(),
            until: self.until,
        }
    }
}

/// A proof that came with a token to somebody else, who holds the request and asks about both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownProof {
    /// The proof.
    pub proof: String,
    /// The method of the request.
    pub method: String,
    /// Its address.
    pub url: String,
    /// The nonce that whoever asks has given out, if they did.
    pub nonce: Option<String>,
}

impl ShownProof {
    /// Checks it for the token of the question, and takes it into account there. Whoever goes on sees to it
    /// that it is used once.
    ///
    /// # Errors
    ///
    /// As of [`Proved::check`], also where the token is bound to no key: that is anyone's, whatever key is
    /// shown beside it.
    pub fn prove(
        &self,
        question: &mut Question,
        crypto: &dyn Verifier,
        budget: &mut Budget,
    ) -> Result<Proved, Reason> {
        let Credential::Jwt(token) = &question.credential else {
            return Err(invalid("it goes with a token"));
        };
        let request = Request {
            method: &self.method,
            address: &self.url,
            access_token: Some(token),
            now: question.now,
        };
        let proved = Proved::check(&self.proof, request, crypto, budget)?;
        if self.nonce.is_some() && self.nonce != proved.nonce {
            return Err(invalid("it answers another nonce, or none"));
        }
        // What is wrong with the token itself is found where it is decided on.
        if let Ok(presented) = Presented::read(token) {
            let context = presented.context();
            if context.holder.jkt.is_none() {
                return Err(invalid("the token is bound to no key of a proof"));
            }
            question.context.access_token = context.access_token;
        }
        question.context.holder.jkt = Some(proved.thumbprint);
        Ok(proved)
    }
}

/// Takes a proof apart: what it is, and the public key in it.
fn read<'a>(proof: &'a str, limits: &Limits) -> Result<(Jws<'a>, Jwk), Reason> {
    // RFC 9449 4.3 (1); RFC 9110 5.2: two headers of one name may arrive as one.
    if proof.contains(',') {
        return Err(invalid("there are several"));
    }
    let (jws, key) = said(Jws::read_with_own_key(proof, limits))?;
    if !jws.header().is_of_type("dpop+jwt") {
        return Err(invalid("its `typ` is not `dpop+jwt`"));
    }
    let key = match Jwk::read(&key, "the sender", "sig") {
        Err(Reason::JwksPrivateKey { .. }) => {
            return Err(invalid(
                "it brings a private key; that key is known now and must not be used again",
            ));
        }
        key => said(key)?,
    };
    said(key.admits(jws.header().algorithm))?;
    Ok((jws, key))
}

/// A proof need not say how long it holds; one that does is held to it (RFC 7519 4.1.4, 4.1.5).
fn check_life(jws: &Jws<'_>, now: Time) -> Result<(), Reason> {
    let until = said(seconds(&jws.claims, "exp", Rounded::Down))?;
    if let Some(until) = until.filter(|until| now >= *until) {
        return Err(invalid(&format!("it expired on {until}; it is {now}")));
    }
    let from = said(seconds(&jws.claims, "nbf", Rounded::Up))?;
    if let Some(from) = from.filter(|from| *from > now.plus(WINDOW)) {
        return Err(invalid(&format!("it holds from {from} on; it is {now}")));
    }
    Ok(())
}

/// Where a token comes with the proof, the proof must be for it (RFC 9449 4.2 `ath`).
fn check_token(token: Option<&str>, hash: Option<&str>) -> Result<(), Reason> {
    match (token, hash) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(invalid("`ath` is missing")),
        (Some(token), Some(hash)) => {
            let expected = base64url::encode(Digest::of(token.as_bytes()).as_bytes());
            if hash == expected {
                Ok(())
            } else {
                Err(invalid("`ath` is of another token"))
            }
        }
    }
}

/// Scheme and host in lower case, without the port that goes without saying, without query and
/// fragment, with no escape that needs none and no segment that means another (RFC 9449 4.3 (9);
/// RFC 3986 6.2.2, 6.2.3).
fn normalised(address: &str) -> Option<String> {
    let address = address.split(['?', '#']).next()?;
    let (scheme, rest) = address.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, "/"),
    };
    let host = host.to_ascii_lowercase();
    let without_port = match scheme.as_str() {
        "http" => host.strip_suffix(":80"),
        "https" => host.strip_suffix(":443"),
        _ => None,
    };
    let host = without_port.unwrap_or(&host);
    let path = without_dots(&plain(path));
    Some(format!("{scheme}://{host}{path}"))
}

/// A path without escapes of what may stand there as it is, and the digits of others in upper case
/// (RFC 3986 6.2.2.1, 6.2.2.2).
fn plain(path: &str) -> String {
    let mut parts = path.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or(("", part));
        let is_hex = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| is_hex);
        match byte.map(char::from) {
            Some(byte) if byte.is_ascii_alphanumeric() || "-._~".contains(byte) => plain.push(byte),
            Some(_) => plain.extend(["%", &digits.to_ascii_uppercase()]),
            None => plain.extend(["%", digits]),
        }
        plain.push_str(rest);
    }
    plain
}

/// A path without `.` and `..` (RFC 3986 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

/// What is wrong with a proof is one refusal, whatever it is; the code of the inner one is named.
fn said<T>(read: Result<T, Reason>) -> Result<T, Reason> {
    read.map_err(|reason| match reason {
        Reason::IssueProof { .. } => reason,
        other => invalid(&format!("{} ({})", other.sentence(), other.code())),
    })
}

fn invalid(detail: &str) -> Reason {
    Reason::IssueProof {
        detail: detail.trim_end_matches('.').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        let here = normalised("https://a.test/t/one/token");
        for same in [
            "HTTPS://A.test/t/one/token",
            "https://a.test:443/t/one/token",
            "https://a.test/t/one/token?x=1",
            "https://a.test/t/one/token#x",
            "https://a.test/t/%6Fne/%74oken",
            "https://a.test/t/./two/../one/token",
            "https://a.test/../t/one/token",
        ] {
            assert_eq!(normalised(same), here, "{same}");
        }
        for other in [
            "http://a.test/t/one/token",
            "https://a.test:8443/t/one/token",
            "https://a.test/t/two/token",
            "https://a.test/t/one/token/",
            "https://a.test/t/one/token/.",
            "https://a.test/t/one%2Ftoken",
            "https://a.test/t/one/token%",
            "https://a.test/t/one/token%0",
            "https://a.test/t//one/token",
            "https://a.test@b.test/t/one/token",
            "a.test/t/one/token",
        ] {
            assert_ne!(normalised(other), here, "{other}");
        }
        assert_eq!(
            normalised("https://a.test/%2f"),
            normalised("https://a.test/%2F")
        );
        assert_eq!(
            normalised("https://a.test/b/.."),
            normalised("https://a.test/")
        );
    }
}
