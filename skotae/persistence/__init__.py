"""Estimators and states of fits in files: one safetensors file each, without code."""

from skotae.persistence._models import load, save
from skotae.persistence.format.document import read_state, write_state

__all__ = ["load", "read_state", "save", "write_state"]
