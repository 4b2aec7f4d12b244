"""Values at the ends of what floating point holds, and what is no array of numbers."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import skotae
from skotae import divergences, priors
from skotae.testing.base import results_of

X = np.random.default_rng(0).normal(size=(16, 3))
NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]
BIG, SMALL = 1e300, 1e-300

# An estimator, its parameters, and the name that an error has to have in it; None for an answer.
ENDS = [
    ("SinkhornAE", {"p": 1e4}, "p=10000.0"),
    ("SinkhornAE", {"epsilon": 1e4}, None),
    ("SinkhornAE", {"epsilon": BIG}, None),
    ("SinkhornAE", {"epsilon": 1e-4, "relative": False}, None),
    ("SinkhornAE", {"epsilon": SMALL}, None),
    ("SinkhornAE", {"beta": BIG}, "beta=1e\\+300"),
    ("SinkhornEncoder", {"p": BIG}, "p=1e\\+300"),
    ("VAE", {"beta": BIG}, "beta=1e\\+300"),
    ("VAE", {"cost_scale": SMALL}, "cost_scale=1e-300"),
    ("VAE", {"learning_rate_init": BIG}, "learning_rate_init=1e\\+300"),
    ("VAE", {"weight_decay": BIG}, "weight_decay=1e\\+300"),
    ("GMVAE", {"separation": BIG}, "separation=1e\\+300"),
    ("AdversarialAE", {"sigma": BIG}, "sigma=1e\\+300"),
    ("CoupledVAE", {"epsilon": BIG}, "epsilon must be in the range of float32"),
    ("WAEEstimator", {"prior": priors.UniformPrior(-BIG, BIG)}, "prior__high=1e\\+300"),
    ("WAEEstimator", {"prior": priors.SpherePrior(BIG)}, "prior__radius=1e\\+300"),
    ("WAEEstimator", {"penalty": divergences.SlicedDivergence(p=BIG)}, "penalty__p=1e\\+300"),
    ("WAEEstimator", {"penalty": divergences.MMD(BIG)}, None),
    ("WAEEstimator", {"prior": priors.DirichletPrior(BIG)}, None),
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name, params, told", ENDS, ids=lambda value: str(value)[:40])
def test_the_parameter_is_named_or_there_is_an_answer(small, name, params, told):
    model = small(name, max_iter=1, **params)
    if told is None:
        assert np.isfinite(model.fit(X).score_samples(X)).all()
    else:
        with pytest.raises((ValueError, FloatingPointError), match=told):
            model.fit(X)
        assert not hasattr(model, "n_iter_")


@pytest.fixture(scope="module")
def fitted(small):
    return cache(lambda name: small(name, max_iter=1).fit(X))


def fails(n_in, n_out):
    raise RuntimeError("a socket is out of order")


def test_other_errors_are_left_alone(small):
    with pytest.raises(ValueError, match="Input X contains NaN"):
        small("VAE", beta=1e9).fit(np.where(X > 1, np.nan, X))
    with pytest.raises(RuntimeError, match="a socket"):
        small("VAE", beta=1e9, decoder=fails).fit(X)


@pytest.mark.parametrize("n", [10**12, 10**18])
def test_more_than_there_is_memory_for(small, n):
    model = small("VAE").fit(X)
    for call in (
        lambda: model.sample(n),
        lambda: model.sample_posterior(X, n),
        lambda: small("GMVAE").fit(X).sample(n),
    ):
        with pytest.raises(MemoryError, match=f"n_samples={n} asks for .* GiB"):
            call()
    with pytest.raises(MemoryError, match=f"n_steps={n} asks for .* GiB"):
        model.interpolate(X, X, n)
    for sizes in ({"n_components": n}, {"hidden_layer_sizes": (n,)}):
        with pytest.raises(MemoryError, match=f"{[*sizes][0]}={n} asks for more memory"):
            small("VAE", **sizes).fit(X)


def test_a_number_of_things_has_an_end(small):
    with pytest.raises(ValueError, match=r"n_samples=.*< 2\*\*63"):
        small("VAE").fit(X).sample(10**30)


LONG = {"list": np.zeros((500, 50)).tolist(), "string": "x" * 10**5}


@pytest.mark.parametrize("kind", LONG)
@pytest.mark.parametrize(
    "name",
    ["activation", "cost", "cost_scale", "device", "encoder", "lam", "n_components", "penalty"]
    + ["hidden_layer_sizes", "prior", "random_state"],
)
def test_messages_are_short(small, kind, name):
    with pytest.raises((TypeError, ValueError), match=name) as caught:
        small("WAEEstimator", **{name: LONG[kind]}).fit(X)
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize(
    "prior",
    [
        priors.NormalPrior(LONG["list"]),
        priors.DirichletPrior(LONG["list"]),
        priors.GaussianMixturePrior(weights=LONG["list"]),
    ],
    ids=lambda prior: type(prior).__name__,
)
def test_messages_of_priors_are_short(small, prior):
    with pytest.raises(ValueError) as caught:
        small("WAEEstimator", prior=prior).fit(X)
    assert len(str(caught.value)) < 1500


def frozen(n_in, n_out):
    return nn.Linear(n_in, n_out).requires_grad_(False)


def scripted(n_in, n_out):
    return torch.jit.script(nn.Linear(n_in, n_out))


def on_meta(n_in, n_out):
    return nn.Linear(n_in, n_out, device="meta")


def test_frozen_networks(small):
    model = small("WAEEstimator", encoder=frozen).fit(X)
    assert np.isfinite(model.transform(X)).all()
    with pytest.raises(ValueError, match="nothing to train"):
        small("WAEEstimator", encoder=frozen, decoder=frozen).fit(X)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "network, error, message",
    [(scripted, TypeError, "TorchScript"), (on_meta, ValueError, "meta device")],
)
def test_networks_that_cannot_be_trained(small, network, error, message):
    with torch.random.fork_rng():
        module = network(3, 2)
    for spec in (network, module):
        with pytest.raises(error, match=f"encoder .*{message}"):
            small("WAEEstimator", encoder=spec).fit(X)


def test_tensors_with_a_gradient(small):
    rows = torch.tensor(X, requires_grad=True)
    model = small("VAE").fit(rows)
    assert np.array_equal(model.transform(rows), small("VAE").fit(X).transform(X))
    codes = torch.tensor(model.transform(X), requires_grad=True)
    assert np.array_equal(model.inverse_transform(codes), model.reconstruct(X))
    assert model.transform(rows.float()).dtype == model.reconstruct(rows.float()).dtype == "float32"
    assert model.fit(rows.to(torch.bfloat16)).transform(X).shape == (16, 2)


def test_masked_values_are_refused(small):
    masked = np.ma.masked_array(X, mask=X > 1)
    model = small("VAE").fit(X)
    for call in (small("VAE").fit, model.transform, model.score, model.partial_fit):
        with pytest.raises(ValueError, match="masked values"):
            call(masked)
    nothing = np.ma.masked_array(X, mask=False)
    assert np.array_equal(model.transform(nothing), model.transform(X))


@pytest.mark.parametrize(
    "dtype, scale", [("f8", 1e200), ("f8", SMALL), ("f4", 1e30), ("f4", 1e-42)]
)
def test_scores_of_far_rows_are_numbers(small, dtype, scale):
    rows = (X * scale).astype(dtype)
    for model in (small("VAE").fit(X.astype(dtype)), small("VAE").fit(rows)):
        assert np.isfinite(model.score_samples(rows)).all()
        assert np.isfinite(model.score(rows))
        assert np.isfinite(model.reconstruct(rows)).all()


@pytest.mark.parametrize("value", [1e20, 3e38, 1e200, 1.5e308])
@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_endlessly_far_off_give_numbers(fitted, name, value):
    """Also where they fill holes, as 1e20 and the largest number do in some file formats."""
    model, dtype = fitted(name), np.float32 if value < 1e39 else np.float64
    far = X.astype(dtype)
    far[:3, 1] = value, -value, value
    far[3] = value
    for result, values in results_of(model, far).items():
        assert np.isfinite(values).all(), result
    assert np.isfinite(model.score(far))
    if hasattr(model, "transform"):
        # Those that are not so far do not notice.
        near = model.transform(X.astype(dtype))
        np.testing.assert_array_equal(model.transform(far)[4:], near[4:])


class Cancelling(nn.Linear):
    """Of codes whose squares are infinite it makes no numbers."""

    def forward(self, z):
        square = z.square().sum(-1, keepdim=True)
        return super().forward(z) + (square - square)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_that_are_endlessly_far_off(small, dtype):
    model, largest = small("WAEEstimator").fit(1e30 * X), np.finfo(dtype).max
    Z = np.sign(model.transform(X.astype(dtype))) * dtype(1e-5) * largest
    assert np.abs(model.inverse_transform(Z)).max() <= largest
    assert np.abs(model.reconstruct(Z @ np.ones((2, 3), dtype))).max() <= largest
    model = small("VAE", decoder=Cancelling).fit(X)
    with pytest.raises(ValueError, match="X has codes as far out as .*; expected codes like"):
        model.inverse_transform(np.array([[largest, -largest], [-largest, largest]]))
    with pytest.raises(ValueError, match="extrapolate=1.7e\\+308 leads to codes"):
        model.interpolate(X, X[::-1], extrapolate=1.7e308)


def test_noise_beyond_the_range_of_the_codes(small):
    model = small("VAE", cost="gaussian").fit(1e300 * X)
    assert (model.noise_scale(np.zeros((1, 2), np.float32)) == np.finfo(np.float32).max).all()
