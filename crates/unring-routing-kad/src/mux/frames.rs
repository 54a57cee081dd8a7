//! Frames of yamux (<https://github.com/hashicorp/yamux/blob/master/spec.md>), as far as they have to be understood to count them.

/// Bytes of a frame's header.
pub(crate) const HEADER: usize = 12;

const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
const SYN: u16 = 1;
const ACK: u16 = 2;
const RST: u16 = 8;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header([u8; HEADER]);

impl Header {
    pub(crate) fn new(bytes: [u8; HEADER]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(self) -> [u8; HEADER] {
        self.0
    }

    fn flags(self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    pub(crate) fn stream(self) -> u32 {
        u32::from_be_bytes([self.0[4], self.0[5], self.0[6], self.0[7]])
    }

    /// The stream that it opens, unless it ends it at once.
    pub(crate) fn opens(self) -> Option<u32> {
        let flags = self.flags() & (SYN | RST);
        let opens = matches!(self.0[1], DATA | WINDOW_UPDATE) && flags == SYN;
        opens.then(|| self.stream())
    }

    /// Bytes that follow; only data has some.
    pub(crate) fn body(self) -> usize {
        let length = u32::from_be_bytes([self.0[8], self.0[9], self.0[10], self.0[11]]);
        if self.0[1] == DATA { usize::try_from(length).unwrap_or(usize::MAX) } else { 0 }
    }

    /// The header of a part of the frame. What opens a stream is said in the first one, what ends it in the last.
    pub(crate) fn part(self, body: usize, first: bool, last: bool) -> Self {
        let opening = SYN | ACK;
        let mut flags = 0;
        if first {
            flags |= self.flags() & opening;
        }
        if last {
            flags |= self.flags() & !opening;
        }
        let mut part = self.0;
        part[2..4].copy_from_slice(&flags.to_be_bytes());
        part[8..12].copy_from_slice(&u32::try_from(body).unwrap_or(u32::MAX).to_be_bytes());
        Self(part)
    }
}

/// Finds the ends of frames in what is written.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    header: [u8; HEADER],
    have: usize,
    /// Of the body of the frame at hand.
    left: usize,
    body: usize,
}

impl Ends {
    /// Takes in what was written, and says of each frame that has ended how many bytes of data it had.
    pub(crate) fn take(&mut self, mut bytes: &[u8], mut ended: impl FnMut(usize)) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let now = self.left.min(bytes.len());
                self.left -= now;
                bytes = &bytes[now..];
            } else {
                let now = (HEADER - self.have).min(bytes.len());
                self.header[self.have..self.have + now].copy_from_slice(&bytes[..now]);
                self.have += now;
                bytes = &bytes[now..];
                if self.have < HEADER {
                    return;
                }
                self.have = 0;
                self.body = Header::new(self.header).body();
                self.left = self.body;
            }
            if self.left == 0 {
                ended(self.body);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(kind: u8, flags: u16, stream: u32, length: u32) -> Header {
        let mut bytes = [0; HEADER];
        bytes[1] = kind;
        bytes[2..4].copy_from_slice(&flags.to_be_bytes());
        bytes[4..8].copy_from_slice(&stream.to_be_bytes());
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        Header::new(bytes)
    }

    #[test]
    fn headers_say_what_follows() {
        let (fin, syn) = (4, SYN);
        let data = header(DATA, syn | fin, 7, 300);
        assert_eq!((data.stream(), data.opens(), data.body()), (7, Some(7), 300));
        assert_eq!(header(WINDOW_UPDATE, syn, 9, 300).opens(), Some(9));
        assert_eq!(header(WINDOW_UPDATE, 0, 9, 300).body(), 0);
        assert_eq!(header(2, syn, 0, 300).opens(), None, "a ping");
        assert_eq!(data.part(100, true, false), header(DATA, syn, 7, 100));
        assert_eq!(data.part(100, false, false), header(DATA, 0, 7, 100));
        assert_eq!(data.part(100, false, true), header(DATA, fin, 7, 100));
        assert_eq!(data.part(300, true, true), data);
    }

    proptest! {
        #[test]
        fn the_ends_of_frames_are_found_however_they_are_cut(bodies in prop::collection::vec(0_u32..50, 0..20), cuts in prop::collection::vec(1_usize..30, 1..50)) {
            let mut bytes = Vec::new();
            for body in &bodies {
                bytes.extend(header(DATA, 0, 1, *body).bytes());
                bytes.resize(bytes.len() + *body as usize, 0xff);
                bytes.extend(header(WINDOW_UPDATE, 0, 1, 1000).bytes());
            }
            let (mut ends, mut found, mut rest) = (Ends::default(), Vec::new(), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                ends.take(now, |body| found.push(u32::try_from(body).unwrap()));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            let wanted: Vec<u32> = bodies.into_iter().flat_map(|body| [body, 0]).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
