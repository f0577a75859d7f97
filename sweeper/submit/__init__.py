"""Launches started elsewhere: each stands around the `sweep launch` that a person would type."""
