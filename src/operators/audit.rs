//! The audit: who has changed what, when and from where, one line of JSON each, in a file that only grows.
//!
//! A line is written before its change is made, so that no change goes without one; if the change then fails, a second
//! line says so. A line that cannot be written keeps the change from being made.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use actix_rt::task::spawn_blocking;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{admin::door::Caller, wall::now_ms};

/// Bytes at the end of the file that are looked at for its newest lines.
const TAIL_BYTES: u64 = 1024 * 1024;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditLine)]
pub struct Line {
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// Who: the name of a token, or `loopback`.
    #[schema(examples("alice"))]
    pub by: String,
    /// In which role.
    #[schema(examples("operator"))]
    pub role: String,
    /// From which address.
    #[schema(examples("127.0.0.1"))]
    pub from: String,
    /// What was done.
    #[schema(examples("block"))]
    pub action: String,
    /// What belongs to the action; `failed` in a line that follows one whose change was not made.
    #[serde(flatten)]
    #[schema(value_type = std::collections::BTreeMap<String, Value>)]
    pub what: Map<String, Value>,
}

/// The file, which is opened for its first line and again when its name leads to another one (logrotate).
#[derive(Debug, Clone)]
pub struct Audit {
    path: Arc<Path>,
    writing: Arc<Mutex<()>>,
}

impl Audit {
    /// In the file at `path`, which need not exist.
    pub fn new(path: PathBuf) -> Self {
        Self { path: path.into(), writing: Arc::default() }
    }

    /// Writes that `caller` does `action`, with what belongs to it.
    ///
    /// # Errors
    /// If the line could not be written.
    pub async fn write(&self, caller: &Caller, action: &str, what: Value) -> io::Result<()> {
        let line = Line {
            at_ms: now_ms(),
            by: caller.name.clone(),
            role: caller.role.to_string(),
            from: caller.ip.to_string(),
            action: action.to_owned(),
            what: if let Value::Object(what) = what { what } else { Map::new() },
        };
        let (path, writing) = (self.path.clone(), self.writing.clone());
        let written = spawn_blocking(move || {
            let _one_after_the_other = writing.lock().unwrap_or_else(PoisonError::into_inner);
            append(&path, &line)
        });
        written.await.map_err(io::Error::other)?
    }

    /// The newest lines, at most `limit`, oldest first. Lines that were cut off are left out.
    ///
    /// # Errors
    /// If there is a file that cannot be read.
    pub async fn newest(&self, limit: usize) -> io::Result<Vec<Line>> {
        let path = self.path.clone();
        spawn_blocking(move || newest(&path, limit)).await.map_err(io::Error::other)?
    }

    /// Its file, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// One write for the whole line, and behind a line that was cut off a new one.
fn append(path: &Path, line: &Line) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // It has addresses, and what was said to whom: for its owner, who may give others access.
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let end = if is_unended(&mut file)? { "\n" } else { "" };
    let line = serde_json::to_string(line).map_err(io::Error::other)?;
    file.write_all(format!("{end}{line}\n").as_bytes())?;
    file.sync_data()
}

fn is_unended(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn newest(path: &Path, limit: usize) -> io::Result<Vec<Line>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
    let mut lines: Vec<Line> = lines.take(limit).collect();
    lines.reverse();
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admin::tokens::Role;

    #[actix_rt::test]
    async fn lines_are_added_behind_whatever_is_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("new/audit.jsonl");
        let audit = Audit::new(path.clone());
        assert_eq!(audit.newest(9).await.expect("nothing is there"), []);
        let ip = [192, 0, 2, 1].into();
        let caller = Caller { name: "alice".into(), role: Role::Operator, ip };
        audit.write(&caller, "one", json!({"reason": "a\nb"})).await.expect("room");
        let text = fs::read_to_string(&path).expect("written");
        assert_eq!(text.lines().count(), 1, "{text}");
        // A crash, or a full disk.
        fs::write(&path, text + "{\"at_ms\":1,").expect("room");
        audit.write(&caller, "two", json!({})).await.expect("room");
        let lines = audit.newest(9).await.expect("it can be read");
        let actions: Vec<_> = lines.iter().map(|line| &*line.action).collect();
        assert_eq!(actions, ["one", "two"]);
        assert_eq!(lines[0].by, "alice");
        assert_eq!((&*lines[0].from, &lines[0].what["reason"]), ("192.0.2.1", &json!("a\nb")));
        assert_eq!(audit.newest(1).await.expect("it can be read"), lines[1..]);
    }
}
