"""Parameters that are read after a fit: refused there as a fit refuses them, and first of all."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone

import skotae
from skotae.displays import TrainingDisplay
from skotae.testing import make_data
from skotae.utils._sklearn import InvalidParameterError

NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "sample")]
# In float32 the model is asked itself, and not a copy of it.
X = make_data(24).astype(np.float32)
# What reads them, but for `sample` and `score` which all have.
MORE = {
    "GMWAE": [lambda m: m.sample(component=1), lambda m: m.sample(scale=0.5)],
    "GMVAE": [lambda m: m.sample(component=1)],
    "WGAN": [lambda m: m.wasserstein(X)],
    "WAEEstimator": [lambda m: m.to_onnx("nowhere/at.all", method="sample")],
}


def calls_of(model):
    """A list that grows with each call of a network."""
    calls = []
    for part in model.model_.modules():
        part.register_forward_pre_hook(lambda *_: calls.append(1))
    return calls


def refused_by_fit(model):
    with pytest.raises(InvalidParameterError) as raised:
        clone(model).fit(X)
    return str(raised.value)


@pytest.mark.parametrize("name", NAMES)
def test_what_samples_are_drawn_by(name, small):
    model = small(name).fit(X)
    calls = calls_of(model)
    before = model.score(X)
    assert calls
    calls.clear()
    wrong = {"clip": "no", "latent": "mixtures"}
    for key in [key for key in wrong if key in model.get_params()]:
        usual = model.get_params()[key]
        model.set_params(**{key: wrong[key]})
        message = refused_by_fit(model)
        assert f"{key!r} parameter of {name} must be" in message
        readers = [lambda m: m.sample(3), lambda m: m.score(X), *MORE.get(name, ())]
        for read in readers:
            with pytest.raises(InvalidParameterError) as raised:
                read(model)
            assert str(raised.value) == message
        model.set_params(**{key: usual})
    assert not calls
    assert model.score(X) == before


def test_what_does_not_read_them_goes_on(small):
    model = small("WAEEstimator").fit(X)
    codes, rows = model.transform(X), model.reconstruct(X)
    model.set_params(clip="no", latent="mixtures")
    np.testing.assert_array_equal(model.transform(X), codes)
    np.testing.assert_array_equal(model.inverse_transform(codes), rows)
    assert model.score_samples(X).shape == (len(X),)


@pytest.mark.parametrize("name", ["WAEEstimator", "WGAN", "GMVAE"])
@pytest.mark.parametrize(
    "wrong", [{"learning_rate_init": -1.0}, {"batch_size": "all"}, {"verbose": "much"}]
)
def test_partial_fit_refuses_what_fit_refuses(name, wrong, small, digest):
    """Also of a chunk that would only be kept."""
    model = small(name).partial_fit(X)
    before = digest(model, X)
    model.set_params(**wrong)
    for rows in (X, X[:1]):
        with pytest.raises(InvalidParameterError) as raised:
            model.partial_fit(rows)
        assert str(raised.value) == refused_by_fit(model)
        assert digest(model, X) == before and model._waiting is None


def test_validation_can_be_left_out(small):
    """With scikit-learn's option, as in a fit."""
    model = small("WAEEstimator", learning_rate_init=0.1).fit(X)
    clipped = model.sample(20, random_state=0)
    model.set_params(clip="yes")
    with sklearn.config_context(skip_parameter_validation=True):
        np.testing.assert_array_equal(model.sample(20, random_state=0), clipped)
        model.partial_fit(X)


@pytest.mark.parametrize(
    "name, changed",
    [
        ("SymmetricWAE", {"beta": "much"}),
        ("WAEEstimator", {"cost_scale": 3.0, "learning_rate": "steady", "max_iter": "for ever"}),
    ],
)
def test_a_display_is_of_the_fit(name, changed, small):
    pytest.importorskip("matplotlib").use("Agg")
    model = small(name, max_iter=12).fit(X)
    before, after = (
        TrainingDisplay.from_estimator(m) for m in (model, model.__copy__().set_params(**changed))
    )
    assert before.constant and before.constant == after.constant
    assert before.verdict == after.verdict
