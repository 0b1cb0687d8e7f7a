//! Who is in which group on one worker thread. Shared by the thread's sessions and its post; nothing is borrowed across an
//! await.
//!
//! A session is found by its id once its client has spoken, by its user as long as it is one's, and in the groups it has
//! joined. All of it ends with the session, and what was joined ends with the user.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::{Rc, Weak},
    sync::Arc,
};

use super::{
    downlink::Downlink,
    groups::{Change, Groups},
    roster::Roster,
};
use crate::{
    channels::Group,
    interest::{Held, Interest},
    link::SessionLink,
    player::{SessionId, UserId},
    talk::{Reply, Said, Scene, Speaker, Talk, Unheard},
    wires::PostLink,
};

/// The groups of one worker thread.
pub(crate) struct Circle {
    pub(crate) talk: Arc<dyn Talk>,
    post: Arc<PostLink>,
    interest: Arc<Interest>,
    groups: RefCell<Groups<Group, SessionId, Downlink>>,
    /// Those who have spoken.
    speakers: RefCell<HashMap<SessionId, Rc<Downlink>>>,
    /// Of the main board.
    roster: RefCell<Weak<Roster>>,
}

/// Where a client is, as far as that is asked for.
struct Place<'d> {
    downlink: &'d Downlink,
    is_on_main: bool,
}

impl Scene for Place<'_> {
    fn looks_at(&self, tile: u32) -> bool {
        self.is_on_main && self.downlink.view().is_some_and(|view| view.covers(tile))
    }

    fn is_in(&self, group: Group) -> bool {
        self.downlink.voice().is_some_and(|voice| voice.is_in(group))
    }

    fn groups(&self) -> usize {
        self.downlink.voice().map_or(0, |voice| voice.group_count())
    }
}

impl Circle {
    /// Of the thread with this post, whose clients `talk` understands; nobody is in it.
    pub(super) fn new(
        talk: Arc<dyn Talk>,
        post: Arc<PostLink>,
        interest: Arc<Interest>,
    ) -> Rc<Self> {
        let (groups, speakers) = (RefCell::default(), RefCell::default());
        Rc::new(Self { talk, post, interest, groups, speakers, roster: RefCell::default() })
    }

    /// The main board has this roster here.
    pub(super) fn watch(&self, roster: &Rc<Roster>) {
        *self.roster.borrow_mut() = Rc::downgrade(roster);
    }

    /// Has a text judged.
    pub(crate) fn hear(&self, downlink: &Downlink, is_on_main: bool, text: &str) -> Reply {
        self.with_said(downlink, is_on_main, text, |said| self.talk.hear(said))
    }

    /// Whether a text counts as a message.
    pub(crate) fn is_message(&self, text: &str) -> bool {
        self.talk.is_message(text)
    }

    /// Sends the client of a session word that a text was not heard.
    pub(crate) fn refuse(&self, downlink: &Downlink, text: &str, why: Unheard) {
        let frame = self.with_said(downlink, false, text, |said| self.talk.unheard(said, why));
        downlink.say(frame);
    }

