//! `GET /export` and `POST /import`: a backup of the running board, and boxes merged into it. Whoever reaches
//! this listener may check boxes, never uncheck one.

use std::{
    fs::File,
    io::{self, BufReader, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use actors::{node::Node, table::Table};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, future::join_all, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use utoipa::ToSchema;

use self::merging::Merging;
use super::{change::Change, door::Caller, refuse};
use crate::{
    backup::{
        Header, MEDIA_TYPE, Summary, bytes_max,
        encoder::Encoder,
        reader::{BadBackup, Reader},
    },
    numbers::counted,
    problem::problem,
    routes::query::{expect_only, find_table, number, switch},
    store::Identity,
};

mod merging;

/// Exports at once; each has a piece of the board in memory.
const EXPORTS: usize = 4;

/// Tiles per piece of an export: at most 200 KB, the only one in memory.
const PIECE_TILES: u32 = 16;

/// Received bytes gathered before they are written to the spool.
const SPOOL_BYTES: usize = 1024 * 1024;

/// Silence after which an upload is given up.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for another import to end.
const IMPORT_WAIT: Duration = Duration::from_secs(5);

/// Bytes a second below which an upload is given up: there is one place for imports.
const UPLOAD_RATE_MIN: u64 = 32 * 1024;

/// Lines of progress that may wait for a client that does not read; full: the merge waits.
const LINES: usize = 16;

/// Why boxes are not merged into a board.
pub const READ_ONLY: &str = "the board is read-only";

/// What the two routes share.
pub struct Operations {
    /// Where uploads are kept, without a name, until they are merged.
    spool: PathBuf,
    /// Identifies the store this server runs on.
    store: Identity,
    /// The file of that store.
    file: Option<PathBuf>,
    exports: Arc<Semaphore>,
    imports: Arc<Semaphore>,
}

impl Operations {
    /// Uploads go to the folder `spool`; `store` and `file` are those of the server's store.
    pub fn new(spool: PathBuf, store: Identity, file: Option<PathBuf>) -> Self {
        let imports = Arc::new(Semaphore::new(1));
        Self { spool, store, file, exports: Arc::new(Semaphore::new(EXPORTS)), imports }
    }
}

/// A backup, for the file of the API.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes bytes that are made elsewhere")]
pub struct Backup(Vec<u8>);

/// An export on its way.
struct Exporting {
    table: Arc<Table>,
    encoder: Encoder,
    /// Bytes to be sent before the next tile is read.
    out: Vec<u8>,
    tile: u32,
    _permit: OwnedSemaphorePermit,
}

/// Which store is meant, of whoever found this server by its settings and not by its name.
#[derive(Debug, Deserialize)]
pub struct Meant {
    /// Its identity.
    store: Option<String>,
    /// The name of its file, of whoever has found no file of that name.
    file: Option<PathBuf>,
}

impl Operations {
    fn refuse_another(&self, meant: &Meant) -> Option<HttpResponse> {
        let another = meant.store.as_ref().is_some_and(|store| *store != (self.store)())
            || meant.file.is_some() && meant.file != self.file;
        another.then(|| {
            let text = "this server runs on another store: name the one that is meant with --from \
                        or --to, or correct admin.address";
            refuse(StatusCode::CONFLICT, text)
        })
    }
}

/// Identifies the store that this node has open.
///
/// For commands that have found a file, or only a name, and want to know whether this node has it open. What is at that
/// name may be another file: the node has then lost its own.
#[utoipa::path(
    get, path = "/store", tag = "board", operation_id = "identifyStore",
    params(
        ("store" = Option<String>, Query, description = "The identity that is expected"),
        ("file" = Option<String>, Query, description = "The name of the file that is expected, from the root"),
    ),
    responses(
        (status = 200, description = "Its identity.", body = String, content_type = "text/plain"),
        (status = 400, description = "The query is not understood."),
        (status = 409, description = "Another store is open."),
    ),
)]
pub async fn store(meant: web::Query<Meant>, operations: web::Data<Operations>) -> HttpResponse {
    if let Some(refusal) = operations.refuse_another(&meant) {
        return refusal;
    }
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body((operations.store)())
}

