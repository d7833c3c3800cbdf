//! What a cluster of Kubernetes says of a token when it is asked: the `status` of a TokenReview of
//! `authentication.k8s.io/v1`.
//!
//! Only the cluster knows which tokens it has withdrawn with their pods and accounts. What it says is
//! brought into the shape that the claims of its tokens have, so that rules, bounds and facts are the
//! same whoever vouches: its keys, or itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::budget::Limits;
use crate::credential::jose::json::read_object;

/// Where a cluster writes what a token is bound to, and where its tokens do.
const BOUND: [(&str, [&str; 2]); 4] = [
    ("authentication.kubernetes.io/node-name", ["node", "name"]),
    ("authentication.kubernetes.io/node-uid", ["node", "uid"]),
    ("authentication.kubernetes.io/pod-name", ["pod", "name"]),
    ("authentication.kubernetes.io/pod-uid", ["pod", "uid"]),
];

/// Where it writes the name of the token itself, as `JTI=…`.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// How it calls the accounts of workloads.
const ACCOUNT: &str = "system:serviceaccount:";

/// What a token says of itself, which only narrows: the cluster has looked at the rest.
const OWN: [&str; 5] = ["exp", "iat", "iss", "jti", "nbf"];

/// A token that a cluster knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    username: String,
    uid: String,
    groups: Vec<String>,
    audiences: Vec<String>,
    extra: BTreeMap<String, String>,
}

impl Reviewed {
    /// Reads an answer; `None` where the cluster does not know the token.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words.
    pub fn read(answer: &[u8]) -> Result<Option<Self>, String> {
        let read = read_object(answer, "answer", &Limits::default());
        let answer = read.map_err(|reason| reason.sentence().trim_end_matches('.').to_owned())?;
        let status = answer.get("status").and_then(Value::as_object);
        let status = status.ok_or("it has no `status`")?;
        match status.get("authenticated") {
            Some(Value::Bool(true)) => {}
            // Left out where it is false, as Go writes what is nothing.
            Some(Value::Bool(false)) | None => return Ok(None),
            Some(_) => return Err("`authenticated` is neither true nor false".to_owned()),
        }
        let error = status.get("error").and_then(Value::as_str);
        if error.is_some_and(|error| !error.is_empty()) {
            return Err("it says that the token holds and that it could not be checked".to_owned());
        }
        let user = status.get("user").and_then(Value::as_object);
        let user = user.ok_or("it has no `status.user`")?;
        let text = |name: &str| user.get(name).and_then(Value::as_str).unwrap_or_default();
        let texts = |value: Option<&Value>| -> Vec<String> {
            let elements = value.and_then(Value::as_array).into_iter().flatten();
            let texts = elements.filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        };
        let extra = user.get("extra").and_then(Value::as_object);
        let extra = extra.into_iter().flatten().filter_map(|(name, values)| {
            // Of several nobody knows which is meant.
            match values.as_array().map(Vec::as_slice) {
                Some([Value::String(value)]) => Some((name.clone(), value.clone())),
                _ => None,
            }
        });
        Ok(Some(Self {
            username: text("username").to_owned(),
            uid: text("uid").to_owned(),
            groups: texts(user.get("groups")),
            audiences: texts(status.get("audiences")),
            extra: extra.collect(),
        }))
    }

    /// Who the cluster says it is of.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The namespace and the name of the account of a workload, if it is one.
    pub fn account(&self) -> Option<(&str, &str)> {
        let account = self.username.strip_prefix(ACCOUNT)?.split_once(':')?;
        let is_name = |part: &str| !part.is_empty() && !part.contains(':');
        (is_name(account.0) && is_name(account.1)).then_some(account)
    }

    /// The uid of that account.
    pub fn account_uid(&self) -> &str {
        &self.uid
    }

    /// For which of the audiences that were named it is. A server that says nothing has not looked.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// What it is bound to: `pod` or `node`, and of that the `name` or the `uid`.
    pub fn bound(&self, to: &str, part: &str) -> Option<&str> {
        let mut known = BOUND.iter();
        let (name, _) = known.find(|(_, place)| *place == [to, part])?;
        self.extra.get(*name).map(String::as_str)
    }

