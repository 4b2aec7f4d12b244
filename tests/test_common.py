"""The checks that every public estimator and every public part has to pass."""

import inspect
from unittest import SkipTest

import numpy as np
import pytest
import sklearn.utils.estimator_checks as sklearn_checks
import torch
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import skotae
from skotae import costs, divergences, networks, priors
from skotae.autoencoders._wae import WassersteinModel
from skotae.testing import (
    autoencoder_checks,
    check_autoencoder,
    check_cost,
    check_divergence,
    check_network,
    check_prior,
    make_data,
)

OPTIONAL_PACKAGES = ("pandas", "polars")

# Small enough for the few rows that checks fit on.
FEWER = {"n_mixtures": 2, "n_bank": 64, "n_flows": 2}

# Beyond those that scikit-learn runs on estimators of others.
EXTRA_CHECKS = (
    sklearn_checks.check_param_validation,
    sklearn_checks.check_dataframe_column_names_consistency,
    sklearn_checks.check_inplace_ensure_writeable,
)
EXTRA_TRANSFORMER_CHECKS = (
    sklearn_checks.check_set_output_transform,
    sklearn_checks.check_set_output_transform_pandas,
    sklearn_checks.check_transformer_get_feature_names_out,
    sklearn_checks.check_transformer_get_feature_names_out_pandas,
    sklearn_checks.check_get_feature_names_out_error,
)
# Twelve fits each, and what they look at is written once, in a base: by default for these.
MORE_OUTPUT_CHECKS = (
    sklearn_checks.check_set_output_transform_polars,
    sklearn_checks.check_global_output_transform_pandas,
    sklearn_checks.check_global_set_output_transform_polars,
)
WITH_MORE_OUTPUT = {"WAEEstimator", "GMWAE", "CoupledVAE", "SinkhornEncoder"}


def classes_of(module, base):
    """Public concrete subclasses of `base` in `module`."""
    members = [getattr(module, name) for name in module.__all__]
    return [
        member
        for member in members
        if inspect.isclass(member)
        and issubclass(member, base)
        and not inspect.isabstract(member)
        # Not every abstract base has abc.ABC for a parent.
        and member is not base
    ]


def small(cls, max_iter=2):
    known = inspect.signature(cls).parameters
    fewer = {name: value for name, value in FEWER.items() if name in known}
    return cls(max_iter=max_iter, hidden_layer_sizes=(16,), random_state=0, **fewer)


ESTIMATORS = [cls for cls in classes_of(skotae, BaseEstimator) if hasattr(cls, "fit")]
INSTANCES = [small(cls) for cls in ESTIMATORS]
# For checks that know nothing of epochs.
ONE_EPOCH = [small(cls, max_iter=1) for cls in ESTIMATORS]


def name_of(value):
    return getattr(value, "__name__", type(value).__name__)


def run(check, *args):
    """Run a check; a skip fails, unless an optional package is missing."""
    try:
        check(*args)
    except SkipTest as skip:
        if any(f"{name} is not installed" in str(skip) for name in OPTIONAL_PACKAGES):
            pytest.skip(str(skip))
        pytest.fail(f"skipped: {skip}")


def test_the_five_are_found():
    names = {cls.__name__ for cls in ESTIMATORS}
    assert names >= {"WAEEstimator", "SinkhornAE", "SymmetricWAE", "GMWAE", "CoupledVAE"}


@pytest.mark.parametrize("estimator", INSTANCES, ids=name_of)
def test_no_check_of_sklearn_is_missing(estimator):
    least = 47 if hasattr(estimator, "transform") else 41
    assert len([*estimator_checks_generator(estimator)]) >= least


@parametrize_with_checks(ONE_EPOCH)
def test_sklearn(estimator, check):
    run(check, estimator)


@pytest.mark.filterwarnings("ignore:X .* feature names:UserWarning")
@pytest.mark.parametrize(
    "estimator, check",
    [
        pytest.param(estimator, check, id=f"{name_of(estimator)}-{check.__name__}")
        for estimator in ONE_EPOCH
        for check in EXTRA_CHECKS
        + (EXTRA_TRANSFORMER_CHECKS if hasattr(estimator, "transform") else ())
    ]
    + [
        pytest.param(
            estimator,
            check,
            id=f"{name_of(estimator)}-{check.__name__}",
            marks=() if name_of(estimator) in WITH_MORE_OUTPUT else pytest.mark.slow,
        )
        for estimator in ONE_EPOCH
        if hasattr(estimator, "transform")
        for check in MORE_OUTPUT_CHECKS
    ],
)
def test_sklearn_beyond(estimator, check):
    run(check, type(estimator).__name__, estimator)


