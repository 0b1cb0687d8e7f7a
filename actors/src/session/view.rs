//! What a `v=2` connection looks at: its last ranges and its own unanswered checks. Plain data.

use crate::board::{BoxId, BoxRange};

/// Ranges a connection receives updates for; the least recently requested goes first.
pub const RANGES_MAX: usize = 16;

/// Interest of one connection.
#[derive(Debug, Default)]
pub struct View {
    /// Most recently requested last.
    ranges: Vec<BoxRange>,
    /// Boxes it checked and has not been answered about.
    own: Vec<u32>,
}

impl View {
    /// Registers a range as the most recently requested one; which one is given up for it.
    pub fn look_at(&mut self, range: BoxRange) -> Option<BoxRange> {
        let mut passed = None;
        if let Some(known) = self.ranges.iter().position(|known| *known == range) {
            self.ranges.remove(known);
        } else if self.ranges.len() == RANGES_MAX {
            passed = Some(self.ranges.remove(0));
        }
        self.ranges.push(range);
        passed
    }

    /// Whether any of the ranges has boxes in `tile`.
    pub fn covers(&self, tile: u32) -> bool {
        self.ranges.iter().any(|range| range.tiles().contains(&tile))
    }

    /// The ranges, least recently requested first.
    pub fn ranges(&self) -> &[BoxRange] {
        &self.ranges
    }

    /// Notes an own check that awaits its answer.
    pub fn asked(&mut self, id: BoxId) {
        if !self.own.contains(&id.get()) {
            self.own.push(id.get());
        }
    }

    /// Notes that the check of `id` was answered; whether there was one.
    pub fn answered(&mut self, id: u32) -> bool {
        let Some(place) = self.own.iter().position(|own| *own == id) else { return false };
        self.own.swap_remove(place);
        if self.own.is_empty() {
            self.own = Vec::new();
        }
        true
    }

    /// Own checks without an answer.
    pub fn unanswered(&self) -> &[u32] {
        &self.own
    }

    /// Positions in `by_id` (pairs of id and position in its batch, sorted by id) that concern this
    /// connection, in batch order. Own checks among them are answered thereby.
    pub fn pick(&mut self, by_id: &[(u32, u32)], picked: &mut Vec<u32>) {
        picked.clear();
        for range in &self.ranges {
            let from = by_id.partition_point(|(id, _)| *id < range.first().get());
            let inside = by_id[from..].iter().take_while(|(id, _)| range.contains(*id));
            picked.extend(inside.map(|(_, position)| *position));
        }
        self.own.retain(|own| match by_id.binary_search_by_key(own, |(id, _)| *id) {
            Ok(found) => {
                picked.push(by_id[found].1);
                false
            }
            Err(_) => true,
        });
        // Ranges may overlap each other and own checks: once each, in the order of their totals.
        picked.sort_unstable();
        picked.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;

    fn board() -> Board {
        Board::new("test", 1_000_000, 2).expect("a legal board")
    }

    fn range(first: u32, last: u32) -> BoxRange {
        board().range(first, last).expect("a legal range")
    }

    fn sorted(ids: &[u32]) -> Vec<(u32, u32)> {
        let mut by_id: Vec<_> = ids.iter().copied().zip(0..).collect();
        by_id.sort_unstable();
        by_id
    }

    #[test]
    fn the_least_recently_requested_of_seventeen_ranges_goes() {
        let mut view = View::default();
        for tile in 0..16 {
            view.look_at(range(tile * 1000 + 1, tile * 1000 + 1000));
        }
        view.look_at(range(1, 1000));
        assert_eq!(view.look_at(range(900_001, 900_002)), Some(range(1001, 2000)));
        assert!(view.covers(0) && view.covers(9) && !view.covers(1));
        assert_eq!(view.ranges().len(), 16);
        assert!(view.ranges().contains(&range(1, 1000)), "it was asked for again");
        assert!(!view.ranges().contains(&range(1001, 2000)), "now the oldest");
    }

    #[test]
    fn updates_in_view_are_picked_once_and_in_batch_order() {
        let mut view = View::default();
        view.look_at(range(100, 200));
        view.look_at(range(150, 250));
        view.asked(board().box_id(160).expect("a box"));
        view.asked(board().box_id(9_000).expect("a box"));
        let mut picked = Vec::new();
        view.pick(&sorted(&[9_000, 99, 250, 160, 251, 100]), &mut picked);
        assert_eq!(picked, [0, 2, 3, 5]);
        assert!(view.unanswered().is_empty());
        view.pick(&sorted(&[9_000, 7]), &mut picked);
        assert!(picked.is_empty(), "an own check counts until it is answered");
    }
}
