"""Copies of an estimator: with its model, and without."""

from __future__ import annotations

import copy
from typing import Any

from sklearn.base import BaseEstimator
from torch import nn


class CopiedWhole(BaseEstimator):
    """Base of estimators whose networks may share layers."""

    def __copy__(self):
        """Another estimator with the same parameters and the same model."""
        twin = type(self)(**self.get_params(deep=False))
        twin.__dict__.update(vars(self))
        return twin

    def __sklearn_clone__(self):
        """As any other clone, but that networks go on sharing the layers that they share."""
        twin, copied = super().__sklearn_clone__(), dict[int, Any]()
        for name, value in self.get_params(deep=False).items():
            if isinstance(value, nn.Module):
                setattr(twin, name, copy.deepcopy(value, copied))
        return twin
