"""From what a user passes for a part (None, a name, an instance) to the part."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sklearn.base import clone

from skotae.utils.base import brief

Part = TypeVar("Part")


def resolve_part(
    value: Any,
    name: str,
    registry: Mapping[str, Callable[[], Any]],
    base: type[Part],
    *,
    default: str,
) -> Part:
    """A part of type ``base`` that belongs to the caller.

    Parameters
    ----------
    value : None, str or instance of `base`
        None stands for `default`; an instance is cloned.
    name : str
        Name of the parameter, for messages.
    registry : mapping of str to class
        The parts that have a name.
    base : type
        What an instance has to be.
    default : str
        Key of `registry` used for None.

    Raises
    ------
    ValueError
        If `value` is a string that is not in `registry`.
    TypeError
        If `value` is anything else that is not an instance of `base`.
    """
    value = default if value is None else value
    if isinstance(value, str):
        if value in registry:
            return registry[value]()
        near = difflib.get_close_matches(value, registry, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"{name}={brief(value)} is not known; expected one of {sorted(registry)} or an "
            f"instance of {base.__name__}.{hint}"
        )
    if isinstance(value, base):
        return clone(value)
    if isinstance(value, type) and issubclass(value, base):
        raise TypeError(
            f"{name}={value.__name__} is a class; expected an instance, {value.__name__}(...)."
        )
    raise TypeError(
        f"{name}={brief(value)} is not a {name}; expected one of {sorted(registry)} or an instance "
        f"of {base.__name__}."
    )


def require(part: Any, methods: tuple[str, ...], *, name: str, needed_by: str, having: str) -> None:
    """Refuse a part that lacks a method another part needs.

    Raises
    ------
    ValueError
        Naming the parameter, the missing method and parts that have it.
    """
    for method in methods:
        if not hasattr(part, method):
            raise ValueError(
                f"{name}={part!r} has no {method}(), which {needed_by} needs; expected a {name} "
                f"that has it, such as {having}."
            )
