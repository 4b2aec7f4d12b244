"""Errors of arithmetic, told in the names of the parameters that are far from what is usual."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from skotae.costs.base import CallableCost
from skotae.exceptions import NonFiniteLossError
from skotae.utils.base import brief, is_real, is_whole, plain, shortened

# A number that many times as large, or as small, as the default is far from it.
FAR = 1e3
# How many are named at the most.
MOST = 3
# They tell when to stop and what to draw, which makes no number infinite.
HARMLESS = frozenset({"tol", "sinkhorn_tol", "random_state", "max_iter", "n_iter_no_change"})
# Elements of a network that nobody has on purpose.
LARGE = 10**5
# What terms are made of, beside the networks.
PARTS = {
    **dict.fromkeys(("reconstruction", "denoising", "transport"), ("cost",)),
    **dict.fromkeys(("penalty", "divergence"), ("penalty", "latent_cost", "prior")),
    **dict.fromkeys(("kl", "prior"), ("prior",)),
}
# Of a loss as a whole.
ALL_PARTS = ("cost", "penalty", "latent_cost", "prior")
NETWORKS = ("encoder", "decoder")
# What torch, NumPy and the standard library say of sizes, and of numbers that are no longer any.
ABOUT_SIZES = re.compile(
    "allocate memory|Storage size|Unable to allocate|dimension exceeded|array is too big"
    "|unpack|tuple of ints"
)
ABOUT_NUMBERS = re.compile(
    r"overflow|\b(inf|infs|nan|nans)\b|domain|singular|converge|out of range|by zero", re.IGNORECASE
)


def explained(estimator: Any, error: BaseException) -> Exception | None:
    """The error in the place of one that names no parameter, though one is to blame for it.

    Losses that are not finite are put down to a part of the user's own that the term is made of,
    and to numbers far from their defaults, if there are any, before the weights and step sizes that
    usually are the reason; so are errors that torch, NumPy or SciPy raise over such numbers, and
    memory that sizes ask for.

    Returns
    -------
    error : Exception or None
        None where the error is to be raised as it is.
    """
    text = shortened(" ".join(str(error).split()), 300)
    if isinstance(error, MemoryError) or ABOUT_SIZES.search(text):
        sizes = {name: n for name, n in _numbers(estimator) if is_whole(n) and n > LARGE}
        sizes = {name: n for name, n in sizes.items() if name not in HARMLESS}
        told = MemoryError(f"{_named(sizes)} asks for more memory than there is ({text}).")
        return told if sizes else None
    far = dict(_far(estimator))
    named = _named(far)
    if isinstance(error, NonFiniteLossError):
        own = " and ".join(_own_parts(estimator, PARTS.get(error.term, ALL_PARTS)))
        if not own and not far:
            # Theirs are the weights that steps move: numbers far off are more likely to blame.
            own = " and ".join(_own_parts(estimator, NETWORKS))
        looks = [f"Look at {own} first: values and their slopes have to be finite."] if own else []
        if far:
            looks.append(f"Look at {named} {'too' if own else 'first'}, far from what is usual.")
        advice = " ".join([*looks, error.advice])
        return NonFiniteLossError(error.term, error.epoch, advice) if looks else None
    if not far:
        return None
    raw = (RuntimeError, ArithmeticError, ValueError, TypeError, np.linalg.LinAlgError)
    if isinstance(error, raw) and ABOUT_NUMBERS.search(text) and not _names_one(text, estimator):
        return ValueError(
            f"{named} of {type(estimator).__name__} cannot be computed with in float32 ({text}); "
            "expected a number nearer to its default."
        )
    return None


def _own_parts(estimator: Any, names: Iterable[str]) -> list[str]:
    """Which of some parameters are not of this package, as they were given."""
    given = {name: getattr(estimator, name, None) for name in names}
    return [told for name, part in given.items() for told in _own_within(name, part)]


def _own_within(name: str, part: Any) -> Iterator[str]:
    """The part, if it is not of this package, or parts of it that are not."""
    if _is_own(part):
        yield f"{name}={brief(part)}"
    elif isinstance(part, BaseEstimator):
        for each, value in part.get_params(deep=False).items():
            if callable(value) or isinstance(value, BaseEstimator):
                yield from _own_within(f"{name}__{each}", value)


def _is_own(part: Any) -> bool:
    if part is None or isinstance(part, str):
        return False
    own = type(part).__module__.partition(".")[0] != __name__.partition(".")[0]
    return own or isinstance(part, CallableCost)


def _names_one(text: str, estimator: Any) -> bool:
    """Whether a message has the data or the name of a parameter in it."""
    names = ["X", *(name.split("__")[-1] for name in estimator.get_params())]
    return re.search(rf"\b({'|'.join(names)})\b", text) is not None


def _numbers(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers among the parameters of an estimator, and of the parts that are parameters."""
    for name, value in part.get_params(deep=False).items():
        if isinstance(value, BaseEstimator) and not isinstance(value, type):
            yield from _numbers(value, f"{prefix}{name}__")
        elif is_real(value):
            yield f"{prefix}{name}", plain(value)
        elif isinstance(value, (list, tuple)) and all(map(is_real, value)):
            yield from ((f"{prefix}{name}", plain(each)) for each in value)


def _far(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers far from their defaults; from 1, where the default is none or zero."""
    defaults = inspect.signature(type(part)).parameters
    for name, value in part.get_params(deep=False).items():
        if isinstance(value, BaseEstimator) and not isinstance(value, type):
            yield from _far(value, f"{prefix}{name}__")
        elif is_real(value) and value != 0 and name not in HARMLESS:
            default = defaults[name].default if name in defaults else None
            usual = abs(float(plain(default))) if is_real(default) and default != 0 else 1.0
            if not usual / FAR < abs(float(value)) < usual * FAR:
                yield f"{prefix}{name}", plain(value)


def _named(numbers: dict[str, Any]) -> str:
    def distance(item: tuple[str, Any]) -> float:
        return -abs(math.log(abs(float(item[1]))))

    return ", ".join(f"{name}={n!r}" for name, n in sorted(numbers.items(), key=distance)[:MOST])
