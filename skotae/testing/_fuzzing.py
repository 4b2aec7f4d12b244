"""Cases that nobody thought of: random parameters, rows and calls, and what may come of them."""

from __future__ import annotations

import pickle
import re
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from skotae import costs, divergences, priors
from skotae.costs import COSTS
from skotae.divergences import DIVERGENCES
from skotae.networks.base import ACTIVATIONS
from skotae.priors import PRIORS
from skotae.utils._sklearn import Interval, StrOptions

# Of numbers, those within the declared interval; of sizes, few.
REALS = (0.0, 1e-300, 1e-30, 1e-4, 0.05, 0.5, 1.0, 2.0, 3, 30.0, 1e4, 1e30, 1e300)
SIZES = (0, 1, 2, 3, 5)
KINDS = ("normal", "unit", "constant", "one constant column", "few values", "outlier", "equal rows")
SCALES = (1e-300, 1e-160, 1e-42, 1e-20, 1e-3, 1.0, 1.0, 1.0, 1e3, 1e20, 1e38, 1e155, 1e300)
DTYPES = ("float64", "float32", "int64", "uint8", "bool", "float16")
CONTAINERS = ("array", "read-only", "Fortran", "list", "tensor", "pandas")
CALLS = (
    *("transform", "inverse_transform", "reconstruct", "sample", "sample_posterior", "interpolate"),
    *("score", "score_samples", "elbo", "fit", "partial_fit", "one row", "clone", "pickle"),
    *("far transform", "far reconstruct", "far score", "far score_samples", "far partial_fit"),
)
NAMED: dict[str, list[Any]] = {
    "prior": [
        *(None, *PRIORS, priors.NormalPrior(1e-4), priors.NormalPrior(1e30)),
        *(priors.SpherePrior(1e4), priors.UniformPrior(-1e30, 1e30), priors.UniformPrior(0, 1e-30)),
        *(priors.DirichletPrior(1e-30), priors.GaussianMixturePrior(2, scale=1e-30)),
    ],
    "cost": [None, *COSTS, costs.GaussianCost(1e-30), costs.GaussianCost(1e30)],
    "penalty": [
        *(None, *DIVERGENCES, divergences.MMD(1e-30), divergences.MMD(1e30)),
        *(divergences.ExactDivergence(p=30.0), divergences.SlicedDivergence(1, p=1e4)),
        *(divergences.SinkhornDivergence(epsilon=1e-30), divergences.AdversarialDivergence((2,))),
    ],
    "activation": [*ACTIVATIONS],
}
SMALL = {"n_components": 2, "hidden_layer_sizes": (4,), "max_iter": 1, "random_state": 0}
FEWER = {"n_mixtures": 2, "n_bank": 8, "n_pseudo_inputs": 2}
LEFT = {*SMALL, "verbose", "device", "encoder", "decoder", "discriminator", "critic"} - {
    "n_components"
}
# A case that takes longer hangs.
SECONDS = 60.0


