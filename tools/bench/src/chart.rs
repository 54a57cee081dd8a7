//! Charts as SVG, readable on light and dark pages: a card with its own background, in the colours that the reader's
//! system prefers.

use std::fs;
use std::ops::Range;

use anyhow::{Context as _, Result, anyhow, ensure};
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::run::Run;

const SIZE: (u32, u32) = (860, 480);
const FONT: &str = "sans-serif";

const CARD: RGBColor = RGBColor(0xff, 0xff, 0xff);
const INK: RGBColor = RGBColor(0x1f, 0x23, 0x28);
const GRID: RGBColor = RGBColor(0xd1, 0xd9, 0xe0);

/// The same on a dark card.
const DARK: [(RGBColor, &str); 3] = [(CARD, "#151b23"), (INK, "#f0f6fc"), (GRID, "#3d444d")];

/// Okabe and Ito's colours, which colour-blind people tell apart; those with contrast on both cards.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x82, 0xc8),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xb8, 0x86, 0x00),
    RGBColor(0x7a, 0x7a, 0x7a),
    RGBColor(0x8a, 0x63, 0xd2),
];

/// How an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps are equal differences; begins at 0, or below when a value is.
    Linear,
    /// Equal steps are equal ratios. Values must be above 0.
    Log,
}

/// An axis: what it shows, with its unit, and how it counts.
#[derive(Clone, Copy, Debug)]
pub struct Axis<'a> {
    /// What, and in brackets the unit.
    pub label: &'a str,
    /// How it counts.
    pub scale: Scale,
}

/// What stands around the data.
#[derive(Clone, Copy, Debug)]
pub struct Chart<'a> {
    /// The file, without `.svg`.
    pub name: &'a str,
    /// What is seen, in a line.
    pub title: &'a str,
    /// Left to right.
    pub x: Axis<'a>,
    /// Bottom to top.
    pub y: Axis<'a>,
}

/// A series of points `(x, y)` with its name.
pub type Series<'a> = (&'a str, Vec<(f64, f64)>);

/// Lines through points, each with its name in the legend. Written to `docs/bench/NAME.svg`.
///
/// # Errors
/// When there is nothing to draw, a value is not fit for its scale, or the file cannot be written.
pub fn lines(run: &Run, chart: &Chart<'_>, series: &[Series<'_>]) -> Result<()> {
    let svg = image(SIZE, |root| draw_lines(root, chart, series))?;
    write(run, chart.name, chart.title, &svg)
}

/// Up to four charts of the same series, as those of [`lines`], in one image with one legend. Written to
/// `docs/bench/NAME.svg`.
///
/// # Errors
/// As [`lines`].
pub fn panels(
    run: &Run,
    name: &str,
    title: &str,
    charts: &[(Chart<'_>, Vec<Series<'_>>)],
) -> Result<()> {
    let svg = image((SIZE.0, SIZE.1 * 3 / 2), |root| {
        let names = charts.first().map(|(_, series)| series.iter().map(|(name, _)| *name));
        let body = heading(root, title, names.into_iter().flatten())?;
        for (area, (chart, series)) in body.split_evenly((2, 2)).iter().zip(charts) {
            let nameless: Vec<Series<'_>> =
                series.iter().map(|(_, points)| ("", points.clone())).collect();
            draw_lines(area, chart, &nameless)?;
        }
        Ok(())
    })?;
    write(run, name, title, &svg)
}

/// A bar of each series beside each other, for each group. Written to `docs/bench/NAME.svg`.
///
/// # Errors
/// As [`lines`], and when a series has not a value for each group.
pub fn bars(
    run: &Run,
    chart: &Chart<'_>,
    groups: &[&str],
    series: &[(&str, Vec<f64>)],
) -> Result<()> {
    ensure!(
        series.iter().all(|(_, values)| values.len() == groups.len()),
        "a series has not a value for each group"
    );
    let y = range(series.iter().flat_map(|(_, values)| values).copied(), chart.y.scale)?;
    let floor = y.start;
    let svg = match chart.y.scale {
        Scale::Linear => draw_bars(chart, groups, series, y, floor),
        Scale::Log => draw_bars(chart, groups, series, y.log_scale(), floor),
    };
    write(run, chart.name, chart.title, &svg?)
}

