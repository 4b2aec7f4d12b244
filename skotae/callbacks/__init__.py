"""Callbacks for ``set_callbacks``, beside those of :mod:`sklearn.callback`."""

from skotae.callbacks._checkpoint import Checkpoint

__all__ = ["Checkpoint"]
