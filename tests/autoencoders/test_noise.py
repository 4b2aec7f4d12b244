"""Samples with the noise of the likelihood."""

import numpy as np
import pytest

import skotae
from skotae.costs import GaussianCost
from skotae.testing import make_data

X = make_data(60)
NAMES = ["VAE", "InfoVAE", "PlanarFlowVAE", "CoupledVAE", "GMVAE"]


def fitted(name, **params):
    more = {"CoupledVAE": {"n_bank": 64}, "GMVAE": {"n_mixtures": 3}}.get(name, {})
    defaults = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0}
    return getattr(skotae, name)(**{**defaults, **more, **params}).fit(X)


@pytest.mark.parametrize("name", NAMES)
def test_gaussian(name):
    """The difference from the mean has the likelihood's scale, in the units of the data."""
    model = fitted(name, cost=GaussianCost(variance=0.09), clip=False)
    means = model.sample(4000, random_state=1)
    noise = model.sample(4000, noise=True, random_state=1) - means
    assert noise.std() == pytest.approx(0.3, rel=0.03)
    assert abs(np.corrcoef(noise[:, 0], means[:, 0])[0, 1]) < 0.06
    assert abs(np.corrcoef(noise[:, 0], noise[:, 1])[0, 1]) < 0.06


@pytest.mark.parametrize("name", NAMES)
def test_bernoulli(name):
    model = fitted(name, cost="bernoulli", clip=False)
    drawn = model.sample(4000, noise=True, random_state=1)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_allclose(
        drawn.mean(axis=0), model.sample(4000, random_state=1).mean(axis=0), atol=0.04
    )


def test_within_the_range_of_the_data():
    model = fitted("VAE", cost=GaussianCost(variance=100.0))
    drawn = model.sample(50, noise=True, random_state=0)
    assert (drawn >= X.min(axis=0)).all() and (drawn <= X.max(axis=0)).all()


@pytest.mark.parametrize("name", ["WAEEstimator", "GMWAE"])
def test_without_a_likelihood(name):
    model = fitted(name, **({"n_mixtures": 3} if name == "GMWAE" else {}))
    with pytest.raises(ValueError, match="noise=True with cost=.*no likelihood"):
        model.sample(3, noise=True)
