//! Fingers, wheel and mouse at points of the screen, through WebDriver's own actions: what Chromium
//! makes of them (taps, clicks, cancelled pointers) is up to it, as on a phone or a desk.

use serde_json::{Value, json};

use super::{Screen, Window};

/// Between two positions of a finger, as a screen of 60 Hz would report them.
const STEP_MS: u64 = 16;

/// A way of one finger: where it comes down, and where it is lifted.
#[derive(Debug, Clone, Copy)]
pub struct Stroke {
    /// Pixels from the left and the top of the window.
    pub from: (f64, f64),
    /// The same.
    pub to: (f64, f64),
}

impl Window<'_> {
    /// Touches a point for a moment.
    pub fn tap(&self, at: (f64, f64)) {
        self.touch(&[Stroke { from: at, to: at }], 1, 0);
    }

    /// Touches the middle of what `selector` finds.
    pub fn tap_on(&self, selector: &str) {
        self.tap(self.middle_of(selector));
    }

    /// Touches the middle of what `selector` finds on a phone, and clicks it on a desk.
    pub fn tap_or_click(&self, screen: Screen, selector: &str) {
        if screen.phone { self.tap_on(selector) } else { self.click_on(selector) }
    }

    /// Drags a finger, and keeps it still for a moment before lifting it, so that it is no flick.
    pub fn swipe(&self, stroke: Stroke) {
        self.touch(&[stroke], 12, 150);
    }

    /// Two fingers at once around `centre`, `from` pixels apart and then `to` pixels.
    pub fn pinch(&self, centre: (f64, f64), from: f64, to: f64) {
        self.pinch_in_steps(centre, from, to, 12);
    }

    /// The same, as slowly as so many positions of the fingers take.
    pub fn pinch_in_steps(&self, centre: (f64, f64), from: f64, to: f64, steps: u32) {
        let finger = |side: f64| Stroke {
            from: (centre.0 + side * from / 2., centre.1),
            to: (centre.0 + side * to / 2., centre.1),
        };
        self.touch(&[finger(-1.), finger(1.)], steps, 150);
    }

    /// Clicks a point with the mouse.
    pub fn click_at(&self, (x, y): (f64, f64)) {
        let actions = json!([
            { "type": "pointerMove", "duration": 0, "x": x as i64, "y": y as i64 },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        self.driver_command(
            "actions",
            &json!({ "actions": [
            { "type": "pointer", "id": "mouse", "actions": actions },
        ] }),
        );
    }

    /// Clicks the middle of what `selector` finds, which is scrolled into sight where that takes it.
    pub fn click_on(&self, selector: &str) {
        let show = "document.querySelector(arguments[0]).scrollIntoView({ block: 'nearest' })";
        self.evaluate(show, selector);
        self.click_at(self.middle_of(selector));
    }

    /// Drags with the mouse over a distance, in so many steps of a frame each.
    pub fn drag_slowly(&self, from: (f64, f64), by: (i64, i64), steps: usize) {
        let mut actions = vec![
            json!({ "type": "pointerMove", "duration": 0, "x": from.0 as i64, "y": from.1 as i64 }),
            json!({ "type": "pointerDown", "button": 0 }),
        ];
        for step in 1..=steps as i64 {
            let part = |whole: i64| whole * step / steps as i64;
            let (x, y) = (from.0 as i64 + part(by.0), from.1 as i64 + part(by.1));
            actions.push(json!({ "type": "pointerMove", "duration": STEP_MS, "x": x, "y": y }));
        }
        actions.push(json!({ "type": "pointerUp", "button": 0 }));
        self.driver_command(
            "actions",
            &json!({ "actions": [
            { "type": "pointer", "id": "mouse", "actions": actions },
        ] }),
        );
    }

    /// Turns the wheel `times` times by (x, y) pixels over a point, with Ctrl held down or not.
    pub fn turn_wheel(&self, at: (f64, f64), (dx, dy): (i64, i64), times: usize, with_ctrl: bool) {
        let turn = json!({
            "type": "scroll",
            "duration": STEP_MS,
            "x": at.0 as i64,
            "y": at.1 as i64,
            "deltaX": dx,
            "deltaY": dy,
        });
        let mut sources =
            vec![json!({ "type": "wheel", "id": "wheel", "actions": vec![turn; times] })];
        if with_ctrl {
            let control = "\u{E009}";
            let mut keys = vec![json!({ "type": "keyDown", "value": control })];
            keys.extend(vec![json!({ "type": "pause" }); times]);
            keys.push(json!({ "type": "keyUp", "value": control }));
            // One tick later, so that the key is down before the wheel turns.
            let wheel = sources[0]["actions"].as_array_mut().expect("just made");
            wheel.insert(0, json!({ "type": "pause" }));
            sources.push(json!({ "type": "key", "id": "keys", "actions": keys }));
        }
        self.driver_command("actions", &json!({ "actions": sources }));
    }

    /// The middle of what `selector` finds, which must be on the screen.
    pub fn middle_of(&self, selector: &str) -> (f64, f64) {
        let script = "
            const found = document.querySelector(arguments[0])?.getBoundingClientRect();
            return found && [found.x + found.width / 2, found.y + found.height / 2]";
        let middle = self.evaluate(script, selector);
        let (x, y) = (middle[0].as_f64(), middle[1].as_f64());
        x.zip(y).unwrap_or_else(|| panic!("nothing is {selector}"))
    }

    fn touch(&self, strokes: &[Stroke], steps: u32, rest_ms: u64) {
        let fingers: Vec<_> = strokes
            .iter()
            .enumerate()
            .map(|(number, stroke)| {
                json!({
                    "type": "pointer",
                    "id": format!("finger {number}"),
                    "parameters": { "pointerType": "touch" },
                    "actions": way(*stroke, steps, rest_ms),
                })
            })
            .collect();
        self.driver_command("actions", &json!({ "actions": fingers }));
    }
}

fn way(Stroke { from, to }: Stroke, steps: u32, rest_ms: u64) -> Vec<Value> {
    let at = |x: f64, y: f64, duration: u64| {
        json!({
            "type": "pointerMove",
            "duration": duration,
            "x": x.round() as i64,
            "y": y.round() as i64,
            "origin": "viewport",
        })
    };
    let mut actions = vec![at(from.0, from.1, 0), json!({ "type": "pointerDown", "button": 0 })];
    if from != to {
        for step in 1..=steps {
            let share = f64::from(step) / f64::from(steps);
            let between = |from: f64, to: f64| from + (to - from) * share;
            actions.push(at(between(from.0, to.0), between(from.1, to.1), STEP_MS));
        }
    }
    actions.push(json!({ "type": "pause", "duration": rest_ms }));
    actions.push(json!({ "type": "pointerUp", "button": 0 }));
    actions
}
