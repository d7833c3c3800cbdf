//! How a client came from its identity provider to what it shares: five stations and five ways, drawn from
//! the verdict on the token that it showed, as text, as JSON or as SVG.
//!
//! ```text
//! client ─► identity provider ─► token ─► workload identity ─► shared resource ─► data back
//! ```
//!
//! Nothing is drawn that the verdict does not rest on. What a token says of the exchange that it comes
//! from (`lineage`) is drawn only where a trust domain has signed it, and nothing of it (`act`) without an
//! acceptance.

use std::fmt::Write;

use avouch_core::reason::printable;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Map, Value, json};

use super::svg::{ARROW, escaped, shortened};

/// What the stations are called, in the order in which they are passed.
const STATIONS: [&str; 5] = [
    "client",
    "identity provider",
    "token",
    "workload identity",
    "shared resource",
];

/// A flow: what stands at each station, and what happens on the way to the next.
#[derive(Debug)]
pub(crate) struct Flow {
    stations: [String; 5],
    ways: [String; 5],
}

impl Flow {
    /// Of the token for which a verdict was given. None without an acceptance, or where the identity is
    /// not told.
    pub(crate) fn of(verdict: &Value, token: &str) -> Option<Self> {
        Self::of_claims(verdict, &claims_of(token)?)
    }

    /// As [`Flow::of`], of the claims of the token.
    pub(crate) fn of_claims(verdict: &Value, claims: &Map<String, Value>) -> Option<Self> {
        let identity = verdict.get("identity")?.get("name")?.as_str()?;
        let anchor = verdict.get("anchor")?;
        // Whoever else signs a token writes into it what they like: only a trust domain gives in exchange.
        let is_of_domain = anchor.get("kind").and_then(Value::as_str) == Some("trust_domain");
        let lineage = claims.get("lineage").filter(|_| is_of_domain);
        let first = lineage
            .and_then(Value::as_array)
            .and_then(|all| all.first());
        let told = |value: Option<&Value>, name: &str| {
            let text = value
                .and_then(|value| value.get(name))
                .and_then(Value::as_str);
            text.map(str::to_owned)
        };
        let subject = text(claims, "sub").unwrap_or_else(|| "its holder".to_owned());
        let actor = told(claims.get("act"), "sub");
        let (provider, shown) = match first {
            // The token was given in exchange: who was there first stands in it.
            Some(_) => (told(first, "iss")?, told(first, "digest")?),
            None => (
                told(Some(anchor), "subject")?,
                text(claims, "jti").unwrap_or_else(|| "without a name".to_owned()),
            ),
        };
        let trusted = told(first, "anchor").or_else(|| told(Some(anchor), "name"))?;
        let exchanged = first
            .map(|_| text(claims, "iss"))
            .map(Option::unwrap_or_default);
        let client = match (&actor, first) {
            (Some(actor), _) => format!("{actor} for {subject}"),
            (None, Some(_)) => holder(claims),
            (None, None) => subject,
        };
        let token = match first {
            Some(_) => format!("sha256 {}", shown.chars().take(16).collect::<String>()),
            None => shown,
        };
        let becomes = match exchanged {
            Some(issuer) if !issuer.is_empty() => format!("exchanged at {issuer}"),
            Some(_) => "exchanged".to_owned(),
            None => format!("believed through {trusted}"),
        };
        let resource = audience(verdict)?;
        let until = told(Some(verdict), "valid_until").unwrap_or_default();
        Some(Self {
            ways: [
                "signs in".to_owned(),
                format!("signs, trusted as {trusted}"),
                becomes,
                format!("shown as {}", kind(verdict)),
                format!("data back, until {until}"),
            ],
            stations: [client, provider, token, identity.to_owned(), resource],
        })
    }

