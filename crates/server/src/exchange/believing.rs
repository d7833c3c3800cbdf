//! Who asks: found out by the core, in the view of the tenant.

use std::sync::Arc;

use crate::caller::{DPOP_PROOF, claims_of, serial_text};
use avouch_api::{Answer, Outcome, text};
use avouch_core::anchor::{Anchor, AnchorKind};
use avouch_core::credential::Credential;
use avouch_core::credential::jose::jwk::KeySet;
use avouch_core::credential::x509::Certificate;
use avouch_core::crypto::AwsLc;
use avouch_core::exchange::rule::client_anchor;
use avouch_core::exchange::statement::{Ancestor, Sayer};
use avouch_core::exchange::{Believed, Statement, dpop};
use avouch_core::id::{Digest, SpiffeId};
use avouch_core::model::federation::{CLOCK_LEEWAY, Introspected, IssuerAnchor};
use avouch_core::question::{AwaitedKey, Context, Holder, Profile, Purpose, Question};
use avouch_core::reason::Reason;
use avouch_core::time::Time;
use avouch_core::verdict::{Effect, Identity, IdentityKind, Need, Receipt, Verdict};
use avouch_core::view::View;
use avouch_issuer::key::PublicHalf;
use avouch_store::{IntentId, UseKind};
use base64ct::{Base64UrlUnpadded, Encoding};

use super::request::{Client, ClientKind, Form, OTHER_CLIENT, Token};
use super::using::Uses;
use super::{ASSERTION, CLIENT_ASSERTION, Exchange, Pace, Proven, Shown, nonces, unsettled};
use crate::back_off::seconds_until;
use crate::decisions::{Course, Said, Shown as Kept};
use crate::fault::{Fault, Refused};
use crate::tenant::Tenant;
use crate::xml_signatures;

/// How many chains of federations are tried for one token: one that is kept, one that is new, and one of
/// another federation.
const MOST_CHAINS: usize = 3;

