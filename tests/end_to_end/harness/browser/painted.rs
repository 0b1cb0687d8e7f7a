//! What is on the page's canvases, read back pixel by pixel.

use serde_json::Value;

use super::Window;

/// Red, green and blue.
pub type Colour = [u8; 3];

/// By way of another canvas: reading the page's own would change how it is drawn.
const COPY: &str = "
    const canvas = document.querySelector(arguments[0].canvas);
    const { width, height } = canvas;
    const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, width, height);
    const colourAt = (at) => [...data.slice(at * 4, at * 4 + 3)];";

/// How strongly the painted map differs from a blank sheet.
#[derive(Debug)]
pub struct Texture {
    /// How many colours there are.
    pub colours: u64,
    /// The share of pixels that differ from the most frequent colour by a contrast of 1.4 to 1 or more.
    pub drawn: f64,
}

impl Window<'_> {
    fn read(&self, canvas: &str, script: &str) -> Value {
        self.evaluate(&format!("{COPY}{script}"), serde_json::json!({ "canvas": canvas }))
    }

    /// What the map is painted with.
    pub fn texture(&self) -> Texture {
        let script = "
            const counts = new Map();
            for (const pixel of new Uint32Array(data.buffer)) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
            const linear = (value) => (value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4);
            const light = (pixel) => 0.05 + 0.2126 * linear(pixel & 255)
                + 0.7152 * linear((pixel >> 8) & 255) + 0.0722 * linear((pixel >> 16) & 255);
            const [[sheet]] = [...counts].sort((a, b) => b[1] - a[1]);
            let drawn = 0;
            for (const [pixel, count] of counts) {
                const ratio = light(pixel) / light(sheet);
                if (Math.max(ratio, 1 / ratio) >= 1.4) drawn += count;
            }
            return [counts.size, drawn / (width * height)]";
        let found = self.read(".painted", script);
        Texture {
            colours: found[0].as_u64().expect("a number"),
            drawn: found[1].as_f64().expect("a number"),
        }
    }

    /// The colour of the painted map at a point, counted in CSS pixels from its middle.
    pub fn painted_at(&self, x: f64, y: f64) -> Colour {
        let script = format!(
            "const ratio = width / canvas.clientWidth;
            const [x, y] = [width / 2 + {x} * ratio, height / 2 + {y} * ratio].map(Math.floor);
            return colourAt(y * width + x)"
        );
        serde_json::from_value(self.read(".painted", &script)).expect("a colour")
    }

    /// The colours along a line through the middle of a canvas, from the left to the right or else
    /// from the top to the bottom; `at` is where it lies on the other axis, from 0 to 1.
    pub fn colours_along(&self, canvas: &str, horizontal: bool, at: f64) -> Vec<Colour> {
        let script = format!(
            "const horizontal = {horizontal};
            const across = Math.floor({at} * (horizontal ? height : width));
            return Array.from({{ length: horizontal ? width : height }}, (_, along) =>
                colourAt(horizontal ? across * width + along : along * width + across))"
        );
        serde_json::from_value(self.read(canvas, &script)).expect("a list of colours")
    }
}

/// How well two colours are told apart, from 1 to 21, as WCAG has it.
pub fn contrast(one: Colour, other: Colour) -> f64 {
    let light = |colour: Colour| {
        let [red, green, blue] = colour.map(|value| {
            let value = f64::from(value) / 255.;
            if value <= 0.04 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
    };
    let ratio = light(one) / light(other);
    ratio.max(1. / ratio)
}
