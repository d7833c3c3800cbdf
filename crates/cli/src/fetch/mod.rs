//! `avouch fetch`: what the Workload API gives to this process, as to any workload.

mod federated;
mod files;
mod wit;
mod x509;

pub(crate) use files::write_file;
pub(crate) use x509::certificates;

use std::path::{Path, PathBuf};
use std::time::Duration;

use avouch_api::grpc::WORKLOAD_HEADER;
use avouch_api::grpc::workload::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use avouch_api::grpc::workload::{
    JwtBundlesRequest, JwtsvidRequest, WitBundlesRequest, X509BundlesRequest,
};
use avouch_core::id::SpiffeId;
use serde_json::{Value, json};
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::arguments::{Common, FetchArguments, FetchCommand};
use crate::fault::{Exit, Fault};
use crate::output;

pub(crate) type Client = SpiffeWorkloadApiClient<
    InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>,
>;

/// Fetches and writes what was asked for.
pub fn fetch(arguments: &FetchArguments, common: &Common) -> Result<Exit, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::Run(format!("a thread cannot be started: {error}")))?;
    runtime.block_on(async {
        let address = address(arguments.socket.as_deref(), &arguments.data);
        let client = connect(&address).await?;
        match &arguments.what {
            FetchCommand::X509(x509) => x509::fetch(client, x509, common).await,
            FetchCommand::Jwt(jwt) => {
                let wanted = jwt.spiffe_id.as_ref();
                fetch_jwt(client, jwt.audience.clone(), wanted, common).await
            }
            FetchCommand::Wit(wit) => wit::fetch(client, wit, common).await,
            FetchCommand::Bundle(_) => fetch_bundles(client, common).await,
        }
    })
}

/// The address given, that of the environment, or that of the plane in the folder.
pub(crate) fn address(socket: Option<&str>, data: &Path) -> String {
    if let Some(socket) = socket {
        return match socket.strip_prefix("unix:") {
            Some(_) => socket.to_owned(),
            None => format!("unix://{}", absolute(socket)),
        };
    }
    let socket = data.join("agent.sock");
    format!("unix://{}", absolute(&socket.to_string_lossy()))
}

fn absolute(path: &str) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    absolute.to_string_lossy().into_owned()
}

pub(crate) async fn connect(address: &str) -> Result<Client, Fault> {
    let away = |why: String| Fault::NoAgent {
        address: address.to_owned(),
        why,
    };
    let endpoint = Endpoint::from_shared(address.to_owned());
    let endpoint = endpoint.map_err(|error| away(error.to_string()))?;
    let channel = endpoint.connect().await;
    let channel = channel.map_err(|error| away(innermost(&error)))?;
    let client = SpiffeWorkloadApiClient::with_interceptor(channel, with_header as fn(_) -> _);
    Ok(client.max_decoding_message_size(64 << 20))
}

/// Without this nobody is served (SPIFFE Workload Endpoint 3).
fn with_header(mut request: Request<()>) -> Result<Request<()>, Status> {
    let value = MetadataValue::from_static("true");
    request.metadata_mut().insert(WORKLOAD_HEADER, value);
    Ok(request)
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// How long to wait before an agent is asked again that cannot tell just now.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

/// How long an agent may take to say anything: it takes 25 seconds itself at most.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);

/// Asks an agent, and again a few times if it cannot tell just now (SPIFFE Workload Endpoint 6).
pub(super) async fn patiently<T, A: Future<Output = Result<T, Status>>>(
    mut ask: impl FnMut() -> A,
) -> Result<T, Status> {
    for pause in PAUSES {
        match answered(LONGEST_ANSWER, ask()).await {
            Err(status) if status.code() == Code::Unavailable => tokio::time::sleep(pause).await,
            answer => return answer,
        }
    }
    answered(LONGEST_ANSWER, ask()).await
}

/// The answer, or a status where there is none in time: a socket is there before its agent has joined.
async fn answered<T>(
    longest: Duration,
    answer: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let answered = tokio::time::timeout(longest, answer).await;
    answered.unwrap_or_else(|_| {
        Err(Status::deadline_exceeded(
            "nothing; it may not have joined its server yet, and its log says what it waits for",
        ))
    })
}

/// The first message of a stream: what there is now.
pub(crate) async fn first<M>(stream: &mut Streaming<M>) -> Result<M, Fault> {
    match stream.message().await {
        Ok(Some(message)) => Ok(message),
        Ok(None) => Err(Fault::Run("the agent said nothing".to_owned())),
        Err(status) => Err(denied(&status)),
    }
}

pub(crate) fn denied(status: &Status) -> Fault {
    match status.code() {
        Code::PermissionDenied => Fault::NoIdentity,
        Code::InvalidArgument => Fault::Usage(status.message().to_owned()),
        _ => Fault::Run(format!("the agent answers: {}", status.message())),
    }
}

/// As [`denied`], to who asked to be someone in particular.
pub(crate) fn denied_as(status: &Status, wanted: Option<&SpiffeId>) -> Fault {
    match (denied(status), wanted) {
        (Fault::NoIdentity, Some(id)) => Fault::NotThis(id.clone()),
        (fault, _) => fault,
    }
}

async fn fetch_jwt(
    client: Client,
    audience: Vec<String>,
    wanted: Option<&SpiffeId>,
    common: &Common,
) -> Result<Exit, Fault> {
    let request = JwtsvidRequest {
        audience,
        spiffe_id: wanted.map(ToString::to_string).unwrap_or_default(),
    };
    let answer = patiently(|| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.fetch_jwtsvid(request).await }
    });
    let answer = answer.await;
    let answer = answer.map_err(|status| denied_as(&status, wanted))?;
    let svids = answer.into_inner().svids;
    let human = || {
        let tokens: Vec<&str> = svids.iter().map(|svid| svid.svid.as_str()).collect();
        tokens.join("\n")
    };
    let json = || {
        let svids = svids
            .iter()
            .map(|svid| json!({"spiffe_id": svid.spiffe_id, "svid": svid.svid, "hint": svid.hint}));
        let svids: Vec<Value> = svids.collect();
        format!("{:#}", json!({"svids": svids}))
    };
    output::formatted(common.output, human, json)?;
    Ok(Exit::Accepted)
}

