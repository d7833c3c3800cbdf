//! The command line `aws iam create-open-id-connect-provider`, read and never run.
//!
//! People keep it in notes, wikis and scripts; it is what there is to import. It is read as a shell
//! would split it into words, with line continuations and quotes. Whatever a shell would do more
//! with (variables, substitution, pipes, redirection, patterns, a second command) is refused: what
//! it comes to is not known here.

use serde_json::Value;

/// How many thumbprints a provider has at most, as AWS documents.
const MOST_THUMBPRINTS: usize = 5;

/// How many client ids a provider has at most, as AWS documents.
const MOST_CLIENTS: usize = 100;

/// Options of `aws` itself that say where and how it is called; they say nothing of the provider.
const PASSED_OVER: [&str; 10] = [
    "--ca-bundle",
    "--cli-binary-format",
    "--cli-connect-timeout",
    "--cli-read-timeout",
    "--color",
    "--endpoint-url",
    "--output",
    "--profile",
    "--query",
    "--region",
];

/// The same, without a value behind.
const FLAGS: [&str; 7] = [
    "--cli-auto-prompt",
    "--debug",
    "--no-cli-auto-prompt",
    "--no-cli-pager",
    "--no-paginate",
    "--no-sign-request",
    "--no-verify-ssl",
];

/// A provider as the command line makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Provider {
    /// The issuer.
    pub(super) url: String,
    /// For whom its tokens may be.
    pub(super) clients: Vec<String>,
    /// SHA-1 digests in hexadecimal.
    pub(super) thumbprints: Vec<String>,
    /// What was read and is of no meaning here.
    pub(super) passed_over: Vec<String>,
}

impl Provider {
    /// Reads a command line; says why it cannot.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let words = words(text)?;
        let mut words = words.into_iter().peekable();
        // A prompt that was copied with it.
        words.next_if(|word| word == "$");
        if words.next().as_deref() != Some("aws") {
            return Err("it does not begin with `aws`".to_owned());
        }
        let mut options: Vec<(String, Vec<String>)> = Vec::new();
        let mut command = Vec::new();
        while let Some(word) = words.next() {
            if !word.starts_with("--") {
                command.push(word);
                continue;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (word, None),
            };
            let mut values: Vec<String> = value.into_iter().collect();
            // Options of `aws` itself may stand before the command, and take one value.
            let most = match name.as_str() {
                _ if !values.is_empty() || FLAGS.contains(&name.as_str()) => 0,
                "--client-id-list" | "--thumbprint-list" | "--tags" => usize::MAX,
                _ => 1,
            };
            while values.len() < most
                && let Some(value) = words.next_if(|word| !word.starts_with("--"))
            {
                values.push(value);
            }
            options.push((name, values));
        }
        if command != ["iam", "create-open-id-connect-provider"] {
            let found = command.join(" ");
            return Err(format!(
                "it is `aws {found}`, not `aws iam create-open-id-connect-provider`"
            ));
        }
        Self::of(options)
    }

    fn of(options: Vec<(String, Vec<String>)>) -> Result<Self, String> {
        let mut provider = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for (name, values) in options {
            if seen.contains(&name) {
                return Err(format!("`{name}` stands in it twice"));
            }
            seen.push(name.clone());
            match name.as_str() {
                "--url" => provider.url = one(&name, values)?,
                "--client-id-list" => provider.clients = list(&name, values)?,
                "--thumbprint-list" => provider.thumbprints = list(&name, values)?,
                "--tags" => provider.passed_over.push(name),
                "--cli-input-json" => provider.take_json(&one(&name, values)?)?,
                known if PASSED_OVER.contains(&known) => {
                    one(&name, values)?;
                    provider.passed_over.push(name);
                }
                known if FLAGS.contains(&known) => provider.passed_over.push(name),
                _ => return Err(format!("`{name}` is no option of it that is known here")),
            }
        }
        provider.checked()
    }

    /// What `--cli-input-json` says (as `--generate-cli-skeleton` writes it).
    fn take_json(&mut self, text: &str) -> Result<(), String> {
        let malformed = |what: &str| format!("`--cli-input-json` {what}");
        let Ok(Value::Object(members)) = serde_json::from_str(text) else {
            return Err(malformed("is no JSON object"));
        };
        let strings = |value: Value| -> Result<Vec<String>, String> {
            serde_json::from_value(value).map_err(|_| malformed("has a list that is not of texts"))
        };
        for (name, value) in members {
            match name.as_str() {
                "Url" => self.url = value.as_str().unwrap_or_default().to_owned(),
                "ClientIDList" => self.clients = strings(value)?,
                "ThumbprintList" => self.thumbprints = strings(value)?,
                "Tags" => self.passed_over.push("Tags".to_owned()),
                _ => return Err(malformed(&format!("has `{name}`, which is not known"))),
            }
        }
        Ok(())
    }

    fn checked(mut self) -> Result<Self, String> {
        if !self.url.starts_with("https://") {
            return Err("`--url` is missing, or does not begin with `https://`".to_owned());
        }
        if self.clients.len() > MOST_CLIENTS {
            return Err(format!("it has more than {MOST_CLIENTS} client ids"));
        }
        if self.thumbprints.len() > MOST_THUMBPRINTS {
            return Err(format!("it has more than {MOST_THUMBPRINTS} thumbprints"));
        }
        for thumbprint in &mut self.thumbprints {
            let is_sha1 =
                thumbprint.len() == 40 && thumbprint.bytes().all(|b| b.is_ascii_hexdigit());
            if !is_sha1 {
                return Err(format!(
                    "`{thumbprint}` is no thumbprint: those are 40 hexadecimal digits without colons"
                ));
            }
            thumbprint.make_ascii_lowercase();
        }
        self.thumbprints.sort();
        self.thumbprints.dedup();
        Ok(self)
    }
}

