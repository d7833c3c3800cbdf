//! The table of addresses in the form of OpenAPI 3.1.

use serde_json::{Map, Value, json};

use super::DECISION;
use super::call::DRY_RUN;
use super::route::Method;
use super::routes::{Access, Route, routes};
use crate::access::Role;
use crate::fault::Fault;

/// The shapes of what is sent and answered.
const SCHEMAS: &str = include_str!("schemas.json");

/// The whole document.
pub(super) fn document() -> Result<Value, Fault> {
    let schemas: Value = serde_json::from_str(SCHEMAS)
        .map_err(|error| Fault::Bug(format!("the schemas cannot be read: {error}")))?;
    let mut paths: Map<String, Value> = Map::new();
    for route in routes() {
        let path = paths
            .entry(route.path.replace("{*", "{"))
            .or_insert_with(|| json!({}));
        if let Some(methods) = path.as_object_mut() {
            methods.insert(route.method.name().to_lowercase(), operation(route));
        }
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Avouch",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A trust plane for machine identities. Every refusal is a problem (RFC \
                            9457) with a `code` of docs/reasons.md; what another tenant has answers \
                            as what does not exist.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": { DECISION.as_str(): {
                "description": "What the answer is called (a UUID): the `decision` of a verdict or a \
                                problem, and the `request` or `decision` of lines in the log of the \
                                server. A decision on a credential is kept for a while under it: \
                                `GET /v1/tenants/{tenant}/decisions/{decision}`",
                "schema": { "type": "string", "format": "uuid" },
            } },
            "securitySchemes": { "administrator": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT-SVID",
                "description": "A JWT-SVID whose audience is the server",
            }, "workload": {
                "type": "mutualTLS",
                "description": "An X.509-SVID of a trust domain here, shown in the handshake",
            }},
        },
    }))
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "operationId": name_of(route),
        "parameters": parameters(route),
        "responses": responses(route),
    });
    let Some(members) = operation.as_object_mut() else {
        return operation;
    };
    if let Some(schema) = route.takes {
        let body =
            json!({ "required": !route.may_be_empty, "content": content(takes(route), schema) });
        members.insert("requestBody".to_owned(), body);
    }
    if let Some(security) = security(route) {
        members.insert("security".to_owned(), security);
    }
    if let Access::Of(verb, noun, _) | Access::Known(verb, noun, _) = route.access {
        let roles = Role::ALL.into_iter().filter(|role| role.may(verb, noun));
        let roles: Vec<&str> = roles.map(Role::name).collect();
        let description = format!("For the roles {}.", roles.join(", "));
        members.insert("description".to_owned(), description.into());
    }
    operation
}

fn takes(route: &Route) -> &'static str {
    match route.takes {
        Some("SecurityEvent") => "application/secevent+jwt",
        Some("StatusRequest") => "application/ocsp-request",
        _ if route.is_oauth => "application/x-www-form-urlencoded",
        _ => "application/json",
    }
}

fn security(route: &Route) -> Option<Value> {
    match route.access {
        Access::Watcher(_) => None,
        Access::Anyone(_) | Access::Beginner(_) if route.forwards => {
            Some(json!([{ "administrator": [] }, { "workload": [] }]))
        }
        // The empty object says that it goes without, too.
        Access::Anyone(_) | Access::Beginner(_) if route.takes.is_some() => {
            Some(json!([{}, { "administrator": [] }, { "workload": [] }]))
        }
        Access::Anyone(_) | Access::Beginner(_) => None,
        Access::Administrator(_) | Access::Of(..) | Access::Known(..) => {
            Some(json!([{ "administrator": [] }, { "workload": [] }]))
        }
    }
}

fn parameters(route: &Route) -> Value {
    let names = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        let name = name.trim_start_matches('*');
        let text = json!({ "type": "string" });
        Some(json!({ "name": name, "in": "path", "required": true, "schema": text }))
    });
    let asked = route.query.iter().map(|name| {
        let kind = if *name == "limit" {
            "integer"
        } else {
            "string"
        };
        json!({ "name": name, "in": "query", "schema": { "type": kind } })
    });
    let rehearsing = route.may_rehearse.then(|| {
        json!({
            "name": DRY_RUN,
            "in": "query",
            "description": "With `true` all is looked at as if it were to be done, and refused as it would \
                            be: the same rights, the same checks, also those of the store. Nothing is \
                            stored, fetched or told, and nothing of a quota is used. What is in order is \
                            answered with 200 and a `DryRun`. Where it is not described it is refused",
            "schema": { "type": "boolean", "default": false },
        })
    });
    let expecting = ["If-Match", "If-None-Match"].map(|name| {
        json!({
            "name": name,
            "in": "header",
            "description": "What is expected to be there: the `ETag` of what was read, or `*` for whatever it \
                            is. Where something else is there, nothing is changed (412)",
            "schema": { "type": "string" },
        })
    });
    let changes_tagged = route.method != Method::Get && route.tagged().is_some();
    let expecting = expecting.into_iter().filter(|_| changes_tagged);
    let all = names.chain(asked).chain(rehearsing);
    all.chain(expecting).collect()
}

