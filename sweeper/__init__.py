"""Hyperparameter sweeps over Ray waves: every run ends with an outcome and a reason."""