fn one(name: &str, values: Vec<String>) -> Result<String, String> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) if !is_elsewhere(&value) => Ok(value),
        (Some(value), None) => Err(elsewhere(name, &value)),
        _ => Err(format!("`{name}` needs one value")),
    }
}

/// Values one after another, or one that is a list in JSON.
fn list(name: &str, values: Vec<String>) -> Result<Vec<String>, String> {
    let values = match values.as_slice() {
        [] => return Err(format!("`{name}` needs a value")),
        [one] if one.trim_start().starts_with('[') => serde_json::from_str(one)
            .map_err(|_| format!("`{name}` is no list of texts in JSON"))?,
        _ => values,
    };
    if let Some(value) = values.iter().find(|value| is_elsewhere(value)) {
        return Err(elsewhere(name, value));
    }
    if values.iter().any(String::is_empty) {
        return Err(format!("`{name}` has an empty value"));
    }
    Ok(values)
}

/// Whether `aws` would read the value from a file or from the network.
fn is_elsewhere(value: &str) -> bool {
    ["file://", "fileb://"]
        .iter()
        .any(|scheme| value.starts_with(scheme))
}

fn elsewhere(name: &str, value: &str) -> String {
    format!("`{name}` is in {value}; nothing is read from there, so write the value itself")
}

