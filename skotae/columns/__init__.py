"""What stands between the columns of X and what networks see."""

from skotae.columns._measure import Columns, differ, measure, warn_of_units
from skotae.columns._naming import naming_columns
from skotae.columns._sources import Source, source_of
from skotae.columns._units import CHUNK, Units, rows_at_once

__all__ = [
    "CHUNK",
    "Columns",
    "Source",
    "Units",
    "differ",
    "measure",
    "naming_columns",
    "rows_at_once",
    "source_of",
    "warn_of_units",
]
