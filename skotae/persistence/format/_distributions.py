"""Distributions that a prior may wrap: those of scipy and torch that are a name and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import distributions

from skotae.exceptions import CorruptFileError, UnsavableError
from skotae.persistence.base import (
    Decode,
    Decoder,
    Encoder,
    Node,
    dict_of,
    fields,
    int_of,
    list_of,
    shown,
    str_of,
    tagged,
    type_name,
)

SCIPY = {
    name: value
    for name, value in vars(stats).items()
    # A draw of irwinhall(n) is a sum of n numbers: it alone is as large as its parameter.
    if isinstance(value, stats.rv_continuous) and name != "irwinhall"
}
# The attributes that each is made from. A normal distribution of vectors keeps the one matrix
# that it was given.
TORCH = {
    "Beta": ("concentration1", "concentration0"),
    "Cauchy": ("loc", "scale"),
    "Chi2": ("df",),
    "Dirichlet": ("concentration",),
    "Exponential": ("rate",),
    "Gamma": ("concentration", "rate"),
    "Gumbel": ("loc", "scale"),
    "HalfCauchy": ("scale",),
    "HalfNormal": ("scale",),
    "Laplace": ("loc", "scale"),
    "LogNormal": ("loc", "scale"),
    "Normal": ("loc", "scale"),
    "StudentT": ("df", "loc", "scale"),
    "Uniform": ("low", "high"),
}
MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")


def encode(value: Any, path: str, encoder: Encoder) -> Node:
    """The node of a distribution, or None."""
    if isinstance(value, distributions.Distribution):
        node = _encode_torch(value, path, encoder)
    elif type(value).__module__.startswith("scipy.stats"):
        node = _encode_scipy(value, path, encoder)
    else:
        return None
    encoder.spend("distributions", 1)
    return node


def _refusal(value: Any, path: str) -> UnsavableError:
    return UnsavableError(
        f"{path} is a distribution of type {type_name(value)}, which a file cannot hold; expected "
        "a continuous one of scipy.stats with numbers as its arguments, one of "
        f"torch.distributions among {[*TORCH, 'Independent', 'MultivariateNormal']}, or a prior "
        "of your own: a subclass of skotae.priors.BasePrior in a module, with numbers as its "
        "parameters."
    )


def _encode_scipy(value: Any, path: str, encoder: Encoder) -> Node:
    family = getattr(value, "dist", None)
    known = SCIPY.get(getattr(family, "name", None) or "")
    if known is None or type(known) is not type(family):
        raise _refusal(value, path)
    arguments = [*value.args, *value.kwds.values()]
    if not all(_is_numeric(argument) for argument in arguments):
        raise _refusal(value, path)
    return tagged(
        "scipy",
        name=value.dist.name,
        args=[encoder.value(arg, f"{path}.args[{i}]") for i, arg in enumerate(value.args)],
        kwds={name: encoder.value(arg, f"{path}.{name}") for name, arg in value.kwds.items()},
    )


def _is_numeric(value: Any) -> bool:
    """Whether it is a number or a row of them, as a prior of vectors has; tables would multiply."""
    try:
        array = np.asarray(value)
    except ValueError:
        return False
    return array.dtype.kind in "biuf" and array.ndim <= 1


def _is_row(name: str, value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim <= (2 if name in MATRICES else 1)


def _encode_torch(value: Any, path: str, encoder: Encoder) -> Node:
    name, kind = type(value).__name__, type(value)
    attributes: dict[str, Any] = {}
    if kind is distributions.Independent:
        attributes = {
            "base_distribution": value.base_dist,
            "reinterpreted_batch_ndims": value.reinterpreted_batch_ndims,
        }
    elif kind is distributions.MultivariateNormal:
        given = next((each for each in MATRICES if each in vars(value)), MATRICES[-1])
        attributes = {"loc": value.loc, given: getattr(value, given)}
    elif name in TORCH and kind is getattr(distributions, name):
        attributes = {each: getattr(value, each) for each in TORCH[name]}
    rows = kind is distributions.Independent or all(_is_row(*item) for item in attributes.items())
    if not attributes or not rows:
        raise _refusal(value, path)
    return tagged(
        "torch distribution",
        name=name,
        arguments={key: encoder.value(each, f"{path}.{key}") for key, each in attributes.items()},
    )


def _decode_scipy(node: Mapping[str, Node], decoder: Decoder) -> Any:
    name, args, kwds = fields(node, "name", "args", "kwds")
    decoder.spend("distributions", 1)
    if str_of(name) not in SCIPY:
        raise CorruptFileError(f"{shown(name)} is no continuous distribution of scipy.stats")
    positional = [decoder.value(each) for each in list_of(args)]
    named = {key: decoder.value(each) for key, each in dict_of(kwds).items()}
    if not all(_is_numeric(each) for each in (*positional, *named.values())):
        raise CorruptFileError(f"distribution {name!r} has arguments that are no numbers")
    try:
        return SCIPY[name](*positional, **named)
    except Exception as error:
        raise CorruptFileError(f"distribution {name!r} has other arguments: {error}") from error


def _decode_torch(node: Mapping[str, Node], decoder: Decoder) -> distributions.Distribution:
    name, arguments = fields(node, "name", "arguments")
    decoder.spend("distributions", 1)
    values = {key: decoder.value(each) for key, each in dict_of(arguments).items()}
    signatures: list[tuple[str, ...]]
    if str_of(name) == "Independent":
        signatures = [("base_distribution", "reinterpreted_batch_ndims")]
        int_of(values.get("reinterpreted_batch_ndims"), 0, 8)
        fine = isinstance(values.get("base_distribution"), distributions.Distribution)
    else:
        signatures = [TORCH.get(name, ())]
        if name == "MultivariateNormal":
            signatures = [("loc", matrix) for matrix in MATRICES]
        fine = all(_is_row(*item) for item in values.items())
    if not fine or not values or not any(values.keys() == {*each} for each in signatures):
        raise CorruptFileError(f"{shown(name)} is no distribution of torch with such arguments")
    try:
        return getattr(distributions, name)(**values)
    except Exception as error:
        raise CorruptFileError(f"distribution {name!r} has other arguments: {error}") from error


DECODE: dict[str, Decode] = {"scipy": _decode_scipy, "torch distribution": _decode_torch}
