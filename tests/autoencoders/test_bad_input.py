"""Bad input is refused with an error that names what is wrong and what was expected."""

import inspect

import numpy as np
import pytest
import torch
from scipy import sparse, stats
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import nn

import skotae
from skotae.autoencoders._variational import VariationalAutoencoder
from skotae.costs import CallableCost, GaussianCost, SquaredEuclideanCost
from skotae.divergences import (
    MMD,
    AdversarialDivergence,
    ExactDivergence,
    SinkhornDivergence,
    SlicedDivergence,
)
from skotae.networks import MLP, ConvNet
from skotae.priors import (
    AtomsPrior,
    DirichletPrior,
    DistributionPrior,
    GaussianMixturePrior,
    NormalPrior,
    UniformPrior,
)

NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]
FEWER = {"n_mixtures": 3, "n_bank": 32}
N_ROWS, N_FEATURES = 24, 4


def data(n=N_ROWS, n_features=N_FEATURES):
    return np.random.RandomState(0).uniform(size=(n, n_features))


def parameters_of(name):
    return inspect.signature(getattr(skotae, name)).parameters


def small(name, **params):
    fewer = {key: value for key, value in FEWER.items() if key in parameters_of(name)}
    defaults = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": 1, "random_state": 0}
    return getattr(skotae, name)(**{**defaults, **fewer, **params})


def with_value(value, row=3, column=2):
    X = data()
    X[row, column] = value
    return X


def width_of_wrong_shape(x, y):
    return x - y


