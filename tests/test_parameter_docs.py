"""The docstrings of estimators say what each parameter takes, and it takes that."""

import inspect
import re
import warnings
from numbers import Integral, Real

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import (
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)

import skotae
from skotae import costs, divergences, networks, priors
from skotae.autoencoders.bases.docs import shared_documentation
from skotae.priors import PRIORS
from skotae.utils._sklearn import Interval

ESTIMATORS = [getattr(skotae, name) for name in skotae.__all__ if name[0].isupper()]
ESTIMATORS = [cls for cls in ESTIMATORS if issubclass(cls, BaseEstimator)]
NUMERIC = [
    pytest.param(cls, name, id=f"{cls.__name__}-{name}")
    for cls in ESTIMATORS
    for name, constraints in cls._parameter_constraints.items()
    if any(isinstance(constraint, Interval) for constraint in constraints)
]
WITH_PRIOR = [cls for cls in ESTIMATORS if "prior" in inspect.signature(cls).parameters]


def entry_of(cls, name):
    """The type and the description of a parameter, as its docstring has them."""
    found = re.search(rf"^{name} : (.*)\n((?:    .*\n?|\n(?=    ))*)", cls.__doc__, re.MULTILINE)
    assert found, f"{cls.__name__} does not document {name} by itself"
    return found[1], found[2]


def is_documented(kind, value):
    """Whether a type such as ``"auto" or float in [0, 1), default="auto"`` has the value."""
    kind = kind.partition(", default=")[0]
    if value is None:
        return " or None" in kind
    if isinstance(value, str):
        return f'"{value}"' in kind
    if options := re.fullmatch(r"\{(.*)\}", kind):
        return str(value) in options[1].split(", ")
    word = re.search(r"\b(int|float)\b", kind)[1]
    if word == "int" and not isinstance(value, Integral):
        return False
    if inside := re.search(r"(?:int|float) in ([\[(])(\S+), (\S+)([\])])", kind):
        opening, low, high, closing = inside.groups()
        above = value >= float(low) if opening == "[" else value > float(low)
        return above and (value <= float(high) if closing == "]" else value < float(high))
    sign, bound = re.search(r"(?:int|float) ([<>]=?) (\S+?)(?: or |$)", kind).groups()
    bound = float(bound)
    return {
        ">=": value >= bound,
        ">": value > bound,
        "<=": value <= bound,
        "<": value < bound,
    }[sign]


def is_accepted(cls, name, value):
    try:
        validate_parameter_constraints(
            {name: cls._parameter_constraints[name]}, {name: value}, cls.__name__
        )
    except InvalidParameterError:
        return False
    return True


@pytest.mark.parametrize("cls, name", NUMERIC)
def test_ranges(cls, name):
    """At the ends of the range, on both sides of them, and far from them."""
    kind, _ = entry_of(cls, name)
    constraints = cls._parameter_constraints[name]
    (interval,) = (each for each in constraints if isinstance(each, Interval))
    values = [-(10**6), 10**6, 0.5, None, "auto"]
    for end in (interval.left, interval.right):
        if end is not None:
            values += [end - 1, end, end + 1, end - 1e-3, end + 1e-3]
    for value in values:
        assert is_documented(kind, value) == is_accepted(cls, name, value), (
            f"{cls.__name__}: {name} : {kind}, but {value!r} is "
            f"{'accepted' if is_accepted(cls, name, value) else 'refused'}"
        )
    assert all(
        isinstance(each, (Interval, StrOptions)) or each in ("array-like", None)
        for each in constraints
    )  # There is nothing else to be documented.


def test_ranges_are_found():
    assert len(NUMERIC) > 150 and {p.values[0] for p in NUMERIC} == {*ESTIMATORS}


def test_range_of_a_class_of_ones_own():
    """Also of numbers below an end, and within two that do or do not belong."""

    @shared_documentation
    class Own(skotae.VAE):
        """A class.

        Parameters
        ----------
        beta : float, default=1.0
            A weight.
        low : float, default=0.0
            A number.
        whole : None or int, default=None
            A number or None, not an alpha : float.
        """

        _parameter_constraints = {
            **skotae.VAE._parameter_constraints,
            "low": [Interval(Real, None, 2.5, closed="neither")],
            "whole": [Interval(Integral, 1, 3, closed="right"), None],
        }

        def __init__(self, beta=1.0, low=-1.0, whole=None):
            """The parameters."""

    assert "\nbeta : float >= 0, default=1.0\n" in Own.__doc__
    assert "\nlow : float < 2.5, default=-1.0\n" in Own.__doc__
    assert "\nwhole : None or int in (1, 3], default=None\n" in Own.__doc__


@pytest.mark.parametrize("cls", WITH_PRIOR, ids=lambda cls: cls.__name__)
def test_priors_that_are_offered(cls):
    """They are those that the estimator accepts, and all of them."""
    X = np.random.default_rng(0).uniform(size=(16, 3))
    _, text = entry_of(cls, "prior")
    offered = set(re.findall(r'``"(\w+)"``', text))
    accepted, fewer = set(), {"n_bank": 16, "n_bank_steps": 1} if cls is skotae.CoupledVAE else {}
    for name in PRIORS:
        model = cls(2, prior=name, hidden_layer_sizes=(4,), max_iter=1, random_state=0, **fewer)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model.fit(X)
            except ValueError as error:
                assert "prior" in str(error)
                continue
        accepted.add(name)
    assert offered == accepted


PARTS = [
    pytest.param(cls, name, kind, id=f"{cls.__name__}-{name}")
    for module in (costs, divergences, networks, priors)
    for cls in (getattr(module, name) for name in module.__all__)
    if inspect.isclass(cls)
    for name, kind in re.findall(r"^(\w+) : (.*)$", inspect.getdoc(cls), re.MULTILINE)
    if name in inspect.signature(cls).parameters and re.match(r"int|float", kind)
]
# Their limit is the other one.
ENDS = {"low", "high"}


def use(cls, **params):
    """A fit of an estimator with a part; what is wrong with it is said then, if not before."""
    options = {"hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0}
    if cls is networks.ConvNet:
        small = {"channels": (2,), "hidden": 4, "kernel_size": 2, **params}
        options["encoder"] = cls((4, 4), **small)
    else:
        bases = {
            "prior": priors.BasePrior,
            "cost": costs.BaseCost,
            "penalty": divergences.BaseDivergence,
            "encoder": networks.MLP,
        }
        (role,) = (role for role, base in bases.items() if issubclass(cls, base))
        options[role] = cls(**params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        skotae.WAEEstimator(2, **options).fit(np.random.default_rng(0).uniform(size=(16, 16)))


@pytest.mark.parametrize("cls, name, kind", PARTS)
def test_ranges_of_parts(cls, name, kind):
    """Numbers at the lower end and beyond it are taken and refused as the docstring says."""
    if name in ENDS:
        with pytest.raises(ValueError, match="low < high"):
            use(cls, **{name: {"low": 2.0, "high": -2.0}[name]})
        return
    found = re.match(r"(int|float) (?:(>=?) (\S+?)|in \[(\S+), \S+\))(?:,| or )", kind)
    assert found, f"{cls.__name__}: {name} : {kind} has no range"
    word, sign, above, closed = found.groups()
    end = float(closed or above)
    good = end if sign != ">" else end + 0.25
    bad = end if sign == ">" else end - (1 if word == "int" else 0.25)
    number = int if word == "int" else float
    use(cls, **{name: number(good)})
    with pytest.raises(ValueError, match=name):
        use(cls, **{name: number(bad)})
