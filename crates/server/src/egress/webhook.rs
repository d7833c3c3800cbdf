//! Webhooks of APIs of others: whether what somebody has received was sent by whoever has the secret.
//!
//! The secret signs by HMAC-SHA256 (RFC 2104), so whoever can check could also forge. That is why
//! workloads ask here, and do not have it.

use avouch_core::id::Digest;
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use zeroize::Zeroizing;

/// How old a signature may be, in seconds, if nothing else is said: as those have it whose scheme it
/// is.
pub(super) const TOLERANCE_USUAL: u32 = 300;

/// How old it may be at most: what was used is remembered for so long.
pub(super) const TOLERANCE_MOST: u32 = 3_600;

/// The most signatures of one webhook that are looked at: one for each secret that is good.
const MOST_SIGNATURES: usize = 8;

/// How an API signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `X-Hub-Signature-256: sha256=…`, over the body.
    GitHub,
    /// `Stripe-Signature: t=…,v1=…`, over the time and the body.
    Stripe,
}

impl Scheme {
    pub(super) const ALL: [(&'static str, Self); 2] =
        [("github", Self::GitHub), ("stripe", Self::Stripe)];

    fn header(self) -> &'static str {
        match self {
            Self::GitHub => "x-hub-signature-256",
            Self::Stripe => "stripe-signature",
        }
    }
}

/// What is to be checked.
#[derive(Clone, Copy)]
pub(super) struct Received<'a> {
    pub(super) api: &'a str,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
    pub(super) now: Time,
}

/// A webhook that was signed with a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signed {
    /// When, if the signature says so.
    pub(super) made: Option<Time>,
    /// What may be used once.
    pub(super) digest: Digest,
    /// Until when that must be remembered.
    pub(super) until: Time,
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    /// Seconds, as they stand there: that text is signed.
    time: Option<(String, Time)>,
    tags: Vec<[u8; 32]>,
}

impl Received<'_> {
    /// Checks it against all secrets, whichever made it.
    ///
    /// # Errors
    ///
    /// `issue.webhook_malformed`, `issue.webhook_stale`, `issue.webhook_signature`.
    pub(super) fn check(
        self,
        scheme: Scheme,
        tolerance: u32,
        secrets: &[Zeroizing<String>],
    ) -> Result<Signed, Reason> {
        let said = self.said(scheme)?;
        let mut signed = Vec::new();
        if let Some((text, made)) = &said.time {
            if self.now.since(*made).abs() > i64::from(tolerance) {
                return Err(Reason::IssueWebhookStale {
                    made: *made,
                    at: self.now,
                    tolerance,
                });
            }
            signed.extend_from_slice(text.as_bytes());
            signed.push(b'.');
        }
        signed.extend_from_slice(self.body);
        let is_signed = secrets.iter().any(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            // It compares in constant time.
            let mut tags = said.tags.iter();
            tags.any(|tag| hmac::verify(&key, &signed, tag).is_ok())
        });
        if !is_signed {
            return Err(Reason::IssueWebhookSignature {
                egress: self.api.to_owned(),
            });
        }
        let parts = [b"webhook".as_slice(), self.api.as_bytes(), &signed];
        Ok(Signed {
            made: said.time.as_ref().map(|(_, made)| *made),
            digest: Digest::of_list(parts),
            // A clock may be behind by as much.
            until: self.now.plus(2 * i64::from(tolerance)),
        })
    }

    fn said(&self, scheme: Scheme) -> Result<Said, Reason> {
        let mut values = self.headers.get_all(scheme.header()).iter();
        let value = match (values.next(), values.next()) {
            (Some(one), None) => one.to_str().ok(),
            (None, _) => return Err(self.malformed(scheme, "is missing")),
            (Some(_), Some(_)) => return Err(self.malformed(scheme, "stands twice")),
        };
        let said = value.and_then(|value| match scheme {
            Scheme::GitHub => of_github(value),
            Scheme::Stripe => of_stripe(value),
        });
        said.ok_or_else(|| self.malformed(scheme, "is not as the scheme has it"))
    }

    fn malformed(&self, scheme: Scheme, detail: &'static str) -> Reason {
        Reason::IssueWebhookMalformed {
            egress: self.api.to_owned(),
            header: scheme.header(),
            detail,
        }
    }
}

fn of_github(value: &str) -> Option<Said> {
    let tag = tag(value.strip_prefix("sha256=")?)?;
    Some(Said {
        time: None,
        tags: vec![tag],
    })
}

/// Signatures of other schemes than `v1` are passed over, and never taken for it.
fn of_stripe(value: &str) -> Option<Said> {
    let (mut time, mut tags) = (None, Vec::new());
    for part in value.split(',') {
        match part.trim().split_once('=')? {
            ("t", text) => {
                let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let seconds: i64 = text.parse().ok().filter(|_| is_number)?;
                let before = time.replace((text.to_owned(), Time::from_unix(seconds)));
                if before.is_some() {
                    return None;
                }
            }
            ("v1", text) => tags.push(tag(text)?),
            _ => {}
        }
        if tags.len() > MOST_SIGNATURES {
            return None;
        }
    }
    let said = Said { time, tags };
    (said.time.is_some() && !said.tags.is_empty()).then_some(said)
}

