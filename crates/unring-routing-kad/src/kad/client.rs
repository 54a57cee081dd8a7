//! Asking and telling one peer, each on a stream of its own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::swarm::Stream;
use libp2p_identity::PeerId;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::handle::Wish;
use crate::kad::config::{FREE_ANSWER_BYTES, MAX_ANSWER_BYTES_HELD};
use crate::kad::framing::{self, Budget, ReadError};
use crate::kad::streams::{OpenError, Waiting, Wanted};
use crate::kad::wire::{self, Answer, Contact};

/// What the network is asked to do for Kademlia.
#[derive(Debug)]
pub(crate) enum Command {
    /// Open a stream to the contact.
    Open(Contact, Wanted),
    /// What is known here of these bytes: the closest peers of the routing table, and who provides them.
    Known(Vec<u8>, oneshot::Sender<Answer>),
    /// All peers of the routing table.
    Table(oneshot::Sender<Vec<PeerId>>),
    /// Serve these keys as our own from now on, or no longer.
    Own(Vec<unring_routing::Key>, bool),
}

/// Why a peer did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    #[error("failed to open a stream")]
    Open(#[source] OpenError),
    #[error("the stream broke")]
    Stream(#[source] io::Error),
    #[error("not answered in time")]
    Timeout,
    #[error("failed to read the answer")]
    Read(#[source] ReadError),
    #[error("unreadable answer")]
    Unreadable(#[source] wire::Malformed),
    #[error("the network has ended")]
    Ended,
}

/// Asks and tells. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    commands: mpsc::Sender<Command>,
    timeout: Duration,
    max_answer: usize,
    /// What long answers may hold together.
    budget: Budget,
    /// Who is let in.
    wish: watch::Receiver<Wish>,
}

impl Client {
    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        timeout: Duration,
        max_answer: usize,
        wish: watch::Receiver<Wish>,
    ) -> Self {
        Self {
            commands,
            timeout,
            max_answer,
            budget: Budget::new(MAX_ANSWER_BYTES_HELD, FREE_ANSWER_BYTES),
            wish,
        }
    }

    /// What this node itself would answer: the closest peers of its routing table, and who provides `key`.
    pub(crate) async fn known(&self, key: &[u8]) -> Result<Answer, AskError> {
        let (reply, known) = oneshot::channel();
        let command = Command::Known(key.to_vec(), reply);
        self.commands.send(command).await.map_err(|_| AskError::Ended)?;
        known.await.map_err(|_| AskError::Ended)
    }

    /// All peers of the routing table.
    pub(crate) async fn table(&self) -> Result<Vec<PeerId>, AskError> {
        let (reply, peers) = oneshot::channel();
        self.commands.send(Command::Table(reply)).await.map_err(|_| AskError::Ended)?;
        peers.await.map_err(|_| AskError::Ended)
    }

    /// Serves keys as our own, or no longer.
    pub(crate) async fn own(
        &self,
        keys: Vec<unring_routing::Key>,
        owned: bool,
    ) -> Result<(), AskError> {
        self.commands.send(Command::Own(keys, owned)).await.map_err(|_| AskError::Ended)
    }

    async fn open(&self, contact: Contact) -> Result<(Stream, Waiting), AskError> {
        let (wanted, mut waiting) = Wanted::new();
        let command = Command::Open(contact, wanted);
        self.commands.send(command).await.map_err(|_| AskError::Ended)?;
        // The connection closed before the stream was negotiated.
        let gone = |_| AskError::Stream(io::ErrorKind::ConnectionReset.into());
        let stream = (&mut waiting.stream).await.map_err(gone)?.map_err(AskError::Open)?;
        Ok((stream, waiting))
    }

    /// What the contact answers to `request`, connection included within the timeout. Nobody is in it who is kept out.
    pub(crate) async fn ask(&self, contact: Contact, request: &[u8]) -> Result<Answer, AskError> {
        let exchange = async {
            let (mut stream, _in_use) = self.open(contact).await?;
            stream.write_all(request).await.map_err(AskError::Stream)?;
            stream.flush().await.map_err(AskError::Stream)?;
            let frame = framing::read(&mut stream, self.max_answer, &self.budget);
            let frame = frame.await.map_err(AskError::Read)?;
            let ended = || AskError::Stream(io::ErrorKind::UnexpectedEof.into());
            let frame = frame.ok_or_else(ended)?;
            // One request a stream, as others do. A failure to close is no failure of the answer.
            drop(stream.close().await);
            let mut answer = wire::answer(&frame.bytes).map_err(AskError::Unreadable)?;
            let lists = Arc::clone(&self.wish.borrow().lists);
            answer.closer.retain(|contact| lists.let_in(&contact.peer));
            answer.providers.retain(|contact| lists.let_in(&contact.peer));
            Ok(answer)
        };
        timeout(self.timeout, exchange).await.unwrap_or(Err(AskError::Timeout))
    }

    /// Tells the contact all of `messages`, to which there is no answer. Done when the other end has read them and closed.
    pub(crate) async fn tell(&self, contact: Contact, messages: &[u8]) -> Result<(), AskError> {
        let exchange = async {
            let (mut stream, _in_use) = self.open(contact).await?;
            stream.write_all(messages).await.map_err(AskError::Stream)?;
            stream.close().await.map_err(AskError::Stream)?;
            match stream.read(&mut [0; 1]).await.map_err(AskError::Stream)? {
                0 => Ok(()),
                _ => Err(AskError::Stream(io::ErrorKind::InvalidData.into())),
            }
        };
        timeout(self.timeout, exchange).await.unwrap_or(Err(AskError::Timeout))
    }
}