/// Streams a backup of the board.
///
/// Everything that was acknowledged before this was asked, and nothing that is not durable. A body without its last
/// chunk is no whole backup.
// The next piece is read when the one before was taken over by the socket.
#[utoipa::path(
    get, path = "/export", tag = "board", operation_id = "exportBoard",
    params(
        ("board" = Option<String>, Query, description = "The name of the board; without it the main one", example = "main"),
        ("store" = Option<String>, Query, description = "The identity of the store that is expected"),
        ("file" = Option<String>, Query, description = "The name of the file that is expected, from the root"),
    ),
    responses(
        (status = 200, description = "A backup.", body = Backup, content_type = MEDIA_TYPE),
        (status = 400, description = "The query is not understood."),
        (status = 404, description = "No board of that name is in play."),
        (status = 409, description = "Another store is open."),
        (status = 429, description = "Too many exports are running."),
    ),
)]
pub async fn export(
    request: HttpRequest,
    meant: web::Query<Meant>,
    node: web::Data<Node>,
    operations: web::Data<Operations>,
) -> HttpResponse {
    if let Err(told) = expect_only(request.query_string(), &["board", "store", "file"]) {
        return refuse(StatusCode::BAD_REQUEST, told.trim_end());
    }
    if let Some(refusal) = operations.refuse_another(&meant) {
        return refusal;
    }
    let table = match find_table(request.query_string(), &node) {
        Ok(table) => table,
        Err((status, why)) => return problem(status, why),
    };
    let Ok(permit) = operations.exports.clone().try_acquire_owned() else {
        return refuse(StatusCode::TOO_MANY_REQUESTS, "too many exports are running: try again");
    };
    let mut out = Vec::new();
    let header = Header::now(table.board.name(), table.board.boxes());
    log::info!("export of {} begins", table.board);
    let encoder = Encoder::begin(header, &mut out);
    let exporting = Exporting { table, encoder, out, tile: 0, _permit: permit };
    let body = stream::unfold(Some(exporting), |exporting| async {
        let exporting = exporting?;
        Some(match piece(exporting).await {
            Ok((bytes, rest)) => (Ok(bytes), rest),
            // The body ends without its last chunk, which the client sees.
            Err(error) => (Err(error), None),
        })
    });
    HttpResponse::Ok().content_type(MEDIA_TYPE).streaming(body)
}

/// The next bytes, and what comes after them.
async fn piece(mut exporting: Exporting) -> io::Result<(Bytes, Option<Exporting>)> {
    let tiles = exporting.table.board.tiles();
    while exporting.tile < tiles {
        let numbers = exporting.tile..(exporting.tile + PIECE_TILES).min(tiles);
        exporting.tile = numbers.end;
        let read = numbers.clone().map(|tile| exporting.table.read_tile(tile));
        for (tile, bits) in numbers.zip(join_all(read).await) {
            let bits = bits.ok_or_else(|| io::Error::other("a shard has ended"))?;
            exporting.encoder.tile(tile, &bits, &mut exporting.out);
        }
        if exporting.out.len() > 4096 {
            let out = std::mem::take(&mut exporting.out);
            return Ok((out.into(), Some(exporting)));
        }
    }
    let Exporting { encoder, mut out, .. } = exporting;
    let summary = encoder.end(&mut out);
    let boxes = counted(summary.checked.into(), "box", "boxes");
    log::info!("exported {boxes} in {}", counted(summary.tiles.into(), "tile", "tiles"));
    Ok((out.into(), None))
}

/// Boxes a second while anybody plays, where an import does not say how many: 200 KB/s for a plain client, which is
/// told of every box.
pub const RATE_DEFAULT: u32 = 20_000;

/// Boxes a second that an import is to add while anybody plays (0: as fast as they are handed out), and whether a
/// backup of a board of another name will do.
fn wishes(query: &str) -> Result<(u32, bool), String> {
    expect_only(query, &["rate", "any_name", "board", "store", "file"])?;
    Ok((number(query, "rate")?.unwrap_or(RATE_DEFAULT), switch(query, "any_name")?))
}

