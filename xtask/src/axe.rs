//! axe-core, which the browser tests run inside the page to judge its accessibility. It is half a
//! megabyte of somebody else's script, so it is fetched and not kept in the repository.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    process::{self, Workspace},
    python::{self, Package},
};

/// Carries axe-core 4.12.1; what it is for besides (Playwright) is left out.
const PACKAGE: Package = Package { name: "axe-playwright-python", version: "0.1.8", alone: true };

/// Puts the script where the tests look for it: `axe/axe.min.js` in the target folder.
pub fn install(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("axe");
    fs::create_dir_all(&folder).context("cannot write into the target folder")?;
    let programs = python::install(PACKAGE, &folder.join("venv"))?;
    let find = format!(
        "import importlib.metadata as m; print(*[f.locate() for f in m.files('{}') if f.name == \
         'axe.min.js'])",
        PACKAGE.name
    );
    let found = process::read(Command::new(programs.join("python3")).args(["-c", &find]))?;
    ensure!(!found.trim().is_empty(), "{} has no axe.min.js", PACKAGE.name);
    fs::copy(found.trim(), folder.join("axe.min.js")).context("cannot copy axe.min.js")?;
    Ok(())
}
