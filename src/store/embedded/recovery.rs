//! The way back to an open database, for a store that is down.
//!
//! After an I/O error the file is opened again and verified, by its name. A file whose name was lost
//! ([`Lost`]) is still open here, and what becomes of it depends on what is at its name:
//!
//! - nothing: the file is copied from the open handle, verified, and named. Not at once: who moves a file away
//!   often puts another there in the same breath, and would write it over ours.
//! - another file, or a link that leads nowhere: it stays untouched, since somebody put it there for a reason, and it may be a board of its
//!   own. The copy is named `<board>.redb.saved`, beside it. When the other file is gone, ours is made again;
//!   when the copy was moved into its place, the store goes on with that.
//! - the file itself, with content that is not ours: nothing can be made from it. Only memory has the board.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use actors::{board::Board, store::StoreError};

use super::{
    checkpoint::Checkpoint,
    disk::{Content, Disk, probe_room, saved, unpublished},
    fault::Fault,
    place::{Copied, Lost, Place},
};

/// First and longest pause before trying to open a failed database again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(2);

/// Until a file that is gone is made again.
const MAKE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What a database has to be to be gone on with.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    pub path: &'w Path,
    pub board: &'w Board,
    pub log_bytes: u64,
    /// The sequence number after the last log entry that was acknowledged, or learned.
    pub acknowledged: u64,
}

/// An open database that takes writes.
pub struct Recovered {
    pub disk: Disk,
    pub checkpoint: Checkpoint,
    /// Boxes of log entries from `acknowledged` on: a commit that was refused may have reached the disk.
    pub learned: Vec<u32>,
    /// Whether the file had to be made again.
    pub made_again: bool,
}

/// The time from a failure until the database is open again.
pub struct Outage {
    pub since: Instant,
    pub retry_at: Instant,
    pub reason: Arc<str>,
    pause: Duration,
    lost: Option<LostFile>,
}

/// What is left of a file whose name was lost.
struct LostFile {
    place: Place,
    /// What it held, if that is known: nothing else is gone on with.
    content: Option<Content>,
    /// Whether its content is still ours.
    sound: bool,
    /// The copy beside the file that is at its name.
    saved: Option<Place>,
}

impl Outage {
    /// After a failed read or write. `place` is kept if the name was lost besides.
    pub fn of_fault(reason: Arc<str>, place: Place) -> Self {
        // If the name cannot be looked up, the disk is the reason: let go of it, so that it can be repaired.
        let lost = place.find().is_err_and(|lost| lost.is_of_the_name()).then_some(place);
        let lost = lost.map(|place| LostFile { place, content: None, sound: true, saved: None });
        Self::new(reason, lost, RETRY_FIRST)
    }

    /// After the file that held `content` was lost.
    pub fn of_loss(lost: Lost, path: &Path, place: Place, content: Content) -> Self {
        let sound = !matches!(lost, Lost::WrittenOver);
        let reason = reason(&Fault::Lost(lost).at(path));
        let lost = LostFile { place, content: Some(content), sound, saved: None };
        Self::new(reason, Some(lost), MAKE_AGAIN_AFTER)
    }

    fn new(reason: Arc<str>, lost: Option<LostFile>, pause: Duration) -> Self {
        let since = Instant::now();
        Self { since, retry_at: since + pause, reason, pause: RETRY_FIRST, lost }
    }

    /// Whether the name was lost, not only the database closed.
    pub fn is_loss(&self) -> bool {
        self.lost.is_some()
    }

    /// Whether a restart would find the board neither at `path` nor saved beside it.
    pub fn is_unsaved(&self, path: &Path) -> bool {
        self.lost.as_ref().is_some_and(|lost| {
            let saved = lost.saved.as_ref().is_some_and(|copy| copy.is_at(&saved(path)));
            !saved && (!lost.sound || lost.place.find().is_err())
        })
    }

    /// Whether another attempt may save the board.
    pub fn is_hopeful(&self) -> bool {
        self.lost.as_ref().is_some_and(|lost| lost.sound)
    }

    /// Tries to come back. Otherwise sets the reason, and when to try again.
    pub fn attempt(&mut self, wanted: &Wanted<'_>) -> Option<Recovered> {
        let began = Instant::now();
        let recovered = match &mut self.lost {
            None => reopen(wanted),
            Some(lost) => lost.recover(wanted),
        };
        match recovered {
            Ok(recovered) => Some(recovered),
            Err(error) => {
                self.reason = reason(&error);
                // A large file is not copied over and over on a full disk.
                self.pause = (self.pause * 2).min(RETRY_LONGEST);
                self.retry_at = Instant::now() + self.pause.max(began.elapsed() * 10);
                None
            }
        }
    }
}

impl LostFile {
    fn recover(&mut self, wanted: &Wanted<'_>) -> Result<Recovered, StoreError> {
        let recovered = self.try_recover(wanted)?;
        if let Some(copy) = &self.saved {
            copy.remove_if_ours(&saved(wanted.path));
        }
        Ok(recovered)
    }