    /// The claims of the token as the cluster knows it, which was asked for these audiences. `own` are
    /// those that stand in the token.
    ///
    /// # Errors
    ///
    /// Where they are not of one token, in words.
    pub(super) fn claims(
        &self,
        own: &Map<String, Value>,
        asked: &[String],
    ) -> Result<Map<String, Value>, String> {
        let account = self.account();
        let (namespace, name) = account.ok_or("the token is of no account of a workload")?;
        let text = |name: &str| own.get(name).and_then(Value::as_str);
        if text("sub") != Some(&self.username) {
            return Err(
                "it says that the token is of somebody else than the token does".to_owned(),
            );
        }
        if let (Some(known), Some(id)) = (self.extra.get(CREDENTIAL), text("jti"))
            && known.strip_prefix("JTI=") != Some(id)
        {
            return Err("it calls the token by another name than the token does".to_owned());
        }
        let uid = Some(self.uid.as_str()).filter(|uid| !uid.is_empty());
        let account = [("name", Some(name)), ("uid", uid)];
        let mut bound: Map<String, Value> = Map::from_iter([
            ("namespace".to_owned(), namespace.into()),
            ("serviceaccount".to_owned(), said(account)),
        ]);
        for to in ["node", "pod"] {
            let parts = ["name", "uid"].map(|part| (part, self.bound(to, part)));
            if parts.iter().any(|(_, value)| value.is_some()) {
                bound.insert(to.to_owned(), said(parts));
            }
        }
        let own_claims = OWN.iter().filter_map(|name| own.get_key_value(*name));
        let mut claims: Map<String, Value> = own_claims
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        claims.insert("sub".to_owned(), self.username.as_str().into());
        claims.insert("aud".to_owned(), self.all_audiences(own, asked)?.into());
        claims.insert("kubernetes.io".to_owned(), bound.into());
        if !self.groups.is_empty() {
            claims.insert("groups".to_owned(), self.groups.clone().into());
        }
        Ok(claims)
    }

    /// Those that the cluster names, of those that were asked for, and whatever others the token is
    /// for: it may have to be for one alone.
    fn all_audiences(
        &self,
        own: &Map<String, Value>,
        asked: &[String],
    ) -> Result<Vec<String>, String> {
        if self.audiences.is_empty() {
            return Err("it says of none of the audiences that the token is for it".to_owned());
        }
        let named: Vec<&str> = match own.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            Some(_) | None => Vec::new(),
        };
        let is_there = |audience: &String| named.contains(&audience.as_str());
        if !self.audiences.iter().all(is_there) {
            return Err("it names audiences that the token does not".to_owned());
        }
        let was_asked = |name: &&str| asked.iter().any(|audience| audience == *name);
        let others = named.into_iter().filter(|name| !was_asked(name));
        let told = self.audiences.iter().map(String::as_str);
        Ok(told.chain(others).map(str::to_owned).collect())
    }
}

/// An object of the parts that are there.
fn said(parts: [(&str, Option<&str>); 2]) -> Value {
    let parts = parts.into_iter();
    let there = parts.filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    Value::Object(there.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: &Value) -> Result<Option<Reviewed>, String> {
        Reviewed::read(json!({ "status": status }).to_string().as_bytes())
    }

    #[test]
    fn only_what_says_yes_and_nothing_against_it_is_a_yes() {
        let user = json!({"username": "system:serviceaccount:a:b", "uid": "u"});
        let yes = json!({"authenticated": true, "user": user});
        assert!(answer(&yes).unwrap().is_some());
        for no in [
            json!({"user": user}),
            json!({"authenticated": false, "user": user}),
        ] {
            assert_eq!(answer(&no), Ok(None));
        }
        for broken in [
            json!({"authenticated": "true", "user": user}),
            json!({"authenticated": true}),
            json!({"authenticated": true, "user": user, "error": "no such pod"}),
            json!([]),
        ] {
            assert!(answer(&broken).is_err(), "{broken}");
        }
        assert!(
            Reviewed::read(b"{\"status\": {\"authenticated\": true}, \"status\": {}}").is_err()
        );
    }

    #[test]
    fn an_account_has_two_names_and_no_more() {
        let account = |username: &str| {
            let user = json!({"username": username});
            let read = answer(&json!({"authenticated": true, "user": user}));
            let read = read.unwrap().unwrap();
            read.account().map(|(a, b)| (a.to_owned(), b.to_owned()))
        };
        let both = Some(("a".to_owned(), "b".to_owned()));
        assert_eq!(account("system:serviceaccount:a:b"), both);
        for other in [
            "a:b",
            "system:serviceaccount:a",
            "system:serviceaccount:a:",
            "system:serviceaccount::b",
            "system:serviceaccount:a:b:c",
            "system:node:a",
        ] {
            assert_eq!(account(other), None, "{other}");
        }
    }
}
