//! Packages from PyPI, each in a virtual environment of its own inside the target folder, so that
//! nothing is installed into the system and a bare machine needs no more than Python.

use std::{path::Path, path::PathBuf, process::Command};

use anyhow::Result;

use crate::process;

/// What is to be installed. Pinned, so that a test today and in a year judge by the same.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Its name on PyPI.
    pub name: &'static str,
    /// The one version that is wanted.
    pub version: &'static str,
    /// Whether what it depends on is wanted as well.
    pub alone: bool,
}

/// Makes sure that `environment` holds the package; the folder of its programs.
pub fn install(package: Package, environment: &Path) -> Result<PathBuf> {
    let Package { name, version, alone } = package;
    let programs = environment.join("bin");
    let ask = format!("import importlib.metadata as m; print(m.version('{name}'))");
    let installed = process::read(Command::new(programs.join("python3")).args(["-c", &ask]));
    if installed.is_ok_and(|installed| installed.trim() == version) {
        return Ok(programs);
    }
    process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment))?;
    let wanted = format!("{name}=={version}");
    let mut pip = Command::new(programs.join("python3"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    if alone {
        pip.arg("--no-deps");
    }
    process::run(pip.arg(&wanted))?;
    Ok(programs)
}
