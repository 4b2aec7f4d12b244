"""Terms on q(k|x), and networks of the components, against their definitions."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.neighbors import NearestNeighbors
from torch.nn.functional import linear

from skotae.autoencoders.mixture._clustering_terms import (
    CHUNK,
    adversarial_change,
    distance_to_neighbours,
    mutual_information,
)
from skotae.autoencoders.mixture._encoder import ComponentNetworks
from skotae.columns import Units
from skotae.utils._blocks import scattered


@pytest.mark.parametrize("balance", [0.0, 1.0, 4.0])
def test_mutual_information_by_its_definition(balance):
    logits = 3 * torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    share = logits.double().softmax(1).numpy()
    expected = entropy(share, axis=1).mean() - balance * entropy(share.mean(axis=0))
    assert float(mutual_information(logits.log_softmax(1), balance)) == pytest.approx(
        expected, rel=1e-5
    )


def test_mutual_information_is_finite_where_shares_are_0():
    logits = torch.tensor([[1e4, 0.0, 0.0], [0.0, 1e4, 0.0]], requires_grad=True)
    value = mutual_information(logits.log_softmax(1), 1.0)
    value.backward()
    assert value.item() == pytest.approx(-np.log(2)) and bool(logits.grad.isfinite().all())


def test_change_in_the_worst_direction():
    """Of two linear logits, that is the difference of their weights, to one side or the other."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 5, generator=generator)
    weight = torch.randn(2, 5, generator=generator)
    logits, radius = linear(x, weight), 0.3
    log_share = logits.log_softmax(1)
    found = adversarial_change(lambda x: linear(x, weight), x, log_share, radius, generator)
    worst = radius * (weight[1] - weight[0]) / (weight[1] - weight[0]).norm()
    changes = [
        (log_share.exp() * (log_share - linear(x + step, weight).log_softmax(1))).sum(1)
        for step in (worst, -worst)
    ]
    # Which of the two sides is left to chance.
    low, high = (choose(*changes).mean() for choose in (torch.minimum, torch.maximum))
    assert low <= found <= high
    random = radius * torch.nn.functional.normalize(torch.randn(x.shape, generator=generator))
    moved = linear(x + random, weight).log_softmax(1)
    assert found > 2 * (log_share.exp() * (log_share - moved)).sum(1).mean()


@pytest.mark.parametrize(("p", "steps"), [(4, 1.0), (16, 1.0), (784, 7.0)])
def test_the_slope_is_taken_farther_away_in_many_columns(p, steps):
    """In units of the radius: a random step in many columns hardly goes along any direction."""
    x, radius, seen = torch.zeros(8, p), 0.5, []

    def classify(rows):
        seen.append(rows.detach().norm(dim=1) / radius)
        return rows[:, :2] * 3.0

    generator = torch.Generator().manual_seed(0)
    adversarial_change(classify, x, classify(x).log_softmax(1), radius, generator)
    first, last = seen[1], seen[-1]
    torch.testing.assert_close(first, torch.full((8,), steps))
    torch.testing.assert_close(last, torch.ones(8))


def test_change_is_nothing_within_no_radius():
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weight = torch.ones(2, 3, requires_grad=True)
    log_share, generator = linear(x, weight).log_softmax(1), torch.Generator().manual_seed(0)
    value = adversarial_change(lambda x: linear(x, weight), x, log_share, 0.0, generator)
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-6) and bool(weight.grad.isfinite().all())


@pytest.mark.parametrize("n, k", [(3, 2), (200, 10), (CHUNK + 5, 10)])
def test_distance_is_to_the_nearest_of_all_rows(n, k):
    X = np.random.default_rng(0).normal(size=(n, 4)) * 5 + 3
    found = distance_to_neighbours(X, Units(np.full(4, 3.0), 5.0))
    queries = X[scattered(n, -(-n // 512))]
    expected = NearestNeighbors(n_neighbors=k + 1).fit(X).kneighbors(queries)[0][:, -1]
    assert found == pytest.approx(np.median(expected) / 5, rel=1e-2)


def built(*widths):
    with torch.random.fork_rng():
        return ComponentNetworks(*widths)


def test_networks_are_those_of_a_loop():
    generator = torch.Generator().manual_seed(0)
    net, x = built(6, 2, 3), torch.randn(7, 6, generator=generator)
    with torch.no_grad():
        for part in (net.weight, net.bias, net.gain):
            part.copy_(torch.randn(part.shape, generator=generator))
    net.begin(torch.randn(2, 6, generator=generator), torch.ones(2))
    for k, found in enumerate(net(x).unflatten(1, (3, 4)).unbind(1)):
        rows = slice(16 * k, 16 * k + 16)
        hidden = linear(x, net.hidden.weight[rows], net.hidden.bias[rows]).relu()
        expected = hidden @ net.weight[k] + net.bias[k]
        expected[:, :2] += net.gain[k] * linear(x, net.path, net.offset)
        torch.testing.assert_close(found, expected)
