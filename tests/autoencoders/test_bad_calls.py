"""What a fitted estimator cannot do is refused, with an error that names what is wrong."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

import skotae

from .bad_input import N_ROWS, NAMES, check_message, data, parameters_of, small, with_value


@pytest.fixture(scope="module")
def fitted():
    return {name: small(name).fit(data()) for name in NAMES}


@pytest.fixture(scope="module")
def score(fitted):
    """Of each, before any of the calls."""
    return {name: model.score(data()) for name, model in fitted.items()}


def frame(columns):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(data(), columns=columns)


# A call, error, words of the message.
CALLS = {
    "transform nan": (lambda m: m.transform(with_value(np.nan)), ["X", "NaN"]),
    "transform width": (lambda m: m.transform(data(n_features=3)), ["3 features", "4 features"]),
    "transform one dimension": (lambda m: m.transform(data()[0]), ["Expected 2D array"]),
    "transform no rows": (lambda m: m.transform(data(0)), ["0 sample", "minimum of 1"]),
    "reconstruct width": (lambda m: m.reconstruct(data(n_features=5)), ["5 features"]),
    "inverse_transform width": (
        lambda m: m.inverse_transform(data(n_features=3)),
        ["3 columns", "n_components=2"],
    ),
    "inverse_transform nan": (
        lambda m: m.inverse_transform([[np.nan, 0.0]]),
        ["X", "NaN"],
    ),
    "sample none": (lambda m: m.sample(0), ["n_samples=0", "1 or more"]),
    "sample a negative number": (lambda m: m.sample(-3), ["n_samples=-3", "1 or more"]),
    "sample a fraction": (lambda m: m.sample(2.5), ["n_samples=2.5", "integer"]),
    "sample_posterior none": (
        lambda m: m.sample_posterior(data(), 0),
        ["n_samples=0", "1 or more"],
    ),
    "sample_posterior width": (
        lambda m: m.sample_posterior(data(n_features=3)),
        ["3 features", "4 features"],
    ),
    "interpolate shapes": (
        lambda m: m.interpolate(data(2), data(3)),
        ["X1 has shape (2, 4)", "X2 has shape (3, 4)"],
    ),
    "interpolate one step": (
        lambda m: m.interpolate(data(2), data(2), 1),
        ["n_steps=1", "2 or more"],
    ),
    "interpolate a fraction": (
        lambda m: m.interpolate(data(2), data(2), 2.5),
        ["n_steps=2.5", "2 or more"],
    ),
    "score width": (lambda m: m.score(data(n_features=3)), ["3 features", "4 features"]),
    "score_samples inf": (lambda m: m.score_samples(with_value(np.inf)), ["X", "infinity"]),
    "score weights of another length": (
        lambda m: m.score(data(), sample_weight=np.ones(3)),
        ["sample_weight", "(24,)"],
    ),
    "score negative weights": (
        lambda m: m.score(data(), sample_weight=-np.ones(N_ROWS)),
        ["egative", "sample_weight"],
    ),
    "score without weight": (
        lambda m: m.score(data(), sample_weight=np.zeros(N_ROWS)),
        ["Sample weights", "non-zero"],
    ),
    "partial_fit width": (lambda m: m.partial_fit(data(n_features=3)), ["3 features"]),
}


def pairs(cases):
    """Names of estimators, and those of the cases whose method (the first word) they have."""
    return [
        (name, case)
        for name in NAMES
        for case in cases
        if hasattr(getattr(skotae, name), case.split()[0])
    ]


@pytest.mark.parametrize("name, case", pairs(CALLS))
def test_call(fitted, score, name, case):
    call, words = CALLS[case]
    model = fitted[name]
    with pytest.raises(ValueError) as raised:
        call(model)
    check_message(raised.value, words, name)
    assert (model.score(data()), model.n_iter_) == (score[name], 1)


MIXTURES = ["GMVAE", "GMWAE"]
# Calls of what those with components have.
COMPONENTS = {
    **{
        f"component {value}": (
            lambda m, value=value: m.sample(2, component=value),
            [f"component={value!r}; expected an integer from 0 to 2"],
        )
        for value in (-1, 3, 0.5, "first", [0], True)
    },
    "no samples": (lambda m: m.sample(0, component=1), ["n_samples=0", "1 or more"]),
    "scale": (lambda m: m.sample(2, scale=0.0), ["scale=0.0", "above 0"]),
    "scale inf": (lambda m: m.sample(2, scale=np.inf), ["scale=inf", "above 0"]),
    "start": (lambda m: m.interpolate_components(3, 0), ["start=3", "integers from 0 to 2"]),
    "stop": (lambda m: m.interpolate_components(0, [1, -1]), ["stop=[1, -1]", "from 0 to 2"]),
    "n_steps": (lambda m: m.interpolate_components(0, 1, 1), ["n_steps=1", "2 or more"]),
    "shapes": (
        lambda m: m.interpolate_components([0, 1], [0, 1, 2]),
        ["start has shape (2,)", "stop has shape (3,)"],
    ),
}


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("case", COMPONENTS)
def test_components(fitted, name, case):
    call, words = COMPONENTS[case]
    with pytest.raises(ValueError) as raised:
        call(fitted[name])
    check_message(raised.value, words, name)


@pytest.mark.parametrize("name", MIXTURES)
def test_unfitted_components(name):
    with pytest.raises(NotFittedError, match=name):
        small(name).sample(component=0)
    with pytest.raises(NotFittedError, match=name):
        small(name).interpolate_components(0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_columns(name):
    model = small(name).fit(frame(["a", "b", "c", "d"]))
    with pytest.raises(ValueError, match="(?s)feature names.*- e.*- d"):
        model.score(frame(["a", "b", "c", "e"]))
    with pytest.raises(ValueError, match="(?s)feature names.*order"):
        model.score(frame(["b", "a", "c", "d"]))


@pytest.mark.parametrize("name", [name for name in NAMES if "cost" in parameters_of(name)])
@pytest.mark.parametrize("method", ["transform", "reconstruct", "score", "score_samples"])
def test_bernoulli_at_inference(name, method):
    model = small(name, cost="bernoulli").fit(data())
    with pytest.raises(ValueError, match=r"\[0, 1\]; got -2.0 in column 2"):
        getattr(model, method)(with_value(-2.0))


@pytest.mark.parametrize(
    "name, method",
    pairs(["transform", "inverse_transform", "reconstruct", "score", "score_samples", "elbo"]),
)
def test_unfitted(name, method):
    with pytest.raises(NotFittedError, match=name):
        getattr(small(name), method)(data())


@pytest.mark.parametrize("name, method", pairs(["sample"]))
def test_unfitted_sample(name, method):
    with pytest.raises(NotFittedError, match=name):
        small(name).sample()


@pytest.mark.parametrize("name", NAMES)
def test_warm_start_with_another_width(name):
    model = small(name, warm_start=True).fit(data())
    with pytest.raises(ValueError, match="3 features.*expecting 4"):
        model.fit(data(n_features=3))


@pytest.mark.parametrize("name", NAMES)
def test_device_of_the_environment(name, monkeypatch):
    monkeypatch.setenv("SKOTAE_DEVICE", "abacus")
    with pytest.raises(ValueError, match="SKOTAE_DEVICE='abacus'"):
        small(name).fit(data())
    small(name, device="cpu").fit(data())
    small(name, device=torch.device("cpu")).fit(data())