@dataclass(frozen=True)
class Case:
    """An estimator, rows, and what is called one after the other.

    Attributes
    ----------
    cls : type
        Class of the estimator.
    params : dict
        Its parameters, within the constraints that it declares.
    n, d : int
        Numbers of rows and columns.
    kind : str
        What the rows are like, one of ``"normal"``, ``"unit"``, ``"constant"``, ...
    scale : float
        What they are multiplied by.
    dtype, container : str
        What they are given as.
    calls : tuple of str
        Methods, after a first `fit`; with "far", of rows a million times as large.
    """

    cls: type
    params: dict[str, Any]
    n: int
    d: int
    kind: str
    scale: float
    dtype: str
    container: str
    calls: tuple[str, ...]

    def rows(self) -> np.ndarray:
        """The rows, in their dtype."""
        rng = np.random.RandomState(0)
        X = rng.normal(size=(self.n, self.d))
        if self.kind == "unit":
            X = rng.uniform(size=X.shape)
        elif self.kind == "constant":
            X = np.full_like(X, 0.7)
        elif self.kind == "one constant column":
            X[:, 0] = 0.7
        elif self.kind == "few values":
            X = np.rint(X)
        elif self.kind == "outlier":
            X[0] *= 1e6
        elif self.kind == "equal rows":
            X[: self.n - 1] = X[0]
        with np.errstate(all="ignore"):
            return self._cast(X * self.scale)

    def far(self) -> np.ndarray:
        """Rows a million times as large, as far as the dtype goes."""
        with np.errstate(all="ignore"):
            return self._cast(1e6 * self.rows().astype(np.float64))

    def _cast(self, X: np.ndarray) -> np.ndarray:
        if np.issubdtype(self.dtype, np.floating):
            most = float(np.finfo(self.dtype).max) / 2
            return X.clip(-most, most).astype(self.dtype)
        return X.clip(0, 200).astype(self.dtype)

    def given(self, X: np.ndarray) -> Any:
        """Rows in the container."""
        if self.container == "read-only":
            X = X.copy()
            X.setflags(write=False)
        elif self.container == "Fortran":
            return np.asfortranarray(X)
        elif self.container == "list":
            return X.tolist()
        elif self.container == "tensor":
            return torch.tensor(X)
        elif self.container == "pandas":
            import pandas  # an optional package

            return pandas.DataFrame(X)
        return X


def fuzz_cases(classes: Sequence[type]) -> Any:
    """Random cases for estimators, as a strategy of hypothesis.

    Parameters
    ----------
    classes : sequence of type
        Estimators. Parameters come from the ``_parameter_constraints`` of each.

    Returns
    -------
    cases : hypothesis.strategies.SearchStrategy of Case

    See Also
    --------
    check_case : What a case has to come to.

    Examples
    --------
    With pytest and hypothesis, for an estimator of one's own::

        @given(case=fuzz_cases([MyAutoencoder]))
        @settings(deadline=None)
        def test_fuzzed(case):
            check_case(case)

    >>> from skotae import VAE
    >>> from skotae.testing import fuzz_cases
    >>> cases = fuzz_cases([VAE])
    """
    from hypothesis import strategies as st  # an optional package

    def of(cls: type) -> Any:
        choices = {}
        for name, constraints in cls._parameter_constraints.items():  # type: ignore[attr-defined]
            if name not in LEFT and (values := _values(name, constraints)):
                choices[name] = st.sampled_from(values)
        changed = st.lists(st.sampled_from(sorted(choices)), min_size=1, max_size=5, unique=True)
        params = changed.flatmap(
            lambda names: st.fixed_dictionaries({n: choices[n] for n in names})
        )
        return st.builds(
            Case,
            cls=st.just(cls),
            params=params,
            n=st.sampled_from([2, 3, 5, 12]),
            d=st.sampled_from([1, 2, 4]),
            kind=st.sampled_from(KINDS),
            scale=st.sampled_from(SCALES),
            dtype=st.sampled_from(DTYPES),
            container=st.sampled_from(CONTAINERS),
            calls=st.lists(st.sampled_from(CALLS), max_size=4).map(tuple),
        )

    return st.sampled_from(list(classes)).flatmap(of)


def _values(name: str, constraints: Any) -> list[Any]:
    if name in NAMED:
        return NAMED[name]
    found: list[Any] = []
    for constraint in [] if isinstance(constraints, str) else constraints:
        if isinstance(constraint, Interval):
            some = REALS if constraint.type.__name__ == "Real" else SIZES
            # A number at the end of an interval may be of any type.
            for value in some:
                kinds = (value, np.float64(value) if isinstance(value, float) else np.int64(value))
                found += [each for each in kinds if constraint.is_satisfied_by(each)]
        elif isinstance(constraint, StrOptions):
            found += sorted(constraint.options)
        elif constraint == "boolean":
            found += [False, True, np.True_]
        elif constraint is None:
            found.append(None)
    return found