/// From the least to the greatest value, with some room above.
fn range(values: impl Iterator<Item = f64> + Clone, scale: Scale) -> Result<Range<f64>> {
    ensure!(values.clone().all(f64::is_finite), "a value is not a number");
    let least = values.clone().fold(f64::INFINITY, f64::min);
    let greatest = values.fold(f64::NEG_INFINITY, f64::max);
    ensure!(least <= greatest, "there is nothing to draw");
    Ok(match scale {
        Scale::Linear => {
            let least = least.min(0.0);
            let room = if greatest > least { greatest - least } else { 1.0 };
            least..greatest + room * 0.08
        }
        Scale::Log => {
            ensure!(least > 0.0, "{least} has no place on a logarithmic axis");
            // Whole powers of ten, so that both ends have a label.
            let (low, high) = (least.log10().floor(), greatest.log10().ceil());
            let low = if low < high { low } else { low - 1.0 };
            10_f64.powf(low)..10_f64.powf(high)
        }
    })
}

fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

fn color(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// An image on a card.
fn image(size: (u32, u32), draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&CARD).map_err(failed)?;
        draw(&root)?;
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn draw_lines(root: &Area<'_>, chart: &Chart<'_>, series: &[Series<'_>]) -> Result<()> {
    let points = || series.iter().flat_map(|(_, points)| points);
    let x = range(points().map(|(x, _)| *x), chart.x.scale)?;
    let y = range(points().map(|(_, y)| *y), chart.y.scale)?;
    match (chart.x.scale, chart.y.scale) {
        (Scale::Linear, Scale::Linear) => draw_lines_on(root, chart, series, x, y),
        (Scale::Log, Scale::Linear) => draw_lines_on(root, chart, series, x.log_scale(), y),
        (Scale::Linear, Scale::Log) => draw_lines_on(root, chart, series, x, y.log_scale()),
        (Scale::Log, Scale::Log) => {
            draw_lines_on(root, chart, series, x.log_scale(), y.log_scale())
        }
    }
}

fn draw_lines_on<X, Y>(
    root: &Area<'_>,
    chart: &Chart<'_>,
    series: &[Series<'_>],
    x: X,
    y: Y,
) -> Result<()>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
    Y::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
{
    let plot = heading(root, chart.title, series.iter().map(|(name, _)| *name))?;
    let mut context = ChartBuilder::on(&plot)
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(x, y)
        .map_err(failed)?;
    context
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(text(17))
        .axis_desc_style(text(18))
        .x_desc(chart.x.label)
        .y_desc(chart.y.label)
        .y_label_formatter(&|value| number(*value))
        .x_label_formatter(&|value| number(*value))
        .draw()
        .map_err(failed)?;
    for (index, (_, points)) in series.iter().enumerate() {
        let color = color(index);
        let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
        context.draw_series(line).map_err(failed)?;
        // Many points are a curve; few are measurements, which one wants to see.
        if points.len() <= 40 {
            let dots = points.iter().map(|point| Circle::new(*point, 4, color.filled()));
            context.draw_series(dots).map_err(failed)?;
        }
    }
    Ok(())
}

fn draw_bars<Y>(
    chart: &Chart<'_>,
    groups: &[&str],
    series: &[(&str, Vec<f64>)],
    y: Y,
    floor: f64,
) -> Result<String>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
{
    let place = |index: usize| u32::try_from(index).map_or(0.0, f64::from);
    // Group g has the middle of g .. g + 1; a fifth of it is left free.
    let width = 0.8 / place(series.len()).max(1.0);
    image(SIZE, |root| {
        let plot = heading(root, chart.title, series.iter().map(|(name, _)| *name))?;
        let mut context = ChartBuilder::on(&plot)
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(72)
            .build_cartesian_2d(0.0..place(groups.len()), y)
            .map_err(failed)?;
        context
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(text(17))
            .axis_desc_style(text(18))
            .x_desc(chart.x.label)
            .y_desc(chart.y.label)
            .y_label_formatter(&|value| number(*value))
            .draw()
            .map_err(failed)?;
        for (index, (_, values)) in series.iter().enumerate() {
            let color = color(index);
            let bars = values.iter().enumerate().map(|(group, value)| {
                let left = place(group) + 0.1 + width * place(index);
                Rectangle::new([(left, floor), (left + width * 0.94, *value)], color.filled())
            });
            context.draw_series(bars).map_err(failed)?;
        }
        for (group, name) in groups.iter().enumerate() {
            let (x, y) = context.backend_coord(&(place(group) + 0.5, floor));
            let middle = text(17).pos(centred());
            root.draw(&Text::new((*name).to_owned(), (x, y + 8), middle)).map_err(failed)?;
        }
        Ok(())
    })
}

fn centred() -> plotters::style::text_anchor::Pos {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    Pos::new(HPos::Center, VPos::Top)
}

/// The title, and below it who has which colour; gives back the place that is left. A chart among several has no names
/// of its own.
fn heading<'a, 'b>(
    area: &Area<'a>,
    title: &str,
    names: impl Iterator<Item = &'b str>,
) -> Result<Area<'a>> {
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    let (head, plot) = area.split_vertically(if names.is_empty() { 40 } else { 68 });
    head.draw(&Text::new(title.to_owned(), (16, 14), text(24))).map_err(failed)?;
    let mut x = 18;
    for (index, name) in names.into_iter().enumerate() {
        let square = Rectangle::new([(x, 46), (x + 14, 58)], color(index).filled());
        head.draw(&square).map_err(failed)?;
        head.draw(&Text::new(name.to_owned(), (x + 20, 43), text(17))).map_err(failed)?;
        // Fonts differ, and none is at hand to measure with: room for a wide one.
        x += 36 + 9 * i32::try_from(name.chars().count())?;
    }
    Ok(plot)
}

/// A tick's label: as few digits as tell it apart.
fn number(value: f64) -> String {
    let size = value.abs();
    let (scaled, unit) = if size >= 1e9 {
        (value / 1e9, " G")
    } else if size >= 1e6 {
        (value / 1e6, " M")
    } else if size >= 1e4 {
        (value / 1e3, " k")
    } else {
        (value, "")
    };
    // Sums of steps end in digits that mean nothing.
    let rounded: f64 = format!("{scaled:.4e}").parse().unwrap_or(scaled);
    format!("{rounded}{unit}")
}

fn write(run: &Run, name: &str, title: &str, svg: &str) -> Result<()> {
    let file = run.svg(name);
    fs::create_dir_all(file.parent().context("it is in a folder")?)
        .and_then(|()| fs::write(&file, with_style(svg, title)))
        .with_context(|| format!("write {}", file.display()))?;
    println!("drawn: {}", file.display());
    Ok(())
}

/// The image with a title for screen readers, and with a dark card for whoever prefers one.
fn with_style(svg: &str, title: &str) -> String {
    let hex = |RGBColor(r, g, b): RGBColor| format!("#{r:02X}{g:02X}{b:02X}");
    let rules = DARK.map(|(light, dark)| {
        let light = hex(light);
        format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
    });
    let style = format!("<style>@media (prefers-color-scheme:dark){{{}}}</style>", rules.concat());
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let Some((open, rest)) = svg.split_once(">\n") else { return svg.to_owned() };
    format!("{open} role=\"img\">\n<title>{title}</title>\n{style}\n{rest}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(scale: Scale) -> Chart<'static> {
        let x = Axis { label: "nodes", scale };
        Chart { name: "test", title: "Loops & <rings>", x, y: Axis { label: "time (ms)", scale } }
    }

    #[test]
    fn both_kinds_name_what_they_show() {
        let points =
            vec![("ours", vec![(10.0, 1.0), (1000.0, 30.0)]), ("theirs", vec![(10.0, 2.0)])];
        let lines = image(SIZE, |root| draw_lines(root, &chart(Scale::Log), &points));
        let series = [("ours", vec![1.0, 2.0]), ("theirs", vec![3.0, 4.0])];
        let bars = draw_bars(&chart(Scale::Linear), &["three", "five"], &series, 0.0..5.0, 0.0);
        for svg in [lines.unwrap(), bars.unwrap()] {
            for text in ["Loops &amp; &lt;rings&gt;", "nodes", "time (ms)", "ours", "theirs"] {
                assert!(svg.contains(text), "no {text} in {svg}");
            }
            let styled = with_style(&svg, "Loops & <rings>");
            assert!(
                styled.starts_with("<svg ") && styled.contains("[fill=\"#FFFFFF\"]{fill:#151b23}")
            );
            assert!(styled.contains("fill=\"#FFFFFF\"") && styled.contains("stroke=\"#D1D9E0\""));
        }
    }

    #[test]
    fn what_has_no_place_is_refused() {
        assert!(range([0.0, 1.0].into_iter(), Scale::Log).is_err());
        assert!(range([f64::NAN].into_iter(), Scale::Linear).is_err());
        assert!(range([].into_iter(), Scale::Linear).is_err());
        assert_eq!(range([7.0, 7.0].into_iter(), Scale::Log).unwrap(), 1.0..10.0);
        assert_eq!(range([1.0].into_iter(), Scale::Log).unwrap(), 0.1..1.0);
    }

    #[test]
    fn labels_are_short() {
        let all = [0.0, 0.25, 30.0, 9999.0, 12_000.0, 2.5e6, 0.1 + 0.2].map(number);
        assert_eq!(all, ["0", "0.25", "30", "9999", "12 k", "2.5 M", "0.3"]);
    }
}
