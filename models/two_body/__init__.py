"""The two-body problem: Kepler orbits, named datasets of them, and non-dimensional units.

NumPy and float64 only; nothing here imports JAX.
"""

from models.two_body.constants import EARTH_RADIUS, GEOSTATIONARY_RADIUS, MU, ORBIT_SAMPLES
from models.two_body.dataset import Dataset
from models.two_body.datasets import load
from models.two_body.errors import DatasetError
from models.two_body.names import DatasetName, is_name, parse_name
from models.two_body.units import Units

__all__ = [
    "EARTH_RADIUS",
    "GEOSTATIONARY_RADIUS",
    "MU",
    "ORBIT_SAMPLES",
    "Dataset",
    "DatasetError",
    "DatasetName",
    "Units",
    "is_name",
    "load",
    "parse_name",
]
