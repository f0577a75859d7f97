"""Freed memory goes back to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Blocks too small for pages of their own, the last of which stays and pins the heap's top.
CODE = """
import sys
from sweeper.engine.heap import give_back_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

blocks = [bytes(4000) for _ in range(25_000)]
last = blocks[-1]
full = resident()
blocks.clear()
kept = resident()
give_back_memory()
print(kept - resident(), full)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has malloc_trim")
def test_freed_memory_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    given_back, _ = map(int, done.stdout.split())
    assert given_back >= 80
