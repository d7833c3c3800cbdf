//! The tokens: each class is right in everything, or wrong in one way.

use avouch_testkit::key::{Key, RsaTestKey};
use avouch_testkit::token::{NOW_SECONDS, TokenForge, encode, hmac, jwk, jwks};
use avouch_testkit::world::pem;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use super::chance::{ALPHABET, CHANGES, Random};

pub(super) const ISSUER: &str = "https://issuer.test";
pub(super) const AUDIENCE: &str = "https://audience.test";

/// How many tokens there are of each class for each key.
const EACH: u64 = 8;

/// How many random changes there are for each key.
const RANDOM: u64 = 40;

/// A token and what it is an example of.
pub(super) struct Case {
    pub(super) class: &'static str,
    pub(super) token: String,
}

/// A key that the issuer publishes, and what it signs with.
struct Signer {
    key: Key,
    alg: &'static str,
}

impl Signer {
    /// The name of the key is that of its algorithm.
    fn sign(&self, forge: &TokenForge) -> String {
        let named = forge.clone().header("kid", self.alg.into());
        named.sign_as(&self.key, self.alg)
    }

    /// A header and claims as they are written, and a good signature over them.
    fn sign_texts(&self, header: &str, claims: &str) -> String {
        let forge = TokenForge::saying(json!({}));
        let forge = forge.raw_header(header).raw_claims(claims);
        forge.sign_as(&self.key, self.alg)
    }

    fn header(&self) -> String {
        format!(
            r#"{{"alg":"{}","kid":"{}","typ":"JWT"}}"#,
            self.alg, self.alg
        )
    }
}

fn signers() -> Vec<Signer> {
    let of = |alg, key| Signer { key, alg };
    vec![
        of("RS256", Key::rsa(RsaTestKey::A)),
        of("PS256", Key::rsa(RsaTestKey::B)),
        of("ES256", Key::p256("issuer")),
        of("ES384", Key::p384("issuer")),
        of("ES512", Key::p521("issuer")),
        of("EdDSA", Key::ed25519("issuer")),
    ]
}

/// What the issuer publishes: a key for each algorithm, and one that is not for signatures.
pub(super) fn key_set() -> Value {
    let mut keys: Vec<Value> = signers()
        .iter()
        .map(|signer| {
            let mut key = jwk(&signer.key, signer.alg);
            key["alg"] = signer.alg.into();
            key
        })
        .collect();
    let mut encryption = jwk(&Key::p256("encryption"), "encryption");
    encryption["use"] = "enc".into();
    encryption.as_object_mut().unwrap().remove("alg");
    keys.push(encryption);
    jwks(&keys)
}

/// All tokens, class by class.
pub(super) fn cases() -> Vec<Case> {
    let signers = signers();
    let mut cases = Vec::new();
    for (class, make) in CLASSES {
        for signer in &signers {
            for number in 0..EACH {
                let token = make(signer, number);
                cases.push(Case { class, token });
            }
        }
    }
    for (class, change) in CHANGES {
        for signer in &signers {
            for number in 0..RANDOM {
                let mut random = Random::from(class, signer.alg, number);
                let token = change(&signer.sign(&good(number)), &mut random);
                cases.push(Case { class, token });
            }
        }
    }
    cases
}

/// A token with which everything is right.
fn good(number: u64) -> TokenForge {
    TokenForge::saying(json!({
        "iss": ISSUER, "sub": format!("subject-{number}"), "aud": AUDIENCE, "jti": number.to_string(),
        "iat": NOW_SECONDS - 10, "nbf": NOW_SECONDS - 10, "exp": NOW_SECONDS + 600,
    }))
}

fn text_of(number: u64) -> String {
    good(number).claims_text()
}

/// The text of claims with a member more behind the others.
fn with_member(number: u64, member: &str) -> String {
    let text = text_of(number);
    format!("{},{member}}}", text.strip_suffix('}').unwrap())
}

/// With one claim in the place of its own.
fn claim(signer: &Signer, number: u64, name: &str, value: Value) -> String {
    signer.sign(&good(number).claim(name, value))
}

fn head(signer: &Signer, number: u64, name: &str, value: Value) -> String {
    signer.sign(&good(number).header(name, value))
}

/// The three parts of a token.
pub(super) fn parts(token: &str) -> [String; 3] {
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

pub(super) fn bytes(part: &str) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(part).unwrap()
}

