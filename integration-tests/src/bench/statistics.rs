//! Several measurements of one thing, and what is made of them.

use serde::Serialize;

/// The least, the middle and the greatest of some figures. Of an even number, the middle is the mean of the two there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The middle.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of these figures; `None` if there are none.
    #[must_use]
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { min, median, max })
    }
}

/// What a figure has to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bar {
    /// The median is at least this.
    AtLeast(f64),
    /// The median is at most this.
    AtMost(f64),
    /// Not one is above this.
    Never(f64),
}

impl Bar {
    /// The figure itself.
    #[must_use]
    pub fn limit(&self) -> f64 {
        match self {
            Self::AtLeast(limit) | Self::AtMost(limit) | Self::Never(limit) => *limit,
        }
    }

    /// Whether what was measured is as it has to be.
    #[must_use]
    pub fn is_met(&self, measured: &Spread) -> bool {
        match self {
            Self::AtLeast(limit) => measured.median >= *limit,
            Self::AtMost(limit) => measured.median <= *limit,
            Self::Never(limit) => measured.max <= *limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_is_between_two() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 10.0]), Some(Spread { min: 1.0, median: 3.0, max: 10.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn a_bar_looks_at_the_median_or_at_the_worst() {
        let measured = Spread { min: 1.0, median: 2.0, max: 3.0 };
        let bars = [
            Bar::AtLeast(2.0),
            Bar::AtLeast(2.1),
            Bar::AtMost(2.0),
            Bar::AtMost(1.9),
            Bar::Never(3.0),
            Bar::Never(2.9),
        ];
        assert_eq!(bars.map(|bar| bar.is_met(&measured)), [true, false, true, false, true, false]);
    }
}
