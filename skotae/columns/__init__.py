"""What stands between the columns of X and what networks see."""

from skotae.columns._measure import Columns, differ, measure, warn_of_units
from skotae.columns._naming import names_of, naming_columns
from skotae.columns.base import CHUNK, Units, rows_at_once
from skotae.columns.sources.source import Source, preceded, source_of

__all__ = [
    "CHUNK",
    "Columns",
    "Source",
    "Units",
    "differ",
    "measure",
    "names_of",
    "naming_columns",
    "preceded",
    "rows_at_once",
    "source_of",
    "warn_of_units",
]