impl Exchange<'_> {
    /// Which keys the sender has proved to have, to this endpoint of the tenant.
    pub(super) fn proved(
        &self,
        endpoint: &str,
        shown: Shown<'_>,
        uses: &mut Uses,
    ) -> Result<Proven, Refused> {
        let certificate = shown.certificates.first().map(|leaf| Digest::of(leaf));
        let proof = match shown.proofs {
            [] => {
                let holder = Holder {
                    jkt: None,
                    certificate,
                };
                return Ok(Proven {
                    holder,
                    ..Proven::default()
                });
            }
            [one] => one,
            // RFC 9449 4.3 (1).
            [_, ..] => {
                return Err(Reason::IssueProof {
                    detail: "there are several".to_owned(),
                }
                .into());
            }
        };
        let request = dpop::Request {
            method: "POST",
            address: &format!("{}/{endpoint}", self.issuer),
            access_token: None,
            now: self.now,
        };
        let proved = dpop::Proved::check(proof, request, &AwsLc, &mut self.budget())?;
        uses.of(UseKind::Proof, DPOP_PROOF, proved.use_digest, proved.until);
        let is_fresh = match &proved.nonce {
            None => false,
            Some(nonce) if nonces::is_current(&self.tenant.keys, nonce, self.now) => true,
            // RFC 9449 8: whatever the rule asks for, what is there must be right.
            Some(_) => {
                let detail = "the one in it is not one of the last minutes";
                return Err(self.nonce_required(detail).into());
            }
        };
        Ok(Proven {
            holder: Holder {
                jkt: Some(proved.thumbprint),
                certificate: None,
            },
            key: Some(proved.key),
            is_fresh,
        })
    }

    /// Who a token is of.
    pub(super) fn subject(
        &self,
        what: &'static str,
        token: &Token,
        holder: &Holder,
        shown: Shown<'_>,
        uses: &mut Uses,
    ) -> Result<Believed, Refused> {
        let mut context = Context {
            audiences: self.rules.subject_audiences(&self.issuer),
            holder: holder.clone(),
            access_token: token.form == Form::AccessToken,
            // What names no SPIFFE ID is told so once it is known who vouches for it.
            jwt_svid: token.form == Form::JwtSvid && names_a_workload(&token.text),
            issuer: token.issuer.clone(),
            own_type: (what == ASSERTION).then_some("authorization-grant+jwt"),
            asked_claims: self.rules.asked_claims(self.now),
            ..Context::default()
        };
        if token.form == Form::Ssh {
            context.nonce = Some(self.answered_challenge(token)?);
            // Made for one tenant, a proof is nothing for another.
            context.audiences = vec![self.issuer.clone()];
        }
        let text = token.text.clone();
        let credential = match token.form {
            // RFC 6749 1.4: what an access token is made of is between its issuer and those it is for.
            Form::AccessToken if !is_compact(&text) => Credential::Opaque(text),
            Form::ApiKey => Credential::ApiKey(text),
            Form::AccessToken | Form::IdToken | Form::Jwt | Form::JwtSvid => Credential::Jwt(text),
            Form::Saml => Credential::Saml(text::saml(&text).unwrap_or(text)),
            Form::Ssh => Credential::Ssh {
                key: text,
                proof: token.proof.clone(),
            },
            Form::Wit => Credential::Wit {
                token: text,
                proof: token.proof.clone(),
            },
            Form::X509 => Credential::X509(self.proved_chain(token, holder, shown)?),
        };
        let leaf = match &credential {
            Credential::X509(chain) => chain.first().cloned(),
            _ => None,
        };
        let mut believed = self.believe(self.view, credential, context, uses)?;
        self.check_form(token, &believed)?;
        if let Some(leaf) = leaf {
            believed.on_record = self.on_record(&leaf)?;
        }
        // Otherwise a proof of possession is used in its place, or there is nothing that could be.
        if let Some(statement) = &believed.statement
            && token.form != Form::Wit
        {
            let until = statement.expires.plus(CLOCK_LEEWAY);
            uses.of_presented(what, statement.use_digest, until);
            believed.digest = statement.use_digest;
        }
        Ok(believed)
    }

    /// What is on record of what a certificate descends from, if it was given in exchange: by this tenant, or
    /// by another one here whose trust domain it names. A serial number of someone else's that is one of ours,
    /// too, adds ancestors and takes none away.
    pub(super) fn on_record(&self, leaf: &[u8]) -> Result<Vec<Ancestor>, Refused> {
        let Ok(leaf) = Certificate::parse(leaf) else {
            return Ok(Vec::new());
        };
        let Some(serial) = IntentId::parse(&serial_text(&leaf)) else {
            return Ok(Vec::new());
        };
        let recorded = |tenant: &Tenant| self.plane.store.intent(tenant.id(), &serial);
        if let Some(intent) = recorded(self.tenant)? {
            return Ok(intent.lineage);
        }
        let id = leaf.uris().find_map(|uri| SpiffeId::parse(uri).ok());
        let Some(id) = id else {
            return Ok(Vec::new());
        };
        let Some(owner) = self.plane.owner_of(id.trust_domain())? else {
            return Ok(Vec::new());
        };
        let intent = recorded(&owner)?;
        let lineage = intent.map(|intent| intent.lineage).unwrap_or_default();
        let name = self.plane.issuer_of(owner.id());
        let sayer = Sayer {
            name: &name,
            domain: Some(id.trust_domain().as_str()),
        };
        let told = lineage.into_iter();
        Ok(told.map(|one| one.told(sayer, self.place())).collect())
    }

    /// The challenge that the holder of a key of SSH has answered. It is one of this tenant, of the
    /// last minutes; whether it was answered is for the core to say, and that it is answered once is
    /// seen to where everything is used.
    fn answered_challenge(&self, token: &Token) -> Result<String, Refused> {
        let detail = match (&token.challenge, &token.proof) {
            (Some(challenge), Some(_))
                if nonces::is_challenge(&self.tenant.keys, challenge, self.now) =>
            {
                return Ok(challenge.clone());
            }
            (Some(_), Some(_)) => "the one that was answered is not one of the last minutes",
            (None, _) => "none was answered",
            (Some(_), None) => "there is no proof",
        };
        let random = &self.plane.random;
        Err(Reason::IssueSshChallenge {
            detail,
            challenge: nonces::challenge(&self.tenant.keys, random, self.now)?,
        }
        .into())
    }

    fn check_form(&self, token: &Token, believed: &Believed) -> Result<(), Reason> {
        let refuse = |detail: String| {
            Err(Reason::IssueTokenTypeFalse {
                parameter: "subject_token_type",
                detail,
            })
        };
        let is_spiffe = believed.identity.kind() == IdentityKind::Spiffe;
        let statement = believed.statement.as_ref();
        let access = statement.and_then(|statement| statement.is_access_by);
        match (token.form, access) {
            (Form::JwtSvid, _) if !is_spiffe => refuse("its subject is no SPIFFE ID".to_owned()),
            // Many issuers sign both with one key, and give both the type `JWT` or none.
            (Form::IdToken, Some(claim)) => refuse(format!(
                "it has `{claim}`, as access tokens have and ID tokens have not"
            )),
            _ => Ok(()),
        }
    }

    /// The certificates in a token, whose key the sender has proved to have: by the connection, or
    /// by a proof made with it.
    fn proved_chain(
        &self,
        token: &Token,
        holder: &Holder,
        shown: Shown<'_>,
    ) -> Result<Vec<Vec<u8>>, Reason> {
        let not_read = |detail: String| Reason::IssueTokenTypeFalse {
            parameter: "subject_token_type",
            detail,
        };
        let blocks = text::pem_blocks(&token.text)?;
        let chain: Vec<Vec<u8>> = blocks
            .iter()
            .filter(|block| block.label() == "CERTIFICATE")
            .map(|block| block.decode())
            .collect::<Result<_, _>>()?;
        let leaf = chain
            .first()
            .ok_or_else(|| not_read("there is no certificate in PEM".to_owned()))?;
        let is_client = shown.certificates.first() == Some(leaf);
        let certificate = Certificate::parse(leaf).map_err(not_read)?;
        let key = PublicHalf::from_info(certificate.public_key_info())?;
        let proved = holder
            .jkt
            .map(|jkt| Base64UrlUnpadded::encode_string(jkt.as_bytes()));
        if is_client || proved.is_some() && proved == key.thumbprint() {
            return Ok(chain);
        }
        let detail = match proved {
            Some(_) => "it was not made with the key of the certificate",
            None => "none was sent, and a certificate is exchanged for who proves its key",
        };
        Err(Reason::IssueProof {
            detail: detail.to_owned(),
        })
    }

    /// Who the client at the other end of the connection is, by its X.509-SVID.
    pub(super) fn tls_client(
        &self,
        shown: Shown<'_>,
        uses: &mut Uses,
    ) -> Result<Option<Believed>, Refused> {
        if shown.certificates.is_empty() {
            return Ok(None);
        }
        let credential = Credential::X509(shown.certificates.to_vec());
        let client = self.believe(self.view, credential, Context::default(), uses);
        client.map(Some).map_err(not_authenticated)
    }

    /// Who the client is, by its assertion (RFC 7523 2.2).
    pub(super) fn client(&self, client: &Client, uses: &mut Uses) -> Result<Believed, Refused> {
        // RFC 7523bis 4 (draft-ietf-oauth-rfc7523bis-11) gives what clients sign a type of its own.
        let context = Context {
            audiences: vec![self.issuer.clone()],
            own_type: Some("client-authentication+jwt"),
            jwt_svid: client.kind == ClientKind::Spiffe && names_a_workload(&client.assertion),
            ..Context::default()
        };
        let credential = || Credential::Jwt(client.assertion.clone());
        let refuse = |detail: &str| Reason::IssueClient {
            detail: detail.to_owned(),
        };
        let believed = match client.kind {
            ClientKind::Spiffe => {
                let believed = self
                    .believe(self.view, credential(), context, uses)
                    .map_err(not_authenticated)?;
                // Whoever is trusted for something names their subjects as they like.
                if believed.identity.kind() != IdentityKind::Spiffe {
                    return Err(refuse("the assertion is no JWT-SVID").into());
                }
                believed
            }
            ClientKind::PrivateKey => {
                // What it calls itself chooses the keys to ask, and nothing else.
                let id = issuer_of(&client.assertion)
                    .ok_or_else(|| refuse("the assertion cannot be read"))?;
                let mut last = refuse("no rule knows a client of this name").into();
                let mut found = None;
                for keys in self.rules.client_keys(&id, self.now) {
                    let view = self.view_of_client(&id, keys);
                    match self.believe(&view, credential(), context.clone(), uses) {
                        Ok(believed) => {
                            found = Some(believed);
                            break;
                        }
                        Err(refused) => last = not_authenticated(refused),
                    }
                }
                let believed = found.ok_or(last)?;
                let subject = believed.identity.facts().get("subject");
                if subject != Some(&id) {
                    return Err(refuse("`iss` and `sub` of the assertion differ").into());
                }
                believed
            }
        };
        let statement = believed.statement.as_ref();
        let statement = statement.ok_or_else(|| refuse("the assertion cannot be read"))?;
        if statement.audiences.as_slice() != [self.issuer.clone()] {
            return Err(refuse("the assertion is for others too").into());
        }
        if client
            .id
            .as_ref()
            .is_some_and(|id| *id != statement.subject.subject)
        {
            return Err(refuse(OTHER_CLIENT).into());
        }
        let until = statement.expires.plus(CLOCK_LEEWAY);
        // As a token, so that one who has seen it cannot exchange it as a subject.
        uses.of(
            UseKind::Token,
            CLIENT_ASSERTION,
            statement.use_digest,
            until,
        );
        Ok(Believed {
            digest: Digest::of(client.assertion.as_bytes()),
            ..believed
        })
    }

    /// A view in which a client vouches for itself, and for nobody else.
    fn view_of_client(&self, id: &str, keys: &KeySet) -> View {
        let tenant = self.tenant.id();
        let issuer = IssuerAnchor::of_client(id, keys.clone(), &self.issuer);
        let anchor = Anchor::bare(client_anchor(id), AnchorKind::Issuer(issuer), tenant);
        let parts = [id, self.issuer.as_str()].map(str::as_bytes);
        let keys = keys.digest();
        let epoch = Digest::of_list(parts.into_iter().chain([keys.as_bytes().as_slice()]));
        let view = View::new(tenant.clone(), vec![anchor], Vec::new(), Vec::new(), epoch);
        view.with_endings(Arc::clone(&self.tenant.held().endings))
    }

    /// Asks the core, and once more with what had to be fetched for this question alone.
    fn decided(
        &self,
        question: &mut Question,
        view: &View,
    ) -> Result<(Verdict, Vec<Arc<Introspected>>), Refused> {
        let (plane, tenant, budget) = (self.plane, self.tenant, self.budget());
        if self.pace == Pace::AtOnce {
            let verdict = avouch_core::decide(question, view, &AwsLc, &mut budget.clone());
            if !plane.lacks_nothing(&verdict) {
                return Err(unsettled("something may have to be fetched"));
            }
            plane.note_issuer_use(tenant, &verdict);
            return Ok((verdict, Vec::new()));
        }
        let mut verdict = xml_signatures::decide(question, view, &AwsLc, &budget)?;
        // What a client says of itself is checked with the keys of its rule, which nobody fetches.
        if !std::ptr::eq(view, self.view) {
            return Ok((verdict, Vec::new()));
        }
        for _ in 0..MOST_CHAINS {
            let Some(chain) = plane.missing_chain(tenant, view, question, &verdict) else {
                break;
            };
            question.context.trust_chain = chain;
            verdict = xml_signatures::decide(question, view, &AwsLc, &budget)?;
        }
        let answers = plane.introspected(tenant, &verdict, &question.credential)?;
        if !answers.is_empty() {
            let told = View::clone(view).with_introspected(&answers);
            verdict = xml_signatures::decide(question, &told, &AwsLc, &budget)?;
        }
        plane.note_issuer_use(tenant, &verdict);
        tenant.tallies.count(&verdict);
        let looked = plane.fetch_missing(tenant, &verdict);
        question.context.awaited_keys = looked.awaited_keys();
        if answers.is_empty() && !question.context.awaited_keys.is_empty() {
            verdict = xml_signatures::decide(question, view, &AwsLc, &budget)?;
        }
        if looked.has_changed {
            self.has_news.set(true);
            // A newer status list may say otherwise.
            if matches!(verdict, Verdict::Accept(_)) {
                let need = "its status list, which has just come".to_owned();
                return Err(Reason::IssueUndecided { need }.into());
            }
        }
        Ok((verdict, answers))
    }

    /// Asks the core. What must not happen twice is noted and not yet done.
    fn believe(
        &self,
        view: &View,
        credential: Credential,
        context: Context,
        uses: &mut Uses,
    ) -> Result<Believed, Refused> {
        let profile = match &credential {
            Credential::X509(chain) => profile_of(chain),
            _ => Profile::Spiffe,
        };
        let what = match credential {
            Credential::Saml(_) => "assertion",
            _ => "proof",
        };
        let mut question = Question {
            tenant: self.tenant.id().clone(),
            credential,
            profile,
            purpose: Purpose::Client,
            now: self.now,
            context,
        };
        let shown = Some(Kept::of(&question.credential));
        self.course.replace(Course { shown, said: None });
        let (verdict, answers) = self.decided(&mut question, view)?;
        let plane = self.plane;
        let verdict = plane.saying_why(self.tenant, &question.credential, &verdict);
        self.note_verdict(&question, view, &verdict);
        let sealed = match verdict.into_owned() {
            Verdict::Accept(sealed) => sealed,
            Verdict::Reject(refusal) => return Err(refusal.reason().clone().into()),
            Verdict::Undetermined(needs) => {
                return Err(undecided(&needs, self.now).into());
            }
        };
        for Effect::ConsumeNonce {
            scope,
            nonce,
            until,
        } in sealed.effects()
        {
            let digest = Digest::of_list([scope.as_bytes(), nonce.as_bytes()]);
            uses.of(UseKind::Proof, what, digest, *until);
        }
        // They are committed with everything else before anything is signed; if not, nothing is.
        let receipt = Receipt::committed(sealed.effects());
        let identity = sealed
            .open(&receipt)
            .map_err(|_| Fault::Bug("an identity does not open".to_owned()))?;
        let statement = statement_of(&identity, &question, &answers)?;
        Ok(Believed {
            identity,
            statement,
            digest: question.credential.digest(),
            on_record: Vec::new(),
            serial: serial_of(&question.credential),
        })
    }
}