# What is passed to fit: parameters, data, error, words of the message.
FIT = {
    # data
    "nan": ({}, with_value(np.nan), ValueError, ["X", "NaN"]),
    "inf": ({}, with_value(np.inf), ValueError, ["X", "infinity"]),
    "one row": ({}, data(1), ValueError, ["1 sample", "minimum of 2"]),
    "no rows": ({}, data(0), ValueError, ["0 sample", "minimum of 2"]),
    "no columns": ({}, data(n_features=0), ValueError, ["0 feature", "minimum of 1"]),
    "one dimension": ({}, data()[:, 0], ValueError, ["Expected 2D array"]),
    "three dimensions": ({}, data()[None], ValueError, ["dim 3", "<= 2"]),
    "complex": ({}, data() * (1 + 1j), ValueError, ["Complex data not supported"]),
    "words": ({}, np.full((8, 2), "word"), ValueError, ["could not convert string", "word"]),
    "sparse": ({}, sparse.csr_array(data()), TypeError, ["Sparse", "dense"]),
    # cost
    "outside of [0, 1]": (
        {"cost": "bernoulli"},
        with_value(1.5),
        ValueError,
        ["cost='bernoulli'", "[0, 1]", "1.5", "column 2"],
    ),
    "outside of the bounds": (
        {"cost": SquaredEuclideanCost(bounds=(0, 1))},
        with_value(-0.5),
        ValueError,
        ["SquaredEuclideanCost(bounds=(0, 1))", "[0, 1]", "-0.5", "column 2"],
    ),
    "unknown cost": ({"cost": "sqeuclidian"}, None, ValueError, ["cost=", "sqeuclidean", "mean"]),
    "class of a cost": ({"cost": GaussianCost}, None, TypeError, ["cost=", "an instance"]),
    "number as a cost": ({"cost": 3}, None, TypeError, ["cost=3", "expected one of"]),
    "shape of a cost": (
        {"cost": CallableCost(width_of_wrong_shape)},
        None,
        ValueError,
        ["cost=", "one cost per row"],
    ),
    "variance": (
        {"cost": GaussianCost(variance=-1.0)},
        None,
        ValueError,
        ["variance=-1.0", "above 0"],
    ),
    # numbers
    "n_components": ({"n_components": 0}, None, ValueError, ["'n_components'", "[1, inf)"]),
    "learning_rate_init": (
        {"learning_rate_init": -0.1},
        None,
        ValueError,
        ["'learning_rate_init'", "(0.0, inf)"],
    ),
    "batch_size": ({"batch_size": 1}, None, ValueError, ["'batch_size'", "[2, inf)"]),
    "max_iter": ({"max_iter": 0}, None, ValueError, ["'max_iter'", "[1, inf)"]),
    "tol": ({"tol": -1.0}, None, ValueError, ["'tol'", "[0.0, inf)"]),
    "validation_fraction": (
        {"validation_fraction": 1.5},
        None,
        ValueError,
        ["'validation_fraction'", "(0.0, 1.0)"],
    ),
    "n_iter_no_change": (
        {"n_iter_no_change": 0},
        None,
        ValueError,
        ["'n_iter_no_change'", "[1, inf)"],
    ),
    "learning_rate": (
        {"learning_rate": "linear"},
        None,
        ValueError,
        ["'learning_rate'", "cosine", "constant"],
    ),
    "random_state": ({"random_state": "seed"}, None, ValueError, ["'random_state'"]),
    "device": ({"device": "abacus"}, None, ValueError, ["device='abacus'", "expected 'auto'"]),
    "absent device": ({"device": "xpu:7"}, None, ValueError, ["device='xpu:7'", "expected"]),
    "early_stopping": (
        {"early_stopping": True},
        data(5),
        ValueError,
        ["early_stopping", "validation_fraction=0.1", "two rows"],
    ),
    # networks
    "image_shape": (
        {"encoder": ConvNet(image_shape=(5, 5))},
        None,
        ValueError,
        ["image_shape=(5, 5)", "25 pixels"],
    ),
    "image_shape of the decoder": (
        {"decoder": ConvNet(image_shape=(5, 5))},
        None,
        ValueError,
        ["image_shape=(5, 5)", "25 pixels"],
    ),
    "width of the decoder": (
        {"decoder": nn.Linear(2, 7)},
        None,
        ValueError,
        ["decoder", "(2, 7)", "expected shape (2, 4)"],
    ),
    "input of the decoder": (
        {"decoder": nn.Linear(9, 4)},
        None,
        ValueError,
        ["decoder", "(2, 2)", "width 2 to width 4"],
    ),
    "unknown network": ({"encoder": "mpl"}, None, ValueError, ["encoder='mpl'", "mlp"]),
    "class of a network": ({"encoder": MLP}, None, TypeError, ["encoder=MLP", "an instance"]),
    "number as a network": ({"decoder": 3}, None, TypeError, ["decoder=3", "expected"]),
    "factory of something else": (
        {"encoder": lambda n_in, n_out: 3},
        None,
        TypeError,
        ["encoder", "int", "torch.nn.Module"],
    ),
    "activation": ({"activation": "rleu"}, None, ValueError, ["activation='rleu'", "relu"]),
    "hidden_layer_sizes": (
        {"hidden_layer_sizes": (8, 0)},
        None,
        ValueError,
        ["hidden_layer_sizes", "1 or more"],
    ),
    "fractional hidden_layer_sizes": (
        {"hidden_layer_sizes": (8.5,)},
        None,
        ValueError,
        ["hidden_layer_sizes", "integer"],
    ),
    "dropout": ({"encoder": MLP(dropout=1.0)}, None, ValueError, ["dropout=1.0", "[0, 1)"]),
    "width of the encoder": (
        {"encoder": nn.Linear(4, 7)},
        None,
        ValueError,
        ["encoder", "(2, 7)", "expected shape (2, {width})"],
    ),
    "input of the encoder": (
        {"encoder": nn.Linear(9, 2)},
        None,
        ValueError,
        ["encoder", "(2, 4)", "width 4"],
    ),
}
FIT_PRIOR = {
    "unknown prior": ({"prior": "norml"}, None, ValueError, ["prior='norml'", "mean 'normal'"]),
    "class of a prior": ({"prior": NormalPrior}, None, TypeError, ["prior=", "an instance"]),
    "number as a prior": ({"prior": 3}, None, TypeError, ["prior=3", "expected one of"]),
    "dimension of atoms": (
        {"prior": AtomsPrior(np.eye(3))},
        None,
        ValueError,
        ["n_components=2", "expected n_components=3"],
    ),
    "dimension of a distribution": (
        {"prior": DistributionPrior(stats.multivariate_normal(np.zeros(5)))},
        None,
        ValueError,
        ["n_components=2", "expected n_components=5"],
    ),
    "dimension of means": (
        {"prior": GaussianMixturePrior(means=np.eye(3))},
        None,
        ValueError,
        ["n_components=2", "expected n_components=3"],
    ),
    "sphere on a line": (
        {"prior": "sphere", "n_components": 1},
        None,
        ValueError,
        ["n_components=1", "2 or more"],
    ),
    "empty cube": (
        {"prior": UniformPrior(low=1.0, high=-1.0)},
        None,
        ValueError,
        ["low=1.0", "low < high"],
    ),
    "scale of the prior": (
        {"prior": NormalPrior(scale=0.0)},
        None,
        ValueError,
        ["scale=0.0", "above 0"],
    ),
    "concentration": (
        {"prior": DirichletPrior(-1.0)},
        None,
        ValueError,
        ["concentration=-1.0", "above 0"],
    ),
    "no distribution": (
        {"prior": DistributionPrior(stats.norm.pdf)},
        None,
        TypeError,
        ["distribution=", "frozen"],
    ),
    "weights of atoms": (
        {"prior": AtomsPrior(np.eye(2), weights=[1.0])},
        None,
        ValueError,
        ["weights", "2 numbers"],
    ),
}
PSEUDO_INPUTS = {
    "n_pseudo_inputs": (
        {"n_pseudo_inputs": 0},
        None,
        ValueError,
        ["'n_pseudo_inputs'", "[1, inf)"],
    ),
    "too many pseudo-inputs": (
        {"n_pseudo_inputs": 25},
        None,
        ValueError,
        ["n_pseudo_inputs=25", "24 rows"],
    ),
    "init": ({"init": "kmeans"}, None, ValueError, ["'init'", "k-means++"]),
}
FIT_SINKHORN = {
    "epsilon": ({"epsilon": 0.0}, None, ValueError, ["'epsilon'", "(0.0, inf)"]),
    "debias": ({"debias": "pared"}, None, ValueError, ["'debias'", "paired"]),
    "sharp": ({"sharp": "yes"}, None, ValueError, ["'sharp'", "bool"]),
    "p": ({"p": 0.5}, None, ValueError, ["'p'", "[1.0, inf)"]),
    "sinkhorn_tol": ({"sinkhorn_tol": 0.0}, None, ValueError, ["'sinkhorn_tol'"]),
    "relative": ({"relative": "yes"}, None, ValueError, ["'relative'", "bool"]),
}
FIT_ONE = {
    "WAEEstimator": {
        "lam": ({"lam": -1.0}, None, ValueError, ["'lam'", "[0.0, inf)"]),
        "posterior": ({"posterior": "gausian"}, None, ValueError, ["'posterior'", "gaussian"]),
        "unknown penalty": ({"penalty": "mdm"}, None, ValueError, ["penalty='mdm'", "'mmd'"]),
        "class of a penalty": ({"penalty": MMD}, None, TypeError, ["penalty=MMD", "an instance"]),
        "prior without moments": (
            {"penalty": "gaussian", "prior": DistributionPrior(stats.cauchy())},
            None,
            ValueError,
            ["prior=", "moments()", "GaussianDivergence", "'normal'"],
        ),
        "cost_scale": ({"cost_scale": 0.0}, None, ValueError, ["'cost_scale'", "(0.0, inf)"]),
        "bandwidth": (
            {"penalty": MMD(bandwidth=0)},
            None,
            ValueError,
            ["bandwidth must be", "> 0"],
        ),
        "epsilon of the penalty": (
            {"penalty": SinkhornDivergence(epsilon=0.0)},
            None,
            ValueError,
            ["epsilon", "0"],
        ),
        "debias of the penalty": (
            {"penalty": ExactDivergence(debias="pared")},
            None,
            ValueError,
            ["debias='pared'", "'paired'"],
        ),
        "n_projections": (
            {"penalty": SlicedDivergence(n_projections=0)},
            None,
            ValueError,
            ["n_projections"],
        ),
        "layers of the adversary": (
            {"penalty": AdversarialDivergence(hidden_layer_sizes=(0,))},
            None,
            ValueError,
            ["hidden_layer_sizes"],
        ),
    },
    "SinkhornAE": {
        **FIT_SINKHORN,
        "beta": ({"beta": -1.0}, None, ValueError, ["'beta'", "[0.0, inf)"]),
        "root": ({"root": "yes"}, None, ValueError, ["'root'", "bool"]),
    },
    "SinkhornEncoder": {
        **FIT_SINKHORN,
        "contraction": ({"contraction": -1.0}, None, ValueError, ["'contraction'", "[0.0, inf)"]),
        "annealing": ({"annealing": 0.5}, None, ValueError, ["'annealing'", "[1.0, inf)"]),
        "n_neighbors": ({"n_neighbors": 0}, None, ValueError, ["'n_neighbors'", "[1, inf)"]),
    },
    "SymmetricWAE": {
        "beta": ({"beta": 1.5}, None, ValueError, ["'beta'", "[0.0, 1.0]"]),
        "alpha": ({"alpha": -1.0}, None, ValueError, ["'alpha'", "[0.0, inf)"]),
        **PSEUDO_INPUTS,
        "metric": ({"metric": "l1"}, None, ValueError, ["'metric'", "cosine"]),
        "search": ({"search": "code"}, None, ValueError, ["'search'", "latent"]),
        "p": ({"p": 3}, None, ValueError, ["'p'", "[1, 2]"]),
    },
    "GMWAE": {
        "lam": ({"lam": -1.0}, None, ValueError, ["'lam'", "[0.0, inf)"]),
        "n_mixtures": ({"n_mixtures": 0}, None, ValueError, ["'n_mixtures'", "[1, inf)"]),
        "too many mixtures": ({"n_mixtures": 25}, None, ValueError, ["n_mixtures=25", "24 rows"]),
        "separation": ({"separation": 0.0}, None, ValueError, ["'separation'", "(0.0, inf)"]),
        "moments": ({"moments": "none"}, None, ValueError, ["moments='none'", "'separate'"]),
        "warm_up": ({"warm_up": 1.5}, None, ValueError, ["'warm_up'", "[0.0, 1.0]"]),
        "information": ({"information": -1.0}, None, ValueError, ["'information'", "[0.0, inf)"]),
        "balance": ({"balance": -1.0}, None, ValueError, ["'balance'", "[0.0, inf)"]),
        "smoothness": ({"smoothness": -1.0}, None, ValueError, ["'smoothness'", "[0.0, inf)"]),
        "radius": ({"radius": 0.0}, None, ValueError, ["'radius'", "(0.0, inf)"]),
        "discrepancy": ({"discrepancy": "z"}, None, ValueError, ["'discrepancy'", "joint"]),
        "init": ({"init": "k-means++"}, None, ValueError, ["'init'", "clusters"]),
    },
    "GMVAE": {
        "beta": ({"beta": -1.0}, None, ValueError, ["'beta'", "[0.0, inf)"]),
        "n_mixtures": ({"n_mixtures": 0}, None, ValueError, ["'n_mixtures'", "[1, inf)"]),
        "too many mixtures": ({"n_mixtures": 25}, None, ValueError, ["n_mixtures=25", "24 rows"]),
        "separation": ({"separation": 0.0}, None, ValueError, ["'separation'", "(0.0, inf)"]),
    },
    "HypersphericalVAE": {
        "beta": ({"beta": -1.0}, None, ValueError, ["'beta'", "[0.0, inf)"]),
        "warm_up": ({"warm_up": 1.5}, None, ValueError, ["'warm_up'", "[0.0, 1.0]"]),
        "no component": ({"n_components": 0}, None, ValueError, ["'n_components'", "[1, inf)"]),
    },
    "AdversarialAE": {
        "sigma": ({"sigma": -1.0}, None, ValueError, ["'sigma'", "[0.0, inf)"]),
        "posterior": ({"posterior": "gausian"}, None, ValueError, ["'posterior'", "gaussian"]),
        "gradient_penalty": ({"gradient_penalty": -1.0}, None, ValueError, ["'gradient_penalty'"]),
        "log_density": ({"log_density": "yes"}, None, ValueError, ["'log_density'", "bool"]),
        "log_density without one": (
            {"log_density": True, "prior": AtomsPrior(np.eye(2))},
            None,
            ValueError,
            ["prior=", "log_prob()", "'normal'"],
        ),
        "log_density on a support": (
            {"log_density": True, "prior": "sphere"},
            None,
            ValueError,
            ["prior=SpherePrior()", "log_density=True", "'normal'"],
        ),
    },
    "AdversarialVB": {
        "n_noise": ({"n_noise": 0}, None, ValueError, ["'n_noise'", "[1, inf)"]),
        "n_discriminator": ({"n_discriminator": 0}, None, ValueError, ["'n_discriminator'"]),
        "temperature": ({"temperature": 0.5}, None, ValueError, ["'temperature'", "[1.0, inf)"]),
        "width of the discriminator": (
            {"discriminator": nn.Linear(4, 1)},
            None,
            ValueError,
            ["discriminator", "(2, 6)", "width 6 to width 1"],
        ),
    },
    "WGAN": {
        "gradient_penalty": (
            {"gradient_penalty": 0.0},
            None,
            ValueError,
            ["'gradient_penalty'", "(0.0, inf)"],
        ),
        "n_critic": ({"n_critic": 0}, None, ValueError, ["'n_critic'", "[1, inf)"]),
        "width of the critic": (
            {"critic": nn.Linear(4, 2)},
            None,
            ValueError,
            ["critic", "(2, 2)", "expected shape (2, 1)"],
        ),
    },
    "VAE": {"beta": ({"beta": -1.0}, None, ValueError, ["'beta'", "[0.0, inf)"])},
    "VampPriorVAE": {
        "beta": ({"beta": -1.0}, None, ValueError, ["'beta'", "[0.0, inf)"]),
        **PSEUDO_INPUTS,
    },
    "VampPriorWAE": {
        "lam": ({"lam": -1.0}, None, ValueError, ["'lam'", "[0.0, inf)"]),
        "posterior": ({"posterior": "normal"}, None, ValueError, ["'posterior'", "'gaussian'"]),
        "penalty": ({"penalty": "gan"}, None, ValueError, ["penalty='gan'", "'sinkhorn'"]),
        **PSEUDO_INPUTS,
    },
    "MIM": {
        "no min_scale": ({"min_scale": 0.0}, None, ValueError, ["'min_scale'", "(0.0, 1.0]"]),
        "min_scale": ({"min_scale": 2.0}, None, ValueError, ["'min_scale'", "(0.0, 1.0]"]),
        **PSEUDO_INPUTS,
    },
    "InfoVAE": {
        "alpha": ({"alpha": 1.5}, None, ValueError, ["'alpha'", "(-inf, 1.0]"]),
        "lam": ({"lam": -1.0}, None, ValueError, ["'lam'", "[0.0, inf)"]),
        "alpha and lam": (
            {"alpha": 0.5, "lam": 0.001},
            None,
            ValueError,
            ["alpha=0.5", "lam=0.001", "alpha + lam >= 1"],
        ),
    },
    "PlanarFlowVAE": {"n_flows": ({"n_flows": 0}, None, ValueError, ["'n_flows'", "[1, inf)"])},
    "CoupledVAE": {
        "epsilon": ({"epsilon": 0.0}, None, ValueError, ["'epsilon'", "(0.0, inf)"]),
        "strategy": ({"strategy": "both"}, None, ValueError, ["'strategy'", "primal"]),
        "potential": ({"potential": "net"}, None, ValueError, ["'potential'", "network"]),
        "full dual of a table": (
            {"dual": "full"},
            None,
            ValueError,
            ["dual='full'", "potential='network'"],
        ),
        "plan_decay": ({"plan_decay": 1.0}, None, ValueError, ["'plan_decay'", "[0.0, 1.0)"]),
        "init": ({"init": "pca"}, None, ValueError, ["'init'", "principal"]),
        "n_bank_steps": ({"n_bank_steps": -1}, None, ValueError, ["'n_bank_steps'", "[0, inf)"]),
        "n_bank": ({"n_bank": 1}, None, ValueError, ["'n_bank'", "[2, inf)"]),
        "n_dual_steps": ({"n_dual_steps": 0}, None, ValueError, ["'n_dual_steps'", "[1, inf)"]),
        "posterior": ({"posterior": "exact"}, None, ValueError, ["'posterior'", "amortised"]),
    },
}
# What those have in common that maximise a bound on the likelihood.
FIT_VARIATIONAL = {
    "shape of a cost": ({"cost": "sqeuclidean"}, None, ValueError, ["cost=", "likelihood"]),
    "outside of the bounds": (
        {"cost": SquaredEuclideanCost(bounds=(0, 1))},
        None,
        ValueError,
        ["cost=", "likelihood"],
    ),
    "prior without density": (
        {"prior": AtomsPrior(np.eye(2))},
        None,
        ValueError,
        ["prior=", "log_prob()", "'normal'"],
    ),
    "prior with a support": (
        {"prior": "sphere"},
        None,
        ValueError,
        ["prior=SpherePrior()", "support", "'normal'"],
    ),
    "prior of bounded support": (
        {"prior": DistributionPrior(torch.distributions.Uniform(-1.0, 1.0))},
        None,
        ValueError,
        ["prior=", "support", "'normal'"],
    ),
    "prior without gradient": (
        {"prior": DistributionPrior(stats.norm())},
        None,
        ValueError,
        ["prior=", "log_prob() without gradient", "'normal'"],
    ),
}
# The encoder's output is not n_components wide for all.
WIDTH = {
    "AdversarialVB": 18,
    "GMVAE": 15,
    "GMWAE": 3,
    "HypersphericalVAE": 3,
    "InfoVAE": 4,
    "MIM": 4,
    "PlanarFlowVAE": 54,
    "VAE": 4,
    "VampPriorVAE": 4,
    "VampPriorWAE": 4,
}