def check_case(case: Case) -> str:
    """Run a case.

    Every call ends in an answer, finite and of the shape and dtype that is documented, or in an
    error that names a parameter, an argument or X.

    Parameters
    ----------
    case : Case
        What :func:`fuzz_cases` draws.

    Returns
    -------
    outcome : {"answered", "refused"}

    Raises
    ------
    AssertionError
        If a call does neither, or takes more than a minute.

    See Also
    --------
    fuzz_cases : Many of them.

    Examples
    --------
    >>> from skotae import VAE
    >>> from skotae.testing import Case, check_case
    >>> check_case(Case(VAE, {"beta": 0.5}, 5, 2, "normal", 1.0, "float32", "list", ("sample",)))
    'answered'
    """
    started = time.perf_counter()
    known = case.cls._parameter_constraints  # type: ignore[attr-defined]
    params = {name: value for name, value in {**SMALL, **FEWER}.items() if name in known}
    model = case.cls(**{**params, **case.params})
    outcome, call = "answered", "fit"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(case.given(case.rows()))
            for call in case.calls:
                X = case.far() if call.startswith("far ") else case.rows()
                model = _called(model, call.removeprefix("far "), case, X)
        except AssertionError as error:
            raise AssertionError(f"{call}: {error} ({case})") from error
        except Exception as error:
            assert _tells(error, model), (
                f"{call}: {type(error).__name__} names no parameter: {error} ({case})"
            )
            outcome = "refused"
    seconds = time.perf_counter() - started
    assert seconds < SECONDS, f"{seconds:.0f} seconds ({case})"
    return outcome


def _tells(error: Exception, model: Any) -> bool:
    """Whether an error has the name of what is wrong in it."""
    names = [name.split("__")[-1] for name in model.get_params()]
    names += ["X", "n_samples", "n_steps", "components"]
    kinds = (ValueError, TypeError, ArithmeticError, MemoryError)
    words = re.search(rf"\b({'|'.join(map(re.escape, names))})\b", str(error))
    return isinstance(error, kinds) and words is not None


def _called(model: Any, call: str, case: Case, X: np.ndarray) -> Any:
    """The model that goes on after a call, whose result is looked at."""
    rows = case.given(X)
    own = "float32" if X.dtype == np.float32 and case.container != "list" else "float64"
    d, codes = model.n_features_in_, (len(X), model.n_components_)
    if call in ("clone", "pickle"):
        twin = pickle.loads(pickle.dumps(model)) if call == "pickle" else clone(model).fit(rows)
        if hasattr(model, "transform"):
            _look(twin.transform(rows), codes, own, call)
        return twin
    if call in ("fit", "partial_fit", "one row"):
        fit = model.fit if call == "fit" else model.partial_fit
        fit(case.given(X[:1]) if call == "one row" else rows)
        return model
    if not hasattr(model, call):
        return model
    if call == "sample":
        _look(model.sample(3, random_state=0), (3, d), own, call)
    elif call == "transform":
        _look(model.transform(rows), codes, own, call)
    elif call == "inverse_transform":
        Z = model.transform(rows)
        _look(model.inverse_transform(Z), X.shape, own, call)
    elif call == "reconstruct":
        _look(model.reconstruct(rows), X.shape, own, call)
    elif call == "sample_posterior":
        _look(model.sample_posterior(rows, 2, random_state=0), (codes[0], 2, codes[1]), own, call)
    elif call == "interpolate":
        _look(model.interpolate(rows, rows, 3), (len(X), 3, d), own, call)
    elif call == "score":
        score = model.score(rows)
        assert isinstance(score, float) and np.isfinite(score), f"the score is {score!r}"
    else:
        _look(getattr(model, call)(rows), (len(X),), own, call)
    return model


def _look(values: Any, shape: tuple[int, ...], dtype: str, call: str) -> None:
    array = np.asarray(values)
    assert array.shape == shape, f"{call} has shape {array.shape}, not {shape}"
    assert str(array.dtype) == dtype, f"{call} has dtype {array.dtype}, not {dtype}"
    assert np.isfinite(array).all(), f"{call} is not finite"
