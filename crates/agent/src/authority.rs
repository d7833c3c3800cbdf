//! Makes the `:authority` of a request readable where a client put the path of the socket in it.
//!
//! gRPC of C, C++, Python and Ruby sends `run%2Fagent.sock` there, that of Java `/run/agent.sock`.
//! Neither is an authority (RFC 9113 8.3.1, RFC 3986 3.2), and the HTTP/2 library beneath `tonic`
//! ends such a request with `PROTOCOL_ERROR` before anyone may look at it (hyperium/h2, pull
//! request 487). On a socket of the file system the authority says nothing, and nothing here reads
//! it; so each of its characters that no authority may have becomes a `-` on the way in.
//!
//! A character is changed in its place, so no length changes, neither in the frames nor in the
//! table of the compression (RFC 7541 4.1), which both sides keep alike. Authorities in Huffman
//! code are left as they are; no client known to send paths codes them.

/// How far into a client's half of an HTTP/2 connection its bytes have been read. What does not
/// follow the protocol is passed on as it is: to refuse it is the library's part.
#[derive(Debug)]
pub(crate) struct Mending {
    frame: Frame,
    block: Block,
}

/// Where in the frames (RFC 9113 3.4 and 4.1).
#[derive(Clone, Copy, Debug)]
enum Frame {
    /// Bytes left of the preface.
    Preface(usize),
    /// The header of a frame, as far as it was read.
    Header { bytes: [u8; 9], read: usize },
    /// A frame without header fields.
    Other { left: usize },
    /// The length of the padding of a `HEADERS` frame.
    PadLength { left: usize, has_priority: bool },
    /// The priority of a `HEADERS` frame.
    Priority {
        of_it: usize,
        left: usize,
        padding: usize,
    },
    /// A part of a block of header fields.
    Fields { left: usize, padding: usize },
}

/// Where in a block of header fields (RFC 7541 6).
#[derive(Clone, Copy, Debug)]
enum Block {
    /// Before a field.
    Field,
    /// In a number that goes on, after which this comes.
    Number(After),
    /// Before the length of a name that is spelled out.
    NameLength,
    /// In the length of such a name.
    NameLengthGoesOn {
        length: usize,
        shift: u32,
        coded: bool,
    },
    /// In such a name; `like` is true as long as it is the beginning of `:authority`.
    Name {
        read: usize,
        length: usize,
        like: bool,
    },
    /// Before the length of a value.
    ValueLength { mend: bool },
    /// In the length of a value.
    ValueLengthGoesOn {
        length: usize,
        shift: u32,
        mend: bool,
    },
    /// In a value.
    Value { left: usize, mend: bool },
    /// Nothing here can be followed any more.
    Lost,
}

#[derive(Clone, Copy, Debug)]
enum After {
    Field,
    Value,
}

const NAME: &[u8] = b":authority";
/// The place of `:authority` in the static table (RFC 7541 Appendix A).
const STATIC_INDEX: u8 = 1;

const PREFACE: usize = 24;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_LENGTH: usize = 5;

impl Default for Mending {
    fn default() -> Self {
        Self {
            frame: Frame::Preface(PREFACE),
            block: Block::Field,
        }
    }
}

