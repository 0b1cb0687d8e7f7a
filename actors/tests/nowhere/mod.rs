//! What a node needs that is measured without a store.

use std::{sync::Arc, time::Duration};

use actors::{
    board::{Board, ShardIndex},
    deflate::Level,
    limits::{Rates, rate::Rate},
    live::LiveSettings,
    session::frame::FrameLimits,
    settings::{
        BroadcasterSettings, HubSettings, NodeSettings, PULSE_INTERVAL, SessionSettings,
        ShardSettings,
    },
    store::{BoxFuture, Feed, Store, StoreError, StoreState, Words, batch::OpenBatch, words_for},
};

/// An empty board that takes everything at once and keeps nothing.
pub struct Nowhere(pub Board);

impl Store for Nowhere {
    fn board(&self) -> &Board {
        &self.0
    }

    fn load(&self, shard: ShardIndex) -> BoxFuture<Result<Words, StoreError>> {
        let words = vec![0; words_for(self.0.boxes_in(shard))];
        Box::pin(async move { Ok(words) })
    }

    fn commit(&self, _: ShardIndex, batch: OpenBatch) -> BoxFuture<Result<(), StoreError>> {
        batch.close();
        Box::pin(async { Ok(()) })
    }

    fn feed(&self, _: Arc<dyn Feed>) {}

    fn state(&self) -> StoreState {
        StoreState::Up
    }

    fn close(&self) -> BoxFuture<Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

/// The server's defaults, those of `settings.toml`.
pub fn settings() -> NodeSettings {
    NodeSettings {
        session: SessionSettings {
            mailbox: 128,
            outbox_bytes: 512 * 1024,
            send_buffer_bytes: 64 * 1024,
            read_buffer_bytes: 16 * 1024,
            ranges_outstanding: 16,
            checks_outstanding: 4096,
        },
        shards: ShardSettings {
            threads: 1,
            mailbox: 4096,
            gather: Duration::from_millis(20),
            queue_checks: 16_384,
            commit_checks: 4096,
            compression: Level::new(1).expect("a level"),
        },
        broadcaster: BroadcasterSettings {
            mailbox: 1024,
            interval: Duration::from_millis(20),
            gather: Duration::from_millis(1),
            batch_updates: 16_384,
            pulse_interval: PULSE_INTERVAL,
        },
        hub: HubSettings { mailbox: 1024 },
        live: LiveSettings {
            frames: FrameLimits { message_bytes: 1024, fragments: 16, text: None, deflate: false },
            checks: Rate::new(10.0, 20),
            ranges: Rate::new(50.0, 100),
            control_frames: Rate::new(10.0, 50),
            messages: Rate::UNLIMITED,
            bytes_in: Rate::new(16_384.0, 65_536),
            shared: Rates::default(),
            shard_wait_timeout: Duration::from_secs(2),
            drain_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(25),
            idle_timeout: Duration::from_secs(60),
        },
    }
}
