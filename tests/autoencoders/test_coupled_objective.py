"""The objective of CoupledVAE with a relaxed marginal, and the paper's own algorithm."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from skotae import CoupledVAE
from skotae.autoencoders.coupled._cooling import Cooling
from skotae.autoencoders.coupled._potentials import DualTable, Way
from skotae.costs import GaussianCost
from skotae.priors import AtomsPrior, NormalPrior

SHARES = np.array([0.5, 0.3, 0.2])
ATOMS = AtomsPrior([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], weights=SHARES)
EPSILON = 0.7


@pytest.mark.parametrize(
    "weight, potential",
    [
        *((weight, "table") for weight in (0.05, 1.0, 10.0)),
        (1.0, "network"),
        *(pytest.param(weight, "network", marks=pytest.mark.slow) for weight in (0.05, 10.0)),
    ],
)
@pytest.mark.filterwarnings("ignore:Reconstructions of the training rows:UserWarning")
def test_posterior_minimises_the_relaxed_objective(weight, potential):
    """Eq. 14, of a decoder that stays as it is, over all posteriors."""
    data = np.random.RandomState(0).normal(size=(30, 2)) + [2.0, 0.0]
    model = CoupledVAE(
        2,
        prior=ATOMS,
        epsilon=EPSILON,
        marginal_weight=weight,
        potential=potential,
        cost=GaussianCost(variance=1.0),
        hidden_layer_sizes=(16,),
        plan_decay=0.0,
        learning_rate_init=1e-12 if potential == "table" else 1e-3,
        max_iter=1 if potential == "table" else 400,
        n_bank_steps=2000,
        random_state=0,
    ).fit(data)
    rows = torch.from_numpy(model._units.standardised(data)).float()
    with torch.no_grad():
        found = model.model_.log_posterior(rows).softmax(1).double().numpy()
        cost = model.decoder_.cost.pairwise_from_raw(rows, model.model_.bank.raw).double().numpy()

    def objective(logits):
        log_q = log_softmax(logits.reshape(cost.shape), axis=1)
        q = np.exp(log_q)
        inner = (q * (cost + EPSILON * (log_q - np.log(SHARES)))).sum(axis=1).mean()
        total = q.mean(axis=0)
        return inner + weight * (total * np.log(total / SHARES)).sum()

    best = minimize(objective, np.zeros(cost.size), method="L-BFGS-B", options={"maxfun": 10**6})
    expected = softmax(best.x.reshape(cost.shape), axis=1)
    assert objective(np.log(found).ravel()) == pytest.approx(best.fun, abs=2e-3)
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_step_of_the_ascent_on_the_table():
    """What the plan lacks of a row's mass, times the rate."""
    rng = np.random.RandomState(0)
    log_kernel = torch.from_numpy(rng.normal(size=(4, 6))).float()
    table = DualTable()
    moved = table.move(
        log_kernel,
        torch.full((6,), -np.log(6.0)),
        torch.arange(4),
        4,
        Way(1, rate=0.3),
        unit=1.0,
    )
    mass = 4 * log_kernel.softmax(0).mean(1)
    torch.testing.assert_close(moved, 0.3 * (1.0 - mass), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(table.values, moved)


def test_a_plan_that_is_not_cooled():
    cooling = Cooling(False, "random", 4, hot=50.0, final_scale=0.1, cools=False)
    assert cooling.scale(0.0) == cooling.scale(1.0) == 0.1
    assert cooling.heat(0.0) == 1.0


def test_number_of_draws():
    asked = []

    class Recorded(NormalPrior):
        def sample(self, n, *args, **kwargs):
            asked.append(n)
            return super().sample(n, *args, **kwargs)

    data = np.random.RandomState(0).normal(size=(64, 3))
    params = {"hidden_layer_sizes": (8,), "n_bank": 32, "max_iter": 1, "batch_size": 16}
    CoupledVAE(2, prior=Recorded(), n_draws=23, random_state=0, **params).fit(data)
    assert asked.count(23) >= 4


@pytest.mark.parametrize(
    "params, message",
    [
        ({"marginal_weight": 1.0, "potential": "network", "dual": "full"}, "dual='semi'"),
        ({"dual_rate": 1.0, "potential": "network"}, "potential='table'"),
    ],
)
def test_options_that_do_not_go_together(params, message):
    with pytest.raises(ValueError, match=message):
        CoupledVAE(2, max_iter=1, **params).fit(np.eye(6))


@pytest.mark.parametrize("params", [{"marginal_weight": 0.5}, {"n_draws": 9}, {"dual_rate": 0.5}])
def test_with_an_encoder(params):
    data = np.random.RandomState(0).normal(size=(64, 5))
    model = CoupledVAE(3, hidden_layer_sizes=(8,), max_iter=6, random_state=0, **params).fit(data)
    assert np.isfinite(model.history_["loss"]).all()
    assert np.isfinite(model.transform(data)).all()