@pytest.mark.parametrize(
    "estimator, check",
    [
        pytest.param(estimator, check, id=f"{name_of(estimator)}-{check.__name__}")
        for estimator in INSTANCES
        for check in autoencoder_checks(estimator)
    ],
)
def test_skotae(estimator, check):
    run(check, estimator)


# --- what draws from torch's global generator ------------------------------------------


class Dropping(torch.nn.Linear):
    def forward(self, x):
        return torch.nn.functional.dropout(super().forward(x), 0.2, training=self.training)


class AlwaysDropping(torch.nn.Linear):
    def forward(self, x):
        return torch.nn.functional.dropout(super().forward(x), 0.2)


class Noisy(torch.nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return y + 0.1 * torch.randn_like(y) if self.training else y


class AlwaysNoisy(torch.nn.Linear):
    def forward(self, x):
        y = super().forward(x)
        return y + 0.1 * torch.randn_like(y)


class NoisyModel(WassersteinModel):
    def terms(self, batch, step):
        return super().terms(batch + 0.1 * torch.randn(batch.shape), step)


class NoisyObjective(skotae.WAEEstimator):
    _model_class = NoisyModel


def results(model, X):
    """What a fit finds, with torch's global generator where the caller has left it."""
    state = torch.get_rng_state()
    model.fit(X)
    codes = [model.transform(X)] if hasattr(model, "transform") else []
    found = [*codes, model.sample(5, random_state=0), model.score(X), *model.history_.values()]
    assert torch.equal(torch.get_rng_state(), state), "the global generator moved"
    return found


def assert_reproducible(make):
    """Equal results whatever the global generator's state, others with another seed."""
    X = make_data(48)
    with torch.random.fork_rng(devices=[]):
        found = []
        for seed in (0, 0, 1):
            torch.manual_seed(17 + len(found))
            found.append(results(make(random_state=seed), X))
    first, second, other = found
    np.testing.assert_equal(first, second)
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("network", [Dropping, AlwaysDropping, Noisy, AlwaysNoisy], ids=name_of)
@pytest.mark.parametrize("name", ["VAE", "CoupledVAE", "WGAN"])
def test_networks_that_draw_follow_random_state(name, network, early_stopping):
    cls = getattr(skotae, name)
    known = inspect.signature(cls).parameters
    networks = {role: network for role in ("encoder", "decoder", "critic") if role in known}
    options = {**networks, "early_stopping": early_stopping, "batch_size": 12}
    options = {key: value for key, value in options.items() if key in known}
    assert_reproducible(
        lambda random_state: small(cls).set_params(**options, random_state=random_state)
    )


def test_objectives_that_draw_follow_random_state():
    plain = small(skotae.WAEEstimator).fit(make_data(48)).history_
    assert small(NoisyObjective).fit(make_data(48)).history_ != plain
    assert_reproducible(
        lambda random_state: small(NoisyObjective).set_params(random_state=random_state)
    )


# --- parts -----------------------------------------------------------------------------

PRIORS = [
    priors.AtomsPrior(np.random.RandomState(0).normal(size=(5, 3)), weights=[1, 2, 3, 4, 5]),
    priors.DirichletPrior(),
    priors.DirichletPrior(0.1),
    priors.DistributionPrior(stats.t(df=5)),
    priors.DistributionPrior(stats.multivariate_normal(np.arange(3.0), np.eye(3))),
    priors.DistributionPrior(torch.distributions.Laplace(0.0, 1.0)),
    priors.GaussianMixturePrior(n_mixtures=4),
    priors.GaussianMixturePrior(n_mixtures=7, scale=0.5),
    priors.NormalPrior(),
    priors.NormalPrior(scale=0.3),
    priors.PrincipalPrior(),
    priors.SpherePrior(),
    priors.SpherePrior(radius=3.0),
    priors.UniformPrior(),
    priors.UniformPrior(low=2.0, high=5.0),
]
COSTS = [
    costs.BernoulliCost(),
    costs.CallableCost(torch.nn.functional.pairwise_distance),
    costs.CityBlockCost(),
    costs.EuclideanCost(),
    costs.GaussianCost(),
    costs.GaussianCost(variance=0.3),
    costs.HeteroscedasticCost(),
    costs.HeteroscedasticCost(per_feature=False),
    costs.SquaredEuclideanCost(),
    costs.SquaredEuclideanCost(bounds=(0, 1)),
]
DIVERGENCES = [
    divergences.AdversarialDivergence(hidden_layer_sizes=(16,)),
    divergences.ExactDivergence(),
    divergences.ExactDivergence(debias="none", p=1),
    divergences.ExactDivergence(debias="paired"),
    divergences.GaussianDivergence(),
    divergences.MMD(),
    divergences.MMD(bandwidth=2.0, scales=(1.0,)),
    divergences.SinkhornDivergence(),
    divergences.SinkhornDivergence(debias="paired", sharp=True),
    divergences.SinkhornDivergence(debias="none", p=1, root=True, epsilon=0.5, relative=False),
    divergences.SlicedDivergence(),
    divergences.SlicedDivergence(n_projections=5, p=1),
]
NETWORKS = [
    (networks.MLP(), 5, 3),
    (networks.MLP((8, 8), batch_norm=True, dropout=0.1, residual=True), 5, 3),
    (networks.MLP((), activation="tanh"), 5, 3),
    (networks.ConvNet(image_shape=(8, 8), channels=(4, 8), hidden=16), 64, 3),
    (networks.ConvNet(image_shape=(2, 5, 7), channels=(4,), hidden=16), 3, 70),
    (networks.ConvNet((8, 8), (4, 8), hidden=None, gated=True, n_residual=1), 3, 64),
    (networks.ConvNet((2, 5, 7), (4,), hidden=16), 3, 2 * 70),
]


@pytest.mark.parametrize(
    "module, base, tried",
    [
        (priors, priors.BasePrior, PRIORS),
        (costs, costs.BaseCost, COSTS),
        (divergences, divergences.BaseDivergence, DIVERGENCES),
        (networks, networks.BaseNetwork, [spec for spec, *_ in NETWORKS]),
    ],
    ids=["priors", "costs", "divergences", "networks"],
)
def test_no_part_is_missing(module, base, tried):
    missing = {cls.__name__ for cls in classes_of(module, base)} - {name_of(part) for part in tried}
    assert not missing, f"add an instance of {sorted(missing)} to the lists above"


@pytest.mark.parametrize("prior", PRIORS, ids=name_of)
def test_prior(prior):
    check_prior(prior)


@pytest.mark.parametrize("cost", COSTS, ids=name_of)
def test_cost(cost):
    check_cost(cost)


@pytest.mark.parametrize("divergence", DIVERGENCES, ids=name_of)
def test_divergence(divergence):
    check_divergence(divergence)


@pytest.mark.parametrize("spec, n_in, n_out", NETWORKS)
def test_network(spec, n_in, n_out):
    check_network(spec, n_in, n_out)


# --- the checks themselves -------------------------------------------------------------


class ForgetsItsSeed(skotae.WAEEstimator):
    def sample(self, n_samples=1, *, random_state=None):
        return super().sample(n_samples, random_state=0)


class ScoresArrays(skotae.WAEEstimator):
    def score(self, X, y=None, sample_weight=None):
        return np.float64(super().score(X, y, sample_weight))


class HidesATerm(skotae.WAEEstimator):
    def _after_fit(self, rows, incremental):
        del self.history_["penalty"]


class CountsFits(skotae.WAEEstimator):
    n_fits = 0

    def _after_fit(self, rows, incremental):
        type(self).n_fits += 1
        self.data_mean_ = self.data_mean_ + 0.01 * self.n_fits


FAULTS = [
    (ForgetsItsSeed, "check_sample", "random_state has no effect"),
    (ScoresArrays, "check_score", "float64"),
    (HidesATerm, "check_history", "Not equal"),
    (CountsFits, "check_refit_forgets", "remembers the first"),
]


@pytest.mark.parametrize("cls, name, message", FAULTS, ids=name_of)
def test_faults_of_estimators_are_found(cls, name, message):
    (check,) = (check for check in autoencoder_checks() if check.__name__ == name)
    with pytest.raises(AssertionError, match=message):
        check(small(cls))


def test_all_checks_at_once_name_the_one_that_fails():
    with pytest.raises(AssertionError) as raised:
        check_autoencoder(small(ForgetsItsSeed))
    assert any("in check_" in note for note in raised.value.__notes__)


class GlobalPrior(priors.NormalPrior):
    def sample(self, n, d, generator=None, *, dtype=torch.float32):
        return super().sample(n, d, None, dtype=dtype)


class UphillDivergence(divergences.MMD):
    def __call__(self, z, prior_draws, *, generator=None, weights=None):
        return -super().__call__(z, prior_draws, generator=generator, weights=weights)


class MeanCost(costs.SquaredEuclideanCost):
    def pairwise(self, x, y):
        return super().pairwise(x, y) / x.shape[1]


class OneOfAKind(networks.MLP):
    def build(self, n_in, n_out):
        torch.manual_seed(0)
        return super().build(n_in, n_out)


@pytest.mark.moves_torch_rng
@pytest.mark.parametrize(
    "check, part, message",
    [
        (check_prior, GlobalPrior(), "torch's random state"),
        (check_divergence, UphillDivergence(), "the gradient points upwards|no further"),
        (check_cost, MeanCost(), "not close"),
        (check_network, OneOfAKind(), "do not depend on the seed"),
    ],
    ids=name_of,
)
def test_faults_of_parts_are_found(check, part, message):
    with pytest.raises(AssertionError, match=message):
        check(part)
