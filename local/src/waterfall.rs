//! `cargo local --trace`: the waterfall of each request in the terminal.
//!
//! A request is printed when it has ended: each span below the one that caused it, with a bar in the time of the whole.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::{Duration, SystemTime};

use shared::runtime::spans::{Ended, Kind, Sink, Span, Tree, Trees, Value};

use crate::terminal::eprint_ignoring_epipe;

/// Width of the lines, in characters, where the terminal does not say its own.
const WIDTH: usize = 80;

/// Widest line: on a wide terminal a bar needs no more.
const WIDEST: usize = 140;

/// Width of a duration in milliseconds: `12345.6 ms`.
const DURATION: usize = 10;

/// Least width of the bars.
const LEAST_BAR: usize = 16;

/// Deepest level that is indented.
const DEEPEST: usize = 8;

/// Prints trees of spans to standard error, where the log is.
pub struct Waterfalls {
    trees: Trees,
    style: Style,
}

/// Look of the lines.
#[derive(Clone, Copy, Debug)]
struct Style {
    width: usize,
    has_colors: bool,
}

impl Waterfalls {
    /// Creates a printer. It has colours if standard error is a terminal that wants them.
    pub fn new() -> Self {
        let has_colors = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
        let width = columns().unwrap_or(WIDTH).clamp(40, WIDEST);
        Self { trees: Trees::default(), style: Style { width, has_colors } }
    }
}

impl Default for Waterfalls {
    fn default() -> Self {
        Self::new()
    }
}

impl Sink for Waterfalls {
    fn begin(&self, id: u64, parent: Option<u64>) {
        self.trees.begin(id, parent);
    }

    fn end(&self, span: Span) {
        // What ends after its request is not shown.
        if let Ended::Tree(tree) = self.trees.end(span) {
            eprint_ignoring_epipe(text(&tree, self.style).trim_end());
        }
    }
}

/// Lines of a tree.
fn text(tree: &Tree, style: Style) -> String {
    let Some((root, below)) = tree.spans.split_last() else { return String::new() };
    let mut children: HashMap<u64, Vec<&Span>> = HashMap::new();
    for span in below {
        children.entry(span.parent.unwrap_or(root.id)).or_default().push(span);
    }
    for spans in children.values_mut() {
        spans.sort_by_key(|span| span.start);
    }
    let mut rows = Vec::new();
    collect(root, 0, &mut children, &mut rows);
    // Those whose parent has not ended.
    let mut orphans: Vec<&Span> = children.into_values().flatten().collect();
    orphans.sort_by_key(|span| span.start);
    rows.extend(orphans.into_iter().map(|span| (1, span)));

    let label = |(depth, span): &(usize, &Span)| {
        let status = status(span).map(|status| format!(" {status}")).unwrap_or_default();
        let is_call = span.kind == Kind::Client && span.attribute("rpc.method").is_some();
        let arrow = if is_call { "→ " } else { "" };
        format!("{}{arrow}{}{status}", "  ".repeat((*depth).min(DEEPEST)), short(&span.name))
    };
    let labels: Vec<String> = rows.iter().map(label).collect();
    let most = style.width.saturating_sub(DURATION + LEAST_BAR + 4);
    let label_width = labels.iter().map(|it| it.chars().count()).max().unwrap_or(0).min(most);
    let bar_width = style.width.saturating_sub(label_width + DURATION + 4);
    let mut text = format!("{}\n", dim(&format!("trace {:032x}", root.trace), style));
    for ((_, span), label) in rows.iter().zip(&labels) {
        let (label, millis) = (cut(label, label_width), span.duration.as_secs_f64() * 1e3);
        let bar = bar(root, span, bar_width);
        let (label, bar) = (colored(&label, span, style), colored(&bar, span, style));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{label} │{bar}│{millis:7.1} ms");
    }
    if tree.left_out > 0 {
        let _ = writeln!(text, "and {} more spans", tree.left_out);
    }
    text
}

fn collect<'a>(
    span: &'a Span,
    depth: usize,
    children: &mut HashMap<u64, Vec<&'a Span>>,
    rows: &mut Vec<(usize, &'a Span)>,
) {
    rows.push((depth, span));
    for child in children.remove(&span.id).unwrap_or_default() {
        collect(child, depth + 1, children, rows);
    }
}

/// Name without the package of a service: `ProductService/HoldStock`.
fn short(name: &str) -> &str {
    match name.split_once('/') {
        Some((service, _)) if !service.is_empty() && !service.contains(' ') => {
            name.get(service.rfind('.').map_or(0, |dot| dot + 1)..).unwrap_or(name)
        }
        _ => name,
    }
}

