//! The method that the node's is measured against.

use std::future::{Ready, ready};

use bytes::Bytes;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use unring_peer_addr::pb::ListPeersRequest;

use crate::bare::{AsBytes, Method};

/// Answers every request with the same bytes.
#[derive(Clone, Debug)]
pub(super) struct Prebuilt(pub(super) Bytes);

impl UnaryService<ListPeersRequest> for Prebuilt {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: Request<ListPeersRequest>) -> Self::Future {
        ready(Ok(Response::new(self.0.clone())))
    }
}

impl Method for Prebuilt {
    type Request = ListPeersRequest;

    async fn answer(
        self,
        mut grpc: Grpc<AsBytes<ListPeersRequest>>,
        request: http::Request<Body>,
    ) -> http::Response<Body> {
        grpc.unary(self, request).await
    }
}
