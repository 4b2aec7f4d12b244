"""Networks, costs and penalties of one's own that write into what they are given."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import skotae
from skotae.costs import BaseCost
from skotae.divergences import BaseDivergence
from skotae.networks import MLP, BaseNetwork, build_network
from skotae.testing import make_data
from skotae.testing.base import results_of

X = make_data(24, 3)
NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]
ROLES = [(name, role) for name in NAMES for role in ("encoder", "decoder")]
ROLES = [(n, r) for n, r in ROLES if r in getattr(skotae, n)._parameter_constraints]
ROLES += [("WGAN", "critic"), ("AdversarialVB", "discriminator")]


class Noisy(nn.Module):
    """Its input is shifted, and has noise on it in training."""

    def __init__(self, n_in, n_out, in_place):
        super().__init__()
        self.layer = nn.Linear(n_in, n_out)
        self.in_place = in_place

    def forward(self, x):
        if not self.in_place:
            x = x.clone()
        x += 0.5
        if self.training:
            x.add_(torch.randn_like(x), alpha=0.1)
        return self.layer(x)


class NoisyInTraining(Noisy):
    def forward(self, x):
        return super().forward(x) if self.training else self.layer(x)


def writing(n_in, n_out):
    return Noisy(n_in, n_out, True)


def reading(n_in, n_out):
    return Noisy(n_in, n_out, False)


class Rectified(BaseNetwork):
    """A spec that starts from principal components, and rectifies its input."""

    start = "pca"

    def __init__(self, in_place=True):
        self.in_place = in_place

    def build(self, n_in, n_out):
        return nn.Sequential(nn.ReLU(inplace=self.in_place), nn.Linear(n_in, n_out))


pytestmark = pytest.mark.filterwarnings("ignore:Reconstructions of:UserWarning")
PAIRS = {
    "module": (writing, reading),
    "training": tuple(lambda a, b, on=on: NoisyInTraining(a, b, on) for on in (True, False)),
    "spec": (Rectified(True), Rectified(False)),
}


@pytest.mark.parametrize("name, role", ROLES)
def test_networks_get_rows_of_their_own(small, name, role):
    one, other = (small(name, max_iter=1, **{role: net}).fit(X) for net in (writing, reading))
    assert one.history_ == other.history_
    for key, values in results_of(other, X).items():
        np.testing.assert_array_equal(results_of(one, X)[key], values, err_msg=key)


@pytest.mark.parametrize("kind", ["training", "spec"])
def test_whenever_and_wherever_they_write(small, kind):
    for role in ("encoder", "decoder"):
        models = [small("VAE", **{role: net}).fit(X) for net in PAIRS[kind]]
        scores = [model.score_samples(X) for model in models]
        np.testing.assert_array_equal(*scores)
        assert models[0].history_ == models[1].history_
    if kind == "spec":
        again = pickle.loads(pickle.dumps(models[0]))
        np.testing.assert_array_equal(again.score_samples(X), scores[0])


@pytest.mark.moves_torch_rng
def test_rows_are_copied_where_need_be_alone():
    for spec in (MLP((4,), batch_norm=True, dropout=0.1), nn.Linear, MLP((4,))):
        assert not any(part._forward_pre_hooks for part in build_network(spec, 3, 3).modules())
    later = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True))
    assert not build_network(later, 3, 3)._forward_pre_hooks
    with torch.inference_mode():
        assert build_network(nn.Sequential(nn.ReLU(inplace=True)), 3, 3)._forward_pre_hooks


class Centred(BaseDivergence):
    """It takes the means away, in place."""

    def __call__(self, z, prior_draws, *, generator=None, weights=None):
        z -= z.mean(0)
        return z.square().sum(1).mean()


class Difference(BaseCost):
    def __call__(self, x, y):
        return x.sub_(y).square().sum(-1)


def of_rows(x, y):
    x -= y
    return x.abs().sum(-1)


def of_reconstructions(x, y):
    y -= x
    return y.abs().sum(-1)


@pytest.mark.parametrize("name", ["WAEEstimator", "GMWAE", "CoupledVAE"])
@pytest.mark.parametrize("cost", [of_rows, of_reconstructions, Difference()])
def test_costs_that_write_are_refused(small, name, cost):
    scales = ("auto", 1.0) if name != "CoupledVAE" else (None,)
    for scale in scales:
        params = {} if scale is None else {"cost_scale": scale}
        with pytest.raises(ValueError, match="^cost=.* writes into the rows that it is given"):
            small(name, cost=cost, **params).fit(X)


def test_penalties_that_write_are_refused(small):
    with pytest.raises(ValueError, match="^penalty=Centred.* writes into the rows"):
        small("WAEEstimator", penalty=Centred()).fit(X)
