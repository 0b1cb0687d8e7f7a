//! One moment of the node's clock to wait for.

use std::{
    future::Future,
    pin::Pin,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

/// Armed for at most one moment; costs eight bytes while it is not.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Box<Armed>>);

#[derive(Debug)]
struct Armed {
    at_ns: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    /// Ready once the clock, which stands at `now_ns`, has come to `at_ns`; until then the task is woken for it.
    pub(super) fn poll(&mut self, at_ns: u64, now_ns: u64, task: &mut TaskContext<'_>) -> Poll<()> {
        let armed = match &mut self.0 {
            Some(armed) if armed.at_ns == at_ns => armed,
            other => {
                let wait = Duration::from_nanos(at_ns.saturating_sub(now_ns));
                other.insert(Box::new(Armed { at_ns, sleep: Box::pin(sleep(wait)) }))
            }
        };
        armed.sleep.as_mut().poll(task)
    }

    /// Wakes nobody any more.
    pub(super) fn disarm(&mut self) {
        self.0 = None;
    }
}
