//! What the ear of one part makes of messages and answers.

use super::*;

fn run(number: u64, count: u64) -> Run {
    Run { run: number, mark: format!("mark of {number}"), count, link: format!("link {count}") }
}

/// The same count after a failover, when another message has it.
fn other(number: u64, count: u64) -> Run {
    Run { link: format!("other {count}"), ..run(number, count) }
}

/// Hears a message that follows the one that everybody knows.
fn hear(ear: &mut Ear, message: &Run) -> Verdict {
    ear.hear(message, &format!("link {}", message.count - 1))
}

/// A look that says all that was seen.
fn look(ear: &mut Ear, found: Run) -> bool {
    let claimed = ear.seen.clone();
    ear.look(&claimed, found)
}

/// One that has heard messages 1 … `count`.
fn ear(count: u64) -> Ear {
    let mut ear = Ear::default();
    look(&mut ear, run(1, 0));
    for at in 1..=count {
        assert_eq!(hear(&mut ear, &run(1, at)), Verdict::Next);
    }
    ear
}

#[test]
fn a_message_that_comes_twice_is_heard_once() {
    let mut ear = ear(3);
    for at in [3, 1, 2] {
        assert_eq!(hear(&mut ear, &run(1, at)), Verdict::Known);
    }
    assert!(!ear.is_in_doubt);
}

#[test]
fn a_gap_is_found_by_the_next_message() {
    let mut ear = ear(3);
    assert_eq!(hear(&mut ear, &run(1, 6)), Verdict::Gap);
    assert_eq!(hear(&mut ear, &run(1, 5)), Verdict::Known, "what is kept has it");
    assert_eq!(hear(&mut ear, &run(1, 7)), Verdict::Next);
    assert!(!ear.is_in_doubt);
}

#[test]
fn a_gap_at_the_end_is_found_by_the_second_look() {
    let mut ear = ear(3);
    assert!(!look(&mut ear, run(1, 3)));
    assert!(!look(&mut ear, run(1, 5)), "they may be on their way");
    assert_eq!(hear(&mut ear, &run(1, 4)), Verdict::Next);
    assert!(look(&mut ear, run(1, 6)), "the fifth has not come");
    assert_eq!(hear(&mut ear, &run(1, 5)), Verdict::Known, "what is kept has it");
    assert_eq!(hear(&mut ear, &run(1, 6)), Verdict::Next);
    assert!(!look(&mut ear, run(1, 6)));
}

#[test]
fn the_first_look_has_what_is_kept_read_as_messages_up_to_it_count_as_heard() {
    let mut ear = Ear::default();
    assert!(look(&mut ear, run(1, 3)));
    assert_eq!(hear(&mut ear, &run(1, 3)), Verdict::Known);
}

#[test]
fn another_message_with_a_known_count_shows_that_one_was_taken_back() {
    let mut ear = ear(3);
    assert_eq!(hear(&mut ear, &other(1, 3)), Verdict::Gap);
    assert!(ear.is_in_doubt);
    assert!(look(&mut ear, run(2, 0)), "the numbering begins again");
    assert_eq!(hear(&mut ear, &run(1, 4)), Verdict::Known, "too late");
    assert_eq!(hear(&mut ear, &run(2, 1)), Verdict::Next);
}

#[test]
fn a_message_that_follows_another_one_than_was_heard_shows_that_one_was_taken_back() {
    let mut ear = ear(3);
    assert_eq!(ear.hear(&run(1, 4), "other 3"), Verdict::Gap);
    assert!(ear.is_in_doubt);
}

#[test]
fn another_numbering_is_noticed_by_its_first_message() {
    let mut ear = ear(3);
    assert_eq!(hear(&mut ear, &run(2, 1)), Verdict::Gap);
    assert_eq!(hear(&mut ear, &run(2, 2)), Verdict::Next);
    let other = Run { mark: "other".into(), ..run(2, 1) };
    assert_eq!(hear(&mut ear, &other), Verdict::Gap);
    assert!(ear.is_in_doubt, "two numberings with one number");
}

#[test]
fn only_the_last_of_messages_without_a_gap_is_to_be_compared() {
    let mut ear = ear(3);
    assert_eq!(ear.seen.points(), "3 link 3");
    // The answers of two calls at a time, and then what they have published.
    let claimed = ear.seen.clone();
    ear.saw(&claimed, &run(1, 5));
    ear.saw(&claimed, &run(1, 4));
    assert_eq!(ear.seen.points(), "4 link 4 5 link 5");
    hear(&mut ear, &run(1, 4));
    hear(&mut ear, &run(1, 5));
    assert_eq!(ear.seen.points(), "5 link 5");
}

#[test]
fn what_was_seen_before_a_gap_is_compared_before_it_is_forgotten() {
    let mut ear = ear(3);
    let early = ear.seen.clone();
    hear(&mut ear, &run(1, 4));
    // After a failover that took back the fourth, which nobody here heard of.
    ear.hear(&other(1, 6), "other 5");
    assert_eq!(ear.seen.points(), "4 link 4 6 other 6");
    // An answer to a call from before says nothing about the fourth.
    ear.saw(&early, &other(1, 6));
    assert_eq!(ear.seen.points(), "4 link 4 6 other 6");
    let claimed = ear.seen.clone();
    ear.saw(&claimed, &other(1, 7));
    assert_eq!(ear.seen.points(), "7 other 7");
}

#[test]
fn too_many_gaps_to_be_compared_have_the_numbering_begin_again() {
    let mut ear = ear(1);
    for gap in 1..POINTS_MAX as u64 {
        hear(&mut ear, &run(1, 1 + 2 * gap));
    }
    assert!(!ear.is_in_doubt);
    hear(&mut ear, &run(1, 1 + 2 * POINTS_MAX as u64));
    assert!(ear.is_in_doubt);
    assert!(ear.seen.points.len() <= POINTS_MAX);
}
