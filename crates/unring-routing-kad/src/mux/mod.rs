//! Yamux within bounds: what one connection holds for streams that nobody reads does not depend on what its peer sends.
//!
//! Yamux lets a peer send 256 KiB on each stream unasked, and takes what is written for it as fast as that is written. With a hundred
//! streams on each of a hundred connections that is gigabytes. Here the bytes of all streams of a connection are counted on their way
//! in and out: beyond a bound the connection is not read any more, or not written for, until some were taken. An honest peer
//! notices nothing of it but TCP's own back-pressure.

mod flow;
mod frames;
mod muxer;
mod socket;

pub(crate) use self::muxer::Multiplex;

#[cfg(test)]
mod tests;