/// Merges a backup into the board.
///
/// Receives and verifies all of it first. The answer's body are lines of JSON: progress, and last `{"done":…}` or
/// `{"error":…}`. Whoever hangs up stops the merge. A board that is read-only takes none.
#[utoipa::path(
    post, path = "/import", tag = "board", operation_id = "importBoard",
    params(
        ("board" = Option<String>, Query, description = "The name of the board; without it the main one", example = "main"),
        ("rate" = Option<u32>, Query, description = "Boxes a second while anybody plays; 0: as fast as they are handed out; without it 20000", maximum = 4294967295u32, example = 20000),
        ("any_name" = Option<bool>, Query, description = "Whether a backup of a board of another name will do"),
        ("store" = Option<String>, Query, description = "The identity of the store that is expected"),
        ("file" = Option<String>, Query, description = "The name of the file that is expected, from the root"),
    ),
    request_body(content = Backup, content_type = MEDIA_TYPE, description = "A backup, as `GET /export` streams it"),
    responses(
        (status = 200, description = "The backup is merged: progress, and how that ended.", body = String, content_type = "application/x-ndjson"),
        (status = 400, description = "The query is not understood, or the upload was cut off."),
        (status = 404, description = "No board of that name is in play."),
        (status = 408, description = "The upload stopped, or is too slow."),
        (status = 409, description = "Another store is open, another import is running, the backup is of another board, or the board is read-only."),
        (status = 413, description = "No backup of this board is that long."),
        (status = 415, description = "The body is not said to be a backup."),
        (status = 422, description = "The body is no whole backup."),
        (status = 507, description = "The upload cannot be kept, or the audit cannot be written. Nothing has changed."),
    ),
)]
pub async fn import(
    request: HttpRequest,
    meant: web::Query<Meant>,
    payload: web::Payload,
    node: web::Data<Node>,
    operations: web::Data<Operations>,
    caller: Caller,
    change: web::Data<Change>,
) -> HttpResponse {
    if let Some(refusal) = refuse_other_media(&request) {
        return refusal;
    }
    let (rate, any_name) = match wishes(request.query_string()) {
        Ok(wishes) => wishes,
        Err(told) => return refuse_unread(StatusCode::BAD_REQUEST, told.trim_end()),
    };
    let table = match find_table(request.query_string(), &node) {
        Ok(table) => table,
        Err((status, why)) => return refuse_unread(status, why),
    };
    let most = bytes_max(table.board.boxes());
    if declared(&request).is_some_and(|declared| declared > most) {
        return refuse_unread(StatusCode::PAYLOAD_TOO_LARGE, &too_long(most));
    }
    if let Some(refusal) = operations.refuse_another(&meant) {
        discard(payload, most).await;
        return refusal;
    }
    // One that was interrupted notices it with its next batch or line of progress: whoever runs it again need
    // not know that.
    let place = operations.imports.clone().acquire_owned();
    let Ok(Ok(permit)) = tokio::time::timeout(IMPORT_WAIT, place).await else {
        discard(payload, most).await;
        return refuse(StatusCode::CONFLICT, "another import is running: try again after it");
    };
    let (file, summary) = match receive(payload, operations.spool.clone(), most).await {
        Ok(received) => received,
        Err(Refusal(status, reason)) => return refuse(status, &reason),
    };
    if let Some(reason) = misfit(&summary.header, &table, any_name) {
        return refuse(StatusCode::CONFLICT, &reason);
    }
    if table.is_read_only() {
        return refuse(StatusCode::CONFLICT, READ_ONLY);
    }
    let what = json!({ "board": table.board.name(), "boxes": summary.checked });
    if let Err(refusal) = change.note(&caller, "board.import", what).await {
        return refusal;
    }
    let boxes = counted(summary.checked.into(), "box", "boxes");
    let tiles = counted(summary.tiles.into(), "tile", "tiles");
    log::info!("import of {boxes} in {tiles} begins");
    let (lines, received) = mpsc::channel(LINES);
    let merging = Merging::new(table, rate, summary, lines);
    actix_web::rt::spawn(async move {
        merging.run(file).await;
        drop(permit);
    });
    let body = stream::unfold(received, |mut lines: mpsc::Receiver<Bytes>| async {
        lines.recv().await.map(|line| (Ok::<_, io::Error>(line), lines))
    });
    HttpResponse::Ok().content_type("application/x-ndjson").streaming(body)
}