def fit_cases():
    for name in NAMES:
        cases = {**FIT, **FIT_PRIOR, **FIT_ONE.get(name, {})}
        if issubclass(getattr(skotae, name), VariationalAutoencoder):
            cases.update(FIT_VARIATIONAL)
        for case, (params, *expected) in cases.items():
            if not params.keys() <= parameters_of(name).keys():
                continue
            if name == "CoupledVAE" and "encoder" in params:
                params = {**params, "posterior": "amortised"}
            yield pytest.param(name, params, *expected, id=f"{name}-{case}")


def check_message(error, words, name):
    for word in words:
        word = word.format(width=WIDTH.get(name, 2)) if "{" in word else word
        assert word in str(error), f"{word!r} is not in the message: {error}"


CASES = [*fit_cases()]


@pytest.mark.parametrize("name", NAMES)
def test_there_are_fifteen(name):
    assert sum(case.values[0] == name for case in CASES) >= 15


@pytest.mark.parametrize("name, params, X, error, words", CASES)
def test_fit(name, params, X, error, words):
    model = small(name, **params)
    with pytest.raises(error) as raised:
        model.fit(data() if X is None else X)
    check_message(raised.value, words, name)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    with pytest.raises(NotFittedError):
        model.score(data())


# --- a fitted estimator ------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    return {name: small(name).fit(data()) for name in NAMES}


