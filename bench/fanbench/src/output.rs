//! A result, printed as one JSON line.

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};
use std::io::Write;

#[derive(Args, Clone)]
pub struct Output {
    /// Name of what is measured, repeated in the result.
    #[arg(long, default_value = "target")]
    label: String,
    /// Which repetition this is, repeated in the result: ratios are taken within one repetition.
    #[arg(long, default_value_t = 1)]
    rep: u64,
}

impl Output {
    /// Prints `{"workload","label","rep","params","metrics"}`.
    pub fn emit(&self, workload: &str, params: &[(&str, u64)], metrics: &[(&str, f64)]) -> Result<()> {
        let params: Map<_, _> = params
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
            .collect();
        let rounded = |value: f64| Value::from((value * 1000.0).round() / 1000.0);
        let metrics: Map<_, _> = metrics
            .iter()
            .map(|(name, value)| ((*name).to_owned(), rounded(*value)))
            .collect();
        let record =
            json!({"workload": workload, "label": self.label, "rep": self.rep, "params": params, "metrics": metrics});
        writeln!(std::io::stdout(), "{record}")?;
        Ok(())
    }
}
