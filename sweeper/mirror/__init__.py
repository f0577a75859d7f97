"""Copies of the records elsewhere, after the fact."""
