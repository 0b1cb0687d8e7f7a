//! The programs by which the tests judge the file of the operators' API, and the API by that file. Both come from PyPI.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    process::Workspace,
    python::{self, Package},
};

/// Judges the file by the schemas of OpenAPI.
const VALIDATOR: Package =
    Package { name: "openapi-spec-validator", version: "0.9.0", alone: false };

/// Asks a server whatever the file allows and forbids, and compares each answer with it.
const SCHEMATHESIS: Package = Package { name: "schemathesis", version: "4.32.5", alone: false };

/// Puts both where the tests look for them: `openapi/validator` and `openapi/schemathesis` in the target folder.
pub fn install(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("openapi");
    fs::create_dir_all(&folder).context("cannot write into the target folder")?;
    python::install(VALIDATOR, &folder.join("validator"))?;
    python::install(SCHEMATHESIS, &folder.join("schemathesis"))?;
    Ok(())
}
