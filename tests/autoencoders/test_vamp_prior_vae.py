"""What VampPriorVAE claims beyond what it shares with MIM."""

import numpy as np
import pytest

from skotae import VAE, VampPriorVAE
from skotae.testing import make_data

X = make_data(48)


def small(cls, **params):
    defaults = {"n_components": 3, "hidden_layer_sizes": (16,), "max_iter": 2, "random_state": 0}
    return cls(**{**defaults, **params})


def test_beta_weighs_the_divergence():
    kl = {
        beta: small(VampPriorVAE, beta=beta, learning_rate_init=1e-12).fit(X).history_["kl"]
        for beta in (0.0, 1.0, 3.0)
    }
    np.testing.assert_array_equal(kl[0.0], 0.0)
    np.testing.assert_allclose(kl[3.0], np.multiply(kl[1.0], 3), rtol=1e-5)


def test_prior_follows_the_codes():
    """On two clusters far apart the prior leaves the middle empty, and the bound is higher."""
    rng = np.random.RandomState(0)
    rows = np.array([[-3.0, 0.0], [3.0, 0.0]])[rng.randint(2, size=100)]
    rows = rows + 0.3 * rng.normal(size=rows.shape)
    # With a scale for each column the noise of the second is as large as the clusters' distance.
    params = {"n_components": 1, "max_iter": 100, "learning_rate_init": 0.01, "scale": "global"}
    middle, bound = {}, {}
    for cls in (VAE, VampPriorVAE):
        with pytest.warns(UserWarning, match="scale='columns'"):
            model = small(cls, latent="prior", **params).fit(rows)
        middle[cls] = (np.abs(model.sample(2000, random_state=0)[:, 0]) < 1.5).mean()
        bound[cls] = model.elbo(rows, 20, random_state=0).mean()
    assert middle[VampPriorVAE] < 0.02 < middle[VAE]
    assert bound[VampPriorVAE] > bound[VAE]
