//! What the page says of itself, by its own `window.billion` and its elements, and whether that is
//! true.

use serde_json::Value;

use super::Window;
use crate::harness::{TILE, eventually, server::Server};

impl Window<'_> {
    /// Waits until a script returns something true.
    pub fn until(&self, script: &str) {
        let script = format!("return Boolean({script})");
        eventually(&script, || (self.evaluate(&script, ()) == true).then_some(()));
    }

    /// Waits until the map stands still.
    pub fn until_landed(&self) {
        self.until("!billion.flying");
    }

    /// The id of the element that has the focus; empty if it has none.
    pub fn focused(&self) -> String {
        self.text("return document.activeElement.id", Value::Null)
    }

    /// How the map is drawn: `board`, `boxes` or `close`.
    pub fn level(&self) -> String {
        self.text("return billion.level", Value::Null)
    }

    /// CSS pixels per box.
    pub fn zoom(&self) -> f64 {
        self.number("billion.zoom")
    }

    /// Players online, as the page was told.
    pub fn players(&self) -> u32 {
        self.number("billion.players") as u32
    }

    /// Checked boxes of a tile, as the overview knows them; `None` before it knows anything.
    pub fn census(&self, tile: u32) -> Option<u32> {
        self.evaluate("return billion.census(arguments[0]) ?? null", tile)
            .as_u64()
            .map(|n| n as u32)
    }

    /// Elements of the document.
    pub fn elements(&self) -> u32 {
        self.number("document.querySelectorAll('*').length") as u32
    }

    /// What a JavaScript expression says, which must be a number.
    pub fn number(&self, expression: &str) -> f64 {
        let value = self.evaluate(&format!("return {expression}"), ());
        value.as_f64().unwrap_or_else(|| panic!("{expression} is {value}"))
    }

    /// Red, green and blue of the small map in the middle of a tile of a board of 100 x 100 tiles.
    pub fn overview_colour(&self, tile: u32) -> Vec<u8> {
        let script = "
            const canvas = document.querySelector('#overview canvas');
            const x = (arguments[0] % 100 + 0.5) / 100 * canvas.width;
            const y = (Math.floor(arguments[0] / 100) + 0.5) / 100 * canvas.height;
            // By way of another canvas: reading the page's own would change how it is drawn.
            const pixel = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
            pixel.drawImage(canvas, x, y, 1, 1, 0, 0, 1, 1);
            return [...pixel.getImageData(0, 0, 1, 1).data.slice(0, 3)]";
        serde_json::from_value(self.evaluate(script, tile)).expect("a colour")
    }

    /// The ids of the boxes of a tile that the page holds for checked; `None` while it does not know
    /// the whole tile.
    fn known_of(&self, tile: u32, boxes: u32) -> Option<Vec<u32>> {
        let script = "
            const [first, last] = arguments[0];
            const ids = [];
            for (let id = first; id <= last; id++) {
                const state = billion.stateOf(id);
                if (state === 'unknown') return null;
                if (state === 'checked') ids.push(id);
            }
            return ids";
        let last = (tile * TILE + TILE).min(boxes);
        let known = self.evaluate(script, vec![tile * TILE + 1, last]);
        serde_json::from_value(known).expect("a list of ids or nothing")
    }

    /// Waits until the page knows of these tiles exactly what the server answers for them, bit for
    /// bit, and then looks at every checkbox on the screen.
    pub fn until_same_as(&self, server: &Server, tiles: &[u32], boxes: u32) {
        let mut client = server.client();
        for tile in tiles {
            let last = (tile * TILE + TILE).min(boxes);
            let truth = client.range(tile * TILE + 1, last, &mut vec![]);
            eventually(&format!("tile {tile} to be as the server has it"), || {
                self.known_of(*tile, boxes).filter(|known| *known == truth)
            });
        }
        let seen = "return [...document.querySelectorAll('#board input.box[data-id]')]
            .filter((box) => box.offsetParent && box.dataset.state !== billion.stateOf(Number(box.dataset.id)))
            .map((box) => `${box.dataset.id} ${box.dataset.state}`)";
        assert_eq!(self.evaluate(seen, ()), serde_json::json!([]), "checkboxes that say otherwise");
    }
}
