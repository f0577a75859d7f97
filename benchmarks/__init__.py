"""What the documentation claims about speed, each claim with its command.

A benchmark is a module of this package with a function `main(arguments) -> int`, which prints a
table and returns an exit status. ``python -m benchmarks`` runs them all.
"""
