"""Launches on this host: train, retry, evaluate and rerun."""
