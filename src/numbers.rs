//! Numbers as people write them.

use indicatif::HumanCount;

/// `number` of things, `one` of which is called that: `1 box`, `1,234,567 boxes`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", HumanCount(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped_and_one_thing_has_its_own_word() {
        let boxes = [0, 1, 999, 1_000, u64::MAX].map(|number| counted(number, "box", "boxes"));
        let wanted =
            ["0 boxes", "1 box", "999 boxes", "1,000 boxes", "18,446,744,073,709,551,615 boxes"];
        assert_eq!(boxes, wanted);
    }
}
