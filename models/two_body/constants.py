"""Constants of the two-body problem of an Earth satellite."""

from __future__ import annotations

__all__ = ["EARTH_RADIUS", "GEOSTATIONARY_RADIUS", "MU", "ORBIT_SAMPLES"]

MU = 398600.4418
"""Gravitational parameter of the Earth, km³/s² (WGS 84)."""

EARTH_RADIUS = 6378.137
"""Equatorial radius of the Earth, km (WGS 84)."""

GEOSTATIONARY_RADIUS = 42164.0
"""Radius of the geostationary orbit, km."""

ORBIT_SAMPLES = 360
"""Samples per orbit of a made dataset: one per degree of mean anomaly."""
