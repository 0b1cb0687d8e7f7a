//! Bodies of requests: read where one is asked for, and by nobody else.
//!
//! HTTP goes on reading a chunked body whose reader has gone, for as long as any of it comes, and its connection keeps
//! its place meanwhile. Where somebody holds the body and does not read, HTTP ends the connection behind the answer.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use actix_http::{Payload, Request, body::BoxBody};
use actix_web::{
    HttpMessage as _, HttpRequest,
    body::{BodySize, MessageBody},
};
use bytes::{Bytes, BytesMut};
use futures_util::Stream as _;
use tokio::time::timeout;

/// Time for a client to send the whole of a body, which has some kilobytes at most.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The body of a request, as long as nobody has read it.
#[derive(Clone)]
pub struct Unread(Rc<RefCell<Payload>>);

/// Takes the body of `request`, which [`read`] finds and [`holding`] holds; `None`: it has none.
pub fn take(request: &mut Request) -> Option<Unread> {
    let unread = match request.take_payload() {
        Payload::None => return None,
        unread => Unread(Rc::new(RefCell::new(unread))),
    };
    request.extensions_mut().insert(unread.clone());
    Some(unread)
}

/// Why a body cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// It has more bytes than are read.
    TooLong,
    /// It did not come within [`READ_TIMEOUT`].
    TooLate,
    /// It ended before its end.
    Broken,
}

/// Reads the body of `request`, at most so many bytes.
///
/// # Errors
/// If there are more, or they do not come.
pub async fn read(request: &HttpRequest, bytes_max: usize) -> Result<Bytes, Unreadable> {
    let Some(Unread(unread)) = request.extensions().get::<Unread>().cloned() else {
        return Ok(Bytes::new());
    };
    let reading = async {
        let mut body = BytesMut::new();
        while let Some(piece) =
            poll_fn(|task| Pin::new(&mut *unread.borrow_mut()).poll_next(task)).await
        {
            let piece = piece.map_err(|_| Unreadable::Broken)?;
            if body.len() + piece.len() > bytes_max {
                return Err(Unreadable::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    };
    timeout(READ_TIMEOUT, reading).await.unwrap_or(Err(Unreadable::TooLate))
}

/// An answer that holds the body of its request until it has been written.
struct Holding {
    answer: BoxBody,
    _unread: Unread,
}

/// `answer`, with which the connection ends if there is anything `unread`.
pub fn holding(answer: BoxBody, unread: Option<Unread>) -> BoxBody {
    match unread {
        None => answer,
        Some(unread) => BoxBody::new(Holding { answer, _unread: unread }),
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
