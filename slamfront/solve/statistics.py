"""Quantiles by which residuals are judged; to the digits that tables give them with."""

from __future__ import annotations

from scipy.stats import chi2, norm


def chi_square_quantile(probability: float, freedom: int) -> float:
    """Return what a chi-square variable of so many degrees of freedom exceeds with a probability of 1 - `probability`,
    to three decimals.
    """
    return round(float(chi2.ppf(probability, freedom)), 3)


CHI_SQUARE_MONO = chi_square_quantile(0.95, 2)
"""95 % quantile for a point seen by one camera: residuals of x and y over their deviations."""
CHI_SQUARE_STEREO = chi_square_quantile(0.95, 3)
"""95 % quantile for a point seen by two cameras: x, y and disparity."""
MEDIAN_MONO, MEDIAN_STEREO = chi_square_quantile(0.5, 2), chi_square_quantile(0.5, 3)
"""Medians of the same distributions."""
CONTRADICTION = {freedom: chi_square_quantile(0.999, freedom) for freedom in (6, 9)}
"""99.9 % quantiles for a pose, and for a pose with its angular velocity: what is further from its prediction is one of
a thousand true ones."""
MAD_TO_SIGMA = round(1 / float(norm.ppf(0.75)), 4)
"""Standard deviation of a normal error over its median size (Rousseeuw and Croux 1993)."""
