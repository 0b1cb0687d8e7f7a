//! Who looks where: the `v=2` sessions of one board on one worker thread, by the tiles in their view. Plain data.
//!
//! A batch finds its listeners here, so that it costs work for those who look at its boxes, and nothing
//! for the others.

use std::{collections::HashMap, hash::Hash, rc::Rc};

use indexmap::IndexMap;

/// The viewers of one tile, each once: found, added and removed in constant time.
type Crowd<K, V> = IndexMap<K, Rc<V>>;

/// Viewers by what they look at.
#[derive(Debug)]
pub struct Viewers<K, V> {
    by_tile: HashMap<u32, Crowd<K, V>>,
    /// Those who await the answer to a check of their own, wherever it is.
    asking: Crowd<K, V>,
}

impl<K, V> Default for Viewers<K, V> {
    fn default() -> Self {
        Self { by_tile: HashMap::new(), asking: Crowd::new() }
    }
}

impl<K: Copy + Eq + Hash, V> Viewers<K, V> {
    /// `viewer`, whose key is `key`, looks at `tile`.
    pub fn watch(&mut self, tile: u32, key: K, viewer: &Rc<V>) {
        self.by_tile.entry(tile).or_default().insert(key, viewer.clone());
    }

    /// The viewer `key` does not look at `tile` any more.
    pub fn unwatch(&mut self, tile: u32, key: K) {
        if let Some(crowd) = self.by_tile.get_mut(&tile) {
            crowd.swap_remove(&key);
            if crowd.is_empty() {
                self.by_tile.remove(&tile);
            }
        }
    }

    /// `viewer` awaits the answer to a check.
    pub fn ask(&mut self, key: K, viewer: &Rc<V>) {
        self.asking.insert(key, viewer.clone());
    }

    /// The viewer `key` awaits nothing any more, because it has ended.
    pub fn forget_asking(&mut self, key: K) {
        self.asking.swap_remove(&key);
    }

    /// Whether nobody looks anywhere.
    pub fn is_empty(&self) -> bool {
        self.by_tile.is_empty() && self.asking.is_empty()
    }

    /// Everybody who looks at `tile`.
    pub fn of_tile(&self, tile: u32) -> Vec<Rc<V>> {
        let crowd = self.by_tile.get(&tile);
        crowd.map_or_else(Vec::new, |crowd| crowd.values().cloned().collect())
    }

    /// Everybody who looks at one of `tiles` or, according to `is_asking`, awaits an answer: those for
    /// whom `is_new` says so, which is asked whenever one is found.
    pub fn find(
        &mut self,
        tiles: &[u32],
        is_asking: impl Fn(&V) -> bool,
        is_new: impl Fn(&V) -> bool,
    ) -> Vec<Rc<V>> {
        let mut found = Vec::new();
        for crowd in tiles.iter().filter_map(|tile| self.by_tile.get(tile)) {
            found.extend(crowd.values().filter(|viewer| is_new(viewer)).cloned());
        }
        // Answered ones are not told apart when they are answered: here it costs nothing extra.
        self.asking.retain(|_, viewer| is_asking(viewer));
        found.extend(self.asking.values().filter(|viewer| is_new(viewer)).cloned());
        found
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Debug, Default)]
    struct Viewer {
        name: char,
        asking: Cell<bool>,
        found: Cell<u32>,
    }

    struct Scene {
        viewers: Viewers<char, Viewer>,
        walk: u32,
    }

    impl Scene {
        fn found(&mut self, tiles: &[u32]) -> String {
            self.walk += 1;
            let walk = self.walk;
            let is_new = |viewer: &Viewer| viewer.found.replace(walk) != walk;
            let found = self.viewers.find(tiles, |viewer| viewer.asking.get(), is_new);
            let mut names: Vec<char> = found.iter().map(|viewer| viewer.name).collect();
            names.sort_unstable();
            names.into_iter().collect()
        }
    }

    fn viewer(name: char) -> Rc<Viewer> {
        Rc::new(Viewer { name, ..Viewer::default() })
    }

    #[test]
    fn whoever_looks_at_one_of_the_tiles_is_found_once() {
        let mut scene = Scene { viewers: Viewers::default(), walk: 0 };
        let (a, b, c) = (viewer('a'), viewer('b'), viewer('c'));
        for (tile, viewer) in [(1, &a), (2, &a), (2, &a), (2, &b), (9, &c)] {
            scene.viewers.watch(tile, viewer.name, viewer);
        }
        assert_eq!(scene.found(&[1, 2]), "ab");
        assert_eq!(scene.found(&[2]), "ab");
        assert_eq!(scene.found(&[3]), "");
        let names =
            |tile| scene.viewers.of_tile(tile).iter().map(|viewer| viewer.name).collect::<String>();
        assert_eq!([names(2), names(3), names(9)], ["ab", "", "c"]);
        scene.viewers.unwatch(2, 'a');
        scene.viewers.unwatch(3, 'a');
        assert_eq!(scene.found(&[2]), "b");
        assert_eq!(scene.found(&[1]), "a");
    }

    #[test]
    fn whoever_asks_is_found_until_it_is_answered() {
        let mut scene = Scene { viewers: Viewers::default(), walk: 0 };
        let (a, b) = (viewer('a'), viewer('b'));
        a.asking.set(true);
        b.asking.set(true);
        scene.viewers.ask('a', &a);
        scene.viewers.ask('a', &a);
        scene.viewers.ask('b', &b);
        scene.viewers.watch(4, 'b', &b);
        assert_eq!(scene.found(&[4]), "ab");
        a.asking.set(false);
        assert_eq!(scene.found(&[4]), "b");
        scene.viewers.forget_asking('b');
        scene.viewers.unwatch(4, 'b');
        assert_eq!(scene.found(&[4]), "");
        assert!(scene.viewers.is_empty(), "nothing is kept of those who have gone");
        assert_eq!((Rc::strong_count(&a), Rc::strong_count(&b)), (1, 1));
    }
}
