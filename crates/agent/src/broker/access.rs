//! Who may ask, and in which ways it may name workloads: what is not permitted is denied.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use avouch_api::grpc::BROKER_HEADER;
use avouch_core::id::SpiffeId;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use super::listener::Connection;
use super::tls::Credentials;
use crate::quiet::Quiet;

/// A way to name a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReferenceKind {
    /// A process of this machine, by its number.
    Process,
    /// A pod of this node.
    Pod,
}

impl ReferenceKind {
    const ALL: [Self; 2] = [Self::Process, Self::Pod];

    fn name(self) -> &'static str {
        match self {
            Self::Process => "pid",
            Self::Pod => "pod",
        }
    }
}

/// Who may ask, and how: `spiffe://example.org/mesh=pid,pod`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerRule {
    id: SpiffeId,
    kinds: BTreeSet<ReferenceKind>,
}

/// A text that says of nobody what it may do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BrokerMalformed(String);

impl FromStr for BrokerRule {
    type Err = BrokerMalformed;

    fn from_str(text: &str) -> Result<Self, BrokerMalformed> {
        let refuse = |why: &str| BrokerMalformed(why.to_owned());
        let (id, kinds) = text
            .split_once('=')
            .ok_or_else(|| refuse("a SPIFFE ID, `=`, and `pid`, `pod` or both, as `ID=pid,pod`"))?;
        let id = SpiffeId::parse(id).map_err(|reason| BrokerMalformed(reason.sentence()))?;
        let kinds = kinds.split(',').map(|name| {
            let kind = ReferenceKind::ALL
                .into_iter()
                .find(|kind| kind.name() == name);
            kind.ok_or_else(|| refuse("a broker names workloads by `pid`, by `pod` or by both"))
        });
        Ok(Self {
            id,
            kinds: kinds.collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for BrokerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        write!(f, "{}={}", self.id, kinds.join(","))
    }
}

/// Whoever asks again and again in vain may not fill the log with it.
static COMPLAINTS: Quiet = Quiet::new();

/// All brokers.
pub(super) struct Brokers {
    permitted: BTreeMap<SpiffeId, BTreeSet<ReferenceKind>>,
    credentials: Arc<dyn Credentials>,
}

impl Brokers {
    pub(super) fn new(rules: Vec<BrokerRule>, credentials: Arc<dyn Credentials>) -> Self {
        let mut permitted: BTreeMap<SpiffeId, BTreeSet<ReferenceKind>> = BTreeMap::new();
        for rule in rules {
            permitted.entry(rule.id).or_default().extend(rule.kinds);
        }
        Self {
            permitted,
            credentials,
        }
    }

    /// Who is at the other end of a connection, if it is a broker. Asked for each call: an X.509-SVID
    /// expires while its connection is open, and an authority may be revoked.
    pub(super) fn broker(&self, connection: &Connection) -> Result<SpiffeId, Status> {
        let id = self.credentials.identify(&connection.chain);
        let id = id.map_err(|reason| {
            let (code, sentence) = (reason.code(), reason.sentence());
            COMPLAINTS.tell(|left_out| {
                tracing::warn!(code, sentence, left_out, "a broker is not believed");
            });
            Status::unauthenticated("the X.509-SVID of the broker is not believed")
        })?;
        if self.permitted.contains_key(&id) {
            return Ok(id);
        }
        COMPLAINTS.tell(|left_out| {
            tracing::warn!(
                %id, left_out,
                "someone who is no broker asks for identities of workloads"
            );
        });
        Err(Status::permission_denied("the caller is no broker"))
    }

    /// The broker at the other end of a connection; none if whoever is there is no broker.
    pub(super) fn permitted(&self, connection: &Connection) -> Option<SpiffeId> {
        let id = self.credentials.identify(&connection.chain).ok()?;
        self.permitted.contains_key(&id).then_some(id)
    }

    /// Whether a broker may name workloads like this over this connection.
    pub(super) fn may_name(
        &self,
        broker: &SpiffeId,
        kind: ReferenceKind,
        connection: &Connection,
    ) -> Result<(), Status> {
        // The number of a process says nothing on another machine (SPIFFE Broker API 3.1.2).
        let is_in_scope = connection.is_local || kind != ReferenceKind::Process;
        let permitted = self.permitted.get(broker);
        if is_in_scope && permitted.is_some_and(|kinds| kinds.contains(&kind)) {
            return Ok(());
        }
        let kind = kind.name();
        let local = connection.is_local;
        COMPLAINTS.tell(|left_out| {
            tracing::warn!(
                %broker, kind, local, left_out,
                "a broker may not name workloads like this"
            );
        });
        Err(Status::permission_denied(
            "the broker may not name workloads like this here",
        ))
    }
}

/// Lets in who may call: with the header, and as a broker.
#[derive(Clone)]
pub(super) struct Door(pub(super) Arc<Brokers>);

impl Interceptor for Door {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let mut values = request.metadata().get_all(BROKER_HEADER).iter();
        let is_there =
            values.next().is_some_and(|value| value == "true") && values.next().is_none();
        if !is_there {
            return Err(Status::invalid_argument(
                "the request has no metadata `broker.spiffe.io: true`",
            ));
        }
        let connection = request.extensions().get::<Connection>().cloned();
        let connection = connection
            .ok_or_else(|| Status::internal("the connection does not tell who called"))?;
        let broker = self.0.broker(&connection)?;
        connection.is_known_now();
        request.extensions_mut().insert(broker);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k05_a_rule_says_who_and_how_and_nothing_is_permitted_by_leaving_it_out() {
        let text = "spiffe://demo.avouch.test/mesh=pid,pod";
        let rule: BrokerRule = text.parse().unwrap();
        assert_eq!(rule.to_string(), text);
        for wrong in [
            "spiffe://demo.avouch.test/mesh",
            "spiffe://demo.avouch.test/mesh=",
            "spiffe://demo.avouch.test/mesh=*",
            "spiffe://demo.avouch.test/mesh=pid,",
            "spiffe://demo.avouch.test/*=pid",
            "mesh=pid",
        ] {
            assert!(wrong.parse::<BrokerRule>().is_err(), "{wrong}");
        }
    }
}
