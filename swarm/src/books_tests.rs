//! Each kind of discrepancy, shown to be noticed; and a run without any, shown to pass.

use super::*;

fn books(base: u32, exclusive: bool) -> Books {
    Books::new(Shuffle::new(1_000_000, 3), base, exclusive)
}

/// Books in which the first `count` checks were sent at 1,000, 1,001, … µs, and their ids.
fn sent(base: u32, count: u32) -> (Books, Vec<u32>) {
    let books = books(base, true);
    (0..count).for_each(|place| books.send(place, 1_000 + place));
    let ids = (0..count).map(|place| books.shuffle.id(place)).collect();
    (books, ids)
}

fn greeted(total: u32) -> PlainView {
    PlainView { told: total, greeted: true }
}

fn hear(view: &mut PlainView, books: &Books, told: &[(u32, u32)]) -> Vec<(Fault, u64)> {
    let mut faults = Faults::default();
    for (total, id) in told {
        view.update(*total, *id, books, &mut faults);
    }
    faults.counts()
}

#[test]
fn listeners_who_hear_every_id_once_in_any_agreed_order_have_no_faults() {
    let (books, ids) = sent(10, 4);
    let told: Vec<_> = (11..).zip([ids[2], ids[0], ids[3], ids[1]]).collect();
    for _ in 0..3 {
        let mut view = PlainView::default();
        let mut faults = Faults::default();
        view.total(10, &mut faults);
        assert!(faults.is_empty());
        assert_eq!(hear(&mut view, &books, &told), []);
        assert_eq!(view.told(), 14);
    }
    assert_eq!((books.highest(), books.sent(), books.ours_announced()), (14, 4, 4));
}

#[test]
fn the_moment_of_the_send_comes_back_to_every_listener_unless_it_was_warm_up() {
    let (books, ids) = sent(0, 3);
    books.measure_from(1_001);
    let (mut faults, mut view) = (Faults::default(), greeted(0));
    for _ in 0..2 {
        assert_eq!(view.update(1, ids[0], &books, &mut faults), Heard::Update(0));
        assert_eq!(view.update(2, ids[1], &books, &mut faults), Heard::Update(1_001));
        assert_eq!(view.update(3, ids[2], &books, &mut faults), Heard::Update(1_002));
        view = greeted(0);
    }
    assert!(faults.is_empty());
}

#[test]
fn a_missed_update_is_one_gap() {
    let (books, ids) = sent(0, 3);
    assert_eq!(hear(&mut greeted(0), &books, &[(1, ids[0]), (3, ids[2])]), [(Fault::Gap, 1)]);
    let late = &[(1, ids[0]), (3, ids[2]), (4, 9)];
    assert_eq!(hear(&mut greeted(0), &books, late)[0], (Fault::Gap, 1));
}

#[test]
fn an_update_repeated_under_its_own_total_is_an_answer_nobody_asked_for() {
    let (books, ids) = sent(0, 2);
    let (mut faults, mut view) = (Faults::default(), greeted(0));
    view.update(1, ids[0], &books, &mut faults);
    // The connection decides whether it had asked; see `fanout`.
    assert_eq!(view.update(1, ids[0], &books, &mut faults), Heard::Answer);
}

#[test]
fn an_update_repeated_later_is_a_repeat() {
    let (books, ids) = sent(0, 2);
    let told = [(1, ids[0]), (2, ids[1]), (1, ids[0]), (2, ids[1])];
    assert_eq!(hear(&mut greeted(0), &books, &told), [(Fault::Repeat, 1)]);
}

#[test]
fn an_id_repeated_under_the_next_total_is_an_id_twice() {
    let (books, ids) = sent(0, 2);
    assert_eq!(hear(&mut greeted(0), &books, &[(1, ids[0]), (2, ids[0])]), [(Fault::IdTwice, 1)]);
}

#[test]
fn two_listeners_told_different_ids_for_one_total_disagree() {
    let (books, ids) = sent(0, 2);
    assert_eq!(hear(&mut greeted(0), &books, &[(1, ids[0])]), []);
    assert_eq!(hear(&mut greeted(0), &books, &[(1, ids[1])]), [(Fault::TotalsDisagree, 1)]);
}

#[test]
fn two_listeners_told_one_id_under_different_totals_disagree() {
    let (books, ids) = sent(0, 2);
    assert_eq!(hear(&mut greeted(0), &books, &[(1, ids[0]), (2, ids[1])]), []);
    assert_eq!(hear(&mut greeted(2), &books, &[(3, ids[0])]), [(Fault::IdTwice, 1)]);
}