impl Mending {
    /// Reads on through `bytes` and mends them in their place.
    pub(crate) fn read(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes).clamp(1, bytes.len());
            bytes = bytes.get_mut(taken..).unwrap_or_default();
        }
    }

    /// Reads as much of `bytes`, which are not empty, as belongs together; says how much.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        let first = bytes.first().copied().unwrap_or_default();
        match self.frame {
            Frame::Preface(left) => {
                let taken = left.min(bytes.len());
                self.frame = match left - taken {
                    0 => Frame::BEFORE,
                    left => Frame::Preface(left),
                };
                taken
            }
            Frame::Header { bytes, read } => {
                self.header(bytes, read, first);
                1
            }
            Frame::Other { left } => {
                let taken = left.min(bytes.len());
                self.frame = Frame::other(left - taken);
                taken
            }
            Frame::PadLength { left, has_priority } => {
                let padding = usize::from(first);
                self.frame = Frame::fields(left.saturating_sub(1), padding, has_priority);
                1
            }
            Frame::Priority {
                of_it,
                left,
                padding,
            } => {
                let taken = of_it.min(bytes.len());
                self.frame = match of_it - taken {
                    0 => Frame::fields(left - taken, padding, false),
                    of_it => Frame::Priority {
                        of_it,
                        left: left - taken,
                        padding,
                    },
                };
                taken
            }
            Frame::Fields { left, padding } => {
                let taken = (left - padding).min(bytes.len());
                for byte in bytes.iter_mut().take(taken) {
                    self.block = self.block.next(byte);
                }
                self.frame = Frame::fields(left - taken, padding, false);
                taken
            }
        }
    }

    /// Reads one more byte of the header of a frame.
    fn header(&mut self, mut bytes: [u8; 9], read: usize, byte: u8) {
        if let Some(place) = bytes.get_mut(read) {
            *place = byte;
        }
        if read + 1 < bytes.len() {
            self.frame = Frame::Header {
                bytes,
                read: read + 1,
            };
            return;
        }
        let [high, middle, low, kind, flags, ..] = bytes;
        let [high, middle, low] = [high, middle, low].map(usize::from);
        let left = (high << 16) | (middle << 8) | low;
        let has_priority = flags & PRIORITY != 0;
        self.frame = match kind {
            HEADERS => {
                self.block = Block::Field;
                match flags & PADDED {
                    0 => Frame::fields(left, 0, has_priority),
                    _ if left == 0 => Frame::BEFORE,
                    _ => Frame::PadLength { left, has_priority },
                }
            }
            CONTINUATION => Frame::fields(left, 0, false),
            _ => Frame::other(left),
        };
    }
}

impl Frame {
    const BEFORE: Self = Self::Header {
        bytes: [0; 9],
        read: 0,
    };

    fn other(left: usize) -> Self {
        match left {
            0 => Self::BEFORE,
            left => Self::Other { left },
        }
    }

    /// What is `left` of a frame with header fields, of which `padding` are none.
    fn fields(left: usize, padding: usize, has_priority: bool) -> Self {
        let priority = if has_priority { PRIORITY_LENGTH } else { 0 };
        if left < padding + priority || left == padding {
            return Self::other(left);
        }
        match priority {
            0 => Self::Fields { left, padding },
            of_it => Self::Priority {
                of_it,
                left,
                padding,
            },
        }
    }
}

impl Block {
    /// What comes after `byte`, which is mended if it is of an authority.
    fn next(self, byte: &mut u8) -> Self {
        match self {
            Self::Field => Self::field(*byte),
            Self::Number(after) if *byte & 0x80 == 0 => after.block(),
            Self::Number(_) | Self::Lost => self,
            Self::NameLength => {
                let coded = *byte & 0x80 != 0;
                match usize::from(*byte & 0x7f) {
                    0x7f => Self::NameLengthGoesOn {
                        length: 0x7f,
                        shift: 0,
                        coded,
                    },
                    length => Self::name(length, coded),
                }
            }
            Self::NameLengthGoesOn {
                length,
                shift,
                coded,
            } => match number(length, shift, *byte) {
                None => Self::Lost,
                Some((length, true)) => Self::name(length, coded),
                Some((length, false)) => Self::NameLengthGoesOn {
                    length,
                    shift: shift + 7,
                    coded,
                },
            },
            Self::Name { read, length, like } => {
                let like = like && NAME.get(read) == Some(byte);
                match read + 1 {
                    read if read < length => Self::Name { read, length, like },
                    _ => Self::ValueLength { mend: like },
                }
            }
            Self::ValueLength { mend } => {
                let mend = mend && *byte & 0x80 == 0;
                match usize::from(*byte & 0x7f) {
                    0x7f => Self::ValueLengthGoesOn {
                        length: 0x7f,
                        shift: 0,
                        mend,
                    },
                    left => Self::value(left, mend),
                }
            }
            Self::ValueLengthGoesOn {
                length,
                shift,
                mend,
            } => match number(length, shift, *byte) {
                None => Self::Lost,
                Some((length, true)) => Self::value(length, mend),
                Some((length, false)) => Self::ValueLengthGoesOn {
                    length,
                    shift: shift + 7,
                    mend,
                },
            },
            Self::Value { left, mend } => {
                if mend && !may_stand_in_authority(*byte) {
                    *byte = b'-';
                }
                Self::value(left - 1, mend)
            }
        }
    }

