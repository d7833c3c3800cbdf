//! What a person pastes into a shell.

use std::borrow::Cow;

/// What sets `SPIFFE_ENDPOINT_SOCKET` (SPIFFE Workload Endpoint 4) to an address.
pub fn endpoint_socket(address: &str) -> String {
    format!("SPIFFE_ENDPOINT_SOCKET={}", quoted(address))
}

/// A word as a shell takes it for one (POSIX shell 2.2.2).
pub fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    match word.bytes().all(is_plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(format!("'{}'", word.replace('\'', "'\\''"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_whatever_is_quoted_for_one_word_that_is_the_same() {
        assert_eq!(
            quoted("unix:///srv/a_b/agent.sock"),
            "unix:///srv/a_b/agent.sock"
        );
        for word in ["unix:///my data/a.sock", "a'b", "$HOME", "a;b", "a\\b", "ä"] {
            let line = format!("printf %s {}", quoted(word));
            let told = std::process::Command::new("/bin/sh")
                .args(["-c", &line])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(told.stdout).unwrap(), word);
        }
    }
}
