//! The few parts of HTTP/2 that a client needs whose frames are made once.

use anyhow::{Result, ensure};

/// Frame types and flags of RFC 9113 section 6.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const FRAME_HEADER_BYTES: usize = 9;

/// The largest window that there is (RFC 9113 section 6.9.1), so that the server never waits for us.
pub(crate) const WINDOW: u32 = (1 << 31) - 1;

/// What every connection begins with (section 6.5.2).
pub(crate) const INITIAL_WINDOW: u32 = 65_535;

/// Appends a frame.
pub(crate) fn frame(
    out: &mut Vec<u8>,
    kind: u8,
    flags: u8,
    stream: u32,
    body: &[u8],
) -> Result<()> {
    let length = u32::try_from(body.len())?;
    out.extend(&length.to_be_bytes()[1..]);
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(body);
    Ok(())
}

/// The first bytes of a connection.
pub(crate) fn hello() -> Result<Vec<u8>> {
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // SETTINGS_ENABLE_PUSH = 0, SETTINGS_INITIAL_WINDOW_SIZE = WINDOW.
    let mut settings = vec![0, 2, 0, 0, 0, 0, 0, 4];
    settings.extend(WINDOW.to_be_bytes());
    frame(&mut hello, SETTINGS, 0, 0, &settings)?;
    let grown = (WINDOW - INITIAL_WINDOW).to_be_bytes();
    frame(&mut hello, WINDOW_UPDATE, 0, 0, &grown)?;
    Ok(hello)
}

/// The headers of a gRPC call in HPACK, as literals that no table remembers (RFC 7541 section 6.2.2).
pub(crate) fn headers(path: &str, authority: &str, more: &[(&str, &str)]) -> Result<Vec<u8>> {
    // `:method POST` and `:scheme http` are in the static table, as are the names of the next three.
    let mut block = vec![0x83, 0x86];
    for (name, value) in
        [(&[0x04][..], path), (&[0x01], authority), (&[0x0f, 0x10], "application/grpc")]
    {
        block.extend(name);
        text(&mut block, value)?;
    }
    for (name, value) in [("te", "trailers")].iter().chain(more) {
        block.push(0);
        text(&mut block, name)?;
        text(&mut block, value)?;
    }
    Ok(block)
}

/// A text as it is (section 5.2), its length in as many bytes as it needs (section 5.1).
fn text(block: &mut Vec<u8>, text: &str) -> Result<()> {
    match text.len() {
        short @ 0..127 => block.push(u8::try_from(short)?),
        long => {
            let rest = long - 127;
            ensure!(rest < 1 << 14, "{} bytes are too long", text.len());
            block.extend([0x7f, u8::try_from(rest % 128)? | 0x80, u8::try_from(rest / 128)?]);
        }
    }
    block.extend(text.as_bytes());
    Ok(())
}

/// A gRPC message with its prefix.
pub(crate) fn message(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut prefixed = vec![0];
    prefixed.extend(u32::try_from(bytes.len())?.to_be_bytes());
    prefixed.extend(bytes);
    Ok(prefixed)
}

/// The kind, flags, stream and length of a frame that begins here, if all of its header is there.
pub(crate) fn head(bytes: &[u8]) -> Option<(u8, u8, u32, usize)> {
    let [a, b, c, kind, flags, id @ ..] = *bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    Some((kind, flags, u32::from_be_bytes(id) & WINDOW, length))
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn lengths_are_written_as_the_rfc_says() {
        for (length, written) in [(5, &[5][..]), (126, &[126]), (127, &[0x7f, 0x80, 0])] {
            let mut block = Vec::new();
            text(&mut block, &"x".repeat(length)).unwrap();
            assert_eq!(block[..written.len()], *written, "{length}");
        }
        // RFC 7541 C.1.2 has 1337 behind a prefix of 5 bits; behind one of 7 it is 127 + 58 + 9 * 128.
        let mut block = Vec::new();
        text(&mut block, &"x".repeat(1337)).unwrap();
        assert_eq!(block[..3], [0x7f, 58 | 0x80, 9]);
    }
}