fn tag(text: &str) -> Option<[u8; 32]> {
    let mut tag = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in tag.iter_mut().enumerate() {
        let digits = text.get(2 * index..2 * index + 2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use avouch_core::id::hex;

    const NOW: i64 = 1_800_000_000;
    const SECRET: &str = "whsec_test_secret";

    fn secrets(all: &[&str]) -> Vec<Zeroizing<String>> {
        all.iter()
            .map(|one| Zeroizing::new((*one).to_owned()))
            .collect()
    }

    fn check(
        scheme: Scheme,
        headers: &[(&'static str, &str)],
        body: &str,
        with: &[&str],
    ) -> Result<Signed, &'static str> {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(*name, value.parse().unwrap());
        }
        let received = Received {
            api: "payments",
            headers: &all,
            body: body.as_bytes(),
            now: Time::from_unix(NOW),
        };
        let checked = received.check(scheme, TOLERANCE_USUAL, &secrets(with));
        checked.map_err(|reason| reason.code())
    }

    fn tag_of(secret: &str, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, text.as_bytes());
        hex(tag.as_ref())
    }

    /// The example of GitHub's own documentation.
    #[test]
    fn a_body_that_github_signed_is_taken_and_another_is_not() {
        let secret = "It's a Secret to Everybody";
        let tag = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let of = |value: &str, body: &str, with: &str| {
            check(
                Scheme::GitHub,
                &[("x-hub-signature-256", value)],
                body,
                &[with],
            )
        };
        assert_eq!(of(tag, "Hello, World!", secret).unwrap().made, None);
        assert_eq!(
            of(
                &tag.to_uppercase().replace("SHA", "sha"),
                "Hello, World!",
                secret
            )
            .map(drop),
            Ok(())
        );
        for (value, body, with) in [
            (tag, "Hello, World", secret),
            (tag, "", secret),
            (tag, "Hello, World!", "another secret"),
        ] {
            assert_eq!(of(value, body, with), Err("issue.webhook_signature"));
        }
        for value in [
            "",
            "sha256=",
            "sha1=757107",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e",
            &format!("{tag}0"),
            &tag.replace('7', "+"),
        ] {
            assert_eq!(
                of(value, "Hello, World!", secret),
                Err("issue.webhook_malformed"),
                "{value}"
            );
        }
        let none = check(Scheme::GitHub, &[], "Hello, World!", &[secret]);
        assert_eq!(none, Err("issue.webhook_malformed"));
        let twice = [("x-hub-signature-256", tag), ("x-hub-signature-256", tag)];
        assert_eq!(
            check(Scheme::GitHub, &twice, "Hello, World!", &[secret]),
            Err("issue.webhook_malformed")
        );
    }

    #[test]
    fn a_body_is_taken_with_the_time_that_was_signed_with_it_and_no_other() {
        let body = r#"{"id": "evt_1"}"#;
        let of = |value: &str, with: &[&str]| {
            check(Scheme::Stripe, &[("stripe-signature", value)], body, with)
        };
        let tag = |time: i64| tag_of(SECRET, &format!("{time}.{body}"));
        let good = format!("t={NOW},v1={},v0={}", tag(NOW), "0".repeat(64));
        let signed = of(&good, &[SECRET]).unwrap();
        assert_eq!(signed.made, Some(Time::from_unix(NOW)));
        // While a secret is replaced there is a signature by each, and either of two is known here.
        let both = format!("t={NOW},v1={},v1={}", "0".repeat(64), tag(NOW));
        assert_eq!(of(&both, &["whsec_new", SECRET]).unwrap(), signed);
        let old = NOW - i64::from(TOLERANCE_USUAL);
        assert!(of(&format!("t={old},v1={}", tag(old)), &[SECRET]).is_ok());
        for (value, code) in [
            (
                format!("t={},v1={}", old - 1, tag(old - 1)),
                "issue.webhook_stale",
            ),
            (
                format!("t={},v1={}", NOW + 301, tag(NOW + 301)),
                "issue.webhook_stale",
            ),
            (
                format!("t={NOW},v1={}", tag(NOW - 1)),
                "issue.webhook_signature",
            ),
            (
                format!("t={NOW},v1={}", tag_of(SECRET, body)),
                "issue.webhook_signature",
            ),
            (
                format!("t={NOW},v1={}", tag_of("", &format!("{NOW}.{body}"))),
                "issue.webhook_signature",
            ),
            (
                format!("t={NOW},v0={}", tag(NOW)),
                "issue.webhook_malformed",
            ),
            (
                format!("t={NOW},t={old},v1={}", tag(NOW)),
                "issue.webhook_malformed",
            ),
            (
                format!("t=+{NOW},v1={}", tag(NOW)),
                "issue.webhook_malformed",
            ),
            (format!("t=,v1={}", tag(NOW)), "issue.webhook_malformed"),
            (
                format!("t=99999999999999999999,v1={}", tag(NOW)),
                "issue.webhook_malformed",
            ),
            (format!("v1={}", tag(NOW)), "issue.webhook_malformed"),
            (format!("t={NOW}"), "issue.webhook_malformed"),
            (
                format!("t={NOW}{}", format!(",v1={}", "0".repeat(64)).repeat(9)),
                "issue.webhook_malformed",
            ),
            ("nothing".to_owned(), "issue.webhook_malformed"),
        ] {
            assert_eq!(of(&value, &[SECRET]).map(drop), Err(code), "{value}");
        }
        assert_eq!(of(&good, &[]).map(drop), Err("issue.webhook_signature"));
    }
}
