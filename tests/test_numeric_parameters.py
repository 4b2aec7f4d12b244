"""A number may be Python's, NumPy's or a fraction, wherever one is taken; a truth value is none."""

import inspect
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator

import skotae
from skotae import callbacks, costs, datasets, divergences, metrics, networks, priors, transport
from skotae.utils.base import plain

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 2)), RNG.normal(size=(12, 2))
LABELS = np.arange(12) % 2
x, y = torch.tensor(X), torch.tensor(Y)

# Each is exact in float32. A parameter that is not here is tried with its default.
VALUES = {
    "bandwidth": 0.5,
    "confidence_level": 0.75,
    "epsilon": 0.5,
    "gradient_penalty": 0.25,
    "kernel_size": 3,
    "max_iter": 50,
    "min_scale": 2**-8,
    "n_components": 2,
    "n_in": 2,
    "n_iter": 5,
    "n_mixtures": 2,
    "n_neighbors": 2,
    "n_out": 3,
    "n_projections": 3,
    "n_resamples": 20,
    "n_samples": 16,
    "noise": 0.25,
    "dropout": 0.25,
    "scale": 0.5,
    "tol": 2**-8,
    "variance": 0.25,
    "concentration": 0.5,
    "weight_scale": 0.25,
}
ARGUMENTS = {
    transport: {
        **{"x": x, "y": y, "cost": torch.cdist(x, y), "u": x[:, 0], "A": x.abs()},
        **{"measures_locations": [x, y], "measures_weights": None, "X_init": x[:4]},
    },
    metrics: {
        **{"X": X, "Y": Y, "Z": X, "Z_test": Y, "y": LABELS, "y_test": LABELS, "means": Y[:3]},
        **{"X_train": X, "X_test": Y},
    },
    datasets: {},
    networks: {"spec": networks.MLP((4,))},
}
SEEDED = {"random_state": 0, "generator": lambda: torch.Generator().manual_seed(0)}


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def numeric(function):
    """Names of the parameters that take a number."""
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if is_number(parameter.default)
        or str(parameter.annotation).split(" | ")[0] in ("int", "float")
        or name in ("variance",)
    ]


def public(*modules, parts):
    for module in modules:
        for name in module.__all__:
            member = getattr(module, name)
            if parts == (inspect.isclass(member) and issubclass(member, BaseEstimator)):
                if parts or inspect.isfunction(member):
                    yield module, member


def value_of(function, name):
    default = inspect.signature(function).parameters[name].default
    return VALUES[name] if name in VALUES else default


def other_kinds(value):
    """The same number in other types."""
    whole = isinstance(value, int)
    return [np.int64(value)] if whole else [np.float32(value), Fraction(value)]


def flat(result):
    """All numbers of a result, in a list."""
    if isinstance(result, (tuple, list)):
        return [number for part in result for number in flat(part)]
    if isinstance(result, torch.nn.Module):
        return flat(dict(result.state_dict()))
    if isinstance(result, torch.Tensor):
        return result.detach().flatten().tolist()
    if isinstance(result, dict):
        return flat([*result.values()])
    if isinstance(result, (metrics.GenerationReport, metrics.Baselines, transport.SinkhornInfo)):
        return flat(vars(result))
    return [] if result is None or isinstance(result, str) else np.ravel(result).tolist()


def same(results):
    first, *others = map(flat, results)
    assert first
    return all(np.array_equal(first, other, equal_nan=True) for other in others)


FUNCTIONS = [
    pytest.param(module, function, name, id=f"{function.__module__}.{function.__name__}-{name}")
    for module, function in public(*ARGUMENTS, parts=False)
    for name in numeric(function)
]


class Generator:
    """What a report needs of an estimator."""

    def sample(self, n_samples, random_state=None):
        return np.random.RandomState(random_state).normal(size=(n_samples, 2))


