"""Run it with pytest."""

from train import Config, check, train


class SilentRun:
    """Stands in for the run that a sweep hands to `train`."""

    restored = None

    def log(self, step, **metrics):
        pass

    def progress(self, fraction):
        pass

    def should_stop(self):
        return False

    def save(self, name, writer):
        pass

    def checkpoint(self, step, writer):
        return False


def slope_error(config):
    [metrics] = train([config], [SilentRun()])
    return metrics["slope_error"]


def test_it_finds_the_slope():
    assert slope_error(Config(noise=0.0, lr=0.5)) < 1e-6


def test_more_noise_is_harder():
    assert slope_error(Config(noise=1.0, lr=0.5)) > slope_error(Config(noise=0.01, lr=0.5))


def test_a_bad_combination_is_named():
    assert check(Config(lr=2.0)) == ["with lr >= 2 the descent overshoots"]
