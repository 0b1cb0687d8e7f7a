//! That the harness does what it says.

use super::*;

#[test]
fn a_cluster_forms() {
    let began = Instant::now();
    let cluster = Cluster::start();
    println!("formed in {:?}", began.elapsed());
}