    /// The first byte of a field, or of a change of the table's size (RFC 7541 6.1 to 6.3).
    fn field(byte: u8) -> Self {
        let (prefix, is_literal) = match byte {
            0x80.. => (0x7f, false),
            0x40.. => (0x3f, true),
            0x20.. => (0x1f, false),
            _ => (0x0f, true),
        };
        match (byte & prefix, is_literal) {
            (index, false) if index == prefix => Self::Number(After::Field),
            (_, false) => Self::Field,
            (0, true) => Self::NameLength,
            (index, true) if index == prefix => Self::Number(After::Value),
            (index, true) => Self::ValueLength {
                mend: index == STATIC_INDEX,
            },
        }
    }

    fn name(length: usize, coded: bool) -> Self {
        match length {
            0 => Self::ValueLength { mend: false },
            length => Self::Name {
                read: 0,
                length,
                like: !coded && length == NAME.len(),
            },
        }
    }

    fn value(left: usize, mend: bool) -> Self {
        match left {
            0 => Self::Field,
            left => Self::Value { left, mend },
        }
    }
}

impl After {
    fn block(self) -> Block {
        match self {
            Self::Field => Block::Field,
            Self::Value => Block::ValueLength { mend: false },
        }
    }
}

/// One more byte of a number that goes on (RFC 7541 5.1), and whether it is the last. No number of
/// more than 28 bits means anything here.
fn number(so_far: usize, shift: u32, byte: u8) -> Option<(usize, bool)> {
    if shift > 21 {
        return None;
    }
    let more = usize::from(byte & 0x7f) << shift;
    Some((so_far + more, byte & 0x80 == 0))
}

