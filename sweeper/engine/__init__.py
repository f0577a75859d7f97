"""Supervisor, waves and workers: how runs are executed and how their ends are recorded."""