impl Exchange<'_> {
    /// Notes what came of a credential. Whoever is believed at once is given something, or it is decided
    /// again.
    pub(super) fn note_verdict(&self, question: &Question, view: &View, verdict: &Verdict) {
        if self.pace == Pace::AtOnce {
            return;
        }
        let said = match verdict {
            Verdict::Accept(sealed) => {
                Said::Believed(Box::new(sealed.preview().clone()), view.epoch())
            }
            Verdict::Reject(_) | Verdict::Undetermined(_) => {
                let decided = Outcome::Decided {
                    question,
                    view,
                    verdict,
                };
                let answer = Answer {
                    id: None,
                    decision: self.decision,
                    outcome: decided,
                };
                Said::Verdict(answer.to_line())
            }
        };
        self.course.borrow_mut().said = Some(said);
    }
}

fn serial_of(credential: &Credential) -> Option<String> {
    let Credential::X509(chain) = credential else {
        return None;
    };
    let leaf = Certificate::parse(chain.first()?).ok()?;
    Some(serial_text(&leaf))
}

/// What a credential says beside who its subject is.
fn statement_of(
    identity: &Identity,
    question: &Question,
    answers: &[Arc<Introspected>],
) -> Result<Option<Statement>, Refused> {
    Ok(match &question.credential {
        Credential::Jwt(token) => Some(Statement::of(identity, token)?),
        Credential::Wit { token, proof } => {
            let said = Statement::of(identity, token)?;
            Some(match proof {
                Some(proof) => said.shown_with(proof)?,
                None => said,
            })
        }
        Credential::Opaque(_) => {
            let told = answers.last();
            let told = told.ok_or_else(|| Fault::Bug("nobody was asked".to_owned()))?;
            Some(Statement::of_introspected(identity, told)?)
        }
        Credential::ApiKey(_)
        | Credential::Saml(_)
        | Credential::Ssh { .. }
        | Credential::Unsupported(_)
        | Credential::X509(_) => Statement::of_assertion(identity, &question.context)?,
    })
}