def frame(columns):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(data(), columns=columns)


# A call, error, words of the message.
CALLS = {
    "transform nan": (lambda m: m.transform(with_value(np.nan)), ["X", "NaN"]),
    "transform width": (lambda m: m.transform(data(n_features=3)), ["3 features", "4 features"]),
    "transform one dimension": (lambda m: m.transform(data()[0]), ["Expected 2D array"]),
    "transform no rows": (lambda m: m.transform(data(0)), ["0 sample", "minimum of 1"]),
    "reconstruct width": (lambda m: m.reconstruct(data(n_features=5)), ["5 features"]),
    "inverse_transform width": (
        lambda m: m.inverse_transform(data(n_features=3)),
        ["3 columns", "n_components=2"],
    ),
    "inverse_transform nan": (
        lambda m: m.inverse_transform([[np.nan, 0.0]]),
        ["X", "NaN"],
    ),
    "sample none": (lambda m: m.sample(0), ["n_samples=0", "1 or more"]),
    "sample a negative number": (lambda m: m.sample(-3), ["n_samples=-3", "1 or more"]),
    "sample a fraction": (lambda m: m.sample(2.5), ["n_samples=2.5", "integer"]),
    "sample_posterior none": (
        lambda m: m.sample_posterior(data(), 0),
        ["n_samples=0", "1 or more"],
    ),
    "sample_posterior width": (
        lambda m: m.sample_posterior(data(n_features=3)),
        ["3 features", "4 features"],
    ),
    "interpolate shapes": (
        lambda m: m.interpolate(data(2), data(3)),
        ["X1 has shape (2, 4)", "X2 has shape (3, 4)"],
    ),
    "interpolate one step": (
        lambda m: m.interpolate(data(2), data(2), 1),
        ["n_steps=1", "2 or more"],
    ),
    "interpolate a fraction": (
        lambda m: m.interpolate(data(2), data(2), 2.5),
        ["n_steps=2.5", "2 or more"],
    ),
    "score width": (lambda m: m.score(data(n_features=3)), ["3 features", "4 features"]),
    "score_samples inf": (lambda m: m.score_samples(with_value(np.inf)), ["X", "infinity"]),
    "score weights of another length": (
        lambda m: m.score(data(), sample_weight=np.ones(3)),
        ["sample_weight", "(24,)"],
    ),
    "score negative weights": (
        lambda m: m.score(data(), sample_weight=-np.ones(N_ROWS)),
        ["egative", "sample_weight"],
    ),
    "score without weight": (
        lambda m: m.score(data(), sample_weight=np.zeros(N_ROWS)),
        ["Sample weights", "non-zero"],
    ),
    "partial_fit width": (lambda m: m.partial_fit(data(n_features=3)), ["3 features"]),
}


