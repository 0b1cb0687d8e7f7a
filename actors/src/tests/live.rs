//! Settings that change while sessions last.

use super::*;

/// Whatever comes for two checks, the refusal first: the other one has a longer way.
async fn two_answers(client: &mut Client) -> [Vec<u8>; 2] {
    let mut answers = [client.frame().await, client.frame().await];
    answers.sort_by_key(Vec::len);
    answers
}

#[test]
fn a_session_follows_changed_limits_at_its_next_message() {
    let store = TestStore::new(1000, 1, FREELY);
    run(settings(), &store, async |desk| {
        let mut client = Client::connect(&desk, Version::V2).await;
        client.send(&[1]).await;
        assert_eq!(client.frame().await, [1, 0, 0, 0, 1, 0, 0, 0], "no limit");
        desk.node.live.send_modify(|live| live.checks = Rate::new(0.001, 1));
        client.send(&[2]).await;
        client.send(&[3]).await;
        let answers = two_answers(&mut client).await;
        assert_eq!(answers, [vec![3, 0, 0, 0, 4], vec![2, 0, 0, 0, 2, 0, 0, 0]], "a burst of one");
        desk.node.live.send_modify(|live| live.checks = Rate::new(0.0, 0));
        client.send(&[3]).await;
        assert_eq!(client.frame().await, [3, 0, 0, 0, 3, 0, 0, 0], "no limit again");

        client.send(&[1, 8]).await;
        assert_eq!(client.frame().await.len(), 9, "eight bytes are small enough");
        desk.node.live.send_modify(|live| live.frames.message_bytes = 4);
        client.send(&[1, 8]).await;
        assert_eq!(client.frame().await[..2], 1009_u16.to_be_bytes(), "and then they are not");
    });
}