/// Whether a text is a compact token, in which anyone can read.
fn is_compact(text: &str) -> bool {
    text.starts_with("ey") && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// Certificates of workloads must be as SPIFFE has them; others may be as their owner likes.
fn profile_of(chain: &[Vec<u8>]) -> Profile {
    let leaf = chain.first().and_then(|leaf| Certificate::parse(leaf).ok());
    let names_a_workload = leaf.is_some_and(|leaf| {
        let mut uris = leaf.uris();
        uris.any(|uri| SpiffeId::parse(uri).is_ok())
    });
    if names_a_workload {
        Profile::Spiffe
    } else {
        Profile::Private
    }
}

/// What is missing to decide; where that is looked for again later, when.
pub(super) fn undecided(needs: &[Need], now: Time) -> Reason {
    let first = needs.first();
    if let Some(Need::Key(AwaitedKey { issuer, key, from })) = first {
        return Reason::IssueKeyAwaited {
            key: key.clone(),
            issuer: issuer.clone(),
            seconds: seconds_until(*from, now),
        };
    }
    let need = first.map(Need::sentence).unwrap_or_default();
    Reason::IssueUndecided {
        need: need.trim_end_matches('.').to_owned(),
    }
}

/// Whatever is wrong with how a client shows who it is, is one refusal; its code is named.
fn not_authenticated(refused: Refused) -> Refused {
    match refused {
        Refused::Reason(reason) if matches!(*reason, Reason::IssueKeyAwaited { .. }) => {
            Refused::Reason(reason)
        }
        Refused::Reason(reason) => Reason::IssueClient {
            detail: format!(
                "{} ({})",
                reason.sentence().trim_end_matches('.'),
                reason.code()
            ),
        }
        .into(),
        fault @ Refused::Fault(_) => fault,
    }
}

/// What an assertion says its issuer is; nothing is believed of it here.
fn issuer_of(token: &str) -> Option<String> {
    claims_of(token)?.get("iss")?.as_str().map(str::to_owned)
}

/// Whether the subject that a token names is a SPIFFE ID; nothing is believed of it here.
fn names_a_workload(token: &str) -> bool {
    let claims = claims_of(token);
    let subject = claims
        .as_ref()
        .and_then(|claims| claims.get("sub")?.as_str());
    subject.is_some_and(|subject| SpiffeId::parse(subject).is_ok())
}
