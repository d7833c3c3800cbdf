//! What is answered when nothing is wrong.

use avouch_core::id::Digest;
use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::call::Call;
use crate::fault::Fault;

/// An answer.
pub(super) struct Answer {
    /// Whether it says that it is one of a dry run.
    pub(super) is_of_dry_run: bool,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    /// JSON that nobody is to keep.
    pub(super) fn json(value: &Value) -> Self {
        // The same text as that of `to_string`, which is for people and asks for each piece of it.
        let text = serde_json::to_string(value).unwrap_or_else(|_| value.to_string());
        Self::text("application/json", text)
    }

    /// What is written as JSON without a copy of it, for nobody to keep either.
    pub(super) fn written(content: &impl Serialize) -> Result<Self, Fault> {
        let text = serde_json::to_string(content);
        let text = text.map_err(|error| Fault::Bug(format!("an answer: {error}")))?;
        Ok(Self::text("application/json", text))
    }

    /// What was made, and where it is from now on.
    pub(super) fn created(value: &Value, location: &str) -> Self {
        let mut answer = Self::json(value);
        answer.status = StatusCode::CREATED;
        answer.set(LOCATION, location);
        answer
    }

    /// That what was asked for would be done, with the answers for each of several if it was several.
    pub(super) fn dry_run(answers: Option<Vec<Value>>) -> Self {
        let mut members = Map::from_iter([("dry_run".to_owned(), Value::Bool(true))]);
        members.extend(answers.map(|answers| ("answers".to_owned(), Value::Array(answers))));
        let mut answer = Self::json(&Value::Object(members));
        answer.is_of_dry_run = true;
        answer
    }

    /// Done, and nothing to say.
    pub(super) fn done() -> Self {
        Self {
            is_of_dry_run: false,
            status: StatusCode::NO_CONTENT,
            headers: HeaderMap::new(),
            body: Vec::new(),
        }
    }

    /// Taken, and nothing to say (RFC 9110 15.3.3).
    pub(super) fn accepted() -> Self {
        let mut answer = Self::done();
        answer.status = StatusCode::ACCEPTED;
        answer
    }

    /// What someone else has answered, for whoever asked and nobody in between.
    pub(super) fn passed_on(
        status: u16,
        fields: Vec<(HeaderName, HeaderValue)>,
        body: Vec<u8>,
    ) -> Self {
        let mut answer = Self::done();
        answer.status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        for (name, value) in fields {
            answer.headers.append(name, value);
        }
        answer.set(CACHE_CONTROL, "no-store");
        answer.set(X_CONTENT_TYPE_OPTIONS, "nosniff");
        // What a browser shows of it runs nothing and is of no origin, least of all of this server.
        answer.set(CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'");
        answer.body = body;
        answer
    }

    /// The same with another status.
    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Text that nobody is to keep.
    pub(super) fn text(content_type: &'static str, body: String) -> Self {
        let mut answer = Self {
            is_of_dry_run: false,
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.into_bytes(),
        };
        answer.set(CONTENT_TYPE, content_type);
        answer.set(CACHE_CONTROL, "no-store");
        answer
    }

    /// JSON that may be kept for so many seconds; nothing again for who has it already (RFC 9110
    /// 13.1.2).
    pub(super) fn kept(call: &Call, value: &Value, seconds: u32) -> Self {
        Self::json(value).keep(call, seconds)
    }

    /// Bytes that nobody is to keep.
    pub(super) fn bytes(content_type: &'static str, bytes: Vec<u8>) -> Self {
        let mut answer = Self::text(content_type, String::new());
        answer.body = bytes;
        answer
    }

    /// Bytes that may be kept likewise.
    pub(super) fn kept_bytes(
        call: &Call,
        content_type: &'static str,
        bytes: Vec<u8>,
        seconds: u32,
    ) -> Self {
        Self::bytes(content_type, bytes).keep(call, seconds)
    }

    fn keep(self, call: &Call, seconds: u32) -> Self {
        let mut answer = self;
        let digest = Digest::of(&answer.body).to_string();
        let tag = format!("\"{digest}\"");
        answer.set(CACHE_CONTROL, &format!("public, max-age={seconds}"));
        answer.set(ETAG, &tag);
        // What anyone may keep anyone may read, from the page of whatever origin: verifiers run in
        // browsers, too. Nothing of it depends on who asks.
        answer.set(ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        let asked = call.if_none_match.as_deref().unwrap_or_default();
        // The comparison is weak, so what a cache in between has made of the tag counts too.
        let has_it = asked
            .split(',')
            .map(|one| one.trim().trim_start_matches("W/"))
            .any(|one| one == tag || one == "*");
        if has_it {
            answer.status = StatusCode::NOT_MODIFIED;
            answer.headers.remove(CONTENT_TYPE);
            answer.body.clear();
        }
        answer
    }

    /// The same with a header.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.set(name, value);
        self
    }

    fn set(&mut self, name: HeaderName, value: &str) {
        // What cannot stand in a header is left out; names and numbers of ours always can.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let nosniff = HeaderValue::from_static("nosniff");
        response
            .headers_mut()
            .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        response
    }
}
