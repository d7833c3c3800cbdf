//! The token endpoint of a tenant as the command calls it.

use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

use super::EXCHANGE;
use super::arguments::SSH;
use crate::fault::Fault;
use crate::manage::arguments::Remote;
use crate::manage::client::{agent, check_server, why_not_believed};
use crate::manage::holder::Holder;
use crate::manage::secured::Secured;

/// The longest answer in bytes: a chain of certificates, or a bundle.
const LONGEST_ANSWER: u64 = 16 << 20;

/// A token endpoint.
pub(super) struct Endpoint {
    agent: Agent,
    server: String,
    /// Below which address of the server everything of the tenant is.
    tenant: String,
    issuer: String,
}

/// What the endpoint says.
pub(super) enum Answer {
    /// Something is given (RFC 8693 2.2.1).
    Given(Value),
    /// Nothing is (RFC 6749 5.2).
    Refused(Value),
}

impl Endpoint {
    /// Of a tenant of a server that calls it by this issuer identifier. Nothing is sent yet.
    pub(super) fn of(remote: &Remote, tenant: &str, issuer: Option<&str>) -> Result<Self, Fault> {
        let server = remote.address();
        let secured = match check_server(&server)? {
            true => Some(Secured::of(remote)?),
            false => None,
        };
        let tenant = format!("{server}/t/{tenant}");
        Ok(Self {
            agent: agent(secured),
            issuer: issuer.map_or_else(|| tenant.clone(), str::to_owned),
            tenant,
            server,
        })
    }

    /// For whom a token must be to be exchanged here.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Asks, with a proof for each try if there is a key. A server that wants a nonce in it is asked
    /// once more (RFC 9449 8).
    pub(super) fn ask(
        &self,
        form: &[(&str, &str)],
        holder: Option<&Holder>,
    ) -> Result<Answer, Fault> {
        let (answer, nonce) = self.post(form, holder, None)?;
        match (answer, nonce) {
            (Answer::Refused(refusal), Some(nonce)) if wants_nonce(&refusal) => {
                Ok(self.post(form, holder, Some(&nonce))?.0)
            }
            (answer, _) => Ok(answer),
        }
    }

    /// A challenge for the holder of this key of SSH, or what the server says instead.
    pub(super) fn challenge(&self, key: &str) -> Result<Result<String, Value>, Fault> {
        let form = [
            ("grant_type", EXCHANGE),
            ("subject_token", key),
            ("subject_token_type", SSH),
        ];
        match self.post(&form, None, None)?.0 {
            Answer::Given(_) => Err(self.foreign()),
            Answer::Refused(refusal) => {
                let challenge = refusal.get("challenge").and_then(Value::as_str);
                Ok(challenge.map(str::to_owned).ok_or(refusal))
            }
        }
    }

    /// The certificates that vouch for a trust domain of the tenant, in base64.
    pub(super) fn roots(&self, trust_domain: &str) -> Result<Vec<String>, Fault> {
        let address = format!("{}/bundle/{trust_domain}", self.tenant);
        let answer = self.agent.get(&address).call();
        let answer = answer.map_err(|error| self.away(&error))?;
        let is_there = answer.status().is_success();
        let bundle = self.read(answer)?;
        let keys = bundle.get("keys").and_then(Value::as_array);
        let Some(keys) = keys.filter(|_| is_there) else {
            return Err(self.foreign());
        };
        let roots = keys
            .iter()
            .filter(|key| key.get("use").and_then(Value::as_str) == Some("x509-svid"))
            .filter_map(|key| key.get("x5c")?.get(0)?.as_str().map(str::to_owned));
        Ok(roots.collect())
    }

    fn post(
        &self,
        form: &[(&str, &str)],
        holder: Option<&Holder>,
        nonce: Option<&str>,
    ) -> Result<(Answer, Option<String>), Fault> {
        let mut request = self.agent.post(format!("{}/token", self.tenant));
        if let Some(holder) = holder {
            let address = format!("{}/token", self.issuer);
            request = request.header("dpop", holder.proof(&address, nonce)?);
        }
        let answer = request.send_form(form.iter().copied());
        let answer = answer.map_err(|error| self.away(&error))?;
        let status = answer.status();
        let nonce = answer.headers().get("dpop-nonce");
        let nonce = nonce.and_then(|nonce| nonce.to_str().ok().map(str::to_owned));
        let body = self.read(answer)?;
        let has = |member: &str| body.get(member).is_some_and(Value::is_string);
        if status.is_success() && has("access_token") {
            return Ok((Answer::Given(body), nonce));
        }
        let is_refused = status.is_client_error() || is_undetermined(&body);
        if is_refused && has("error") {
            return Ok((Answer::Refused(body), nonce));
        }
        match (status.is_server_error(), body.get("detail")) {
            (true, Some(Value::String(detail))) => Err(Fault::Run(detail.clone())),
            _ => Err(self.foreign()),
        }
    }

    fn read(&self, mut answer: Response<ureq::Body>) -> Result<Value, Fault> {
        let text = answer
            .body_mut()
            .with_config()
            .limit(LONGEST_ANSWER)
            .read_to_string()
            .map_err(|error| self.away(&error))?;
        serde_json::from_str(&text).map_err(|_| self.foreign())
    }

    fn away(&self, error: &ureq::Error) -> Fault {
        let server = self.server.clone();
        match why_not_believed(error) {
            Some(why) => Fault::NotBelieved { server, why },
            None => Fault::NoServer {
                server,
                why: error.to_string(),
            },
        }
    }

    fn foreign(&self) -> Fault {
        Fault::Run(format!(
            "{} answers, but not as a token endpoint of Avouch does; is it another program?",
            self.tenant
        ))
    }
}

fn wants_nonce(refusal: &Value) -> bool {
    refusal.get("error").and_then(Value::as_str) == Some("use_dpop_nonce")
}

/// Whether nobody knows yet what is to be answered.
pub(super) fn is_undetermined(problem: &Value) -> bool {
    let code = problem.get("code").and_then(Value::as_str);
    matches!(code, Some("issue.key_awaited" | "issue.undecided"))
}