/// With something else for a signature.
fn signature(signer: &Signer, number: u64, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> String {
    let [header, claims, signature] = parts(&signer.sign(&good(number)));
    format!("{header}.{claims}.{}", encode(&change(bytes(&signature))))
}

/// Signed with a shared secret that everyone knows: the public key, as it is written.
fn shared(signer: &Signer, number: u64, secret: &[u8]) -> String {
    let header = json!({"alg": "HS256", "kid": signer.alg, "typ": "JWT"}).to_string();
    let signed = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(text_of(number).as_bytes())
    );
    format!("{signed}.{}", encode(&hmac(secret, signed.as_bytes())))
}

/// The name of another key of the issuer.
fn another(signer: &Signer) -> &'static str {
    if signer.alg == "ES256" {
        "EdDSA"
    } else {
        "ES256"
    }
}

type Make = fn(&Signer, u64) -> String;

const CLASSES: &[(&str, Make)] = &[
    // What is right, in all the ways in which it may be.
    ("good", |s, n| s.sign(&good(n))),
    ("good: no typ", |s, n| s.sign(&good(n).untyped())),
    ("good: typ in lower case", |s, n| {
        head(s, n, "typ", json!("jwt"))
    }),
    ("good: typ with application/", |s, n| {
        head(s, n, "typ", json!("application/jwt"))
    }),
    ("good: aud is a list", |s, n| {
        claim(s, n, "aud", json!([AUDIENCE]))
    }),
    ("good: aud is a list of several", |s, n| {
        claim(s, n, "aud", json!(["https://x.test", AUDIENCE]))
    }),
    ("good: no nbf", |s, n| s.sign(&good(n).without("nbf"))),
    ("good: no jti", |s, n| s.sign(&good(n).without("jti"))),
    ("good: other claims", |s, n| {
        claim(s, n, "groups", json!(["a", {"b": [1, null, true]}]))
    }),
    ("good: other members of the header", |s, n| {
        head(s, n, "x-own", json!("a"))
    }),
    ("good: spaces in the JSON", |s, n| {
        let header = s.header().replace(':', " : ");
        s.sign_texts(&header, &text_of(n).replace(',', " ,\n\t"))
    }),
    ("good: escapes in names", |s, n| {
        s.sign_texts(
            &s.header().replace("alg", "al\\u0067"),
            &text_of(n).replace("\"sub\"", "\"s\\u0075b\""),
        )
    }),
    ("good: moments are fractions", |s, n| {
        claim(s, n, "exp", json!(NOW_SECONDS as f64 + 5.5))
    }),
    ("good: moments have an exponent", |s, n| {
        let text = text_of(n);
        let exp = (NOW_SECONDS + 600).to_string();
        s.sign_texts(&s.header(), &text.replace(&exp, "1.7172006e9"))
    }),
    ("no kid", |s, n| good(n).sign_as(&s.key, s.alg)),
    // The header.
    ("alg is none, and no signature", |s, n| {
        let header = json!({"alg": "none", "kid": s.alg}).to_string();
        format!(
            "{}.{}.",
            encode(header.as_bytes()),
            encode(text_of(n).as_bytes())
        )
    }),
    ("alg is none in another case", |s, n| {
        let name = ["None", "NONE", "nOnE", "none "][n as usize % 4];
        let header = json!({"alg": name, "kid": s.alg}).to_string();
        format!(
            "{}.{}.",
            encode(header.as_bytes()),
            encode(text_of(n).as_bytes())
        )
    }),
    ("alg is none, signed all the same", |s, n| {
        head(s, n, "alg", json!("none"))
    }),
    (
        "alg is that of a shared secret, the public key in PEM",
        |s, n| shared(s, n, pem("PUBLIC KEY", &s.key.public_key_info()).as_bytes()),
    ),
    (
        "alg is that of a shared secret, the public key in DER",
        |s, n| shared(s, n, &s.key.public_key_info()),
    ),
    (
        "alg is that of a shared secret, the bare public key",
        |s, n| shared(s, n, s.key.public()),
    ),
    ("alg is that of a shared secret, which is empty", |s, n| {
        shared(s, n, b"")
    }),
    ("alg is missing", |s, n| {
        s.sign_texts(
            &json!({"kid": s.alg, "typ": "JWT"}).to_string(),
            &text_of(n),
        )
    }),
    ("alg is no text", |s, n| {
        head(
            s,
            n,
            "alg",
            [json!(null), json!(1), json!([s.alg])][n as usize % 3].clone(),
        )
    }),
    ("alg is in another case", |s, n| {
        head(s, n, "alg", json!(s.alg.to_lowercase()))
    }),
    ("alg is not known", |s, n| head(s, n, "alg", json!("XS256"))),
    ("alg is another of the same kind of key", |s, n| {
        let other = match s.alg {
            "RS256" => "PS256",
            "PS256" => "RS256",
            "ES256" => "ES384",
            "ES384" => "ES512",
            "ES512" => "ES256",
            _ => "ES256",
        };
        head(s, n, "alg", json!(other))
    }),
    ("RSA signs with what its key is not for", |s, n| {
        match s.alg {
            "RS256" => good(n)
                .header("kid", "RS256".into())
                .sign_as(&s.key, "PS256"),
            "PS256" => good(n)
                .header("kid", "PS256".into())
                .sign_as(&s.key, "RS256"),
            _ => good(n)
                .header("kid", s.alg.into())
                .sign_as(&Key::rsa(RsaTestKey::A), "RS384"),
        }
    }),
    ("kid is not known", |s, n| head_kid(s, n, json!("nobody"))),
    ("kid is that of another key", |s, n| {
        head_kid(s, n, json!(another(s)))
    }),
    ("kid is no text", |s, n| {
        head_kid(
            s,
            n,
            [json!(1), json!(null), json!([s.alg])][n as usize % 3].clone(),
        )
    }),
    ("kid is a path", |s, n| {
        head_kid(s, n, json!("../../../dev/null"))
    }),
    ("kid is that of a key for encryption", |_, n| {
        let forge = good(n).header("kid", "encryption".into());
        forge.sign_as(&Key::p256("encryption"), "ES256")
    }),
    ("signed by a key that is not published", |s, n| {
        good(n)
            .header("kid", s.alg.into())
            .sign_as(&stranger(s), s.alg)
    }),
    ("the header brings the key", |s, n| {
        let stranger = stranger(s);
        let key = jwk(&stranger, s.alg);
        good(n)
            .header("kid", s.alg.into())
            .header("jwk", key)
            .sign_as(&stranger, s.alg)
    }),
    ("the header brings a key beside a good signature", |s, n| {
        head(s, n, "jwk", jwk(&s.key, s.alg))
    }),
    ("the header says where the key is", |s, n| {
        head(s, n, "jku", json!("https://evil.test/jwks"))
    }),
    ("the header brings a certificate", |s, n| {
        head(s, n, "x5c", json!(["MIIB"]))
    }),
    ("crit names what nobody knows", |s, n| {
        s.sign(
            &good(n)
                .header("crit", json!(["x-own"]))
                .header("x-own", json!(1)),
        )
    }),
    ("crit names what is not there", |s, n| {
        head(s, n, "crit", json!(["x-own"]))
    }),
    ("crit names what is registered", |s, n| {
        head(s, n, "crit", json!(["alg"]))
    }),
    ("crit is an empty list", |s, n| {
        head(s, n, "crit", json!([]))
    }),
    ("crit is no list", |s, n| {
        head(
            s,
            n,
            "crit",
            [json!("x"), json!(null), json!(1)][n as usize % 3].clone(),
        )
    }),
    ("b64 is false, and crit names it", |s, n| {
        s.sign(
            &good(n)
                .header("crit", json!(["b64"]))
                .header("b64", json!(false)),
        )
    }),
    ("b64 is false", |s, n| head(s, n, "b64", json!(false))),
    ("b64 is true, and crit names it", |s, n| {
        s.sign(
            &good(n)
                .header("crit", json!(["b64"]))
                .header("b64", json!(true)),
        )
    }),
    ("zip is there", |s, n| head(s, n, "zip", json!("DEF"))),
    ("typ is that of another token", |s, n| {
        let types = [
            "at+jwt",
            "secevent+jwt",
            "logout+jwt",
            "dpop+jwt",
            "wit+jwt",
        ];
        head(s, n, "typ", json!(types[n as usize % 5]))
    }),
    ("typ is JOSE", |s, n| head(s, n, "typ", json!("JOSE"))),
    ("typ is no text", |s, n| {
        head(
            s,
            n,
            "typ",
            [json!(1), json!(null), json!(["JWT"])][n as usize % 3].clone(),
        )
    }),
    ("a member of the header stands twice", |s, n| {
        let twice = ["\"alg\":\"none\"", "\"kid\":\"nobody\"", "\"typ\":\"x\""][n as usize % 3];
        s.sign_texts(
            &format!("{{{twice},{}", s.header().strip_prefix('{').unwrap()),
            &text_of(n),
        )
    }),
    ("the header is no object", |s, n| {
        s.sign_texts(["[]", "1", "null", "\"\""][n as usize % 4], &text_of(n))
    }),
    ("the header is no JSON", |s, n| {
        s.sign_texts(&s.header().replace('"', "'"), &text_of(n))
    }),
    ("something follows the header", |s, n| {
        s.sign_texts(&format!("{}x", s.header()), &text_of(n))
    }),
    // The signature.
    ("no signature", |s, n| signature(s, n, |_| Vec::new())),
    ("a signature of zeros", |s, n| {
        signature(s, n, |own| vec![0; own.len()])
    }),
    ("a signature with a bit changed", |s, n| {
        signature(s, n, |mut own| {
            let at = n as usize * 7 % own.len();
            own[at] ^= 1 << (n % 8);
            own
        })
    }),
    ("a signature without its last byte", |s, n| {
        signature(s, n, |mut own| {
            own.pop();
            own
        })
    }),
    ("a signature with a byte more", |s, n| {
        signature(s, n, |own| [own, vec![0]].concat())
    }),
    ("a signature in the form of X.509", |s, n| {
        let [header, claims, _] = parts(&s.sign(&good(n)));
        let signed = format!("{header}.{claims}");
        let der = s.key.sign(s.key.scheme(), signed.as_bytes());
        if matches!(s.alg, "ES256" | "ES384" | "ES512") {
            return format!("{signed}.{}", encode(&der));
        }
        format!("{signed}.{}", encode(&[&[0x30][..], &der].concat()))
    }),
    ("the signature of another token", |s, n| {
        let [header, claims, _] = parts(&s.sign(&good(n)));
        let [_, _, other] = parts(&s.sign(&good(n + 100)));
        format!("{header}.{claims}.{other}")
    }),
    // The form.
    ("padding", |s, n| {
        let [header, claims, signature] = parts(&s.sign(&good(n)));
        match n % 3 {
            0 => format!("{}.{claims}.{signature}", padded(&header)),
            1 => format!("{header}.{}.{signature}", padded(&claims)),
            _ => format!("{header}.{claims}.{}", padded(&signature)),
        }
    }),
    ("bits that are not zero behind the signature", |s, n| {
        let [header, claims, signature] = parts(&s.sign(&good(n)));
        format!("{header}.{claims}.{}", with_more_bits(&signature))
    }),
    ("the other alphabet of base64", |s, n| {
        let token = s.sign(&good(n).claim("x", json!("\u{3fb}\u{3ff}\u{7ff}\u{ffff}?>~~~")));
        let [header, claims, signature] = parts(&token);
        let other = |part: &str| part.replace('-', "+").replace('_', "/");
        format!("{header}.{}.{}", other(&claims), other(&signature) + "+")
    }),
    ("space around it", |s, n| {
        let token = s.sign(&good(n));
        [
            format!(" {token}"),
            format!("{token} "),
            format!("{token}\n"),
            format!("\t{token}"),
        ][n as usize % 4]
            .clone()
    }),
    ("space in it", |s, n| {
        let [header, claims, signature] = parts(&s.sign(&good(n)));
        let space = [" ", "\n", "\r\n", "\t"][n as usize % 4];
        let (front, back) = signature.split_at(10);
        format!("{header}.{claims}.{front}{space}{back}")
    }),
    ("two parts", |s, n| {
        let [header, claims, _] = parts(&s.sign(&good(n)));
        format!("{header}.{claims}")
    }),
    ("four parts", |s, n| {
        format!("{}.{}", s.sign(&good(n)), ["", "e30"][n as usize % 2])
    }),
    ("five parts", |s, n| format!("{}.e30.e30", s.sign(&good(n)))),
    ("many dots", |s, n| {
        format!("{}{}", s.sign(&good(n)), ".".repeat(5000))
    }),
    ("the JSON serialisation", |s, n| {
        let [protected, payload, signature] = parts(&s.sign(&good(n)));
        match n % 2 {
            0 => json!({"protected": protected, "payload": payload, "signature": signature}),
            _ => json!({"payload": payload, "signatures": [{"protected": protected, "signature": signature}]}),
        }
        .to_string()
    }),
    ("nothing", |_, n| {
        ["", ".", "..", "...", "null", "{}", "a.b.c", "\u{0}"][n as usize % 8].to_owned()
    }),
    ("longer than 16 KiB", |s, n| {
        claim(s, n, "x", json!("y".repeat(16 << 10)))
    }),
    // The claims.
    ("claims that are no object", |s, n| {
        s.sign_texts(&s.header(), ["[]", "1", "null", "\"x\""][n as usize % 4])
    }),
    ("claims that are no JSON", |s, n| {
        s.sign_texts(
            &s.header(),
            ["", "{", "{'a':1}", "{\"a\":1,}"][n as usize % 4],
        )
    }),
    ("something follows the claims", |s, n| {
        s.sign_texts(&s.header(), &format!("{}{{}}", text_of(n)))
    }),
    ("a byte order mark before the claims", |s, n| {
        s.sign_texts(&s.header(), &format!("\u{feff}{}", text_of(n)))
    }),
    ("claims nested deeply", |s, n| {
        let depth = [20, 70, 130, 300][n as usize % 4];
        let nested = format!("\"x\":{}{}", "[".repeat(depth), "]".repeat(depth));
        s.sign_texts(&s.header(), &with_member(n, &nested))
    }),
    ("a registered claim stands twice, the same", |s, n| {
        s.sign_texts(
            &s.header(),
            &with_member(n, &format!("\"iss\":\"{ISSUER}\"")),
        )
    }),
    (
        "a registered claim stands twice, the last one wrong",
        |s, n| {
            let wrong = [
                "\"iss\":\"https://evil.test\"",
                "\"aud\":\"https://evil.test\"",
                "\"exp\":1",
            ];
            s.sign_texts(&s.header(), &with_member(n, wrong[n as usize % 3]))
        },
    ),
    (
        "a registered claim stands twice, the first one wrong",
        |s, n| {
            let wrong = [
                "\"iss\":\"https://evil.test\"",
                "\"aud\":\"https://evil.test\"",
                "\"exp\":1",
                "\"sub\":\"evil\"",
            ];
            let text = text_of(n);
            s.sign_texts(
                &s.header(),
                &format!(
                    "{{{},{}",
                    wrong[n as usize % 4],
                    text.strip_prefix('{').unwrap()
                ),
            )
        },
    ),
    ("another claim stands twice", |s, n| {
        s.sign_texts(&s.header(), &with_member(n, "\"x\":1,\"x\":2"))
    }),
    ("iss of another", |s, n| {
        claim(s, n, "iss", json!("https://evil.test"))
    }),
    ("iss that is nearly ours", |s, n| {
        let nearly = [
            "https://issuer.test/",
            "https://ISSUER.test",
            "http://issuer.test",
            "https://issuer.test ",
        ];
        claim(s, n, "iss", json!(nearly[n as usize % 4]))
    }),
    ("iss is missing", |s, n| s.sign(&good(n).without("iss"))),
    ("iss is no text", |s, n| {
        claim(
            s,
            n,
            "iss",
            [
                json!([ISSUER]),
                json!(["https://evil.test", ISSUER]),
                json!(null),
                json!({ISSUER: 1}),
            ][n as usize % 4]
                .clone(),
        )
    }),
    ("aud of another", |s, n| {
        claim(s, n, "aud", json!("https://evil.test"))
    }),
    ("aud that is nearly ours", |s, n| {
        let nearly = [
            "https://audience.test/",
            "https://audience.test.evil.test",
            "HTTPS://AUDIENCE.TEST",
            "audience",
        ];
        claim(s, n, "aud", json!(nearly[n as usize % 4]))
    }),
    ("aud is missing", |s, n| s.sign(&good(n).without("aud"))),
    ("aud is an empty list", |s, n| claim(s, n, "aud", json!([]))),
    ("aud is neither text nor list", |s, n| {
        claim(
            s,
            n,
            "aud",
            [json!(null), json!(7), json!({AUDIENCE: 1}), json!(true)][n as usize % 4].clone(),
        )
    }),
    ("aud is a list with more than texts", |s, n| {
        claim(
            s,
            n,
            "aud",
            [
                json!([AUDIENCE, 7]),
                json!([null, AUDIENCE]),
                json!([[AUDIENCE]]),
            ][n as usize % 3]
                .clone(),
        )
    }),
    ("sub is missing", |s, n| s.sign(&good(n).without("sub"))),
    ("sub is empty", |s, n| claim(s, n, "sub", json!(""))),
    ("sub is no text", |s, n| {
        claim(
            s,
            n,
            "sub",
            [json!(7), json!(null), json!(["a"]), json!({})][n as usize % 4].clone(),
        )
    }),
    ("sub has characters that cannot be seen", |s, n| {
        claim(
            s,
            n,
            "sub",
            json!(["a\u{0}b", "a\u{202e}b", "a\nb", "a\u{1b}[2Jb"][n as usize % 4]),
        )
    }),
    ("exp is missing", |s, n| s.sign(&good(n).without("exp"))),
    ("exp is a text", |s, n| {
        claim(s, n, "exp", json!((NOW_SECONDS + 600).to_string()))
    }),
    ("exp is no number", |s, n| {
        claim(
            s,
            n,
            "exp",
            [json!(true), json!(null), json!([1]), json!({})][n as usize % 4].clone(),
        )
    }),
    ("exp is no moment", |s, n| {
        claim(
            s,
            n,
            "exp",
            [json!(1e300), json!(-1), json!(u64::MAX), json!(1e19)][n as usize % 4].clone(),
        )
    }),
    ("exp is long past", |s, n| {
        claim(s, n, "exp", json!(NOW_SECONDS - 3600 - n as i64))
    }),
    ("exp is past by less than the leeway", |s, n| {
        claim(s, n, "exp", json!(NOW_SECONDS - 59 + n as i64))
    }),
    ("exp is past by the leeway", |s, n| {
        claim(s, n, "exp", json!(NOW_SECONDS - 60))
    }),
    ("exp is past by a second more", |s, n| {
        claim(s, n, "exp", json!(NOW_SECONDS - 61))
    }),
    ("exp is in a hundred years", |s, n| {
        claim(s, n, "exp", json!(NOW_SECONDS + 3_155_760_000_i64))
    }),
    ("nbf comes within the leeway", |s, n| {
        claim(s, n, "nbf", json!(NOW_SECONDS + 59 - n as i64))
    }),
    ("nbf comes with the leeway", |s, n| {
        claim(s, n, "nbf", json!(NOW_SECONDS + 60))
    }),
    ("nbf comes a second later", |s, n| {
        claim(s, n, "nbf", json!(NOW_SECONDS + 61))
    }),
    ("nbf is no number", |s, n| {
        claim(
            s,
            n,
            "nbf",
            [json!("0"), json!(true), json!(null), json!([1])][n as usize % 4].clone(),
        )
    }),
    ("iat is missing", |s, n| s.sign(&good(n).without("iat"))),
    ("iat comes within the leeway", |s, n| {
        claim(s, n, "iat", json!(NOW_SECONDS + 60 - n as i64))
    }),
    ("iat is in the future", |s, n| {
        claim(s, n, "iat", json!(NOW_SECONDS + 61 + n as i64))
    }),
    ("iat is no number", |s, n| {
        claim(
            s,
            n,
            "iat",
            [json!("0"), json!(true), json!(null), json!([1])][n as usize % 4].clone(),
        )
    }),
    ("it lives longer than a day", |s, n| {
        claim(s, n, "iat", json!(NOW_SECONDS - 86_400 - n as i64))
    }),
];

fn head_kid(signer: &Signer, number: u64, kid: Value) -> String {
    let forge = good(number).header("kid", kid);
    forge.sign_as(&signer.key, signer.alg)
}

/// A key of the same kind that belongs to nobody.
fn stranger(signer: &Signer) -> Key {
    match signer.alg {
        "RS256" | "PS256" => Key::rsa(RsaTestKey::C),
        "ES256" => Key::p256("stranger"),
        "ES384" => Key::p384("stranger"),
        "ES512" => Key::p521("stranger"),
        _ => Key::ed25519("stranger"),
    }
}

fn padded(part: &str) -> String {
    match part.len() % 4 {
        0 => format!("{part}===="),
        2 => format!("{part}=="),
        _ => format!("{part}="),
    }
}

/// The same bytes written otherwise, if there are bits to spare; else with a character more.
fn with_more_bits(part: &str) -> String {
    if part.len().is_multiple_of(4) {
        return format!("{part}B");
    }
    let (front, last) = part.split_at(part.len() - 1);
    let value = ALPHABET
        .iter()
        .position(|one| *one == last.as_bytes()[0])
        .unwrap();
    format!("{front}{}", char::from(ALPHABET[value | 1]))
}
