"""Numbers that a user passes: NumPy's, Python's or any other, made Python's in one place."""

from __future__ import annotations

import inspect
import math
import os
import reprlib
from collections.abc import Callable
from functools import wraps
from numbers import Integral, Real
from traceback import walk_tb
from typing import Any

import numpy as np

# Of numbers of things: what torch and NumPy count with.
LIMIT = 2**63

_shortener = reprlib.Repr()
_shortener.maxstring = _shortener.maxother = 80


def brief(value: Any) -> str:
    """What `value` looks like, for a message: in one line, and never long."""
    if hasattr(value, "shape") and hasattr(value, "dtype") and math.prod(value.shape) > 1:
        return f"{type(value).__name__} of shape {tuple(value.shape)} and dtype {value.dtype}"
    return " ".join(_shortener.repr(value).split())


def shortened(message: str, length: int = 1000) -> str:
    """A message that may have a value in it whole, with its middle left out if it is long."""
    half = length // 2
    return message if len(message) <= length else f"{message[:half]} ... {message[-half:]}"


def is_real(value: Any) -> bool:
    """Whether `value` is a real number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Whether `value` is an integer; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def overrides(part: Any, base: type, method: str) -> bool:
    """Whether a method of an object is another than that of `base`, which its class inherits from.

    What is known of the one, such as a closed form, need not hold for the other. It is asked where
    that is known outside of the class; of what the class itself says, `stale` is.
    """
    return method in vars(part) or getattr(type(part), method) is not getattr(base, method)


def stale(part: Any, shortcut: str, method: str) -> bool:
    """Whether a method of an object, or a class, was overridden without another that stands for it.

    The `shortcut`, inherited from farther up, then knows nothing of the `method`. A class that
    overrides both is not stale, while `overrides` is still true of it.
    """

    def depth(name: str) -> int:
        if name in vars(part):
            return -1
        classes = (part if isinstance(part, type) else type(part)).__mro__
        return next((i for i, each in enumerate(classes) if name in vars(each)), len(classes))

    return depth(shortcut) > depth(method)


def plain(value: Any) -> Any:
    """A number as Python's own int, float or bool, and anything else as it is.

    Torch and the standard library take float32 and integer scalars of NumPy in some places and
    refuse them, or a fraction, in others.
    """
    if isinstance(value, np.bool_):
        return bool(value)
    if is_whole(value):
        return int(value)
    return float(value) if is_real(value) else value


def as_real(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    of: str | None = None,
) -> float:
    """A finite number as a float.

    Parameters
    ----------
    name : str
        Of the parameter.
    value : object
        What was given for it.
    above, least, below : float, optional
        Bounds: that it is above, at least, and below.
    of : str, optional
        What the parameter is one of, for the message; "" for an estimator's.

    Raises
    ------
    ValueError
        If it is no such number.
    """
    try:
        number = float(value) if is_real(value) else math.nan
    except OverflowError:
        number = math.inf
    if (
        not math.isfinite(number)
        or (above is not None and number <= above)
        or (least is not None and number < least)
        or (below is not None and number >= below)
    ):
        limits = ((">", "above", above), (">=", "of at least", least), ("<", "below", below))
        bounds = [(sign, word, f"{x:g}") for sign, word, x in limits if x is not None]
        wanted = " and ".join(f"{sign} {x}" for sign, _, x in bounds)
        in_words = " and ".join(f"{word} {x}" for _, word, x in bounds)
        raise _refused(name, value, of, f"a finite number {wanted}", f"a number {in_words}")
    return number


def as_whole(name: str, value: Any, *, least: int = 1, of: str | None = None) -> int:
    """An integer of at least `least` as an int; see `as_real`.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not is_whole(value) or not least <= int(value) < LIMIT:
        limit = " and < 2**63" if is_whole(value) and int(value) >= LIMIT else ""
        wanted, in_words = f"an integer >= {least}{limit}", f"an integer of {least} or more{limit}"
        raise _refused(name, value, of, wanted, in_words)
    return int(value)


def _refused(name: str, value: Any, of: str | None, wanted: str, in_words: str) -> ValueError:
    if of is None:
        return ValueError(f"{name} must be {wanted.strip()}, got {brief(value)}.")
    owner = f" of {of}" if of else ""
    return ValueError(f"{name}={brief(value)}{owner}; expected {in_words.strip()}.")


def as_path(name: str, path: Any, of: str = "") -> str:
    """A path that a user passes, as a string; `of` is the class whose parameter it is.

    Raises
    ------
    TypeError
        If it is none, such as an open file: it names the parameter.
    """
    try:
        return os.fsdecode(path)
    except TypeError:
        whose = f" of {of}" if of else ""
        raise TypeError(
            f"{name}={brief(path)}{whose}; expected a path: str, bytes or os.PathLike."
        ) from None


def call_error(error: TypeError, method: Callable[..., Any], owner: Any) -> TypeError | None:
    """An error over the arguments of a call, in the name of the class of the object itself.

    Python names the class in which the method is written, a base that the caller need not know.

    Returns
    -------
    error : TypeError or None
        None where it is about something else.
    """
    own, text = inspect.unwrap(method), str(error)
    begun = any(frame.f_code is own.__code__ for frame, _ in walk_tb(error.__traceback__))
    if begun or not text.startswith(f"{own.__qualname__}() "):
        return None
    return TypeError(text.replace(own.__qualname__, f"{type(owner).__name__}.{own.__name__}", 1))


def called_by_name(method: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a method whose `call_error` is the one to raise."""

    @wraps(method)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except TypeError as error:
            told = call_error(error, method, self)
            if told is None:
                raise
            raise told from None

    return called


def call_own(
    named: str, function: Callable[..., Any], *args: Any, given: str, expected: str
) -> Any:
    """What a function of the user's own gives for arguments, of which it may not take as many.

    Raises
    ------
    TypeError
        If it does not: how it is `named`, what it was `given`, what was `expected`.
    """
    try:
        return function(*args)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # from within it
        raise TypeError(
            f"{named} cannot be called with {given} ({error}); expected {expected}."
        ) from None
