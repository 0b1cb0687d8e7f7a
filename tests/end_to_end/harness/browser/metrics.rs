//! Another size or pixel density of an open window: it is shown, turned, or moved to another screen.

use serde_json::json;

use super::{Window, devtools::DevTools};

/// Keeps a window at a size of its own; dropped, the window has the one it was opened with.
pub struct Metrics {
    tools: DevTools,
    mobile: bool,
}

impl Window<'_> {
    /// Takes over what the page believes its screen to be.
    pub fn metrics(&self, mobile: bool) -> Metrics {
        Metrics { tools: DevTools::connect(self), mobile }
    }
}

impl Metrics {
    /// Sets the size in CSS pixels, and how many pixels of the screen one of them has.
    pub fn set(&mut self, width: u32, height: u32, ratio: f64) {
        let metrics = json!({
            "width": width,
            "height": height,
            "deviceScaleFactor": ratio,
            "mobile": self.mobile,
        });
        self.tools.command("Emulation.setDeviceMetricsOverride", metrics);
    }
}
