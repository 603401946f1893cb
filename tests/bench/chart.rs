//! Line charts as SVG. Both axes are logarithmic, so that what grows in proportion is a straight line with the slope of the dashed one, be
//! it small or large.
//!
//! ```text
//!     values -> decades around them -> Scale, one an axis: value -> position
//!     caption, and charts two a row: frame, decades, dashed line, lines with marks, legend where rising lines leave room
//! ```
//!
//! Pure. Colours follow what the reader prefers, light or dark; lines can also be told apart by their marks. Deliberately absent: anything
//! but what these charts need.

use std::fmt::Write;

/// What is drawn in one frame.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// Above the frame.
    pub(crate) title: &'static str,
    /// What goes from left to right.
    pub(crate) x: Axis,
    /// What goes from bottom to top.
    pub(crate) y: Axis,
    /// At most as many as there are styles of lines.
    pub(crate) lines: Vec<Line>,
}

/// What an axis says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    /// What is counted, and in which unit.
    pub(crate) label: &'static str,
    /// A power of ten in few letters.
    pub(crate) tick: fn(f64) -> String,
}

/// A line through points, all of them above zero.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// In the legend.
    pub(crate) name: &'static str,
    /// In the order of x.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Charts beside each other.
const COLUMNS: usize = 2;
/// Size of a chart with all that belongs to it. All sizes are in pixels.
const CELL: (f64, f64) = (480.0, 360.0);
/// Between a chart's borders and its frame: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (72.0, 40.0, 20.0, 52.0);
/// Above all charts.
const CAPTION: f64 = 44.0;
/// From one line of a legend to the next.
const LEGEND: f64 = 18.0;

const STYLE: &str = "
  :root { --paper: #ffffff; --ink: #1f2328; --faint: #d8dee4; --dim: #59636e;
          --l0: #0969da; --l1: #bc4c00; --l2: #1a7f37; --l3: #8250df; }
  @media (prefers-color-scheme: dark) {
    :root { --paper: #0d1117; --ink: #e6edf3; --faint: #30363d; --dim: #9198a1;
            --l0: #58a6ff; --l1: #f0883e; --l2: #3fb950; --l3: #bc8cff; }
  }
  .paper { fill: var(--paper); }
  text { fill: var(--ink); font: 12px system-ui, sans-serif; }
  .title { font-size: 14px; font-weight: 600; }
  .dim { fill: var(--dim); }
  .frame { fill: none; stroke: var(--dim); }
  .grid { stroke: var(--faint); }
  .guide { stroke: var(--dim); stroke-dasharray: 4 4; }
  .line { fill: none; stroke-width: 2; }
  .c0 { stroke: var(--l0); } .c1 { stroke: var(--l1); } .c2 { stroke: var(--l2); } .c3 { stroke: var(--l3); }
  .m0 { fill: var(--l0); } .m1 { fill: var(--l1); } .m2 { fill: var(--l2); } .m3 { fill: var(--l3); }
";

/// From values to positions along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    /// Exponents of ten at both ends.
    decades: (i32, i32),
    /// Their positions.
    positions: (f64, f64),
}

impl Scale {
    /// Whole decades around all values, and at least one.
    fn around(values: impl Iterator<Item = f64>, positions: (f64, f64)) -> Self {
        let exponents = values.filter(|value| *value > 0.0).map(f64::log10);
        let (low, high) = exponents.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), exponent| {
            (low.min(exponent), high.max(exponent))
        });
        let decades = if low.is_finite() {
            let first = low.floor() as i32;
            (first, (high.ceil() as i32).max(first + 1))
        } else {
            (0, 1)
        };
        Self { decades, positions }
    }

    fn at(&self, value: f64) -> f64 {
        let (first, last) = (f64::from(self.decades.0), f64::from(self.decades.1));
        let (begin, end) = self.positions;
        begin + (value.log10() - first) / (last - first) * (end - begin)
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.decades.0..=self.decades.1).map(|exponent| 10f64.powi(exponent))
    }
}

/// A picture of all charts below a caption.
pub(crate) fn svg(caption: &str, charts: &[Chart]) -> String {
    let columns = charts.len().clamp(1, COLUMNS);
    let width = CELL.0 * columns as f64;
    let height = CAPTION + CELL.1 * charts.len().div_ceil(COLUMNS) as f64;
    let mut picture = Picture(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n",
        escape(caption)
    ));
    picture.path("paper", &format!("M0 0H{width}V{height}H0z"));
    picture.text("dim", "start", (16.0, 28.0), caption);
    for (number, chart) in charts.iter().enumerate() {
        let left = CELL.0 * (number % COLUMNS) as f64;
        let top = CAPTION + CELL.1 * (number / COLUMNS) as f64;
        picture.element(&format!("g transform=\"translate({left} {top})\""), |picture| picture.chart(chart));
    }
    picture.0 + "</svg>\n"
}

/// What is drawn so far.
struct Picture(String);