def call(module, function, **numbers):
    known = inspect.signature(function).parameters
    arguments = {**ARGUMENTS[module], "metric": metrics.mmd, "estimator": Generator()}
    if "p" in known:  # a metric is then a distance between points
        arguments.pop("metric")
    if function is metrics.confidence_interval:
        return function(metrics.knn_accuracy, X, LABELS, Y, LABELS, random_state=0, **numbers)
    if "x" in known:  # a cost takes the place of clouds
        arguments.pop("cost", None)
    given = {name: arguments[name] for name in known if name in arguments}
    needed = {
        name: VALUES[name]
        for name, parameter in known.items()
        if name in VALUES and (name == "scale" or parameter.default is parameter.empty)
    }
    seeded = {
        name: value() if callable(value) else value
        for name, value in SEEDED.items()
        if name in known
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return function(**{**given, **needed, **seeded, **numbers})


@pytest.mark.filterwarnings("ignore:Sinkhorn stopped")
@pytest.mark.parametrize("module, function, name", FUNCTIONS)
def test_functions_take_numbers_of_any_kind(module, function, name):
    value = value_of(function, name)
    kinds = [value, *other_kinds(value)] if value is not None else []
    assert not kinds or same([call(module, function, **{name: kind}) for kind in kinds])
    with pytest.raises((TypeError, ValueError), match=name):
        call(module, function, **{name: True})


PARTS = [
    pytest.param(cls, name, id=f"{cls.__name__}-{name}")
    for _, cls in public(costs, divergences, networks, priors, parts=True)
    for name in numeric(cls.__init__)
]


def use(part):
    """Numbers that depend on all parameters of a part."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(part, costs.BaseCost):
        return part(x, y), part.build(2, 1.0)(x.float(), y.float())
    if isinstance(part, divergences.AdversarialDivergence):
        return part.build(priors.NormalPrior(), 2).adversary_loss(x.float(), y.float())
    if isinstance(part, divergences.BaseDivergence):
        return part(x, y, generator=generator)
    if isinstance(part, networks.ConvNet):
        part.image_shape, part.channels = (4, 4), (2,)
        return part.build(16, 2)
    if isinstance(part, networks.BaseNetwork):
        return part.build(2, 2)
    z = part.sample(4, 2, generator)
    return z, part.log_prob(z), *part.moments(2), part.head(2)(x.float())


@pytest.mark.parametrize("cls, name", PARTS)
def test_parts_take_numbers_of_any_kind(cls, name):
    value = value_of(cls.__init__, name)
    results = []
    with torch.random.fork_rng():
        for kind in (value, *other_kinds(value)):
            torch.manual_seed(0)
            results.append(use(cls(**{name: kind})))
        with pytest.raises(ValueError, match=name):
            use(cls(**{name: True}))
    assert same(results)


ESTIMATORS = [getattr(skotae, name) for name in skotae.__all__]
ESTIMATORS = [each for each in ESTIMATORS if inspect.isclass(each) and hasattr(each, "fit")]
SMALL = {
    **{"n_components": 2, "hidden_layer_sizes": (4,), "max_iter": 1, "batch_size": 4},
    **{"n_mixtures": 2, "n_bank": 16, "cost_scale": 2.0, "weight_decay": 0.5, "lam": 8.0},
    **{"n_pseudo_inputs": 4, "validation_fraction": 0.25, "tol": 0.0},
}


def other_kind(value):
    if isinstance(value, tuple):
        return tuple(map(other_kind, value))
    return other_kinds(value)[0] if is_number(value) else value


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_estimators_take_numbers_of_any_kind(cls):
    defaults = {name: p.default for name, p in inspect.signature(cls).parameters.items()}
    numbers = {
        name: SMALL.get(name, value)
        for name, value in defaults.items()
        if is_number(value) or name in SMALL
    }
    # Exact in float32, so that fits are equal.
    numbers = {
        name: float(np.float32(value)) if isinstance(value, float) else value
        for name, value in numbers.items()
    }
    wild = {name: other_kind(value) for name, value in numbers.items()}
    models = [cls(**{**values, "random_state": 0}).fit(X) for values in (numbers, wild)]
    assert same([[*model.model_.state_dict().values()] for model in models])
    assert all(type(getattr(models[1]._params, name)) is type(numbers[name]) for name in wild)
    assert same(
        [model.sample(3, random_state=0) for model in models] if hasattr(cls, "sample") else [X, X]
    )
    # A second fit goes on: the numbers are what they were.
    models[1].set_params(**numbers, warm_start=True).fit(X)
    for name in numbers:
        if name != "hidden_layer_sizes":
            with pytest.raises(ValueError, match=name):
                cls(**{name: True}).fit(X)


METHODS = {"n_samples": 3, "n_steps": 4, "X": X, "X1": X, "X2": Y, "start": 0, "stop": 1}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "cls", [skotae.VAE, skotae.GMVAE, skotae.WGAN], ids=lambda cls: cls.__name__
)
def test_methods_take_numbers_of_any_kind(cls):
    known = inspect.signature(cls).parameters
    model = cls(**{name: value for name, value in SMALL.items() if name in known}).fit(X)
    for name, method in inspect.getmembers(model, inspect.ismethod):
        for number in [] if name.startswith("_") else numeric(method):
            needed = inspect.signature(method).parameters
            given = {each: METHODS[each] for each in needed if each in METHODS}
            seeded = {"random_state": 0} if "random_state" in needed else {}
            value = METHODS.get(number, 1)
            kinds = [value, *other_kinds(value)]
            assert same([method(**{**given, **seeded, number: kind}) for kind in kinds])
            with pytest.raises(ValueError, match=number):
                method(**{**given, **seeded, number: True})


def test_checkpoints_take_any_integer(tmp_path):
    model = skotae.VAE(**{**SMALL_VAE, "max_iter": 2})
    model.set_callbacks(callbacks.Checkpoint(tmp_path, every=np.int64(2))).fit(X)
    with pytest.raises(ValueError, match="every"):
        model.set_callbacks(callbacks.Checkpoint(tmp_path, every=True)).fit(X)


SMALL_VAE = {"n_components": 2, "hidden_layer_sizes": (4,)}


@pytest.mark.parametrize("value", [1, 0.5, True, None, "auto", (1,)])
def test_what_is_no_foreign_number_stays_as_it_is(value):
    assert plain(value) is value


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "name", [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]
)
def test_estimators_take_fractions(name):
    rows = RNG.normal(size=(24, 3))
    cls = getattr(skotae, name)
    usual = {"max_iter": 1, "random_state": 0}
    numbers = {
        key: value
        for key, value in cls(**usual).get_params(deep=False).items()
        if isinstance(value, float)
    }
    given = {key: Fraction(value) for key, value in numbers.items()}
    one, two = (cls(**{**usual, **params}).fit(rows) for params in (numbers, given))
    assert numbers and one.history_ == two.history_
