//! How much script a page runs on its main thread for each frame, from a trace of Chromium's.
//!
//! What counts is the processor time (not the time on the clock, which on a busy machine is mostly
//! waiting) of the outermost pieces of script: event listeners, timers, animation frames, modules,
//! microtasks, and collecting garbage. A frame lies between two of the page's main frames. Where no
//! frame was drawn for longer than a screen of 60 Hz takes for one, that time counts as so many
//! frames of 16.7 ms: a page that draws nothing still has to leave room for the next frame.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

use super::{Window, devtools::DevTools};

const SCRIPT: [&str; 12] = [
    "EvaluateScript",
    "EventDispatch",
    "FireAnimationFrame",
    "FireIdleCallback",
    "FunctionCall",
    "MajorGC",
    "MinorGC",
    "RunMicrotasks",
    "TimerFire",
    "v8.callFunction",
    "v8.compileModule",
    "v8.evaluateModule",
];

/// Begins when the page starts to draw, with its animation frames.
const FRAME: &str = "AnimationFrame::Render";
const FRAME_US: f64 = 1e6 / 60.;

/// Script time per frame.
pub struct Frames {
    /// Milliseconds for each frame, in ascending order.
    script_ms: Vec<f64>,
    drawn: usize,
    /// The longest piece of all, by name and function.
    longest: String,
}

impl Window<'_> {
    /// Measures the page while `action` goes on.
    pub fn measure_frames(&self, action: impl FnOnce()) -> Frames {
        let mut tools = DevTools::connect(self);
        let categories = ["devtools.timeline", "v8"];
        let config =
            json!({ "includedCategories": categories, "recordMode": "recordAsMuchAsPossible" });
        tools.command("Tracing.start", json!({ "traceConfig": config }));
        action();
        tools.command("Tracing.end", json!({}));
        let events = tools.events_until("Tracing.tracingComplete");
        let pieces = events.iter().filter(|event| event["method"] == "Tracing.dataCollected");
        let trace: Vec<_> = pieces
            .flat_map(|piece| piece["params"]["value"].as_array().expect("a list of events"))
            .collect();
        Frames::read(&trace)
    }
}

impl Frames {
    fn read(trace: &[&Value]) -> Self {
        let main = main_thread(trace);
        let on_main = trace.iter().filter(|event| thread(event) == main);
        let mut begins = vec![];
        let mut pieces = vec![];
        for event in on_main {
            let name = event["name"].as_str().unwrap_or_default();
            let at = event["ts"].as_f64().unwrap_or_default();
            if begins_frame(event) {
                begins.push(at);
            } else if event["ph"] == "X" && SCRIPT.contains(&name) {
                let took = event["dur"].as_f64().unwrap_or_default();
                // On virtual machines the thread's clock sometimes leaps ahead of the wall's.
                let worked = event["tdur"].as_f64().unwrap_or(took).min(took);
                pieces.push((at, at + took, worked, *event));
            }
        }
        begins.sort_by(f64::total_cmp);
        pieces.sort_by(|one, other| one.0.total_cmp(&other.0));
        let drawn = begins.len();
        let begins = with_frames_not_drawn(&begins);
        assert!(begins.len() > 1, "the page drew no frames");

        let mut script_ms = vec![0.; begins.len() - 1];
        let mut outermost_ends = f64::MIN;
        let mut longest = (0., String::new());
        for (at, end, worked, event) in pieces {
            if at < outermost_ends {
                continue;
            }
            outermost_ends = end;
            if worked > longest.0 {
                let data = &event["args"]["data"];
                let what = format!("{} {} {}", event["name"], data["functionName"], data["type"]);
                longest = (worked, format!("{:.2} ms {}", worked / 1000., what.replace('"', "")));
            }
            let frame = begins.partition_point(|begin| *begin <= at);
            if (1..begins.len()).contains(&frame) {
                script_ms[frame - 1] += worked / 1000.;
            }
        }
        script_ms.sort_by(f64::total_cmp);
        Self { script_ms, drawn, longest: longest.1 }
    }

    /// How many frames were drawn.
    pub fn drawn(&self) -> usize {
        self.drawn
    }

    /// So many in a thousand frames took at most this many milliseconds.
    pub fn quantile(&self, per_mille: usize) -> f64 {
        self.script_ms[(self.script_ms.len() - 1) * per_mille / 1000]
    }
}

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "script per frame: {:.2} ms in the median, {:.2} ms for 95 %, {:.2} ms for 99 %, {:.2} \
             ms at most ({} frames, {} drawn; longest piece: {})",
            self.quantile(500),
            self.quantile(950),
            self.quantile(990),
            self.quantile(1000),
            self.script_ms.len(),
            self.drawn,
            self.longest,
        )
    }
}

type Thread = (Option<u64>, Option<u64>);

fn thread(event: &Value) -> Thread {
    (event["pid"].as_u64(), event["tid"].as_u64())
}

/// An asynchronous event, of which the end has the same name.
fn begins_frame(event: &Value) -> bool {
    event["name"] == FRAME && event["ph"] == "b"
}

/// The thread that begins the most main frames: other windows of the browser have none.
fn main_thread(trace: &[&Value]) -> Thread {
    let mut frames = BTreeMap::<Thread, usize>::new();
    for event in trace.iter().filter(|event| begins_frame(event)) {
        *frames.entry(thread(event)).or_default() += 1;
    }
    let most = frames.into_iter().max_by_key(|(_, count)| *count);
    most.expect("the page draws frames").0
}

fn with_frames_not_drawn(begins: &[f64]) -> Vec<f64> {
    let mut all = vec![];
    for pair in begins.windows(2) {
        all.push(pair[0]);
        let mut next = pair[0] + FRAME_US;
        // Half a frame more: screens and timers are not exact.
        while next + FRAME_US / 2. < pair[1] {
            all.push(next);
            next += FRAME_US;
        }
    }
    all.extend(begins.last());
    all
}

#[test]
fn script_is_counted_once_and_for_the_frame_in_which_it_began() {
    let event = |name: &str, at: f64, took: f64, worked: f64| {
        let phase = if name == FRAME { "b" } else { "X" };
        json!({ "name": name, "ph": phase, "pid": 1, "tid": 1, "ts": at, "dur": took, "tdur": worked })
    };
    let trace = [
        event(FRAME, 0., 0., 0.),
        event("FunctionCall", 1_100., 3_000., 2_000.),
        event("EventDispatch", 1_000., 4_000., 3_000.),
        event("TimerFire", 9_000., 1_500., 1_000.),
        event(FRAME, 16_000., 0., 0.),
        event("Layout", 17_000., 9_000., 9_000.),
        event(FRAME, 82_000., 0., 0.),
    ];
    let frames = Frames::read(&trace.iter().collect::<Vec<_>>());
    assert_eq!(frames.drawn(), 3);
    assert_eq!(frames.script_ms, [0., 0., 0., 0., 4.], "one frame drawn, then four that could be");
}