/// Splits one command into words (POSIX shell 2.2, 2.3), without doing anything that a shell does
/// with them.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.trim().chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('\n') => {}
                // A file of Windows.
                Some('\r') if characters.next_if_eq(&'\n').is_some() => {}
                Some(escaped) if !escaped.is_control() => {
                    word.get_or_insert_default().push(escaped);
                }
                Some(_) | None => return Err("it ends in the middle of an escape".to_owned()),
            },
            '\'' => {
                let quoted = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(inside) => quoted.push(inside),
                        None => return Err("a quote does not end".to_owned()),
                    }
                }
            }
            '"' => {
                let quoted = word.get_or_insert_default();
                double_quoted(&mut characters, quoted)?;
            }
            ' ' | '\t' => words.extend(word.take()),
            '\n' | '\r' => {
                return Err("a second line begins without `\\` before it".to_owned());
            }
            '$' if word.is_none() && words.is_empty() && is_prompt(&mut characters) => {
                words.push("$".to_owned());
            }
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '[' | ']' | '{'
            | '}' | '~' | '#' | '!' => {
                return Err(format!(
                    "`{character}` stands in it outside of quotes; a shell would do something with \
                     it, and nothing is run here"
                ));
            }
            other if other.is_control() => {
                return Err("it has a control character".to_owned());
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn is_prompt(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    characters.next_if_eq(&' ').is_some()
}

fn double_quoted(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    quoted: &mut String,
) -> Result<(), String> {
    loop {
        match characters.next() {
            Some('"') => return Ok(()),
            Some('\\') => match characters.next() {
                Some('\n') => {}
                Some(escaped @ ('"' | '\\' | '$' | '`')) => quoted.push(escaped),
                Some(other) => quoted.extend(['\\', other]),
                None => return Err("a quote does not end".to_owned()),
            },
            Some(character @ ('$' | '`')) => {
                return Err(format!(
                    "`{character}` stands in double quotes; a shell would put something in its \
                     place, and nothing is run here"
                ));
            }
            Some(inside) => quoted.push(inside),
            None => return Err("a quote does not end".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB: &str = "https://token.actions.githubusercontent.com";
    const JANUARY: &str = "6938fd4d98bab03faadb97b34396831e3780aea1";
    const SECOND: &str = "1c58a3a8518e8759bf075b76b750d4f2df264fcd";

    fn provider(thumbprints: &[&str]) -> Provider {
        Provider {
            url: GITHUB.to_owned(),
            clients: vec!["sts.amazonaws.com".to_owned()],
            thumbprints: thumbprints.iter().map(|one| (*one).to_owned()).collect(),
            passed_over: Vec::new(),
        }
    }

    #[test]
    fn the_line_of_the_mission_is_read_in_every_spelling_of_it() {
        for line in [
            format!(
                "aws iam create-open-id-connect-provider \\\n  --url {GITHUB} \\\n  \
                 --thumbprint-list {JANUARY} \\\n  --client-id-list sts.amazonaws.com"
            ),
            format!(
                "$ aws iam create-open-id-connect-provider --url={GITHUB} \
                 --thumbprint-list={JANUARY} --client-id-list=sts.amazonaws.com\n"
            ),
            format!(
                "aws iam create-open-id-connect-provider --client-id-list 'sts.amazonaws.com' \
                 --thumbprint-list \"{}\" --url '{GITHUB}'",
                JANUARY.to_uppercase()
            ),
            format!(
                "aws iam create-open-id-connect-provider \\\r\n --url \"https://token.actions.\"\\\r\n\
                 githubusercontent.com --thumbprint-list '[\"{JANUARY}\"]' --client-id-list \
                 sts.amazonaws.com"
            ),
            format!(
                "aws iam create-open-id-connect-provider --cli-input-json '{{\"Url\": \
                 \"{GITHUB}\", \"ClientIDList\": [\"sts.amazonaws.com\"], \"ThumbprintList\": \
                 [\"{JANUARY}\"]}}'"
            ),
        ] {
            assert_eq!(
                Provider::read(&line).unwrap(),
                provider(&[JANUARY]),
                "{line}"
            );
        }
    }

    #[test]
    fn several_values_are_read_and_what_says_nothing_of_the_provider_is_named() {
        let line = format!(
            "aws --profile prod iam create-open-id-connect-provider --region eu-west-1 --url \
             {GITHUB} --thumbprint-list {JANUARY} {SECOND} {JANUARY} --client-id-list a b \
             --tags Key=team,Value=platform --no-cli-pager"
        );
        let read = Provider::read(&line).unwrap();
        assert_eq!(read.thumbprints, [SECOND, JANUARY]);
        assert_eq!(read.clients, ["a", "b"]);
        assert_eq!(
            read.passed_over,
            ["--profile", "--region", "--tags", "--no-cli-pager"]
        );
        let bare = format!("aws iam create-open-id-connect-provider --url {GITHUB}");
        assert!(Provider::read(&bare).unwrap().thumbprints.is_empty());
    }

    #[test]
    fn whatever_a_shell_would_act_on_is_refused_and_nothing_is_run() {
        let good = format!("aws iam create-open-id-connect-provider --url {GITHUB}");
        for (more, why) in [
            (" ; rm -rf /", "outside of quotes"),
            (" && curl evil.test", "outside of quotes"),
            (" | sh", "outside of quotes"),
            (" > /etc/passwd", "outside of quotes"),
            (" --client-id-list $(id)", "outside of quotes"),
            (" --client-id-list `id`", "outside of quotes"),
            (" --client-id-list $CLIENT", "outside of quotes"),
            (" --client-id-list \"$CLIENT\"", "in double quotes"),
            (" --client-id-list \"`id`\"", "in double quotes"),
            (" --client-id-list *", "outside of quotes"),
            (" --client-id-list ~/x", "outside of quotes"),
            (" --client-id-list {a,b}", "outside of quotes"),
            (" # and so on", "outside of quotes"),
            ("\nrm -rf /", "second line"),
            (" --client-id-list 'a", "does not end"),
            (" --client-id-list \"a", "does not end"),
            (" \\", "middle of an escape"),
            (
                " --client-id-list file:///etc/passwd",
                "nothing is read from there",
            ),
            (
                " --cli-input-json file://x.json",
                "nothing is read from there",
            ),
            (" --client-id-list", "needs a value"),
            (" --client-id-list ''", "empty value"),
            (" --url https://evil.test", "twice"),
            (" --generate-cli-skeleton", "no option"),
            (" --clientidlist a", "no option"),
            (" --thumbprint-list 6938", "no thumbprint"),
            (" --thumbprint-list 69:38", "no thumbprint"),
            (" extra", "not `aws iam create"),
        ] {
            let refused = Provider::read(&format!("{good}{more}")).unwrap_err();
            assert!(refused.contains(why), "{more}: {refused}");
        }
        for line in [
            "",
            "aws",
            "aws iam delete-open-id-connect-provider --url https://a.test",
            "aws iam create-open-id-connect-provider",
            "aws iam create-open-id-connect-provider --url http://a.test",
            "sudo aws iam create-open-id-connect-provider --url https://a.test",
            "$$ aws iam create-open-id-connect-provider --url https://a.test",
        ] {
            assert!(Provider::read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_is_quoted_is_taken_as_it_is() {
        let line = "aws iam create-open-id-connect-provider --url https://a.test --client-id-list \
                    'a;b|c $d' \"e \\\"f\\\" \\$g\" h\\ i";
        let read = Provider::read(line).unwrap();
        assert_eq!(read.clients, ["a;b|c $d", "e \"f\" $g", "h i"]);
    }
}