// Writing into a String can't fail.
impl Picture {
    fn chart(&mut self, chart: &Chart) {
        let (left, top, right, bottom) = (MARGIN.0, MARGIN.1, CELL.0 - MARGIN.2, CELL.1 - MARGIN.3);
        let points = || chart.lines.iter().flat_map(|line| line.points.iter());
        let x = Scale::around(points().map(|point| point.0), (left, right));
        let y = Scale::around(points().map(|point| point.1), (bottom, top));

        self.text("title", "start", (left, top - 14.0), chart.title);
        for power in x.powers() {
            let at = x.at(power);
            self.path("grid", &format!("M{at:.1} {top}V{bottom}"));
            self.text("dim", "middle", (at, bottom + 18.0), &(chart.x.tick)(power));
        }
        for power in y.powers() {
            let at = y.at(power);
            self.path("grid", &format!("M{left} {at:.1}H{right}"));
            self.text("dim", "end", (left - 8.0, at + 4.0), &(chart.y.tick)(power));
        }
        self.text("label", "middle", ((left + right) / 2.0, bottom + 40.0), chart.x.label);
        let upwards = format!("g transform=\"translate(16 {}) rotate(-90)\"", (top + bottom) / 2.0);
        self.element(&upwards, |picture| picture.text("label", "middle", (0.0, 0.0), chart.y.label));

        self.guide(&chart.lines, x, y);
        for (style, line) in chart.lines.iter().enumerate() {
            let path = line.points.iter().map(|&(a, b)| format!("{:.1} {:.1}", x.at(a), y.at(b)));
            self.path(&format!("line c{style}"), &format!("M{}", path.collect::<Vec<_>>().join("L")));
            for &(a, b) in &line.points {
                self.mark(style, (x.at(a), y.at(b)));
            }
            let at = top + 16.0 + LEGEND * style as f64;
            self.mark(style, (left + 14.0, at - 4.0));
            self.text("label", "start", (left + 26.0, at), line.name);
        }
        self.path("frame", &format!("M{left} {top}H{right}V{bottom}H{left}z"));
    }

    /// What would grow in proportion, downwards from the highest end of a line, as far as the frame goes.
    fn guide(&mut self, lines: &[Line], x: Scale, y: Scale) {
        let ends = lines.iter().filter_map(|line| line.points.last());
        let Some(&(a, b)) = ends.max_by(|one, other| one.1.total_cmp(&other.1)) else {
            return;
        };
        let lowest = 10f64.powi(x.decades.0).max(a * 10f64.powi(y.decades.0) / b);
        let (from, to) = ((x.at(lowest), y.at(b * lowest / a)), (x.at(a), y.at(b)));
        self.path("guide", &format!("M{:.1} {:.1}L{:.1} {:.1}", from.0, from.1, to.0, to.1));
        let corner = (x.positions.1 - 8.0, y.positions.0 - 10.0);
        self.text("dim", "end", corner, "dashed: in proportion");
    }

    /// A circle, square, triangle or diamond.
    fn mark(&mut self, style: usize, (x, y): (f64, f64)) {
        let shape = match style {
            0 => "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
            1 => "m-3.5 -3.5h7v7h-7z",
            2 => "m0 -4.5l4.5 8h-9z",
            _ => "m0 -5l5 5l-5 5l-5 -5z",
        };
        self.path(&format!("m{style}"), &format!("M{x:.1} {y:.1}{shape}"));
    }

    fn path(&mut self, class: &str, data: &str) {
        let _ = writeln!(self.0, "<path class=\"{class}\" d=\"{data}\"/>");
    }

    fn text(&mut self, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
        let text = escape(text);
        let _ = writeln!(
            self.0,
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }

    /// An element of this tag, and what is in it.
    fn element(&mut self, tag: &str, fill: impl FnOnce(&mut Self)) {
        let _ = writeln!(self.0, "<{tag}>");
        fill(self);
        let name = tag.split(' ').next().unwrap_or(tag);
        let _ = writeln!(self.0, "</{name}>");
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(lines: Vec<Line>) -> Chart {
        let axis = Axis { label: "files & more", tick: |power| format!("<{power}>") };
        Chart { title: "a < b", x: axis, y: axis, lines }
    }

    #[test]
    fn a_scale_has_whole_decades_and_puts_values_between_them() {
        let scale = Scale::around([1000.0, 20.0].into_iter(), (100.0, 300.0));
        assert_eq!(scale.decades, (1, 3));
        for (value, position) in [(10.0, 100.0), (100.0, 200.0), (1000.0, 300.0)] {
            assert!((scale.at(value) - position).abs() < 1e-9, "{value}");
        }
        assert_eq!(Scale::around([1.0].into_iter(), (0.0, 1.0)).decades, (0, 1));
        assert_eq!(Scale::around(std::iter::empty(), (0.0, 1.0)).decades, (0, 1));
    }

    #[test]
    fn points_stand_where_their_values_are() {
        let points = vec![(10.0, 1.0), (100.0, 10.0), (1000.0, 100.0)];
        let picture = svg("machine", &[chart(vec![Line { name: "all", points }])]);
        // The frame reaches from (72, 308) to (460, 40).
        assert!(picture.contains("class=\"line c0\" d=\"M72.0 308.0L266.0 174.0L460.0 40.0\""), "{picture}");
        assert!(picture.contains("class=\"guide\" d=\"M72.0 308.0L460.0 40.0\""), "{picture}");
    }

    #[test]
    fn a_picture_is_well_formed_whatever_is_in_it() {
        let one = Line { name: "\"one\"", points: vec![(5.0, 0.002)] };
        for charts in
            [vec![], vec![chart(vec![])], vec![chart(vec![one.clone()]), chart(vec![one.clone(), one])]]
        {
            let picture = svg("a & b", &charts);
            assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
            let mut open = Vec::new();
            for tag in picture.split('<').skip(1) {
                let (tag, text) = tag.split_once('>').unwrap();
                assert!(!text.contains('>') || open.last() == Some(&"style"), "{tag}: {text}");
                if let Some(name) = tag.strip_prefix('/') {
                    assert_eq!(open.pop(), Some(name), "{picture}");
                } else if !tag.ends_with('/') {
                    open.push(tag.split(' ').next().unwrap());
                }
            }
            assert!(open.is_empty(), "{open:?}");
        }
    }

    #[test]
    fn there_are_colours_for_dark_pages() {
        let picture = svg("machine", &[]);
        assert!(picture.contains("prefers-color-scheme: dark"), "{picture}");
    }
}
