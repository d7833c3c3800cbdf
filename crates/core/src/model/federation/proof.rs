//! Workload identity tokens and the proof that comes with one (SPIFFE WIT-SVID;
//! draft-ietf-wimse-wpt-02 2). Both texts still move; the draft is named so that a later one is
//! another decision.

use serde_json::Value;

use super::Asked;
use super::claims::{CLOCK_LEEWAY, Claims, text};
use crate::budget::{Budget, Limits};
use crate::credential::jose::algorithm::Algorithm;
use crate::credential::jose::base64url;
use crate::credential::jose::jwk::Jwk;
use crate::credential::jose::jws::Jws;
use crate::id::Digest;
use crate::reason::Reason;
use crate::stop::Stop;
use crate::time::Time;
use crate::verdict::Effect;

/// The longest that a proof may still hold, in seconds: 5 minutes. The draft asks for "minutes or
/// seconds".
pub const PROOF_LIFETIME_MAX: i64 = 300;

/// Refuses what is not a workload identity token (WIT-SVID 2): it says that it is one, and
/// names its key.
pub(super) fn check_wit_type(token: &Jws<'_>) -> Result<(), Reason> {
    token.header().expect_type("wit+jwt")?;
    if token.header().key_id.is_none() {
        return Err(Reason::HeaderMalformed {
            member: "kid",
            detail: "it is missing".to_owned(),
        });
    }
    Ok(())
}

/// Reads what a workload identity token must say (WIT-SVID 3): a SPIFFE ID, an expiry, no
/// audience, and the key of its holder, which is returned.
pub(super) fn check_wit_claims(claims: &Claims<'_>) -> Result<Jwk, Reason> {
    let subject = claims.required_subject()?;
    crate::id::SpiffeId::parse(subject)?;
    if claims.all.contains_key("aud") {
        return Err(Reason::ClaimUnexpected { claim: "aud" });
    }
    claims.required_expiry()?;
    let confirmation = claims
        .all
        .get("cnf")
        .ok_or(Reason::ClaimMissing { claim: "cnf" })?;
    let Some(Value::Object(key)) = confirmation.get("jwk") else {
        return Err(Reason::ClaimMissing { claim: "cnf.jwk" });
    };
    let key = Jwk::read(key, subject, "sig")?;
    match key.algorithm() {
        Some(algorithm) if Algorithm::SPIFFE.contains(&algorithm) => Ok(key),
        Some(algorithm) => Err(Reason::AlgorithmNotAllowed {
            algorithm: algorithm.name().to_owned(),
            allowed: Algorithm::SPIFFE
                .map(|name| name.name().to_owned())
                .to_vec(),
        }),
        None => Err(Reason::ClaimMissing {
            claim: "cnf.jwk.alg",
        }),
    }
}

/// A proof that fits its token, whose signature is yet to be checked.
pub(super) struct Proof<'a> {
    jws: Jws<'a>,
    key: Jwk,
    audiences: Vec<String>,
    id: String,
    begins: Option<Time>,
    expires: Time,
}

impl<'a> Proof<'a> {
    /// Reads the proof that was sent with `token`, whose holder has `key`.
    pub(super) fn read(
        proof: &'a str,
        token: &str,
        key: Jwk,
        limits: &Limits,
    ) -> Result<Self, Reason> {
        let jws = Jws::read(proof, limits)?;
        jws.header().expect_type("wpt+jwt")?;
        key.admits(jws.header().algorithm)?;
        let claims = Claims::read(&jws.claims)?;
        let expires = claims.required_expiry()?;
        let begins = claims.not_before.max(claims.issued_at);
        let id = claims
            .id
            .ok_or(Reason::ClaimMissing { claim: "jti" })?
            .to_owned();
        if claims.audiences.is_empty() {
            return Err(Reason::ClaimMissing { claim: "aud" });
        }
        let audiences = claims
            .audiences
            .iter()
            .map(|name| (*name).to_owned())
            .collect();
        let expected = base64url::encode(Digest::of(token.as_bytes()).as_bytes());
        match text(&jws.claims, "wth")? {
            None => return Err(Reason::ClaimMissing { claim: "wth" }),
            Some(found) if found == expected => {}
            Some(_) => return Err(invalid("it was made for another token (`wth`)")),
        }
        // Hashes of tokens that are not here cannot be compared, and what cannot be compared must
        // refuse.
        for other in ["oth", "tth"] {
            if jws.claims.contains_key(other) {
                return Err(invalid(&format!(
                    "it speaks of further tokens (`{other}`), which are not here"
                )));
            }
        }
        Ok(Self {
            jws,
            key,
            audiences,
            id,
            begins,
            expires,
        })
    }

    /// For whom the proof was made.
    pub(super) fn audiences(&self) -> Vec<&str> {
        self.audiences.iter().map(String::as_str).collect()
    }

    /// The key that made it, by its thumbprint.
    pub(super) fn key_name(&self) -> String {
        base64url::encode(self.key.thumbprint().as_bytes())
    }

    /// Whether the holder of the key made it, just now.
    pub(super) fn check(&self, asked: &Asked<'_>, budget: &mut Budget) -> Result<(), Stop> {
        let now = asked.question.now;
        if now >= self.expires {
            return Err(invalid(&format!("it expired on {}; it is {now}", self.expires)).into());
        }
        if let Some(begins) = self.begins.filter(|time| *time > now.plus(CLOCK_LEEWAY)) {
            return Err(invalid(&format!("it holds from {begins}; it is {now}")).into());
        }
        if self.expires.since(now) > PROOF_LIFETIME_MAX {
            let detail = format!("it holds for more than {PROOF_LIFETIME_MAX} seconds");
            return Err(invalid(&detail).into());
        }
        if self
            .jws
            .is_signed_by(self.key.key(), asked.crypto, budget)?
        {
            Ok(())
        } else {
            Err(invalid("it was not signed by the key in `cnf`").into())
        }
    }

    /// It may be used once.
    pub(super) fn effect(&self) -> Effect {
        Effect::ConsumeNonce {
            scope: format!("proof by {}", self.key_name()),
            nonce: self.id.clone(),
            until: self.expires,
        }
    }
}

fn invalid(detail: &str) -> Reason {
    Reason::ProofInvalid {
        detail: detail.to_owned(),
    }
}
