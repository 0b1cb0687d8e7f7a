//! Moving a slot from one master to another while it is in use, as an operator's tool would.

use xtask::redis::{Reply, SLOTS};

use super::{Cluster, PATIENCE};

/// Keys in one MIGRATE; small, so that others get their turn between two of them.
const KEYS_AT_ONCE: &str = "4";

/// A key of a large shard is 2.5 MB; both nodes stand still for as long as it takes.
const MIGRATE_TIMEOUT_MS: &str = "10000";

impl Cluster {
    /// Moves `slot` with all its keys, live. `from` has to be its master, `to` another one.
    pub fn migrate_slot(&self, slot: u16, from: usize, to: usize) {
        assert!(slot < SLOTS && from != to);
        let (from_id, to_id) = (self.id_of(from), self.id_of(to));
        let slot = slot.to_string();
        self.run(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        self.run(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        self.move_keys(&slot, from, to);
        // The new owner first: should it fail now, the old one still sends everybody to it. The
        // other masters would hear of it in time; told at once, they redirect nobody in circles.
        let masters = (0..self.nodes().len())
            .filter(|&index| index != to && self.node(index).is_running() && self.is_master(index));
        for index in [to].into_iter().chain(masters) {
            self.run(index, &["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
        }
    }

    fn move_keys(&self, slot: &str, from: usize, to: usize) {
        let address = self.node(to).address();
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let mut connection = self.node(from).connect(2 * PATIENCE).expect("the node listens");
        loop {
            let keys = connection.call(&["CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE]);
            let keys = keys.and_then(Reply::array).expect("the slot's keys");
            if keys.is_empty() {
                return;
            }
            let mut migrate: Vec<Vec<u8>> =
                ["MIGRATE", &host, &port, "", "0", MIGRATE_TIMEOUT_MS, "KEYS"]
                    .map(Into::into)
                    .into();
            migrate.extend(keys.into_iter().map(|key| key.bytes().expect("a key")));
            let moved = connection.call(&migrate).expect("keys are moved in time");
            assert!(
                matches!(&moved, Reply::Status(said) if said == "OK" || said == "NOKEY"),
                "{moved:?}"
            );
        }
    }

    fn run(&self, index: usize, words: &[&str]) {
        let reply = self.command(index, words);
        assert_eq!(reply, Reply::Status("OK".into()), "{}", words.join(" "));
    }
}