def pairs(cases):
    """Names of estimators, and those of the cases whose method (the first word) they have."""
    return [
        (name, case)
        for name in NAMES
        for case in cases
        if hasattr(getattr(skotae, name), case.split()[0])
    ]


@pytest.mark.parametrize("name, case", pairs(CALLS))
def test_call(fitted, name, case):
    call, words = CALLS[case]
    model = fitted[name]
    before = model.score(data()), model.n_iter_
    with pytest.raises(ValueError) as raised:
        call(model)
    check_message(raised.value, words, name)
    assert (model.score(data()), model.n_iter_) == before


MIXTURES = ["GMVAE", "GMWAE"]
# Calls of what those with components have.
COMPONENTS = {
    **{
        f"component {value}": (
            lambda m, value=value: m.sample(2, component=value),
            [f"component={value!r}; expected an integer from 0 to 2"],
        )
        for value in (-1, 3, 0.5, "first", [0], True)
    },
    "no samples": (lambda m: m.sample(0, component=1), ["n_samples=0", "1 or more"]),
    "scale": (lambda m: m.sample(2, scale=0.0), ["scale=0.0", "above 0"]),
    "scale inf": (lambda m: m.sample(2, scale=np.inf), ["scale=inf", "above 0"]),
    "start": (lambda m: m.interpolate_components(3, 0), ["start=3", "integers from 0 to 2"]),
    "stop": (lambda m: m.interpolate_components(0, [1, -1]), ["stop=[1, -1]", "from 0 to 2"]),
    "n_steps": (lambda m: m.interpolate_components(0, 1, 1), ["n_steps=1", "2 or more"]),
    "shapes": (
        lambda m: m.interpolate_components([0, 1], [0, 1, 2]),
        ["start has shape (2,)", "stop has shape (3,)"],
    ),
}


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("case", COMPONENTS)
def test_components(fitted, name, case):
    call, words = COMPONENTS[case]
    with pytest.raises(ValueError) as raised:
        call(fitted[name])
    check_message(raised.value, words, name)


