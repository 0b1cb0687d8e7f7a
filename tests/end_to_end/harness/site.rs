//! The page's files as a folder, as `page.path` wants it.

use std::{fs, path::Path};

/// Copies `templates/` and `static/` of the repository into `folder`.
pub fn copy_page(folder: &Path) {
    for part in ["templates", "static"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(part);
        fs::create_dir(folder.join(part)).expect("a folder can be made");
        for entry in fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            let to = folder.join(part).join(entry.file_name());
            fs::copy(entry.path(), to).expect("a file can be copied");
        }
    }
}
