//! Decisions that are asked for again: the very same credential, in the same view, for the same.
//!
//! An identity that was believed stays believed from `valid_from` to `valid_until` as long as
//! nothing else changes. All else is part of the key: what was presented and asked, for whom, what
//! may be spent, and the epoch of the view, which every revocation and every change of
//! configuration changes. So remembering changes no verdict, only its cost. Refusals are not
//! remembered, since an attacker has no end of them; nor is what has effects, since each use must
//! commit its own.

use std::net::IpAddr;
use std::sync::Arc;

use crate::budget::{Budget, Limits};
use crate::credential::saml::XmlFound;
use crate::crypto::Verifier;
use crate::id::Digest;
use crate::kept::Kept;
use crate::model;
use crate::question::{Context, ExpectedName, Holder, InitialPolicies, Profile, Purpose, Question};
use crate::time::Time;
use crate::verdict::Verdict;
use crate::view::View;

/// Stands in front of [`decide`](crate::decide) and remembers acceptances, in bounded memory.
#[derive(Debug)]
pub struct Cache<V> {
    verifier: V,
    decisions: Kept<Arc<Decision>>,
}

/// A verdict and the moment of which it speaks.
#[derive(Debug)]
pub struct Decision {
    verdict: Verdict,
    at: Time,
}

impl Decision {
    /// The verdict. It holds at the moment of the question, also where it was remembered; the path
    /// it shows is one that holds, and was the first found at [`Decision::at`].
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// When it was worked out: the moment of the first question of those it answers.
    pub fn at(&self) -> Time {
        self.at
    }

    /// Whether it still answers the same question, asked at `now`.
    fn holds(&self, now: Time) -> bool {
        match &self.verdict {
            Verdict::Accept(sealed) => {
                let identity = sealed.preview();
                identity.valid_from() <= now && now <= identity.valid_until()
            }
            Verdict::Reject(_) | Verdict::Undetermined(_) => false,
        }
    }

    fn is_worth_keeping(&self) -> bool {
        match &self.verdict {
            Verdict::Accept(sealed) => sealed.effects().is_empty(),
            Verdict::Reject(_) | Verdict::Undetermined(_) => false,
        }
    }
}

impl<V: Verifier> Cache<V> {
    /// Remembers up to twice `capacity` decisions, a few kilobytes each. Signatures are checked by
    /// `verifier`.
    pub fn new(verifier: V, capacity: usize) -> Self {
        Self {
            verifier,
            decisions: Kept::new(capacity),
        }
    }

    /// Decides as [`decide`](crate::decide) would with a fresh budget of the same limits; a
    /// decision that is remembered costs nothing of it.
    pub fn decide(&self, question: &Question, view: &View, budget: &mut Budget) -> Arc<Decision> {
        let key = key(question, view, budget.limits());
        if let Some(known) = self.decisions.get(&key)
            && known.holds(question.now)
        {
            return known;
        }
        let verdict = model::decide(question, view, &self.verifier, budget);
        let decision = Arc::new(Decision {
            // Nobody exchanges what is remembered, and all that a token says takes room.
            verdict: verdict.without_claims(),
            at: question.now,
        });
        if decision.is_worth_keeping() {
            self.decisions.put(key, Arc::clone(&decision));
        }
        decision
    }
}

/// The digest of all that a verdict rests on but the time. Every field is named, so that one more
/// cannot be forgotten.
fn key(question: &Question, view: &View, limits: &Limits) -> Digest {
    let Question {
        tenant,
        credential,
        profile,
        purpose,
        now: _,
        context,
    } = question;
    let mut text = Text(Vec::with_capacity(512));
    text.part(credential.digest().as_bytes());
    text.part(view.epoch().as_bytes());
    text.part(view.tenant().as_str().as_bytes());
    text.part(tenant.as_str().as_bytes());
    text.part(&[profile_code(*profile), purpose_code(*purpose)]);
    text.context(context);
    text.limits(limits);
    Digest::of(&text.0)
}

/// Bytes in which no two things look alike: each part has its length before it, each list its
/// count.
struct Text(Vec<u8>);