    fn try_recover(&mut self, wanted: &Wanted<'_>) -> Result<Recovered, StoreError> {
        let at = |fault: Fault| fault.at(wanted.path);
        let found = match (self.place.find(), &self.saved) {
            // It may have been moved into its place.
            (Err(lost), Some(copy)) if lost.is_taken() => match copy.find() {
                Ok(()) => Ok(()),
                Err(_) => Err(lost),
            },
            (found, _) => found,
        };
        // Opening a database writes to it, so what may be somebody else's is only looked at.
        let theirs = !self.sound && (found.is_err() || self.place.look().is_some());
        match found {
            _ if theirs => Err(at(Fault::Lost(Lost::WrittenOver))),
            Ok(()) => reopen(wanted).and_then(|found| self.as_it_was(found, wanted)),
            Err(Lost::Gone) => self.make_again(wanted),
            Err(lost) if lost.is_taken() => Err(self.save(lost, wanted)),
            Err(lost) => Err(at(Fault::Lost(lost))),
        }
    }

    /// Refuses a database that does not hold what this one did.
    fn as_it_was(&self, found: Recovered, wanted: &Wanted<'_>) -> Result<Recovered, StoreError> {
        if self.content.is_none_or(|content| content == found.disk.content()) {
            return Ok(found);
        }
        found.disk.close();
        Err(Fault::Lost(Lost::WrittenOver).at(wanted.path))
    }

    fn make_again(&self, wanted: &Wanted<'_>) -> Result<Recovered, StoreError> {
        let failed = |fault| Fault::NotMadeAgain(Box::new(fault)).at(wanted.path);
        let Copied { file, name } = self.place.copy(&unpublished(wanted.path)).map_err(failed)?;
        let opened = verify(wanted, |entry| Disk::over(file, wanted.path, wanted.board, entry));
        let found = opened.and_then(|found| self.as_it_was(found, wanted))?;
        let named = name.publish(wanted.path).map_err(Fault::from);
        match named.and_then(|()| found.disk.look().map_or(Ok(()), |lost| Err(Fault::Lost(lost)))) {
            Ok(()) => Ok(Recovered { made_again: true, ..found }),
            Err(fault) => {
                found.disk.close();
                Err(failed(fault))
            }
        }
    }

    /// Copies the file beside the one that is in its place; what is to be said.
    fn save(&mut self, lost: Lost, wanted: &Wanted<'_>) -> StoreError {
        let saved = saved(wanted.path);
        let outcome = match &self.saved {
            // It may have been removed since, and nothing else holds the board.
            Some(copy) if copy.is_at(&saved) => None,
            _ => match self.try_save(wanted, &saved) {
                Ok(place) => {
                    self.saved = Some(place);
                    None
                }
                Err(error) => Some(error),
            },
        };
        let text = reason(&Fault::Lost(lost).at(wanted.path));
        let text = match outcome {
            None => format!("{text}; the store as it was is saved as {}", saved.display()),
            Some(error) => format!("{text}; it could not be saved beside it: {error}"),
        };
        StoreError::Unusable(text.into())
    }

    fn try_save(&self, wanted: &Wanted<'_>, saved: &Path) -> Result<Place, StoreError> {
        let at = |fault: Fault| fault.at(saved);
        // Before the copy, which may be large.
        if fs::symlink_metadata(saved).is_ok() {
            return Err(at(Fault::Other("is there already: move it away".into())));
        }
        let Copied { file, name } = self.place.copy(&unpublished(wanted.path)).map_err(at)?;
        let opened = verify(wanted, |entry| Disk::over(file, wanted.path, wanted.board, entry));
        let place = opened.and_then(|found| self.as_it_was(found, wanted))?.disk.close();
        name.publish(saved).map_err(|error| at(error.into()))?;
        Ok(place)
    }
}

/// Opens the database again and proves that it takes writes.
pub fn reopen(wanted: &Wanted<'_>) -> Result<Recovered, StoreError> {
    probe_room(wanted.path)?;
    let found = verify(wanted, |entry| Disk::open(wanted.path, wanted.board, entry))?;
    match found.disk.look() {
        None => Ok(found),
        Some(lost) => {
            found.disk.close();
            Err(Fault::Lost(lost).at(wanted.path))
        }
    }
}

fn verify(
    wanted: &Wanted<'_>,
    open: impl FnOnce(&mut dyn FnMut(u64, &[u32])) -> Result<Disk, StoreError>,
) -> Result<Recovered, StoreError> {
    let mut checkpoint = Checkpoint::new(wanted.board.boxes(), wanted.log_bytes);
    let mut learned = Vec::new();
    let mut disk = open(&mut |sequence, indexes| {
        checkpoint.add(indexes);
        if sequence >= wanted.acknowledged {
            learned.extend_from_slice(indexes);
        }
    })?;
    let checked = if disk.seal().log_next < wanted.acknowledged {
        let text = format!(
            "{} is older than what was acknowledged: restore the newer file, or restart the \
             server to go on from this one",
            wanted.path.display()
        );
        Err(StoreError::Unusable(text.into()))
    } else {
        disk.probe()
    };
    match checked {
        Ok(()) => Ok(Recovered { disk, checkpoint, learned, made_again: false }),
        Err(error) => {
            disk.close();
            Err(error)
        }
    }
}

/// What an error says.
pub fn reason(error: &StoreError) -> Arc<str> {
    match error {
        StoreError::Unavailable(reason)
        | StoreError::Unusable(reason)
        | StoreError::InUse(reason) => Arc::clone(reason),
    }
}
