"""Values of parameters are told apart by what they hold."""

import copy
import functools
import pickle

import numpy as np
import pytest
import torch
from scipy import stats
from torch import distributions, nn

from skotae.autoencoders.bases.values import described
from skotae.networks import MLP
from skotae.priors import AtomsPrior, DistributionPrior, NormalPrior
from skotae.testing import make_data

from ..own_parts import Factory, network, times

X = make_data(24, 3)
ATOMS = np.random.default_rng(0).normal(size=(2000, 2))
OTHERS = ATOMS + (np.arange(2000) == 1000)[:, None]


def squares(k):
    return lambda x, y: k * (x - y).square().sum(-1)


def weighted(layer):
    with torch.no_grad():
        return [each.fill_(0.5) for each in layer.parameters()] and layer


def normal(mean):
    return distributions.Normal(torch.full((2,), mean), torch.ones(2))


def vectors(mean):
    return distributions.MultivariateNormal(torch.full((2,), mean), torch.eye(2))


# Functions that make a value, and one that is another.
PAIRS = {
    "number": (lambda: 0.1, lambda: 0.2),
    "kind": (lambda: 1, lambda: True),
    "array": (lambda: ATOMS.copy(), lambda: OTHERS),
    "tensor": (lambda: torch.tensor(ATOMS), lambda: torch.tensor(OTHERS)),
    "half": (lambda: torch.ones(3, dtype=torch.bfloat16), lambda: torch.zeros(3)),
    "words": (lambda: np.array(["a", None], object), lambda: np.array(["b", None], object)),
    "dict": (lambda: {"a": [1, (2.0,)]}, lambda: {"a": [1, (3.0,)]}),
    "part": (lambda: AtomsPrior(torch.tensor(ATOMS)), lambda: AtomsPrior(torch.tensor(OTHERS))),
    "spec": (lambda: MLP((4,), dropout=0.1), lambda: MLP((4,), dropout=0.2)),
    "distribution": (lambda: normal(0.0), lambda: normal(1.0)),
    "of vectors": (lambda: vectors(0.0), lambda: vectors(1.0)),
    "frozen": (lambda: stats.norm(0, 1), lambda: stats.norm(1, 1)),
    "frozen vectors": (
        lambda: stats.multivariate_normal(np.zeros(2)),
        lambda: stats.multivariate_normal(np.ones(2)),
    ),
    "function": (lambda: network, lambda: normal),
    "lambda": (lambda: times(2.0), lambda: squares(2.0)),
    "closure": (lambda: times(2.0), lambda: times(3.0)),
    "partial": (
        lambda: functools.partial(network, width=4),
        lambda: functools.partial(network, width=5),
    ),
    "object": (lambda: Factory(4), lambda: Factory(5)),
    "method": (lambda: Factory(4).__call__, lambda: Factory(5).__call__),
    "class": (lambda: nn.Linear, lambda: nn.Bilinear),
    "weights": (lambda: weighted(nn.Linear(2, 2)), lambda: nn.Linear(2, 2)),
    "layers": (
        lambda: nn.Sequential(weighted(nn.Linear(2, 2)), nn.Tanh()),
        lambda: nn.Sequential(weighted(nn.Linear(2, 2)), nn.ReLU()),
    ),
}


@pytest.mark.moves_torch_rng
@pytest.mark.parametrize("one, other", PAIRS.values(), ids=PAIRS)
def test_values_are_told_apart(one, other):
    assert described(one()) == described(one())
    assert described(one()) != described(other())
    # An address is another one in another process.
    assert "0x" not in described(one())


def test_what_calls_itself_is_described():
    def own(n):
        return own(n - 1)

    assert described(own) == described(own)


PRIORS = {
    "tensor": (lambda: AtomsPrior(torch.tensor(ATOMS)), lambda: AtomsPrior(torch.tensor(OTHERS))),
    "frame": (lambda: AtomsPrior(frame(ATOMS)), lambda: AtomsPrior(frame(OTHERS))),
    "torch": (lambda: DistributionPrior(normal(0.0)), lambda: DistributionPrior(normal(1.0))),
    "scipy": (
        lambda: DistributionPrior(stats.norm(0, 1)),
        lambda: DistributionPrior(stats.norm(1, 1)),
    ),
}


def frame(rows):
    return pytest.importorskip("pandas").DataFrame(rows)


@pytest.mark.parametrize("one, other", PRIORS.values(), ids=PRIORS)
def test_a_part_that_is_set_again_is_no_other(small, one, other):
    model = small("WAEEstimator", prior=one(), warm_start=True).fit(X)
    codes = model.transform(X)
    for prior in (one(), other()):
        model.set_params(prior=prior)
        for again in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
            np.testing.assert_array_equal(again.transform(X), codes)
    with pytest.raises(ValueError, match="prior=.* cannot change while training goes on"):
        model.fit(X)
    assert model.set_params(prior=one()).fit(X).partial_fit(X).n_iter_ == 5


def test_tensors_that_are_written_into_later_are_none_of_the_fit(small):
    atoms, scale = torch.tensor(ATOMS[:20]), torch.ones(2)
    for prior, held in ((AtomsPrior(atoms), atoms), (NormalPrior(scale), scale)):
        model = small("WAEEstimator", prior=prior).fit(X)
        rows = model.sample(5, random_state=0)
        held += 3.0
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.sample(5, random_state=0), rows)
