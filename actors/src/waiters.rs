//! Those who wait to be told that something is done.

use actix::ResponseFuture;
use tokio::sync::oneshot;

/// Who waits for the same thing.
#[derive(Debug, Default)]
pub struct Waiters(Vec<oneshot::Sender<()>>);

impl Waiters {
    /// One more, who is told with the others. Ends as well when these are dropped: with them went whatever was to be
    /// waited for.
    pub(crate) fn wait(&mut self) -> ResponseFuture<()> {
        let (teller, told) = oneshot::channel();
        self.0.push(teller);
        Box::pin(async move {
            let _ = told.await;
        })
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over those of another list.
    pub(crate) fn append(&mut self, others: &mut Self) {
        self.0.append(&mut others.0);
    }

    /// Tells all of them.
    pub(crate) fn tell(&mut self) {
        for teller in self.0.drain(..) {
            // Whoever asked may have given up.
            let _ = teller.send(());
        }
    }
}