/// The characters of host names and ports. An authority may have more, but none that anyone needs
/// on a socket of the file system.
fn may_stand_in_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE_TEXT: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let header = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&header, payload].concat()
    }

    fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
        [PREFACE_TEXT, &frames.concat()].concat()
    }

    fn text(value: &[u8]) -> Vec<u8> {
        [&[u8::try_from(value.len()).unwrap()], value].concat()
    }

    /// A field whose name is spelled out and which is added to the table.
    fn spelled(name: &[u8], value: &[u8]) -> Vec<u8> {
        [vec![0x40], text(name), text(value)].concat()
    }

    /// What is read when it arrives in pieces of `size` bytes.
    fn mended(sent: &[u8], size: usize) -> Vec<u8> {
        let mut mending = Mending::default();
        let mut read = sent.to_vec();
        for piece in read.chunks_mut(size) {
            mending.read(piece);
        }
        read
    }

    #[track_caller]
    fn assert_mended(sent: &[u8], expected: &[u8]) {
        for size in [1, 2, 3, 5, 7, 16, 1 << 20] {
            assert_eq!(mended(sent, size), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_path_becomes_an_authority_and_nothing_else_changes() {
        let request = |authority: &[u8]| {
            let fields = [
                spelled(b":path", b"/SpiffeWorkloadAPI/FetchX509SVID"),
                spelled(b":authority", authority),
                vec![0x83, 0x86],
                spelled(b"user-agent", b"grpc-python/1.0 %2F (linux; chttp2)"),
            ];
            connection(&[
                frame(0x4, 0, b"/%/%/%"),
                frame(HEADERS, 0x4, &fields.concat()),
                frame(0x0, 0x1, b":authority/%"),
                frame(HEADERS, 0x4, &[0xbe, 0xbf, 0x83]),
            ])
        };
        assert_mended(&request(b"run%2Fagent.sock"), &request(b"run-2Fagent.sock"));
        assert_mended(&request(b"/run/agent.sock"), &request(b"-run-agent.sock"));
        assert_mended(&request(b"localhost:80"), &request(b"localhost:80"));
        assert_mended(&request(b""), &request(b""));
    }

    #[test]
    fn an_authority_is_found_by_its_place_in_the_table_too() {
        for kind in [0x41, 0x01, 0x11] {
            let request = |authority: &[u8]| {
                let field = [vec![kind], text(authority)].concat();
                connection(&[frame(HEADERS, 0x4, &field)])
            };
            assert_mended(&request(b"/a%"), &request(b"-a-"));
        }
        // Place 4 is `:path`, and 63 and 64 are in the part of the table that the client made.
        let path = [vec![0x44], text(b"/a%")].concat();
        let other = [vec![0x7f, 0x01], text(b"/a%")].concat();
        let size = vec![0x3f, 0xe1, 0x1f];
        let sent = connection(&[frame(HEADERS, 0x4, &[size, path, other].concat())]);
        assert_mended(&sent, &sent);
    }

    #[test]
    fn padding_priority_and_continuation_are_seen_through() {
        let block = |authority: &[u8]| spelled(b":authority", authority);
        let padded = |authority: &[u8]| {
            let payload = [vec![3], vec![0; 5], block(authority), b"/%/".to_vec()].concat();
            connection(&[frame(HEADERS, 0x4 | PADDED | PRIORITY, &payload)])
        };
        assert_mended(&padded(b"/a/b"), &padded(b"-a-b"));
        let continued = |authority: &[u8]| {
            let whole = block(authority);
            let (begin, end) = whole.split_at(whole.len() - 2);
            connection(&[frame(HEADERS, 0, begin), frame(CONTINUATION, 0x4, end)])
        };
        assert_mended(&continued(b"/a/b"), &continued(b"-a-b"));
    }

    #[test]
    fn a_long_authority_is_mended_to_its_end() {
        let request = |authority: &[u8]| {
            let length = [
                0x7f,
                0x80 | u8::try_from((authority.len() - 127) & 0x7f).unwrap(),
            ];
            let rest = u8::try_from((authority.len() - 127) >> 7).unwrap();
            let field = [&[0x41], &length[..], &[rest], authority].concat();
            connection(&[frame(HEADERS, 0x4, &field), frame(HEADERS, 0x4, &[0x83])])
        };
        assert_mended(&request(&[b'/'; 300]), &request(&[b'-'; 300]));
    }

    #[test]
    fn an_authority_in_huffman_code_is_left_alone() {
        let sent = connection(&[frame(HEADERS, 0x4, &[0x41, 0x82, b'/', b'%'])]);
        assert_mended(&sent, &sent);
    }

    #[test]
    fn what_is_no_http_is_passed_on_without_end_or_panic() {
        // A generator of Lehmer's; the seed is any.
        let mut state: u64 = 0x2545_f491_4f6c_dd1d;
        for _ in 0..2000 {
            let mut sent = PREFACE_TEXT.to_vec();
            for _ in 0..60 {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let byte = u8::try_from(state >> 56).unwrap();
                // Mostly small numbers, so that lengths and kinds mean something.
                sent.push(if state & 0x300 == 0 {
                    byte
                } else {
                    byte & 0x0b
                });
            }
            let whole = mended(&sent, 1 << 20);
            assert_eq!(whole.len(), sent.len());
            assert_eq!(mended(&sent, 1), whole);
        }
    }
}
