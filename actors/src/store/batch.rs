//! Checks of one shard on their way into its store, and who is credited with which of them. Plain data.

use std::sync::{Arc, Mutex};

use crate::{board::Offset, player::UserId};

/// Boxes in the order in which a shard took their checks in, with the users among those who sent them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checks {
    offsets: Vec<Offset>,
    /// Positions in `offsets` of checks that a user sent, ascending. Apart, so that all others cost nothing more.
    users: Vec<(u32, UserId)>,
}

impl Checks {
    /// Adds the check of a box, sent by `user` if it was one.
    pub fn push(&mut self, offset: Offset, user: Option<UserId>) {
        if let Some(user) = user {
            let position = u32::try_from(self.offsets.len()).expect("a shard has fewer boxes");
            self.users.push((position, user));
        }
        self.offsets.push(offset);
    }

    /// The boxes, in the order of their checks.
    pub fn offsets(&self) -> &[Offset] {
        &self.offsets
    }

    /// Each box once. Who checked it first is credited with it.
    fn close(self) -> Batch {
        let Self { mut offsets, users } = self;
        if users.is_empty() {
            offsets.sort_unstable();
            offsets.dedup();
            return Batch { offsets, shares: Vec::new() };
        }
        let mut user_of = vec![None; offsets.len()];
        for (position, user) in users {
            user_of[position as usize] = Some(user);
        }
        let mut first: Vec<(Offset, usize)> = offsets.into_iter().zip(0..).collect();
        first.sort_unstable();
        first.dedup_by_key(|(offset, _)| *offset);
        let with_user = first.into_iter().map(|(offset, position)| (user_of[position], offset));
        let mut shared: Vec<(Option<UserId>, Offset)> = with_user.collect();
        // Nobody's boxes come last.
        shared.sort_unstable_by_key(|(user, offset)| (user.is_none(), *user, *offset));
        let mut shares: Vec<Share> = Vec::new();
        for user in shared.iter().map_while(|(user, _)| *user) {
            match shares.last_mut() {
                Some(last) if last.user == user => last.boxes += 1,
                _ => shares.push(Share { user, boxes: 1 }),
            }
        }
        Batch { offsets: shared.into_iter().map(|(_, offset)| offset).collect(), shares }
    }
}

impl From<Vec<Offset>> for Checks {
    /// Checks that nobody is credited with.
    fn from(offsets: Vec<Offset>) -> Self {
        Self { offsets, users: Vec::new() }
    }
}

/// A user's part of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Who is credited.
    pub user: UserId,
    /// With so many boxes, as far as they were unchecked.
    pub boxes: u32,
}

/// What a store makes durable together. Each box once: first those of the first share, then those of the second one
/// and so on; those that nobody is credited with come last, and are alone in a batch without shares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    offsets: Vec<Offset>,
    shares: Vec<Share>,
}

/// A piece of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece<'b> {
    /// Its boxes, in the order that [`Batch`] describes.
    pub offsets: &'b [Offset],
    /// Its shares.
    pub shares: Vec<Share>,
}

impl Batch {
    /// All boxes.
    pub fn offsets(&self) -> &[Offset] {
        &self.offsets
    }

    /// Users and how many boxes each is to be credited with; the users are ascending and different.
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// The boxes of each share, in their order.
    pub fn shared(&self) -> impl Iterator<Item = (UserId, &[Offset])> {
        let mut rest = self.offsets.as_slice();
        self.shares.iter().map(move |share| {
            let (own, others) = rest.split_at(share.boxes as usize);
            rest = others;
            (share.user, own)
        })
    }

    /// Pieces of at most `most` boxes.
    pub fn pieces(&self, most: usize) -> impl Iterator<Item = Piece<'_>> {
        let mut shares = self.shares.iter().copied().peekable();
        self.offsets.chunks(most).map(move |offsets| {
            let (mut own, mut room) = (Vec::new(), offsets.len() as u32);
            while room > 0
                && let Some(share) = shares.peek_mut()
            {
                let boxes = share.boxes.min(room);
                own.push(Share { boxes, ..*share });
                room -= boxes;
                share.boxes -= boxes;
                if share.boxes == 0 {
                    shares.next();
                }
            }
            Piece { offsets, shares: own }
        })
    }
}

