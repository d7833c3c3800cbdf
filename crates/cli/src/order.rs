//! Options in front of the command that they are for, as in `avouch --server URL entry list`.

use std::ffi::OsString;

/// The options of every command, which may stand anywhere; each takes a value.
const OF_ALL: [&str; 3] = ["-o", "--output", "--tenant"];

/// Options of the commands that ask a server or a plane on this machine; each takes a value.
const OF_SOME: [&str; 6] = ["--ca", "--cert", "--data", "--key", "--server", "--socket"];

/// The one of them that takes none, or one behind `=`.
const AS_WORKLOAD: &str = "--as-workload";

/// Moves the options of some commands that stand in front of the command to its end, where they are
/// taken if it has them and refused if it has not. All else stays where it is.
pub fn behind_the_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let mut ordered: Vec<OsString> = arguments.next().into_iter().collect();
    let mut moved = Vec::new();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        let name = text.split('=').next().unwrap_or_default();
        let (is_moved, is_whole) = (
            OF_SOME.contains(&name) || name == AS_WORKLOAD,
            text.contains('=') || !(OF_SOME.contains(&name) || OF_ALL.contains(&name)),
        );
        let is_command = !text.starts_with('-');
        let to = if is_moved { &mut moved } else { &mut ordered };
        to.push(argument);
        if is_command {
            break;
        }
        if !is_whole {
            to.extend(arguments.next());
        }
    }
    ordered.extend(arguments);
    // What stands behind `--` is no option.
    let end = ordered.iter().position(|argument| argument == "--");
    let end = end.unwrap_or(ordered.len());
    ordered.splice(end..end, moved);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(text: &str) -> String {
        let words = text.split(' ').map(OsString::from);
        let ordered = behind_the_command(words);
        let words: Vec<String> = ordered
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        words.join(" ")
    }

    #[test]
    fn options_in_front_of_a_command_come_to_stand_behind_it() {
        for (said, meant) in [
            (
                "avouch --server http://one entry list --all",
                "avouch entry list --all --server http://one",
            ),
            (
                "avouch --server=http://one -o json --data d entry list",
                "avouch -o json entry list --server=http://one --data d",
            ),
            (
                "avouch --tenant entry --as-workload entry list",
                "avouch --tenant entry entry list --as-workload",
            ),
            (
                "avouch --as-workload=spiffe://one/me entry list",
                "avouch entry list --as-workload=spiffe://one/me",
            ),
            (
                "avouch --data d server run -- --data e",
                "avouch server run --data d -- --data e",
            ),
        ] {
            assert_eq!(ordered(said), meant);
        }
    }

    #[test]
    fn what_is_in_order_stays_as_it_is() {
        for said in [
            "avouch",
            "avouch --help",
            "avouch --version",
            "avouch -ojson entry list --server http://one",
            "avouch entry --server http://one list --data d",
            "avouch --unknown entry list",
            "avouch --tenant",
        ] {
            assert_eq!(ordered(said), said);
        }
        assert_eq!(ordered("avouch --server"), "avouch --server");
    }
}
