"""Calls of estimators, whose errors name the estimator and not the base that a method is of."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from skotae.utils.base import called_by_name


class CalledByName:
    """Base of classes of this package whose public methods are `called_by_name`."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.__module__.partition(".")[0] != __name__.partition(".")[0]:
            return
        for name, method in [*vars(cls).items()]:
            # Of methods that fit `fit_context` does the same.
            public = isinstance(method, FunctionType) and not name.startswith("_")
            if public and name not in ("fit", "partial_fit"):
                setattr(cls, name, called_by_name(method))
