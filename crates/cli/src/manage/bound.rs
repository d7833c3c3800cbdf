//! A bound as it is typed.

use std::str::FromStr;

/// The most there may be of something, or that there is no bound.
#[derive(Clone, Copy, Debug)]
pub struct Bound(pub Option<u32>);

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let most = text.parse();
        most.map(|most| Self(Some(most)))
            .map_err(|_| "a count is a whole number, or `none`".to_owned())
    }
}