async fn fetch_bundles(mut client: Client, common: &Common) -> Result<Exit, Fault> {
    let x509 = patiently(|| {
        let mut client = client.clone();
        async move { client.fetch_x509_bundles(X509BundlesRequest {}).await }
    });
    let mut x509 = x509.await.map_err(|status| denied(&status))?.into_inner();
    let x509 = first(&mut x509).await?.bundles;
    let jwt = client.fetch_jwt_bundles(JwtBundlesRequest {}).await;
    let mut jwt = jwt.map_err(|status| denied(&status))?.into_inner();
    let jwt = first(&mut jwt).await?.bundles;
    // Not every agent has them: they are in no finished version of the Workload API.
    let wit = match client.fetch_wit_bundles(WitBundlesRequest {}).await {
        Ok(wit) => first(&mut wit.into_inner()).await?.bundles,
        Err(status) if status.code() == Code::Unimplemented => Default::default(),
        Err(status) => return Err(denied(&status)),
    };
    let human = || {
        let bundles = x509
            .iter()
            .map(|(name, certificates)| format!("# {name}\n{}", x509::pem_of_all(certificates)));
        bundles.collect::<Vec<String>>().join("\n")
    };
    let json = || {
        let bundles = x509.iter().map(|(name, certificates)| {
            let keys = jwt.get(name);
            let keys = keys.and_then(|keys| serde_json::from_slice::<Value>(keys).ok());
            let of_wit = wit.get(name);
            let of_wit = of_wit.and_then(|keys| serde_json::from_str::<Value>(keys).ok());
            let bundle =
                json!({"x509": x509::pem_of_all(certificates), "jwt": keys, "wit": of_wit});
            (name.clone(), bundle)
        });
        let bundles: serde_json::Map<String, Value> = bundles.collect();
        format!("{:#}", json!({"bundles": bundles}))
    };
    output::formatted(common.output, human, json)?;
    Ok(Exit::Accepted)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn asked(answers: &[Code]) -> (Result<(), Code>, usize) {
        let count = Cell::new(0);
        let answer = patiently(|| {
            let code = answers.get(count.get()).copied().unwrap_or(Code::Ok);
            count.set(count.get() + 1);
            async move {
                match code {
                    Code::Ok => Ok(()),
                    code => Err(Status::new(code, "")),
                }
            }
        });
        (answer.await.map_err(|status| status.code()), count.get())
    }

    #[tokio::test]
    async fn an_agent_that_says_nothing_is_not_waited_for_for_ever() {
        let nothing = std::future::pending::<Result<(), Status>>();
        let silent = answered(Duration::from_millis(5), nothing)
            .await
            .unwrap_err();
        let told = denied(&silent).to_string();
        assert!(
            told.contains("may not have joined its server yet"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn an_agent_that_cannot_tell_just_now_is_asked_again_and_one_that_has_told_is_not() {
        let late = [Code::Unavailable, Code::Unavailable];
        assert_eq!(asked(&late).await, (Ok(()), 3));
        assert_eq!(
            asked(&[Code::PermissionDenied]).await,
            (Err(Code::PermissionDenied), 1)
        );
        assert_eq!(
            asked(&[Code::Unavailable; 9]).await,
            (Err(Code::Unavailable), 4)
        );
    }
}
