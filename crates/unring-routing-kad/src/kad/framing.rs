//! Length-delimited messages, read within bounds.

use std::io;
use std::sync::Arc;

use futures::{AsyncRead, AsyncReadExt as _};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes read at once, and counted, beyond the free ones.
const STEP: usize = 16 * 1024;

/// Why a message was not read.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error("the stream broke")]
    Stream(#[source] io::Error),
    #[error("a message of {got} bytes, at most {max} are read")]
    TooLong { got: u64, max: usize },
    #[error("too many bytes of messages are held already")]
    Full,
    #[error("a length that does not end")]
    Length,
}

/// What messages may hold in all beyond the first bytes of each. Honest ones mostly have no more, so that no others can hold them up.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    steps: Arc<Semaphore>,
    free: usize,
}

impl Budget {
    /// `bytes` in all, and `free` ones of each message for which nobody is asked.
    pub(crate) fn new(bytes: usize, free: usize) -> Self {
        Self { steps: Arc::new(Semaphore::new(bytes / STEP)), free }
    }
}

/// A message and its place in the budget.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    _held: Vec<OwnedSemaphorePermit>,
}

/// One message; `None` when the stream ends before it. Grows with what arrives, so that a long length alone costs nothing.
pub(crate) async fn read<R: AsyncRead + Unpin>(
    stream: &mut R,
    max: usize,
    budget: &Budget,
) -> Result<Option<Frame>, ReadError> {
    let Some(got) = read_length(stream).await? else { return Ok(None) };
    let length = usize::try_from(got).ok().filter(|length| *length <= max);
    let Some(length) = length else { return Err(ReadError::TooLong { got, max }) };
    let (mut bytes, mut held) = (Vec::new(), Vec::new());
    while bytes.len() < length {
        let free = bytes.len() < budget.free;
        let end = length.min(if free { budget.free } else { bytes.len() + STEP });
        if !free {
            let steps = Arc::clone(&budget.steps);
            held.push(steps.try_acquire_owned().map_err(|_| ReadError::Full)?);
        }
        // What a peer announces and does not send takes no room.
        let step = u64::try_from(end - bytes.len()).unwrap_or(u64::MAX);
        let before = bytes.len();
        stream.take(step).read_to_end(&mut bytes).await.map_err(ReadError::Stream)?;
        if bytes.len() - before < end - before {
            return Err(ReadError::Stream(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(Some(Frame { bytes, _held: held }))
}

/// An unsigned varint of at most nine bytes (<https://github.com/multiformats/unsigned-varint>).
async fn read_length<R: AsyncRead + Unpin>(stream: &mut R) -> Result<Option<u64>, ReadError> {
    let mut length = 0;
    for place in 0..9 {
        let mut byte = [0];
        if stream.read(&mut byte).await.map_err(ReadError::Stream)? == 0 {
            let ended = || ReadError::Stream(io::ErrorKind::UnexpectedEof.into());
            return if place == 0 { Ok(None) } else { Err(ended()) };
        }
        length |= u64::from(byte[0] & 0x7f) << (7 * place);
        if byte[0] & 0x80 == 0 {
            return Ok(Some(length));
        }
    }
    Err(ReadError::Length)
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    const FREE_BYTES: usize = 16 * 1024;

    fn check(bytes: &[u8], max: usize, budget: &Budget) -> Result<Option<Frame>, ReadError> {
        block_on(read(&mut Cursor::new(bytes.to_vec()), max, budget))
    }

    #[test]
    fn messages_are_read_within_their_bound() {
        let budget = Budget::new(0, 1024);
        let check =
            |bytes: &[u8]| check(bytes, 300, &budget).map(|frame| frame.map(|frame| frame.bytes));
        assert_eq!(check(&[3, 1, 2, 3, 4]).unwrap().unwrap(), [1, 2, 3]);
        assert_eq!(check(&[0]).unwrap().unwrap(), []);
        assert_eq!(check(&[]).unwrap(), None);
        let mut long = vec![0xac, 2];
        long.extend([7; 300]);
        assert_eq!(check(&long).unwrap().unwrap().len(), 300);
        assert!(matches!(check(&[0xad, 2]), Err(ReadError::TooLong { got: 301, max: 300 })));
        let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert!(matches!(check(&most), Err(ReadError::TooLong { .. })));
        assert!(matches!(check(&[0x80; 20]), Err(ReadError::Length)));
        assert!(matches!(check(&[0x80]), Err(ReadError::Stream(_))));
        assert!(matches!(check(&[5, 1, 2]), Err(ReadError::Stream(_))));
    }

    #[test]
    fn long_messages_share_what_there_is_and_give_it_back() {
        let budget = Budget::new(3 * STEP, FREE_BYTES);
        let message = |length: usize| {
            let mut bytes = vec![0x80 | u8::try_from(length & 0x7f).unwrap()];
            bytes.push(0x80 | u8::try_from((length >> 7) & 0x7f).unwrap());
            bytes.push(u8::try_from(length >> 14).unwrap());
            bytes.resize(3 + length, 7);
            bytes
        };
        let max = 1 << 20;
        let one = check(&message(FREE_BYTES + 2 * STEP), max, &budget).unwrap().unwrap();
        assert_eq!(one.bytes.len(), FREE_BYTES + 2 * STEP);
        assert!(matches!(
            check(&message(FREE_BYTES + 2 * STEP), max, &budget),
            Err(ReadError::Full)
        ));
        assert!(check(&message(FREE_BYTES), max, &budget).is_ok(), "short ones need none");
        drop(one);
        assert!(check(&message(FREE_BYTES + 2 * STEP), max, &budget).is_ok());
    }
}
