"""Estimators and states of fits in files: one safetensors file each, without code."""

from skotae.persistence._document import read_state, write_state
from skotae.persistence._models import load, save

__all__ = ["load", "read_state", "save", "write_state"]
