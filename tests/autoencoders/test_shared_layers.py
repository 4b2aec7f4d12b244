"""Networks of one's own that share a layer go on sharing it, in the model and in copies."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from torch import nn

from skotae import VAE, WGAN, AdversarialVB, WAEEstimator
from skotae.testing import make_data
from skotae.training._sharing import networks, sharing

X = make_data(40).astype(np.float32)
P = X.shape[1]


@pytest.fixture(autouse=True)
def generator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


class Transposed(nn.Module):
    """A decoder with the weights of the encoder, as in the autoencoders of old."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.bias = nn.Parameter(torch.zeros(layer.in_features))

    def forward(self, z):
        return nn.functional.linear(z, self.layer.weight.T, self.bias)


def tied(**params):
    layer = nn.Linear(P, 2)
    options = {"max_iter": 2, "random_state": 0, **params}
    return WAEEstimator(2, encoder=layer, decoder=Transposed(layer), **options)


def is_tied(model):
    weight = model.encoder_.net.weight
    given = model.encoder is model.decoder.layer
    decoded = torch.from_numpy(model.transform(X)) @ weight + model.decoder_.net.bias
    rows = model._units.restored(decoded.detach().numpy(), X.dtype)
    np.testing.assert_allclose(model.reconstruct(X), rows, rtol=1e-5, atol=1e-6)
    return given and model.decoder_.net.layer.weight is weight


def test_after_a_fit():
    model = tied()
    before = model.encoder.weight.detach().clone()
    assert is_tied(model.fit(X))
    assert not torch.equal(model.encoder_.net.weight, before)
    assert torch.equal(model.encoder.weight, before), "trained in place"
    assert sum(each.numel() for each in model.model_.parameters()) == 2 * P + 2 + P
    assert is_tied(model.partial_fit(X))
    assert is_tied(model.set_params(warm_start=True).fit(X)) and model.n_iter_ == 5


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("way", COPIES)
def test_in_copies(way):
    model = tied().fit(X)
    again = COPIES[way](model)
    np.testing.assert_array_equal(again.transform(X), model.transform(X))
    assert is_tied(again)
    assert is_tied(again.partial_fit(X))


def test_in_clones():
    model = tied()
    other = clone(model)
    assert other.encoder is not model.encoder
    assert is_tied(other.fit(X))
    np.testing.assert_array_equal(other.transform(X), model.fit(X).transform(X))
    search = GridSearchCV(make_pipeline(model), {"waeestimator__lam": [0.1, 1.0]}, cv=2)
    assert is_tied(search.fit(X).best_estimator_[0])


def test_a_clone_has_the_output_and_the_requests_of_the_estimator():
    pytest.importorskip("pandas")
    with config_context(enable_metadata_routing=True):
        model = tied().set_output(transform="pandas").set_score_request(sample_weight=True)
        other = clone(model)
        assert other.get_metadata_routing().score.requests == {"sample_weight": True}
    assert other.fit_transform(X).columns[0] == "waeestimator0"


def test_a_layer_in_the_middle():
    shared = nn.Linear(4, 4)
    encoder = nn.Sequential(nn.Linear(P, 4), shared, nn.ReLU(), nn.Linear(4, 4))
    decoder = nn.Sequential(nn.Linear(2, 4), shared, nn.ReLU(), nn.Linear(4, P))
    model = VAE(2, encoder=encoder, decoder=decoder, max_iter=1, random_state=0).fit(X)
    assert model.encoder_.net[1] is model.decoder_.net[1] is not shared


def test_one_network_for_both():
    net = nn.Sequential(nn.Linear(P, P), nn.Tanh(), nn.Linear(P, P))
    model = WAEEstimator(P, encoder=net, decoder=net, max_iter=1, random_state=0).fit(X)
    assert model.encoder_.net is model.decoder_.net is not net


def test_networks_that_are_equal_are_not_one():
    nets = {"encoder": nn.Linear(P, P), "decoder": nn.Linear(P, P)}
    nets["decoder"].load_state_dict(nets["encoder"].state_dict())
    model = WAEEstimator(P, **nets, max_iter=1, random_state=0).fit(X)
    assert not torch.equal(model.encoder_.net.weight, model.decoder_.net.weight)


def test_adversaries_have_weights_of_their_own():
    layer = nn.Linear(P, P)
    wgan = WGAN(
        2,
        decoder=nn.Sequential(nn.Linear(2, P), layer),
        critic=nn.Sequential(layer, nn.Linear(P, 1)),
        max_iter=1,
    )
    with pytest.raises(ValueError, match="WGAN for critic and decoder share weights"):
        wgan.fit(X)

    class Discriminator(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.last = layer, nn.Linear(P + 2, 1)

        def forward(self, both):
            return self.last(torch.cat([self.layer(both[:, :P]), both[:, P:]], 1))

    small = {"hidden_layer_sizes": (4,), "max_iter": 1}
    width = AdversarialVB(2, **small).fit(X).encoder_.net(torch.zeros(1, P)).shape[1]
    encoder = nn.Sequential(layer, nn.Linear(P, width))
    model = AdversarialVB(2, encoder=encoder, discriminator=Discriminator(), max_iter=1)
    with pytest.raises(ValueError, match="AdversarialVB for discriminator and encoder share"):
        model.fit(X)


class Ranks:
    """One of several processes, which has all the rows."""

    size = 1

    def __init__(self):
        self.n_parts = 0

    def part_of(self, rows):
        self.n_parts += 1
        return rows

    def whole_of(self, part, n):
        return part


def test_rows_are_shared_out_once_where_a_network_is_a_layer_of_another():
    layer = nn.Linear(P, P)
    model = WAEEstimator(
        P, encoder=layer, decoder=nn.Sequential(layer, nn.Linear(P, P)), max_iter=1
    )
    module, ranks = model.fit(X).model_, Ranks()
    assert len({*networks(module)}) == 2
    with sharing(module, ranks, False):
        module.decode(torch.zeros(8, P))
    assert ranks.n_parts == 1
