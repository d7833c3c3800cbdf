//! Three questions about an issuer that one place must answer: how is it revoked, do its subjects show a
//! second factor, and who answers for it with what was seen of it.

use std::sync::Arc;

use avouch_core::exchange::ExchangeRule;
use avouch_core::model::federation::IssuerAnchor;
use serde_json::{Value, json};

use super::settings::IssuerSettings;
use crate::fault::Refused;
use crate::plane::Plane;
use crate::tenant::Tenant;

impl Plane {
    pub(super) fn panels(
        &self,
        tenant: &Arc<Tenant>,
        settings: &IssuerSettings,
        anchor: Option<&IssuerAnchor>,
    ) -> Result<Value, Refused> {
        let rules = self.rules(tenant)?;
        let names = self.anchors_named(tenant, &settings.issuer)?;
        let now = self.now();
        let own = rules.usable.iter().filter(|rule| {
            let anchor = rule.admits().anchor();
            !rule.has_ended(now)
                && anchor.is_some_and(|anchor| names.iter().any(|one| one == anchor))
        });
        let own: Vec<&ExchangeRule> = own.collect();
        Ok(json!({
            "revoke": self.how_it_is_revoked(tenant, settings, &own),
            "mfa": mfa(settings, anchor, &own),
            "audit": self.who_answers_for_it(tenant, settings),
        }))
    }

    /// How it is revoked, and how fast that reaches whom.
    fn how_it_is_revoked(
        &self,
        tenant: &Arc<Tenant>,
        settings: &IssuerSettings,
        rules: &[&ExchangeRule],
    ) -> Vec<String> {
        let mut said = vec![
            "`avouch issuer quarantine` stops every decision, exchange and second exchange at once, and \
             revokes the certificates that were given"
                .to_owned(),
        ];
        if let Some(longest) = rules.iter().map(|rule| rule.lifetime()).max() {
            said.push(format!(
                "tokens that were given before are believed elsewhere for {longest} s at most"
            ));
        }
        if settings.is_fetched() {
            said.push(format!(
                "a key that it withdraws is refused at the next look, after {} s at most, and if it \
                 cannot be reached after {} s more",
                settings.refresh_every, settings.stale_for
            ));
        }
        let asked_again = settings.asked_again();
        if let Some(seconds) = asked_again {
            said.push(format!(
                "a token about which it is asked is refused {seconds} s after it has taken it back, at most"
            ));
        }
        let hears = self.takes_signals_of(tenant, &settings.issuer);
        said.push(match (hears, asked_again) {
            (true, _) => "it tells of subjects that ended (`avouch signal list`)".to_owned(),
            (false, None) => {
                "it tells of no subject that ended: a subject that is closed there is believed \
                      here until its token expires"
                    .to_owned()
            }
            (false, Some(_)) => {
                "it tells of no subject that ended: a subject that is closed there is believed here until its \
                 token expires, or until it takes the token back, if it is asked about such tokens"
                    .to_owned()
            }
        });
        said
    }

    /// Who answers for it, and what was counted.
    fn who_answers_for_it(&self, tenant: &Arc<Tenant>, settings: &IssuerSettings) -> Vec<String> {
        let text = |name: &str| settings.anchor.get(name).and_then(Value::as_str);
        let tallied = self.tallied(tenant);
        let named = |kind: &str| (kind.to_owned(), settings.issuer.clone());
        // By whichever kind of anchor it is trusted.
        let kinds = [named("issuer"), named("saml")];
        let counts = kinds.iter().filter_map(|key| tallied.by_voucher.get(key));
        let count: u64 = counts.sum();
        let all: u64 = tallied.by_voucher.values().sum();
        let mut said = vec![match (text("owner"), text("reason")) {
            (Some(owner), Some(reason)) => format!("{owner} answers for it: {reason}"),
            (Some(owner), None) => {
                format!("{owner} answers for it, and has not said why it is trusted")
            }
            (None, _) => "nobody answers for it: name an `owner`".to_owned(),
        }];
        said.push(match text("expires") {
            Some(expires) => format!("the trust in it ends on {expires}"),
            None => "the trust in it does not end by itself: name `expires`".to_owned(),
        });
        said.push(match tallied.since {
            Some(since) => format!("{count} of {all} acceptances since {since} rested on it"),
            None => "no decision has rested on it that was counted".to_owned(),
        });
        said
    }
}

/// Whether its subjects show a second factor, and who asks.
fn mfa(
    settings: &IssuerSettings,
    anchor: Option<&IssuerAnchor>,
    rules: &[&ExchangeRule],
) -> Vec<String> {
    // Of an issuer without a preset it is known only where its registration says so.
    let is_said = settings.anchor.get("assurance").is_some();
    let known = anchor.filter(|anchor| is_said || anchor.preset().is_some());
    let tells = known.map(|anchor| anchor.sign_in().tells_methods());
    let mut said = vec![match tells {
        Some(false) => "its tokens never say how someone signed in".to_owned(),
        Some(true) => {
            "its tokens can say how someone signed in (`acr`, `amr`, `auth_time`)".to_owned()
        }
        None => "whether its tokens say how someone signed in is not known".to_owned(),
    }];
    let bound = settings.anchor.get("grants_at_most");
    let bound = bound.and_then(|bound| bound.get("assurance")?.as_str());
    if let Some(bound) = bound {
        said.push(format!(
            "its word counts for {bound} at most (`grants_at_most.assurance`)"
        ));
    }
    let asking = rules.iter().filter(|rule| rule.assurance().asks()).count();
    said.push(match rules.len() {
        0 => "no exchange rule admits through it".to_owned(),
        1 => format!("{asking} of 1 exchange rule asks how someone signed in"),
        all => format!("{asking} of {all} exchange rules ask how someone signed in"),
    });
    said
}
