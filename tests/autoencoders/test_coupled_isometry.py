"""What a CoupledVAE without an encoder starts from, and where its likelihood's scale ends."""

import numpy as np
import pytest
import torch

from skotae import CoupledVAE
from skotae.autoencoders.coupled._model import CoupledModel
from skotae.autoencoders.coupled._potentials import plan_residual


@pytest.mark.filterwarnings("ignore:scale='global':UserWarning")
def test_start_from_a_random_isometry(monkeypatch):
    """Before the first plan the decoder learns a small map that is as wide in all directions.

    They are such that rows differ in them: not of a third, in which they hardly do.
    """
    monkeypatch.setattr("skotae.autoencoders.coupled._cooling.ISOMETRY_SHARES", (1.0, 1.1))
    data = 5.0 + np.random.RandomState(0).normal(size=(500, 3)) * [3.0, 1.0, 0.1]
    params = {"scale": "global", "clip": False, "batch_size": 128, "max_iter": 150}
    params |= {"hidden_layer_sizes": (16,), "learning_rate_init": 0.01, "random_state": 0}
    model = CoupledVAE(2, **params).fit(data)
    samples = model.sample(5000, random_state=0)
    np.testing.assert_allclose(samples.mean(axis=0), data.mean(axis=0), atol=0.05)
    _, sizes, axes = np.linalg.svd(samples - samples.mean(axis=0), full_matrices=False)
    widths = sizes / np.sqrt(5000)
    spread = np.sqrt(((data - data.mean(axis=0)) @ axes[:2].T).var(axis=0).mean())
    assert spread > 2.0
    np.testing.assert_allclose(widths[:2], 0.3 * spread, rtol=0.1)
    assert widths[2] < 0.02 * spread


def test_residual_leaves_out_draws_that_are_far_off():
    rng = np.random.RandomState(0)
    y = torch.from_numpy(rng.normal(size=(200, 2)))
    x = y + 0.1 * torch.from_numpy(rng.normal(size=(200, 2)))
    far = torch.cat([y[:190], y[190:] + 5.0])
    plan = torch.eye(200, dtype=torch.float64) / 200
    expected = (x - y)[:190].square().mean(0)
    assert plan_residual(x, far, plan).item() > 1.0
    # Of the rest some are more than three times as far as the median.
    found = plan_residual(x, far, plan, by_feature=True, most=9.0)
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.0)
    one = plan_residual(x, far, plan, most=9.0)
    torch.testing.assert_close(one, found.mean()[None])


@pytest.mark.parametrize("posterior, rows", [("importance", 256), ("amortised", 512)])
def test_size_of_mini_batches(posterior, rows):
    data = np.random.RandomState(0).normal(size=(2048, 2))
    params = {"hidden_layer_sizes": (4,), "n_bank": 16, "max_iter": 1, "random_state": 0}
    model, sizes = CoupledVAE(2, posterior=posterior, **params), []
    terms = CoupledModel.terms
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            CoupledModel,
            "terms",
            lambda self, x, step: sizes.append(len(x)) or terms(self, x, step),
        )
        model.fit(data)
    assert set(sizes) == {rows}
