//! An echo on the framing that the game uses, for the conformance suite (feature `echo`).

use actors::{
    protocol::{Close, close_frame, pong_frame, put_header},
    session::frame::{Decoder, Event, FrameLimits, MessageKind, Step},
};
use bytes::BytesMut;
use log::debug;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The suite sends messages of up to 16 MiB, and 4 MiB in fragments of 64 bytes.
const LIMITS: FrameLimits = FrameLimits {
    message_bytes: 16 * 1024 * 1024,
    fragments: 1024 * 1024,
    text: Some(16 * 1024 * 1024),
    deflate: false,
};

/// Echoes until the client closes or errs; `deflate`: its messages may be compressed.
pub async fn run(mut stream: TcpStream, unread: Vec<u8>, deflate: bool) {
    let limits = FrameLimits { deflate, ..LIMITS };
    if let Err(error) = echo(&mut stream, unread, limits).await {
        debug!("echo ended: {error}");
    }
}

async fn echo(
    stream: &mut TcpStream,
    mut unread: Vec<u8>,
    limits: FrameLimits,
) -> std::io::Result<()> {
    let mut decoder = Decoder::default();
    loop {
        let mut at = 0;
        let mut answer = BytesMut::new();
        let ended = loop {
            match decoder.step(&mut unread[at..], limits) {
                Ok(Step::NeedMore) => break false,
                Ok(Step::Taken(taken, event)) => {
                    let ended = matches!(event, Event::Close(_));
                    reply(&mut answer, &event);
                    at += taken;
                    if ended {
                        break true;
                    }
                }
                Err(Close { code, reason, .. }) => {
                    answer.extend_from_slice(&close_frame(Some((code, reason.as_bytes()))));
                    break true;
                }
            }
        };
        unread.drain(..at);
        stream.write_all(&answer).await?;
        if ended {
            stream.shutdown().await?;
            let mut rest = [0; 4096];
            while stream.read(&mut rest).await? > 0 {}
            return Ok(());
        }
        if stream.read_buf(&mut unread).await? == 0 {
            return Ok(());
        }
    }
}

fn reply(answer: &mut BytesMut, event: &Event<'_>) {
    match event {
        Event::Message(kind, payload) => {
            let first = if *kind == MessageKind::Text { 0x81 } else { 0x82 };
            put_header(answer, first, payload.len());
            answer.extend_from_slice(payload);
        }
        Event::Ping(payload) => answer.extend_from_slice(&pong_frame(payload)),
        Event::Close(code) => {
            answer.extend_from_slice(&close_frame(code.map(|code| (code, &[][..]))));
        }
        Event::Nothing | Event::Pong => {}
    }
}
