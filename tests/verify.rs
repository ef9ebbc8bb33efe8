//! Every rule on this machine's adapter against the f64 reference.

use wgpu_optim::headless::Gpu;
use wgpu_optim::verify::verify;

#[test]
fn every_rule_is_within_its_bounds() {
    let gpu = Gpu::headless().unwrap_or_else(|e| panic!("{e}"));
    let report = verify(&gpu, |row| {
        let verdict = if row.passed() { "" } else { "FAILED" };
        println!("{:40} {:9} {:4} {verdict}", row.group, row.compared, row.unbounded);
        for worst in &row.worst {
            println!("    {:16} {:.3} {}", worst.what, worst.ratio, worst.place);
        }
    })
    .unwrap_or_else(|e| panic!("{e}"));
    println!("{}: worst |Δ| / bound {:.3}", report.adapter, report.worst());
    assert!(report.passed());
}
