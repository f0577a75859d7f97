"""The same no-op runs, written as users of other tools write them; scripts for their environment.

Each is called as ``python -m benchmarks.rivals.NAME RUNS`` in an empty folder.
"""
