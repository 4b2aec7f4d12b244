"""What GMWAE claims beyond what all with a mixture posterior do."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

from skotae import GMWAE
from skotae.autoencoders.mixture import _codes_in_use
from skotae.autoencoders.mixture._graph_clusters import N_DENSE, graph_clusters
from skotae.metrics import clustering_accuracy
from skotae.networks import MLP
from skotae.testing import autoencoder_checks, make_data
from skotae.transport import squared_mmd

from .mixtures import small as small_mixture

X = make_data(48)
DISCREPANCIES = ["marginal", "joint"]
# The paper's two terms alone, with one network that starts from principal components.
PLAIN = {"information": 0.0, "smoothness": 0.0, "warm_up": 0.0, "moments": "shared", "lam": 0.05}

small = partial(small_mixture, GMWAE)


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_terms(discrepancy):
    model = small(discrepancy=discrepancy).fit(X)
    assert {*model.history_} == {"reconstruction", "penalty", "information", "smoothness", "loss"}


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_groups_are_found(discrepancy):
    data, groups = make_blobs(300, 5, centers=3, cluster_std=0.5, random_state=1)
    model = GMWAE(
        2,
        n_mixtures=3,
        discrepancy=discrepancy,
        hidden_layer_sizes=(32,),
        max_iter=60,
        random_state=0,
    )
    labels = model.fit_predict(data)
    assert adjusted_rand_score(groups, labels) > 0.5


@pytest.mark.parametrize("check", [*autoencoder_checks()], ids=lambda check: check.__name__)
def test_options_pass_the_checks(check):
    """Those of tests/test_common.py are run with the defaults."""
    model = GMWAE(n_mixtures=2, discrepancy="joint", init="clusters")
    check(model.set_params(hidden_layer_sizes=(16,), max_iter=2, random_state=0))


def discrepancies(model, share, shift=0.0, n_batches=200, n=64):
    """Estimates for batches of n rows with posteriors that do not depend on the row."""
    generator = torch.Generator().manual_seed(0)
    means = model.encoder_.prior_means + shift
    weights = torch.as_tensor(share).expand(n, -1) / n
    return np.array(
        [
            float(model.model_.discrepancy(means + noise, weights, generator))
            for noise in torch.randn(n_batches, n, *means.shape, generator=generator)
        ]
    )


def test_joint_discrepancy_of_the_prior_is_zero():
    values = discrepancies(small(discrepancy="joint").fit(X), [1 / 3] * 3)
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))


@pytest.mark.parametrize("n", [32, 128])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_discrepancy_has_no_bias(discrepancy, soft, n):
    """0 in the mean where codes have the prior's distribution, whatever a row's shares are.

    Pairs of codes of one row would make the marginal one .1 for 32 rows with equal shares.
    """
    model = small(discrepancy=discrepancy).fit(X)
    generator = torch.Generator().manual_seed(n + 1)
    values = []
    for _ in range(300):
        share = torch.ones(n, 3) / 3
        if soft:
            share = (2 * torch.randn(n, 3, generator=generator)).softmax(1)
        z = model.encoder_.prior_means + torch.randn(n, 3, 2, generator=generator)
        values.append(float(model.model_.discrepancy(z, share / n, generator)))
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_joint_discrepancy_by_its_definition():
    """K sum_k MMD² of the parts, as the kernel of (z, k) on two weighted clouds has it."""
    model = small(discrepancy="joint").fit(X)
    share, shift = [0.5, 0.3, 0.2], 0.7
    values = discrepancies(model, share, shift)

    def mean_kernel(shift):
        """Of normal points: half of the square of their distance is noncentral chi-squared."""
        half = stats.ncx2(df=2, nc=shift**2) if shift else stats.chi2(df=2)
        scales = (0.1, 0.2, 0.5, 1, 2, 5, 10)
        return half.expect(lambda h: sum(4 * s / (4 * s + 2 * h) for s in scales))

    within, across = mean_kernel(0.0), mean_kernel(shift)
    expected = sum(3 * (w**2 * within + within / 9 - 2 * w / 3 * across) for w in share)
    assert abs(values.mean() - expected) < 5 * values.std() / np.sqrt(len(values))


def test_components_one_by_one(monkeypatch):
    """Where many codes are in one component; the same as all at once."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(40, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    shares = torch.rand(40, generator=generator, dtype=torch.float64, requires_grad=True)
    counts = np.array([8, 16, 0, 0, 16])

    def value_and_gradients():
        value = _codes_in_use.sum_within_components(points, shares, counts)
        return value, *torch.autograd.grad(value, (points, shares))

    at_once = value_and_gradients()
    monkeypatch.setattr(_codes_in_use, "MOST_PAIRS", 0)
    torch.testing.assert_close(value_and_gradients(), at_once)


