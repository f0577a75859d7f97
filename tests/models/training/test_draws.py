"""Random numbers that no version of NumPy and no machine changes."""

import numpy as np

from models.training.draws import uniform


def test_numbers_depend_on_the_text_alone_and_are_uniform() -> None:
    x = uniform("a text", 20_000)
    np.testing.assert_array_equal(x[:5], uniform("a text", 5))
    assert x[:2].tolist() == [0.9568308779123408, 0.5148096260742449]
    assert not np.array_equal(x[:5], uniform("another text", 5))
    assert x.min() >= 0
    assert x.max() < 1
    counts, _ = np.histogram(x, bins=10, range=(0, 1))
    assert abs(counts - 2000).max() < 5 * np.sqrt(2000)
