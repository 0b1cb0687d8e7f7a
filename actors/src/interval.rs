//! Something to be done again and again.

use std::time::Duration;

use actix::{Actor, AsyncContext, Context};

/// Has `actor` do something with a `period` between the end of one time and the next. What was missed,
/// because the thread or the whole process was held up, is not made up for: `run_interval` of actix does
/// it as often as it was due, all in one go.
pub(crate) fn every<A>(
    ctx: &mut Context<A>,
    period: Duration,
    mut work: impl FnMut(&mut A, &mut Context<A>) + 'static,
) where
    A: Actor<Context = Context<A>>,
{
    ctx.run_later(period, move |actor, ctx| {
        work(actor, ctx);
        every(ctx, period, work);
    });
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    const PERIOD: Duration = Duration::from_millis(10);

    struct Ticking(Rc<Cell<u32>>);

    impl Actor for Ticking {
        type Context = Context<Self>;

        fn started(&mut self, ctx: &mut Self::Context) {
            every(ctx, PERIOD, |ticking: &mut Self, _| ticking.0.set(ticking.0.get() + 1));
        }
    }

    #[actix::test]
    async fn what_was_missed_is_not_made_up_for() {
        let ticks = Rc::new(Cell::new(0));
        let _ticking = Ticking(ticks.clone()).start();
        for round in 1..=3 {
            let before = ticks.get();
            // The thread is busy: nothing else runs on it.
            std::thread::sleep(20 * PERIOD);
            while ticks.get() == before {
                tokio::task::yield_now().await;
            }
            assert_eq!(ticks.get(), before + 1, "round {round}");
        }
    }
}
