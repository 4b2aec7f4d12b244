"""Parameters and data that many estimators refuse, and the words of the messages."""

import numpy as np
import torch
from scipy import sparse, stats
from torch import nn

from skotae.costs import CallableCost, GaussianCost, SquaredEuclideanCost
from skotae.networks import MLP, ConvNet
from skotae.priors import (
    AtomsPrior,
    DirichletPrior,
    DistributionPrior,
    GaussianMixturePrior,
    NormalPrior,
    UniformPrior,
)

from .bad_input import data, with_value


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
