//! `avouch fetch wit`.

use avouch_api::grpc::workload::{Witsvid, WitsvidRequest};
use serde_json::{Value, json};

use super::files::{remove_files, write_file};
use super::{Client, denied_as, first, patiently};
use crate::arguments::{Common, FetchWitArguments};
use crate::fault::{Exit, Fault};
use crate::output;

pub(super) async fn fetch(
    client: Client,
    arguments: &FetchWitArguments,
    common: &Common,
) -> Result<Exit, Fault> {
    let wanted = arguments.spiffe_id.as_ref();
    let request = WitsvidRequest {
        spiffe_id: wanted.map(ToString::to_string).unwrap_or_default(),
    };
    let fetched = patiently(|| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.fetch_witsvid(request).await }
    });
    let stream = fetched.await.map_err(|status| denied_as(&status, wanted))?;
    let mut stream = stream.into_inner();
    let svids = first(&mut stream).await?.svids;
    if let Some(folder) = &arguments.write {
        let files = |number: usize| {
            let number = match number {
                0 => String::new(),
                number => format!(".{number}"),
            };
            ["jwk", "jwt"].map(|kind| folder.join(format!("wit{number}.{kind}")))
        };
        for (number, svid) in svids.iter().enumerate() {
            let [key, token] = files(number);
            write_file(&token, &svid.wit_svid, 0o600)?;
            write_file(&key, &svid.wit_svid_key, 0o600)?;
        }
        // The first stays, as with X.509.
        remove_files((svids.len().max(1)..).map(files))?;
    }
    let human = || {
        let tokens: Vec<&str> = svids.iter().map(|svid| svid.wit_svid.as_str()).collect();
        tokens.join("\n")
    };
    output::formatted(common.output, human, || {
        let svids: Vec<Value> = svids.iter().map(as_json).collect();
        format!("{:#}", json!({"svids": svids}))
    })?;
    Ok(Exit::Accepted)
}

/// Without the key: whoever wants it has it written to a file.
fn as_json(svid: &Witsvid) -> Value {
    json!({"spiffe_id": svid.spiffe_id, "svid": svid.wit_svid, "hint": svid.hint})
}