    /// One station a line, with the way to the next beside it.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        let wide = STATIONS.iter().map(|name| name.len()).max().unwrap_or(0);
        for ((name, station), way) in STATIONS.iter().zip(&self.stations).zip(&self.ways) {
            let (station, way) = (printable(station), printable(way));
            let _ = writeln!(text, "{name:wide$}  {station}");
            let _ = writeln!(text, "{:wide$}  ↓ {way}", "");
        }
        let client = self.stations.first().map_or("", String::as_str);
        let _ = writeln!(text, "{:wide$}  {}", "client", printable(client));
        text
    }

    /// The stations and the ways between them, by number.
    pub(crate) fn to_json(&self) -> Value {
        let stations = STATIONS.iter().zip(&self.stations);
        let ways = self.ways.iter().enumerate();
        json!({
            "nodes": stations.map(|(kind, name)| json!({"kind": kind, "name": name})).collect::<Vec<_>>(),
            "edges": ways.map(|(from, says)| json!({
                "from": from, "to": (from + 1) % STATIONS.len(), "says": says,
            })).collect::<Vec<_>>(),
        })
    }

    /// As a picture that stands alone: no script, no style from elsewhere, nothing fetched.
    pub(crate) fn to_svg(&self) -> String {
        const WIDE: usize = 1_180;
        const HIGH: usize = 190;
        const BOX: usize = 180;
        const STEP: usize = 245;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDE} {HIGH}\" role=\"img\" \
             font-family=\"sans-serif\" font-size=\"11\">\n"
        );
        let _ = writeln!(svg, "<title>{}</title>", escaped(&STATIONS.join(" to ")));
        let lines: Vec<String> = self.to_text().lines().map(escaped).collect();
        let _ = writeln!(svg, "<desc>{}</desc>", lines.join("\n"));
        svg.push_str(ARROW);
        let stations = STATIONS.iter().zip(&self.stations).enumerate();
        for (number, (name, station)) in stations {
            let left = 10 + number * STEP;
            let middle = left + BOX / 2;
            let _ = writeln!(
                svg,
                "<g class=\"node\"><title>{}</title><rect x=\"{left}\" y=\"50\" width=\"{BOX}\" \
                 height=\"56\" rx=\"6\" fill=\"white\" stroke=\"black\"/><text x=\"{middle}\" y=\"72\" \
                 text-anchor=\"middle\" font-weight=\"bold\">{name}</text><text x=\"{middle}\" y=\"92\" \
                 text-anchor=\"middle\">{}</text></g>",
                escaped(station),
                escaped(&shortened(station, 30)),
            );
        }
        for (number, way) in self.ways.iter().enumerate() {
            let from = 10 + number * STEP + BOX;
            let (path, at) = match number {
                // The last one leads back.
                4 => {
                    let (from, to) = (from - BOX / 2, 10 + BOX / 2);
                    (format!("M{from} 106V150H{to}V108"), (WIDE / 2, 168))
                }
                _ => {
                    let to = from + STEP - BOX;
                    let lift = if number % 2 == 0 { 40 } else { 24 };
                    (format!("M{from} 78H{to}"), (from.midpoint(to), lift))
                }
            };
            let _ = writeln!(
                svg,
                "<g class=\"edge\"><title>{}</title><path d=\"{path}\" fill=\"none\" stroke=\"black\" \
                 marker-end=\"url(#to)\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
                escaped(way),
                at.0,
                at.1,
                escaped(&shortened(way, 44)),
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Who shows a token that was given in exchange: whoever has the key to which it is bound.
fn holder(claims: &Map<String, Value>) -> String {
    let bound = claims.get("cnf").and_then(Value::as_object);
    let key = bound.and_then(|cnf| {
        let names = ["jkt", "x5t#S256"].into_iter();
        names.filter_map(|name| cnf.get(name)?.as_str()).next()
    });
    match key {
        Some(key) => format!("holder of the key {key}"),
        None => "whoever has the token".to_owned(),
    }
}

/// For whom it was accepted.
fn audience(verdict: &Value) -> Option<String> {
    let mut checks = verdict.get("checks")?.as_array()?.iter();
    let check =
        checks.find(|check| check.get("what").and_then(Value::as_str) == Some("audience"))?;
    check.get("compared")?.as_str().map(str::to_owned)
}

fn kind(verdict: &Value) -> &'static str {
    let identity = verdict.get("identity");
    let kind = identity
        .and_then(|identity| identity.get("kind"))
        .and_then(Value::as_str);
    match kind {
        Some("spiffe") => "a SPIFFE identity",
        Some(_) | None => "the subject of its token",
    }
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    claims.get(name)?.as_str().map(str::to_owned)
}

fn claims_of(token: &str) -> Option<Map<String, Value>> {
    let claims = Base64UrlUnpadded::decode_vec(token.trim().split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &Value) -> String {
        let part = |value: &Value| Base64UrlUnpadded::encode_string(value.to_string().as_bytes());
        format!("{}.{}.c2ln", part(&json!({"alg": "ES256"})), part(claims))
    }

    fn verdict() -> Value {
        json!({
            "verdict": "accept",
            "identity": {"name": "spiffe://shop.example/ci/74", "kind": "spiffe"},
            "anchor": {
                "kind": "trust_domain", "name": "shop.example", "subject": "shop.example",
            },
            "checks": [{"what": "audience", "compared": "https://cloud.example"}],
            "valid_until": "2026-11-29T16:00:00Z",
        })
    }

    #[test]
    fn what_was_exchanged_is_drawn_back_to_whom_it_began_with() {
        let lineage = json!([{"anchor": "ci", "iss": "https://ci.example", "key": "k", "digest": "0a".repeat(32)}]);
        let given = json!({
            "sub": "spiffe://shop.example/ci/74", "iss": "https://avouch.example/t/shop",
            "cnf": {"jkt": "a-thumbprint"}, "lineage": lineage,
        });
        let flow = Flow::of(&verdict(), &token(&given)).unwrap();
        let [client, provider, shown, identity, resource] = &flow.stations;
        assert_eq!(client, "holder of the key a-thumbprint");
        assert_eq!(provider, "https://ci.example");
        assert_eq!(shown, "sha256 0a0a0a0a0a0a0a0a");
        assert_eq!(identity, "spiffe://shop.example/ci/74");
        assert_eq!(resource, "https://cloud.example");
        assert_eq!(flow.ways[2], "exchanged at https://avouch.example/t/shop");
        let mut acting = given;
        acting["act"] = json!({"sub": "spiffe://shop.example/svc"});
        let flow = Flow::of(&verdict(), &token(&acting)).unwrap();
        assert_eq!(
            flow.stations[0],
            "spiffe://shop.example/svc for spiffe://shop.example/ci/74"
        );
    }

    #[test]
    fn a_foreign_issuer_does_not_choose_from_whom_its_tokens_came() {
        let lineage = json!([{"anchor": "bank", "iss": "https://bank.example", "key": "k", "digest": "0a".repeat(32)}]);
        let own =
            json!({"sub": "job-7", "jti": "t-1", "iss": "https://ci.example", "lineage": lineage});
        let mut foreign = verdict();
        foreign["anchor"] =
            json!({"kind": "issuer", "name": "ci", "subject": "https://ci.example"});
        let flow = Flow::of(&foreign, &token(&own)).unwrap();
        let [client, provider, shown, ..] = &flow.stations;
        assert_eq!(
            [client, provider, shown],
            ["job-7", "https://ci.example", "t-1"]
        );
        assert_eq!(flow.ways[2], "believed through ci");
    }

    #[test]
    fn a_picture_has_five_stations_and_five_ways_and_runs_nothing() {
        let hostile = json!({"sub": "</text><script>alert(1)</script>", "jti": "\"'&\u{202e}\u{fffe}\u{ffff}"});
        let mut of = verdict();
        of["anchor"]["subject"] = "https://idp.example/<x>".into();
        let flow = Flow::of(&of, &token(&hostile)).unwrap();
        let svg = flow.to_svg();
        assert_eq!(svg.matches("<g class=\"node\">").count(), 5);
        assert_eq!(svg.matches("<g class=\"edge\">").count(), 5);
        assert!(
            !svg.contains("<script") && !svg.contains(['\u{202e}', '\u{fffe}', '\u{ffff}']),
            "{svg}"
        );
        let told = flow.to_json();
        assert_eq!(told["nodes"].as_array().unwrap().len(), 5);
        assert_eq!(told["edges"][4]["to"], 0);
    }

    #[test]
    fn nothing_is_drawn_of_what_was_refused() {
        let refused = json!({"verdict": "reject", "identity": null});
        assert!(Flow::of(&refused, &token(&json!({"sub": "x"}))).is_none());
    }
}