@pytest.mark.parametrize("name", MIXTURES)
def test_unfitted_components(name):
    with pytest.raises(NotFittedError, match=name):
        small(name).sample(component=0)
    with pytest.raises(NotFittedError, match=name):
        small(name).interpolate_components(0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_columns(name):
    model = small(name).fit(frame(["a", "b", "c", "d"]))
    with pytest.raises(ValueError, match="(?s)feature names.*- e.*- d"):
        model.score(frame(["a", "b", "c", "e"]))
    with pytest.raises(ValueError, match="(?s)feature names.*order"):
        model.score(frame(["b", "a", "c", "d"]))


@pytest.mark.parametrize("name", [name for name in NAMES if "cost" in parameters_of(name)])
@pytest.mark.parametrize("method", ["transform", "reconstruct", "score", "score_samples"])
def test_bernoulli_at_inference(name, method):
    model = small(name, cost="bernoulli").fit(data())
    with pytest.raises(ValueError, match=r"\[0, 1\]; got -2.0 in column 2"):
        getattr(model, method)(with_value(-2.0))


@pytest.mark.parametrize(
    "name, method",
    pairs(["transform", "inverse_transform", "reconstruct", "score", "score_samples", "elbo"]),
)
def test_unfitted(name, method):
    with pytest.raises(NotFittedError, match=name):
        getattr(small(name), method)(data())


@pytest.mark.parametrize("name, method", pairs(["sample"]))
def test_unfitted_sample(name, method):
    with pytest.raises(NotFittedError, match=name):
        small(name).sample()


@pytest.mark.parametrize("name", NAMES)
def test_warm_start_with_another_width(name):
    model = small(name, warm_start=True).fit(data())
    with pytest.raises(ValueError, match="3 features.*expecting 4"):
        model.fit(data(n_features=3))


@pytest.mark.parametrize("name", NAMES)
def test_device_of_the_environment(name, monkeypatch):
    monkeypatch.setenv("SKOTAE_DEVICE", "abacus")
    with pytest.raises(ValueError, match="SKOTAE_DEVICE='abacus'"):
        small(name).fit(data())
    small(name, device="cpu").fit(data())
    small(name, device=torch.device("cpu")).fit(data())
