"""Summary statistics of numbers: percent errors, location, spread, the shape of their distribution.

NumPy in, plain numbers out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["describe", "half_sample_mode", "mean", "percent_errors"]

Array = npt.NDArray[np.float64]


def percent_errors(a_true: npt.ArrayLike, a_pred: npt.ArrayLike) -> Array:
    """100·‖â − a‖/‖a‖ of vectors (..., 3), as (...)."""
    a_true = np.asarray(a_true, dtype=np.float64)
    difference = np.linalg.norm(np.asarray(a_pred, dtype=np.float64) - a_true, axis=-1)
    result: Array = 100.0 * difference / np.linalg.norm(a_true, axis=-1)
    return result


def describe(values: npt.ArrayLike) -> dict[str, float]:
    """Location, spread and asymmetry of numbers (n,).

    ``mean`` μ, ``median``, ``std`` σ (of the population), the quartiles ``q1`` and ``q3``,
    ``outliers_pct``: percentage beyond 1.5 (Q3 − Q1) from the quartiles (Tukey's fences),
    ``mode`` by `half_sample_mode`, and four measures of asymmetry: ``skewness`` E[(x − μ)³]/σ³,
    ``pearson_sk1`` (μ − mode)/σ, ``pearson_sk2`` 3(μ − median)/σ,
    ``bowley`` (Q3 + Q1 − 2·Q2)/(Q3 − Q1). All NaN without numbers; asymmetry NaN without spread.
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if not x.size:
        names = "mean median std q1 q3 outliers_pct mode skewness pearson_sk1 pearson_sk2 bowley"
        return dict.fromkeys(names.split(), float("nan"))
    average, std = x.mean(), x.std()
    q1, median, q3 = np.percentile(x, [25, 50, 75])
    mode = half_sample_mode(x)
    fence = 1.5 * (q3 - q1)
    figures = {
        "mean": average,
        "median": median,
        "std": std,
        "q1": q1,
        "q3": q3,
        "outliers_pct": 100.0 * np.mean((x < q1 - fence) | (x > q3 + fence)),
        "mode": mode,
        "skewness": _ratio(float(np.mean((x - average) ** 3)), std**3),
        "pearson_sk1": _ratio(average - mode, std),
        "pearson_sk2": _ratio(3 * (average - median), std),
        "bowley": _ratio(q3 + q1 - 2 * median, q3 - q1),
    }
    return {name: float(value) for name, value in figures.items()}


def half_sample_mode(values: npt.ArrayLike) -> float:
    """The mode of a continuous sample (n,), n >= 1: half-sample mode.

    Of all intervals that hold half of the sample the shortest is taken (the lowest of equals), then
    its shortest half, until two or three numbers remain. It has no width to choose, unlike a
    histogram or a kernel density, and outliers don't move it. Robertson and Cryer, JASA 69, 1974;
    Bickel and Frühwirth, Computational Statistics & Data Analysis 50, 2006 (algorithm HSM).
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    while x.size > 3:
        half = (x.size + 1) // 2
        start = int(np.argmin(x[half - 1 :] - x[: x.size - half + 1]))
        x = x[start : start + half]
    if x.size == 3:
        low, high = x[1] - x[0], x[2] - x[1]
        if low == high:
            return float(x[1])
        x = x[:2] if low < high else x[1:]
    return float(x.mean())


def mean(values: Array) -> float:
    """The mean of numbers (n,), NaN without any."""
    return float(values.mean()) if values.size else float("nan")


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else float("nan")
