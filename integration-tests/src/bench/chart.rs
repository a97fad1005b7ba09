//! A chart of ratios as plain SVG, for the docs.

use std::fmt::Write;

use super::statistics::{Bar, Spread};

/// Ratios in lines below each other, on a logarithmic axis around 1.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What is shown.
    pub title: String,
    /// Where it was measured.
    pub foot: String,
    /// The ratios.
    pub rows: Vec<Row>,
}

/// A ratio.
#[derive(Debug, Clone)]
pub struct Row {
    /// Of what to what.
    pub label: String,
    /// Drawn as a bar from 1 to the median, and a whisker from the least to the greatest.
    pub spread: Spread,
    /// Drawn as a line; decides on the colour.
    pub bar: Option<Bar>,
}

const LABELS: f64 = 250.0;
const PLOT: f64 = 480.0;
const FIGURES: f64 = 170.0;
const LINE: f64 = 26.0;
const HEAD: f64 = 44.0;

impl Chart {
    /// The chart as an SVG document.
    #[must_use]
    pub fn svg(&self) -> String {
        let axis = Axis::of(&self.rows);
        let bottom = HEAD + LINE * self.rows.len() as f64;
        let (width, height) = (LABELS + PLOT + FIGURES, bottom + 48.0);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} \
             {height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"10\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{}</text>\n",
            escaped(&self.title)
        );
        for tick in axis.ticks() {
            let (x, colour) = (axis.x(tick), if tick == 1.0 { "#222" } else { "#ddd" });
            line(&mut svg, (x, HEAD), (x, bottom), colour, 1.0);
            text(&mut svg, (x, bottom + 16.0), "middle", &format!("{tick}×"));
        }
        for (n, row) in self.rows.iter().enumerate() {
            row.draw(&mut svg, &axis, HEAD + LINE * (n as f64 + 0.5));
        }
        text(&mut svg, (10.0, height - 8.0), "start", &self.foot);
        svg.push_str("</svg>\n");
        svg
    }
}

impl Row {
    fn draw(&self, svg: &mut String, axis: &Axis, y: f64) {
        let Spread { min, median, max } = self.spread;
        let colour = match self.bar {
            None => "#7a9cc6",
            Some(bar) if bar.is_met(&self.spread) => "#5aa469",
            Some(_) => "#d9644a",
        };
        let (left, right) = (axis.x(median.min(1.0)), axis.x(median.max(1.0)));
        let (top, width) = (y - 8.0, right - left);
        rect(svg, (left, top), (width, 16.0), colour);
        line(svg, (axis.x(min), y), (axis.x(max), y), "#222", 1.5);
        for end in [min, max] {
            line(svg, (axis.x(end), y - 4.0), (axis.x(end), y + 4.0), "#222", 1.5);
        }
        let mut figures = format!("{median:.2}× ({min:.2}–{max:.2})");
        if let Some(bar) = self.bar {
            let x = axis.x(bar.limit());
            line(svg, (x, y - 12.0), (x, y + 12.0), "#b0006d", 2.5);
            let _ = write!(figures, " ≥ {}", bar.limit());
        }
        text(svg, (LABELS - 8.0, y + 4.0), "end", &self.label);
        text(svg, (LABELS + PLOT + 10.0, y + 4.0), "start", &figures);
    }
}

/// Where a ratio is drawn: equal factors are equal distances.
struct Axis {
    from: f64,
    to: f64,
}

impl Axis {
    /// Wide enough for all that is drawn, a little more, and never less than from 1/2 to 2.
    fn of(rows: &[Row]) -> Self {
        let limits = rows.iter().filter_map(|row| row.bar).map(|bar| bar.limit());
        let drawn = rows.iter().flat_map(|row| [row.spread.min, row.spread.max]).chain(limits);
        let (from, to) = drawn.fold((0.5_f64, 2.0_f64), |(from, to), ratio| (from.min(ratio), to.max(ratio)));
        // Nothing is infinitely slow; the axis would have no end.
        Self { from: from.max(0.001) / 1.1, to: to * 1.1 }
    }

    fn x(&self, ratio: f64) -> f64 {
        LABELS + PLOT * (ratio.clamp(self.from, self.to) / self.from).ln() / (self.to / self.from).ln()
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let powers = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0];
        let ticks = powers.into_iter().flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * power));
        ticks.filter(|tick| (self.from..=self.to).contains(tick))
    }
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
        from.0, from.1, to.0, to.1
    );
}

fn rect(svg: &mut String, (x, y): (f64, f64), (width, height): (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(text));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(label: &str, (min, median, max): (f64, f64, f64), bar: Option<Bar>) -> Row {
        Row { label: label.to_owned(), spread: Spread { min, median, max }, bar }
    }

    #[test]
    fn a_chart_is_drawn_as_it_was() {
        let rows = vec![
            row("backup / restic", (4.1, 5.2, 6.3), Some(Bar::AtLeast(5.0))),
            row("backup / tar | zstd", (0.7, 0.8, 1.05), Some(Bar::AtLeast(1.0))),
            row("backup / borg <1>", (11.0, 12.5, 14.0), None),
        ];
        let chart = Chart { title: "small & local".to_owned(), foot: "2 × a machine".to_owned(), rows };
        assert_eq!(chart.svg(), include_str!("chart/golden.svg"));
    }

    #[test]
    fn equal_factors_are_equal_distances_and_nothing_is_outside() {
        let axis = Axis::of(&[row("a", (0.25, 1.0, 16.0), None)]);
        let factor = axis.x(2.0) - axis.x(1.0);
        assert!((axis.x(16.0) - axis.x(8.0) - factor).abs() < 1e-9);
        for ratio in [0.0, 0.25, 16.0, f64::INFINITY] {
            assert!((LABELS..=LABELS + PLOT).contains(&axis.x(ratio)), "{ratio} is at {}", axis.x(ratio));
        }
    }
}
