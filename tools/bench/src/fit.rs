//! How one quantity grows with another.

/// The exponent `b` of `y = a x^b` that fits best: the slope of the least-squares line through the logarithms. None when
/// there are not two different `x`, or a value is not above 0.
pub(crate) fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    if points.iter().any(|(x, y)| *x <= 0.0 || *y <= 0.0) {
        return None;
    }
    let logs = points.iter().map(|(x, y)| (x.ln(), y.ln()));
    let count: f64 = points.iter().map(|_| 1.0).sum();
    let (sum_x, sum_y) = logs.clone().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let covariance: f64 = logs.clone().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = logs.map(|(x, _)| (x - mean_x).powi(2)).sum();
    (variance > 0.0).then(|| covariance / variance)
}

#[cfg(test)]
mod tests {
    use super::exponent;

    fn of(law: impl Fn(f64) -> f64) -> f64 {
        let points: Vec<_> = [10.0, 30.0, 100.0, 1000.0].map(|x| (x, law(x))).into();
        exponent(&points).unwrap()
    }

    #[test]
    fn powers_are_recognised() {
        assert!((of(|x| 7.0 * x) - 1.0).abs() < 1e-9);
        assert!((of(|x| 0.2 * x * x) - 2.0).abs() < 1e-9);
        let cube = exponent(&[(1.0, 2.0), (2.0, 16.0), (4.0, 128.0)]);
        assert!((cube.unwrap() - 3.0).abs() < 1e-9);
        assert!(of(|_| 3.0).abs() < 1e-9);
        assert!(of(|x| x * x.ln()) > 1.05, "n log n is told from n");
    }

    #[test]
    fn nothing_is_fitted_through_one_point_or_through_zero() {
        assert_eq!(exponent(&[(1.0, 1.0)]), None);
        assert_eq!(exponent(&[(1.0, 0.0), (2.0, 1.0)]), None);
        assert_eq!(exponent(&[]), None);
    }
}
