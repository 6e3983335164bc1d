//! The table that is printed, row by row.

use super::options::Options;
use super::process::{Bench, Side};
use super::workload::Workload;

/// The measurements of one workload.
pub struct Row<'a> {
    workload: &'a Workload,
    base: Vec<f64>,
    ours: Vec<f64>,
}

impl<'a> Row<'a> {
    /// A row without measurements.
    pub fn new(workload: &'a Workload) -> Self {
        Self {
            workload,
            base: Vec::new(),
            ours: Vec::new(),
        }
    }

    /// Adds a measurement; the n-th of one side is compared with the n-th of the other.
    pub fn add(&mut self, side: Side, cost: f64) {
        match side {
            Side::Base => self.base.push(cost),
            Side::Ours => self.ours.push(cost),
        }
    }

    /// How many times less ours costs, round by round.
    fn ratios(&self) -> Vec<f64> {
        self.base
            .iter()
            .zip(&self.ours)
            .map(|(base, ours)| base / ours)
            .collect()
    }

    fn cost(&self, side: &[f64]) -> String {
        match (median(side), &self.workload.unit) {
            (None, _) => "-".into(),
            (Some(figure), Some(unit)) => format!("{} {unit}", digits(figure)),
            (Some(seconds), None) => {
                let per = if self.workload.bytes.is_some() {
                    "/MB"
                } else {
                    ""
                };
                format!("{}{per}", duration(seconds))
            }
        }
    }

    fn ratio(&self) -> String {
        let ratios = self.ratios();
        let Some(middle) = median(&ratios) else {
            return "-".into();
        };
        let low = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let high = ratios.iter().copied().fold(0.0, f64::max);
        format!("{} ({}-{})", digits(middle), digits(low), digits(high))
    }

    fn target(&self) -> String {
        match (self.workload.target, self.workload.limit) {
            (Some(target), _) => format!("{target}"),
            (_, Some(limit)) => format!("< {}", self.cost(&[limit])),
            _ => String::new(),
        }
    }

    fn verdict(&self) -> &'static str {
        let reached = match (self.workload.target, self.workload.limit) {
            (Some(target), _) => median(&self.ratios()).map(|ratio| round2(ratio) >= target),
            (_, Some(limit)) => median(&self.ours).map(|cost| cost <= limit),
            _ => None,
        };
        match reached {
            Some(true) => "ok",
            Some(false) => "below",
            None => "",
        }
    }
}

/// Prints rows under a heading, as plain text or Markdown.
pub struct Table {
    markdown: bool,
    base: &'static str,
    ours: &'static str,
    title: String,
    below: usize,
    rows: usize,
}

impl Table {
    /// A table of what `bench` measures.
    pub fn new(options: &Options, bench: &Bench) -> Self {
        let base = match options.base.as_deref() {
            _ if !bench.compares() => "-",
            None => "C",
            Some(_) => "base",
        };
        let ours = if options.noise { "C again" } else { "ours" };
        let title = format!("{}, CPU time per operation", bench.title());
        Self {
            markdown: options.markdown,
            base,
            ours,
            title,
            below: 0,
            rows: 0,
        }
    }

    /// Prints the heading.
    pub fn head(&self) {
        if !self.markdown {
            println!("{}", self.title);
        }
        self.line([
            "workload",
            self.base,
            self.ours,
            "times better (min-max)",
            "target",
            "",
        ]);
        if self.markdown {
            println!("|---|--:|--:|--:|--:|---|");
        }
    }

    /// Prints a row.
    pub fn row(&mut self, row: &Row) {
        let verdict = row.verdict();
        self.rows += 1;
        self.below += usize::from(verdict == "below");
        let (base, ours) = (row.cost(&row.base), row.cost(&row.ours));
        self.line([
            &row.workload.name,
            &base,
            &ours,
            &row.ratio(),
            &row.target(),
            verdict,
        ]);
    }

    /// Prints the summary.
    pub fn foot(&self) {
        if !self.markdown {
            println!("{} workloads, {} below their target", self.rows, self.below);
        }
    }

    fn line(&self, cells: [&str; 6]) {
        let [name, base, ours, ratio, target, verdict] = cells;
        if self.markdown {
            println!("| {name} | {base} | {ours} | {ratio} | {target} | {verdict} |");
        } else {
            println!("{name:<30} {base:>16} {ours:>16} {ratio:>24} {target:>16} {verdict}");
        }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "us"),
        s => (s * 1e3, "ms"),
    };
    format!("{} {unit}", digits(value))
}

/// Three digits that say something.
fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn round2(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