def test_marginal_discrepancy_does_not_see_shares():
    """Codes of the prior count as such, whichever component they are said to be from."""
    model = small(discrepancy="marginal").fit(X)
    generator = torch.Generator().manual_seed(0)
    values = []
    for _ in range(100):
        z = model.prior_.sample(64, 2, generator)[:, None].expand(-1, 3, -1)
        weights = torch.tensor([1.0, 0.0, 0.0]).expand(64, -1) / 64
        values.append(float(model.model_.discrepancy(z, weights, generator)))
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    far = squared_mmd(z[:, 0], z[:, 0] + 1.0)
    assert np.std(values) < float(far)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_joint_keeps_shares(seed):
    """Every component is in use with the joint discrepancy, as equally as the prior has it."""
    data, _ = make_blobs(400, 10, centers=8, random_state=0)
    weights = {
        name: GMWAE(
            8,
            n_mixtures=8,
            discrepancy=name,
            hidden_layer_sizes=(32,),
            max_iter=15,
            batch_size=32,
            random_state=seed,
            **PLAIN,
        )
        .fit(data)
        .weights_
        for name in DISCREPANCIES
    }
    assert weights["joint"].min() > 0.5 / 8
    assert weights["marginal"].min() < 0.5 / 8


@pytest.mark.parametrize("discrepancy", DISCREPANCIES)
def test_gradients(discrepancy):
    """Against differences, through codes and weights."""
    model = small(discrepancy=discrepancy).fit(X)
    model.encoder_.double()
    start = torch.Generator().manual_seed(3)
    z = torch.randn(5, 3, 2, generator=start, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(5, 3, generator=start, dtype=torch.float64, requires_grad=True)

    def value(z, logits):
        return model.model_.discrepancy(z, logits.softmax(1) / 5, torch.Generator().manual_seed(0))

    assert torch.autograd.gradcheck(value, (z, logits))


def test_cost_is_that_of_all_components():
    model = small().fit(X)
    x = torch.from_numpy(X).float()
    z = torch.randn(len(X), 3, 2, generator=torch.Generator().manual_seed(0))
    share = torch.tensor([0.9, 0.1, 0.0]).expand(len(X), -1)
    costs = (share * model.model_.component_costs(x, z)).sum(1).mean()
    codes = _codes_in_use.Codes.of(share)
    assert len(codes.row) == 2 * len(X)
    torch.testing.assert_close(model.model_.cost_of_codes(x, z, share, codes), costs)


def test_moments_learn_nothing_while_codes_are_the_priors():
    first, last = (small(warm_up=share, max_iter=1).fit(X).encoder_ for share in (1.0, 0.0))
    assert not first.moments_net.weight.any() and last.moments_net.weight.any()


@pytest.mark.parametrize("moments", ["separate", "shared", "mlp", MLP((4,))], ids=str)
def test_networks_of_the_moments(moments):
    model = small(moments=moments).fit(X)
    assert model.encoder_.moments(torch.zeros(5, 6)).mean.shape == (5, 3, 2)
    assert (model.encoder_.moments_net is None) == (moments == "shared")


def test_components_are_groups_by_default():
    """Without labels, clusters or a setting."""
    data, y = load_digits(n_class=5, return_X_y=True)
    model = GMWAE(n_mixtures=5, hidden_layer_sizes=(64,), random_state=0).fit(data)
    assert clustering_accuracy(y, model.labels_) > 0.9
    assert model.weights_.min() > 0.5 / 5
    classes = [np.bincount(y[model.labels_ == k]).argmax() for k in range(5)]
    neighbours = KNeighborsClassifier(5).fit(data, y)

    def of_class():
        samples = [model.sample(100, component=k, random_state=0) for k in range(5)]
        return np.mean(
            [neighbours.predict(part) == each for part, each in zip(samples, classes, strict=True)]
        )

    from_codes = of_class()
    model.set_params(latent="prior")
    assert from_codes > max(0.85, of_class() + 0.05)


@pytest.mark.slow
def test_digits():
    data, y = load_digits(return_X_y=True)
    models = [GMWAE(random_state=seed).fit(data) for seed in range(3)]
    assert min(model.weights_.min() for model in models) > 0.05
    found = [clustering_accuracy(y, model.labels_) for model in models]
    print(f"accuracy of the components: {found}")
    assert np.median(found) > 0.82


@pytest.mark.parametrize("n", [N_DENSE, 2 * N_DENSE])
@pytest.mark.parametrize(
    "length, gap, least", [(2.0, 3.0, 0.98), (4.0, 5.0, 1.0)], ids=["one piece", "pieces"]
)
def test_graph_clusters_of_strips(n, length, gap, least):
    """Longer than they are apart, with and without rows between them."""
    groups = np.arange(n) % 4
    data = np.random.default_rng(0).normal(size=(n, 60)) * np.r_[length, np.full(59, 0.4)]
    data[:, 1] += gap * groups
    assert clustering_accuracy(groups, graph_clusters(data, 4, 0)) >= least
    by_k_means = KMeans(4, n_init=5, random_state=0).fit_predict(data)
    assert clustering_accuracy(groups, by_k_means) < 0.7


def test_graph_clusters_of_equal_rows():
    assert graph_clusters(np.zeros((60, 60)), 3, 0).shape == (60,)


@pytest.mark.parametrize("n, k", [(2, 1), (2, 2), (5, 5), (12, 3)])
def test_graph_clusters_of_few_rows(n, k):
    labels = graph_clusters(make_data(n), k, 0)
    assert labels.shape == (n,)
    assert {*labels} <= {*range(k)}


def test_clusters_lead_the_first_half():
    """The term is there, counts for less and less, and is nothing from halfway on."""
    model = small(init="clusters", max_iter=4).fit(X)
    first, second, *rest = model.history_["clusters"]
    assert first > second > 0
    assert rest == [0.0, 0.0]
    model.partial_fit(X)
    assert model.history_["clusters"][4:] == [0.0]


def test_components_keep_to_the_clusters():
    """When these no longer lead, nor have for half of the training; on new rows too."""
    data, y = load_digits(n_class=5, return_X_y=True)
    model = GMWAE(
        n_mixtures=5,
        discrepancy="joint",
        init="clusters",
        hidden_layer_sizes=(32,),
        batch_size=64,
        max_iter=20,
        random_state=0,
        **PLAIN,
    ).fit(data[::2])
    assert clustering_accuracy(y[1::2], model.predict(data[1::2])) > 0.9
    model.set_params(init="prior").fit(data[::2])
    assert clustering_accuracy(y[1::2], model.predict(data[1::2])) < 0.9


def test_codes_of_shares_that_are_no_numbers_count():
    """They are not left out, so that the loss tells of them."""
    share = torch.tensor([[0.5, 0.5, 0.0], [float("nan")] * 3])
    codes = _codes_in_use.Codes.of(share)
    assert codes.counts.tolist() == [2, 2, 1] and codes.rows_of_several().tolist() == [0, 1]
    assert codes.row.tolist() == [0, 1, 0, 1, 1] and codes.k.tolist() == [0, 0, 1, 1, 2]
    assert codes.among(share).isnan().tolist() == [False, True, False, True, True]