/// Status of a request, code of a call that is not 0, or error of a command.
fn status(span: &Span) -> Option<String> {
    let shown = |value: &Value| match value {
        Value::Number(0) => None,
        Value::Number(number) => Some(number.to_string()),
        Value::Text(text) => Some(text.to_string()),
    };
    match span.attribute("http.response.status_code").or(span.attribute("rpc.grpc.status_code")) {
        Some(status) => shown(status),
        None => span.attribute("error.type").and_then(shown),
    }
}

/// Text of just this width.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() > width {
        let kept: String = text.chars().take(width.saturating_sub(1)).collect();
        return format!("{kept}…");
    }
    format!("{text:width$}")
}

/// Bar of a span in the time of its root.
fn bar(root: &Span, span: &Span, width: usize) -> String {
    let after = |time: SystemTime| time.duration_since(root.start).unwrap_or(Duration::ZERO);
    let whole = root.duration.as_nanos().max(1);
    let column = |time: Duration| {
        let column = time.as_nanos() * width as u128 / whole;
        usize::try_from(column).unwrap_or(width).min(width)
    };
    let first = column(after(span.start)).min(width.saturating_sub(1));
    let last = column(after(span.start) + span.duration).clamp(first + 1, width.max(first + 1));
    format!("{}{}{}", " ".repeat(first), "█".repeat(last - first), " ".repeat(width.saturating_sub(last)))
}

fn colored(text: &str, span: &Span, style: Style) -> String {
    let has = |name| span.attribute(name).is_some();
    let code = match span.is_failed {
        true => "31",
        false if has("db.system.name") => "32",
        false if has("rpc.method") => "36",
        false => "1",
    };
    if style.has_colors { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn dim(text: &str, style: Style) -> String {
    if style.has_colors { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn span(id: u64, parent: u64, name: &'static str, from: u64, to: u64) -> Span {
        Span {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            id,
            parent: (parent > 0).then_some(parent),
            xray: None,
            kind: Kind::Client,
            name: name.into(),
            start: UNIX_EPOCH + Duration::from_millis(from),
            duration: Duration::from_millis(to - from),
            attributes: Vec::new(),
            is_failed: false,
        }
    }

    fn printed(spans: Vec<Span>, width: usize) -> String {
        let trees = Trees::default();
        let root = spans.last().unwrap().id;
        trees.begin(root, None);
        let mut begun: Vec<&Span> = spans.iter().collect();
        begun.sort_by_key(|span| span.start);
        for span in begun.into_iter().filter(|span| span.id != root) {
            trees.begin(span.id, span.parent);
        }
        let mut ended = spans.into_iter().map(|span| trees.end(span));
        let Some(Ended::Tree(tree)) = ended.find(|ended| matches!(ended, Ended::Tree(_))) else { panic!() };
        text(&tree, Style { width, has_colors: false })
    }

    #[test]
    fn each_span_is_below_its_cause_with_a_bar_in_time() {
        let call = "oms.products.v1.ProductService/HoldStock";
        let answered = |mut span: Span, name, code: i64| {
            span.attributes.push((name, code.into()));
            span
        };
        let mut calling = span(3, 1, call, 20, 50);
        calling.attributes.push(("rpc.method", call.into()));
        let spans = vec![
            span(2, 1, "find orders", 0, 10),
            span(5, 4, "update products", 30, 40),
            answered(span(4, 3, call, 25, 45), "rpc.grpc.status_code", 0),
            answered(calling, "rpc.grpc.status_code", 14),
            answered(span(1, 0, "POST /orders", 0, 100), "http.response.status_code", 201),
        ];
        let expected = "\
trace 4bf92f3577b34da6a3ce929d0e0e4736
POST /orders 201                │████████████████████│  100.0 ms
  find orders                   │██                  │   10.0 ms
  → ProductService/HoldStock 14 │    ██████          │   30.0 ms
    ProductService/HoldStock    │     ████           │   20.0 ms
      update products           │      ██            │   10.0 ms
";
        assert_eq!(printed(spans, 65), expected);
    }

    #[test]
    fn a_line_fits_into_a_narrow_terminal() {
        let name = "DELETE /a/route/with/a/pattern/that/is/longer/than/the/terminal/{id}";
        let found = printed(vec![span(2, 1, "find orders", 0, 90), span(1, 0, name, 0, 50)], 60);
        assert!(found.lines().all(|line| line.chars().count() <= 60), "{found}");
        assert!(found.contains("…") && found.contains("50.0 ms"), "{found}");
    }
}