#[test]
fn an_id_nobody_checked_is_a_stranger_only_on_a_board_of_our_own() {
    let (ours, _) = sent(0, 2);
    let foreign = ours.shuffle.id(500);
    assert_eq!(hear(&mut greeted(0), &ours, &[(1, foreign)]), [(Fault::Stranger, 1)]);

    let shared = books(0, false);
    assert_eq!(hear(&mut greeted(0), &shared, &[(1, foreign)]), []);
    assert_eq!(hear(&mut greeted(1), &shared, &[(2, foreign)]), [(Fault::IdTwice, 1)]);
}

#[test]
fn an_update_before_its_check_was_sent_is_a_stranger() {
    let (books, _) = sent(0, 2);
    let too_soon = books.shuffle.id(2);
    assert_eq!(hear(&mut greeted(0), &books, &[(1, too_soon)]), [(Fault::Stranger, 1)]);
}

#[test]
fn ids_off_the_board_and_totals_off_the_books_are_strangers_and_no_panic() {
    for exclusive in [true, false] {
        let books = books(10, exclusive);
        for (told, total, id) in
            [(10, 11, 0), (10, 11, 1_000_001), (10, 11, u32::MAX), (4, 5, 1), (9, 10, 1)]
        {
            assert_eq!(
                hear(&mut greeted(told), &books, &[(total, id)]),
                [(Fault::Stranger, 1)],
                "{total} {id}"
            );
        }
        assert_eq!(
            hear(&mut greeted(u32::MAX - 1), &books, &[(u32::MAX, 1)]),
            [(Fault::Stranger, 1)]
        );
    }
}

#[test]
fn an_update_before_the_hello_is_noted_once() {
    let (books, ids) = sent(0, 2);
    let told = [(1, ids[0]), (2, ids[1])];
    assert_eq!(hear(&mut PlainView::default(), &books, &told), [(Fault::NoHello, 1)]);
}

#[test]
fn a_total_may_come_again_but_not_move() {
    let (mut faults, mut view) = (Faults::default(), PlainView::default());
    view.total(5, &mut faults);
    view.total(5, &mut faults);
    assert!(faults.is_empty());
    view.total(6, &mut faults);
    view.total(5, &mut faults);
    assert_eq!(faults.counts(), [(Fault::TotalMoved, 2)]);
}

#[test]
fn a_check_is_answered_once_and_only_if_it_was_sent() {
    let (books, ids) = sent(0, 2);
    assert_eq!(books.acknowledge(ids[0]), Ok(1_000));
    assert_eq!(books.acknowledge(ids[0]), Err(Misanswered::Twice));
    assert_eq!(books.refuse(ids[1]), Ok(1_001));
    assert_eq!(books.acknowledge(ids[1]), Err(Misanswered::Twice));
    for never in [books.shuffle.id(2), books.shuffle.id(900_000), 0, 1_000_001] {
        assert_eq!(books.acknowledge(never), Err(Misanswered::NeverAsked), "{never}");
    }
    let fates: Vec<_> =
        books.all_sent().map(|sent| (sent.id, sent.acknowledged, sent.refused)).collect();
    assert_eq!(fates, [(ids[0], true, false), (ids[1], false, true)]);
}

#[test]
fn a_check_counts_as_acknowledged_only_if_its_sender_was_told() {
    let (books, ids) = sent(0, 3);
    assert_eq!(hear(&mut greeted(0), &books, &[(1, ids[0]), (2, ids[1])]), []);
    books.acknowledge_up_to(0..3, 1);
    let acknowledged: Vec<_> = books.all_sent().map(|sent| sent.acknowledged).collect();
    assert_eq!(acknowledged, [true, false, false]);
}

#[test]
fn a_tile_sums_up_what_was_announced_of_it_once() {
    let (books, ids) = sent(0, 50);
    let told: Vec<_> = (1..).zip(ids.iter().copied()).collect();
    (0..2).for_each(|_| assert_eq!(hear(&mut greeted(0), &books, &told), []));
    for tile in 0..10 {
        let of_tile = || ids.iter().filter(|id| (**id - 1) / TILE_BOXES == tile);
        let sum = of_tile().fold(0_u64, |sum, id| sum.wrapping_add(mix64(u64::from(*id))));
        assert_eq!(books.tile(tile), (of_tile().count() as u32, sum));
    }
}

#[test]
fn threads_that_see_the_same_updates_at_once_book_each_once() {
    let (books, ids) = sent(0, 20_000);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let told: Vec<_> = (1..).zip(ids.iter().copied()).collect();
                assert_eq!(hear(&mut greeted(0), &books, &told), []);
            });
        }
    });
    assert_eq!(books.ours_announced(), 20_000);
    assert_eq!((0..10).map(|tile| books.tile(tile).0).sum::<u32>(), 20_000);
}