/// Refuses what is not said to be a backup. A page of another site cannot name this media type without asking first,
/// which the guard refuses as well.
fn refuse_other_media(request: &HttpRequest) -> Option<HttpResponse> {
    let media = request.headers().get(header::CONTENT_TYPE);
    (media.is_none_or(|media| media.as_bytes() != MEDIA_TYPE.as_bytes())).then(|| {
        let text = format!("send a backup with Content-Type: {MEDIA_TYPE}");
        refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text)
    })
}

fn declared(request: &HttpRequest) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_long(most: u64) -> String {
    format!("no backup of this board is longer than {most} bytes")
}

fn misfit(header: &Header, table: &Table, any_name: bool) -> Option<String> {
    let board = &table.board;
    if header.boxes != board.boxes() {
        return Some(format!(
            "the backup is of a board of {} boxes, but this server's has {}",
            header.boxes,
            board.boxes()
        ));
    }
    (header.name != board.name() && !any_name).then(|| {
        format!(
            "the backup is of the board '{}', but this server's is '{}': say --any-name if that is \
             meant",
            header.name,
            board.name()
        )
    })
}

struct Refusal(StatusCode, String);

/// Receives and verifies a backup of at most `most` bytes into a file without a name. A refusal is
/// told after everything was received, because many clients send first and listen then.
async fn receive(
    mut payload: web::Payload,
    spool: PathBuf,
    most: u64,
) -> Result<(File, Summary), Refusal> {
    let full = |error: io::Error| {
        let text = format!("the server cannot keep the upload: {error}");
        Refusal(StatusCode::INSUFFICIENT_STORAGE, text)
    };
    let mut file =
        web::block(move || tempfile::tempfile_in(spool)).await.map_err(gone)?.map_err(full);
    let mut waiting = BytesMut::new();
    let (mut received, began) = (0, Instant::now());
    loop {
        let silence = "the upload stopped, or is too slow".to_owned();
        let deadline = began + UPLOAD_TIMEOUT + Duration::from_secs(received / UPLOAD_RATE_MIN);
        let deadline = deadline.min(Instant::now() + UPLOAD_TIMEOUT);
        let piece = tokio::time::timeout_at(deadline, payload.next()).await;
        let piece = piece.map_err(|_| Refusal(StatusCode::REQUEST_TIMEOUT, silence))?;
        let last = piece.is_none();
        if let Some(piece) = piece {
            let piece = piece.map_err(|error| {
                Refusal(StatusCode::BAD_REQUEST, format!("the upload was cut off: {error}"))
            })?;
            received += piece.len() as u64;
            if received > most {
                return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, too_long(most)));
            }
            waiting.extend_from_slice(&piece);
        }
        if last || waiting.len() >= SPOOL_BYTES {
            let bytes = waiting.split().freeze();
            if let Ok(mut open) = file {
                file = web::block(move || open.write_all(&bytes).map(|()| open))
                    .await
                    .map_err(gone)?
                    .map_err(full);
            }
        }
        if last {
            break;
        }
    }
    let mut file = file?;
    let verified = web::block(move || {
        file.seek(SeekFrom::Start(0)).map_err(|error| BadBackup::Io { at: 0, error })?;
        let summary = Reader::open(BufReader::with_capacity(SPOOL_BYTES, &file))?.verify()?;
        file.seek(SeekFrom::Start(0)).map_err(|error| BadBackup::Io { at: 0, error })?;
        Ok::<_, BadBackup>((file, summary))
    });
    let unfit = |bad: BadBackup| Refusal(StatusCode::UNPROCESSABLE_ENTITY, bad.to_string());
    verified.await.map_err(gone)?.map_err(unfit)
}

/// Receives an upload that is not wanted, so that its sender listens to the reason.
async fn discard(mut payload: web::Payload, most: u64) {
    let mut left = most;
    while let Ok(Some(Ok(piece))) = tokio::time::timeout(UPLOAD_TIMEOUT, payload.next()).await {
        let Some(rest) = left.checked_sub(piece.len() as u64) else { return };
        left = rest;
    }
}

fn gone(_: actix_web::error::BlockingError) -> Refusal {
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, "the server failed inside; see its log".to_owned())
}

/// A refusal of what was not read: the connection cannot go on behind it.
fn refuse_unread(status: StatusCode, reason: &str) -> HttpResponse {
    let mut response = refuse(status, reason);
    response.head_mut().set_connection_type(actix_http::ConnectionType::Close);
    response
}