fn responses(route: &Route) -> Value {
    let (status, meaning) = match (route.gives, route.creates) {
        // RFC 8935 2.2.
        (None, _) if takes_event(route) => ("202", "Taken"),
        (None, _) => ("204", "Done"),
        (Some(_), false) => ("200", "The answer"),
        (Some(_), true) => ("201", "What was made"),
    };
    let headers = || {
        let reference = format!("#/components/headers/{DECISION}");
        json!({ DECISION.as_str(): { "$ref": reference } })
    };
    let of_answer = || {
        let mut headers = headers();
        if let (Some(_), Some(_), Some(members)) =
            (route.tagged(), route.gives, headers.as_object_mut())
        {
            members.insert("ETag".to_owned(), etag());
        }
        headers
    };
    let mut answer = json!({ "description": meaning, "headers": of_answer() });
    if let (Some(schema), Some(members)) = (route.gives, answer.as_object_mut()) {
        let content_type = match schema {
            "Metrics" => "text/plain",
            "RevocationList" => "application/pkix-crl",
            "StatusList" => "application/statuslist+jwt",
            "StatusResponse" => "application/ocsp-response",
            _ => "application/json",
        };
        let schema = of_one_and_of_many(schema).map_or(schema, |(one, _)| one);
        members.insert("content".to_owned(), content(content_type, schema));
    }
    let (content_type, schema) = match route.is_oauth {
        true => ("application/json", "OAuthProblem"),
        false => ("application/problem+json", "Problem"),
    };
    let mut responses = json!({
        status: answer,
        "default": {
            "description": "Refused or failed",
            "headers": headers(),
            "content": content(content_type, schema),
        },
    });
    if let (true, Some(members)) = (route.may_rehearse, responses.as_object_mut()) {
        members.insert("200".to_owned(), rehearsed(route, of_answer()));
    }
    if let (true, Some(members)) = (route.puts_new(), responses.as_object_mut()) {
        let schema = route.gives.unwrap_or_default();
        let made = json!({
            "description": "What was made, where there was none of this name",
            "headers": of_answer(),
            "content": content("application/json", schema),
        });
        members.insert("201".to_owned(), made);
    }
    if let (true, Some(members)) = (takes_event(route), responses.as_object_mut()) {
        let refused = json!({
            "description": "What was sent is not taken",
            "headers": headers(),
            "content": content("application/json", "EventRefusal"),
        });
        members.insert("400".to_owned(), refused);
    }
    responses
}

fn etag() -> Value {
    json!({
        "description": "What the object is called as it is now, for `If-Match` and `If-None-Match`",
        "schema": { "type": "string" },
    })
}

/// What is made by one, and what is answered for many, where both may be sent.
fn of_one_and_of_many(schema: &str) -> Option<(&'static str, &'static str)> {
    (schema == "EntryOrAnswers").then_some(("Entry", "Answers"))
}

/// What is answered with 200 where a dry run may be asked for.
fn rehearsed(route: &Route, headers: Value) -> Value {
    let reference = |schema: &str| json!({ "$ref": format!("#/components/schemas/{schema}") });
    let dry_run = reference("DryRun");
    let of_many = route.gives.and_then(of_one_and_of_many);
    let given = route.gives.filter(|_| !route.creates);
    let (description, schema) = match given.or(of_many.map(|(_, answers)| answers)) {
        Some(schema) => (
            "The answer, or that of a dry run",
            json!({ "anyOf": [reference(schema), dry_run] }),
        ),
        None => ("Of a dry run: it would be done", dry_run),
    };
    json!({
        "description": description,
        "headers": headers,
        "content": { "application/json": { "schema": schema } },
    })
}

fn takes_event(route: &Route) -> bool {
    route.takes == Some("SecurityEvent")
}

fn content(content_type: &str, schema: &str) -> Value {
    let reference = format!("#/components/schemas/{schema}");
    json!({ content_type: { "schema": { "$ref": reference } } })
}

/// A name of letters and digits, unique among all.
fn name_of(route: &Route) -> String {
    let method = route.method.name().to_lowercase();
    let parts = route.path.split(|one: char| !one.is_ascii_alphanumeric());
    let parts = parts.filter(|part| !part.is_empty()).map(|part| {
        let (head, tail) = part.split_at_checked(1).unwrap_or((part, ""));
        head.to_ascii_uppercase() + tail
    });
    method + &parts.collect::<String>()
}
