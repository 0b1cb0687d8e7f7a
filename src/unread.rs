//! Bodies of requests, which nobody reads: nothing that players send has one.
//!
//! HTTP goes on reading a chunked body whose reader has gone, for as long as any of it comes, and its connection keeps
//! its place meanwhile. Where somebody holds the body and does not read, HTTP ends the connection behind the answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix_http::{Payload, body::BoxBody};
use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;

/// An answer that holds the body of its request until it has been written.
struct Holding {
    answer: BoxBody,
    _unread: Payload,
}

/// `answer`, with which the connection ends unless `unread` is nothing.
pub fn holding(answer: BoxBody, unread: Payload) -> BoxBody {
    match unread {
        Payload::None => answer,
        unread => BoxBody::new(Holding { answer, _unread: unread }),
    }
}

impl MessageBody for Holding {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.answer).poll_next(task)
    }
}
