//! Input cut into DER values, by their own lengths.

/// The DER values that stand one after another in `bytes`; the last may be cut short.
pub fn of_der(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, after) = rest.split_at(length(rest).min(rest.len()));
        rest = after;
        Some(piece)
    })
}

/// The length of the value at the start, with its header.
fn length(bytes: &[u8]) -> usize {
    match bytes {
        [_, short, ..] if *short < 0x80 => 2 + usize::from(*short),
        [_, 0x81, one, ..] => 3 + usize::from(*one),
        [_, 0x82, high, low, ..] => 4 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => bytes.len(),
    }
}
