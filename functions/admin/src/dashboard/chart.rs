//! Charts, drawn on the server: colours are the style sheet's, and a table beside each says the same.

use askama::Template;
use jiff::Timestamp;
use roster_core::Price;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::show;

const WIDTH: i64 = 640;
const HEIGHT: i64 = 160;

/// Prices over time, as steps.
#[derive(Template)]
#[template(path = "chart_prices.html")]
pub(crate) struct Prices {
    lines: Vec<Steps>,
    highest: String,
    from: String,
    to: String,
    /// Where now is, from the left.
    now: i64,
}

struct Steps {
    class: &'static str,
    label: &'static str,
    path: String,
}

/// What a price was from a time on.
pub(crate) struct Since {
    pub(crate) from: Timestamp,
    pub(crate) input: Option<Price>,
    pub(crate) output: Option<Price>,
}

impl Prices {
    /// The chart of prices in order of time, from the first one until now or until the last one begins.
    pub(crate) fn of(prices: &[Since], now: Timestamp) -> Option<Self> {
        let first = prices.first()?.from;
        let last = prices.last()?.from.max(now);
        let span = (last.as_second() - first.as_second()).max(1);
        let highest =
            prices.iter().flat_map(|since| [since.input, since.output]).flatten().max_by_key(|p| p.amount())?;
        let x = |at: Timestamp| (at.as_second() - first.as_second()) * WIDTH / span;
        let y = |price: Price| {
            let top = highest.amount().max(Decimal::ONE);
            HEIGHT - (price.amount() * Decimal::from(HEIGHT) / top).round().to_i64().unwrap_or(HEIGHT)
        };
        let steps = |class, label, pick: fn(&Since) -> Option<Price>| {
            let mut path = String::new();
            let ends = prices.iter().skip(1).map(|next| x(next.from)).chain([WIDTH]);
            let mut is_drawing = false;
            for (since, end) in prices.iter().zip(ends) {
                // An unknown price is a gap.
                let Some(price) = pick(since) else {
                    is_drawing = false;
                    continue;
                };
                let (x, y) = (x(since.from), y(price));
                path += &if is_drawing { format!("V{y}H{end}") } else { format!("M{x} {y}H{end}") };
                is_drawing = true;
            }
            Steps { class, label, path }
        };
        Some(Self {
            lines: vec![steps("input", "input", |since| since.input), steps("output", "output", |since| since.output)],
            highest: show::dollars(highest),
            from: first.strftime("%Y-%m-%d").to_string(),
            to: last.strftime("%Y-%m-%d").to_string(),
            now: x(now).clamp(0, WIDTH),
        })
    }
}

/// A measure of several subjects, as bars.
#[derive(Template)]
#[template(path = "chart_bars.html")]
pub(crate) struct Bars {
    title: &'static str,
    bars: Vec<Bar>,
    height: usize,
}

struct Bar {
    label: String,
    told: String,
    y: usize,
    /// Of 190.
    width: i64,
}

impl Bars {
    /// The chart of values, each with how it is told; `None` where there is none.
    pub(crate) fn of(title: &'static str, values: &[(String, Option<Decimal>, String)]) -> Option<Self> {
        let highest = values.iter().filter_map(|(_, value, _)| *value).max()?;
        let width = |value: Decimal| match highest.is_zero() {
            true => 0,
            false => (value * Decimal::from(190) / highest).round().to_i64().unwrap_or_default(),
        };
        let bars = values.iter().enumerate().map(|(at, (label, value, told))| Bar {
            label: label.clone(),
            told: told.clone(),
            y: at * 28,
            width: value.map_or(0, width),
        });
        Some(Self { title, bars: bars.collect(), height: values.len() * 28 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_steps_and_unknown_ones_are_gaps() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let price = |text: &str| Some(text.parse().unwrap());
        let prices = [
            Since { from: at(0), input: price("1000"), output: price("2000") },
            Since { from: at(50), input: None, output: price("1000") },
            Since { from: at(100), input: price("500"), output: price("1000") },
        ];
        let chart = Prices::of(&prices, at(75)).unwrap();
        let paths: Vec<_> = chart.lines.iter().map(|line| line.path.as_str()).collect();
        assert_eq!(paths, ["M0 80H320M640 120H640", "M0 0H320V80H640V80H640"]);
        assert_eq!((chart.highest.as_str(), chart.now), ("$2.00", 480));
        assert!(Prices::of(&[], at(0)).is_none());
    }

    #[test]
    fn the_longest_bar_is_the_highest_value() {
        let value = |label: &str, value: Option<i64>| (label.to_owned(), value.map(Decimal::from), String::new());
        let chart = Bars::of("t", &[value("a", Some(10)), value("b", Some(5)), value("c", None)]).unwrap();
        assert_eq!(chart.bars.iter().map(|bar| bar.width).collect::<Vec<_>>(), [190, 95, 0]);
        assert!(Bars::of("t", &[value("c", None)]).is_none());
        assert_eq!(Bars::of("t", &[value("z", Some(0))]).unwrap().bars[0].width, 0);
    }
}