impl Text {
    fn part(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn count(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0.extend_from_slice(&count.to_be_bytes());
    }

    fn optional(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.count(1);
                self.part(bytes);
            }
            None => self.count(0),
        }
    }

    fn context(&mut self, context: &Context) {
        let Context {
            expected,
            audiences,
            nonce,
            max_path_length,
            require_revocation,
            policies,
            holder: Holder { jkt, certificate },
            holder_is_assumed,
            access_token,
            jwt_svid,
            own_type,
            recipients,
            in_response_to,
            issuer,
            trust_chain,
            xml_signatures,
            awaited_keys,
            asked_claims,
        } = context;
        self.count(expected.len());
        for name in expected {
            self.expected(name);
        }
        self.count(audiences.len());
        for audience in audiences {
            self.part(audience.as_bytes());
        }
        self.optional(nonce.as_deref().map(str::as_bytes));
        let most = max_path_length.map(u32::to_be_bytes);
        self.optional(most.as_ref().map(<[u8; 4]>::as_slice));
        self.part(&[u8::from(*require_revocation)]);
        self.policies(policies);
        for key in [jkt, certificate] {
            self.optional(key.as_ref().map(|digest| digest.as_bytes().as_slice()));
        }
        let flags = [holder_is_assumed, access_token, jwt_svid];
        self.part(&flags.map(|flag| u8::from(*flag)));
        self.optional(own_type.map(str::as_bytes));
        self.count(recipients.len());
        for recipient in recipients {
            self.part(recipient.as_bytes());
        }
        self.optional(in_response_to.as_deref().map(str::as_bytes));
        self.optional(issuer.as_deref().map(str::as_bytes));
        self.count(trust_chain.len());
        for statement in trust_chain {
            self.part(statement.as_bytes());
        }
        self.count(xml_signatures.len());
        for signature in xml_signatures {
            self.part(signature.of.as_bytes());
            match &signature.found {
                XmlFound::Held {
                    signed_info,
                    content,
                } => {
                    self.count(2);
                    self.part(signed_info);
                    self.part(content);
                }
                XmlFound::NotHeld => self.count(0),
            }
        }
        self.count(asked_claims.len());
        for asked in asked_claims {
            self.part(asked.anchor.as_bytes());
            self.part(asked.claim.as_bytes());
        }
        self.count(awaited_keys.len());
        for awaited in awaited_keys {
            self.part(awaited.issuer.as_bytes());
            self.part(awaited.key.as_bytes());
            self.part(&awaited.from.unix().to_be_bytes());
        }
    }

    fn expected(&mut self, name: &ExpectedName) {
        match name {
            ExpectedName::Dns(name) => self.named(0, name.as_bytes()),
            ExpectedName::Email(name) => self.named(1, name.as_bytes()),
            ExpectedName::Ip(IpAddr::V4(address)) => self.named(2, &address.octets()),
            ExpectedName::Ip(IpAddr::V6(address)) => self.named(3, &address.octets()),
            ExpectedName::Spiffe(id) => self.named(4, id.as_str().as_bytes()),
            ExpectedName::TrustDomain(name) => self.named(5, name.as_str().as_bytes()),
        }
    }

    fn named(&mut self, kind: u8, bytes: &[u8]) {
        self.0.push(kind);
        self.part(bytes);
    }

    fn policies(&mut self, policies: &InitialPolicies) {
        let InitialPolicies {
            accepted,
            require_explicit,
            inhibit_mapping,
            inhibit_any,
        } = policies;
        self.count(accepted.len());
        for policy in accepted {
            self.part(policy.as_bytes());
        }
        let flags = [require_explicit, inhibit_mapping, inhibit_any].map(|flag| u8::from(*flag));
        self.part(&flags);
    }

    fn limits(&mut self, limits: &Limits) {
        let Limits {
            input_bytes,
            token_bytes,
            json_depth,
            json_members,
            certificates,
            path_length,
            search_steps,
            signature_work,
            name_comparisons,
            policy_nodes,
            attempts_kept,
        } = limits;
        for size in [
            input_bytes,
            token_bytes,
            json_depth,
            json_members,
            certificates,
            attempts_kept,
        ] {
            self.count(*size);
        }
        for number in [
            path_length,
            search_steps,
            signature_work,
            name_comparisons,
            policy_nodes,
        ] {
            self.0.extend_from_slice(&number.to_be_bytes());
        }
    }
}

fn profile_code(profile: Profile) -> u8 {
    match profile {
        Profile::Private => 0,
        Profile::Rfc5280 => 1,
        Profile::Spiffe => 2,
        Profile::WebPki => 3,
    }
}

fn purpose_code(purpose: Purpose) -> u8 {
    match purpose {
        Purpose::Any => 0,
        Purpose::Client => 1,
        Purpose::Server => 2,
    }
}