    fn with_said<T>(
        &self,
        downlink: &Downlink,
        is_on_main: bool,
        text: &str,
        then: impl FnOnce(&Said<'_>) -> T,
    ) -> T {
        let speaker = Speaker { link: downlink.link.clone(), post: self.post.clone() };
        let scene = &Place { downlink, is_on_main };
        then(&Said { text, speaker: &speaker, scene })
    }

    /// Has a session found by its id, and by its user if it has one; what it has joined as another user it leaves.
    pub(crate) fn know(&self, downlink: &Rc<Downlink>) {
        let (voice, id) = (downlink.own_voice(), downlink.link.id());
        if !voice.is_indexed.replace(true) {
            self.speakers.borrow_mut().insert(id, downlink.clone());
        }
        let user = downlink.link.player().user();
        let before = voice.user.replace(user);
        if before == user {
            return;
        }
        if let Some(before) = before {
            self.leave_all(downlink);
            self.remove(Group::User(before), id);
        }
        if let Some(user) = user {
            let group = Group::User(user);
            let held = self.interest.hold(group, self.post.number);
            self.add(group, downlink, held);
        }
    }

    /// The session that has this id, if its client has spoken.
    pub(super) fn speaker(&self, id: SessionId) -> Option<Rc<Downlink>> {
        self.speakers.borrow().get(&id).cloned()
    }

    /// A session joins a group, which is followed for it.
    pub(super) fn join(
        &self,
        downlink: &Rc<Downlink>,
        group: Group,
        wants_presence: bool,
        held: Held,
    ) {
        downlink.own_voice().joined(group, wants_presence);
        self.add(group, downlink, held);
    }

    /// A session leaves a group; whether it was in it.
    pub(super) fn leave(&self, downlink: &Downlink, group: Group) -> bool {
        let Some(voice) = downlink.voice().filter(|voice| voice.is_in(group)) else { return false };
        voice.left(group);
        self.remove(group, downlink.link.id());
        true
    }

    fn leave_all(&self, downlink: &Downlink) {
        for group in downlink.voice().map(|voice| voice.groups()).unwrap_or_default() {
            self.leave(downlink, group);
        }
    }

    /// A session has ended.
    pub(crate) fn forget(&self, downlink: &Downlink) {
        let Some(voice) = downlink.voice() else { return };
        self.leave_all(downlink);
        let id = downlink.link.id();
        if let Some(user) = voice.user.take() {
            self.remove(Group::User(user), id);
        }
        self.speakers.borrow_mut().remove(&id);
    }

    fn add(&self, group: Group, downlink: &Rc<Downlink>, held: Held) {
        let change = self.groups.borrow_mut().join(group, downlink.link.id(), downlink);
        if change == Change::Group {
            // Until it is empty.
            held.hand_over();
        }
        self.count(group, change, 1);
    }

    fn remove(&self, group: Group, id: SessionId) {
        let change = self.groups.borrow_mut().leave(group, id);
        if change == Change::Group {
            self.interest.release(group, self.post.number);
        }
        self.count(group, change, -1);
    }

    fn count(&self, group: Group, change: Change, by: i64) {
        if change != Change::None && group.is_joined() {
            self.talk.stats().members.inc_by(by);
            self.interest.note_change(group);
        }
    }

    /// The sessions on this thread that a message to `group` is for.
    pub(super) fn find(&self, group: Group) -> Vec<Rc<Downlink>> {
        match group {
            Group::Tile(tile) => {
                let roster = self.roster.borrow().upgrade();
                roster.map_or_else(Vec::new, |roster| roster.looking_at(tile))
            }
            Group::Connection(process, session) if process == SessionId::process_number() => {
                self.speaker(session).into_iter().collect()
            }
            Group::Connection(..) => Vec::new(),
            Group::User(user) => {
                let mut found = self.groups.borrow().members(group);
                // One may have ceased to be it, and said nothing since.
                found.retain(|downlink| downlink.link.player().user() == Some(user));
                found
            }
            Group::Team(_) | Group::Room(_) => self.groups.borrow().members(group),
        }
    }

    /// The sessions on this thread that a message to `group` is for, and whose each is.
    pub(super) fn members(&self, group: Group) -> Vec<(SessionId, Option<UserId>)> {
        let found = self.find(group);
        found.iter().map(|downlink| (downlink.link.id(), downlink.link.player().user())).collect()
    }

    /// Whether nobody has spoken or is in a group.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.speakers.borrow().is_empty() && self.groups.borrow().is_empty()
    }

    /// The frame that tells a client how many messages it has lost.
    pub(crate) fn lost(&self, link: &SessionLink, messages: u64) -> bytes::Bytes {
        self.talk.lost(link, messages)
    }
}