/// Checks of one shard that are to be made durable together. As long as the store has not begun with them, more may
/// join, so that nobody waits for another commit because of being a moment late.
#[derive(Debug, Clone)]
pub struct OpenBatch(Arc<Mutex<Option<Checks>>>);

impl OpenBatch {
    /// A batch that begins with these checks.
    pub fn new(checks: Checks) -> Self {
        Self(Arc::new(Mutex::new(Some(checks))))
    }

    /// Adds a check, unless that would be more than `most` or the store has begun; whether it is part of the batch.
    pub fn join(&self, offset: Offset, user: Option<UserId>, most: usize) -> bool {
        let mut checks = self.0.lock().expect("nothing panics under this lock");
        let Some(checks) = checks.as_mut().filter(|checks| checks.offsets.len() < most) else {
            return false;
        };
        checks.push(offset, user);
        true
    }

    /// Closes the batch: the store begins with it. Empty if it was closed before.
    pub fn close(&self) -> Batch {
        let checks = self.0.lock().expect("nothing panics under this lock").take();
        checks.unwrap_or_default().close()
    }
}

impl From<Vec<Offset>> for OpenBatch {
    /// A batch that nobody is credited with.
    fn from(offsets: Vec<Offset>) -> Self {
        Self::new(offsets.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(number: u64) -> UserId {
        UserId::new(number).expect("a legal number")
    }

    /// Checks of (box, number of the user or 0).
    fn checks(all: &[(u32, u64)]) -> Checks {
        let mut checks = Checks::default();
        for (offset, number) in all {
            checks.push(Offset(*offset), UserId::new(*number));
        }
        checks
    }

    fn share(number: u64, boxes: u32) -> Share {
        Share { user: user(number), boxes }
    }

    #[test]
    fn boxes_join_until_the_store_begins() {
        let batch = OpenBatch::from(vec![Offset(7), Offset(3)]);
        assert!(batch.join(Offset(7), None, 4) && batch.join(Offset(5), None, 4));
        assert!(!batch.join(Offset(6), None, 4), "it is full");
        let closed = batch.close();
        assert_eq!((closed.offsets(), closed.shares()), (&[3, 5, 7].map(Offset)[..], &[][..]));
        assert!(!batch.join(Offset(6), None, 10), "the store has begun");
        assert_eq!(batch.close(), Batch::default());
    }

    #[test]
    fn the_first_who_asked_for_a_box_is_credited_with_it() {
        let batch = OpenBatch::new(checks(&[(7, 2), (3, 1), (7, 1), (5, 0)]));
        assert!(batch.join(Offset(5), Some(user(1)), 10), "nobody was there before");
        assert!(batch.join(Offset(1), Some(user(2)), 10));
        let closed = batch.close();
        assert_eq!(closed.offsets(), [3, 1, 7, 5].map(Offset));
        assert_eq!(closed.shares(), [share(1, 1), share(2, 2)]);
        let shared: Vec<_> = closed.shared().collect();
        assert_eq!(shared, [(user(1), &[Offset(3)][..]), (user(2), &[1, 7].map(Offset)[..])]);
    }

    #[test]
    fn a_piece_has_its_part_of_the_shares() {
        let all: Vec<_> = (0..10).map(|offset| (offset, [4, 4, 4, 4, 9, 9, 5, 0, 0, 0])).collect();
        let all: Vec<_> = all.iter().map(|(at, users)| (*at, users[*at as usize])).collect();
        let batch = OpenBatch::new(checks(&all)).close();
        assert_eq!(batch.shares(), [share(4, 4), share(5, 1), share(9, 2)]);
        let pieces: Vec<_> = batch.pieces(3).collect();
        let shares: Vec<_> = pieces.iter().map(|piece| piece.shares.as_slice()).collect();
        let expected: [&[Share]; 4] =
            [&[share(4, 3)], &[share(4, 1), share(5, 1), share(9, 1)], &[share(9, 1)], &[]];
        assert_eq!(shares, expected);
        let offsets: Vec<_> = pieces.iter().flat_map(|piece| piece.offsets).copied().collect();
        assert_eq!(offsets, batch.offsets());
    }
}
