"""Costs between data and reconstructions."""

from skotae.costs._bernoulli import BernoulliCost
from skotae.costs._cityblock import CityBlockCost
from skotae.costs._euclidean import EuclideanCost, SquaredEuclideanCost
from skotae.costs._gaussian import GaussianCost, HeteroscedasticCost
from skotae.costs.base import BaseCost, CallableCost

COSTS = {
    "sqeuclidean": SquaredEuclideanCost,
    "euclidean": EuclideanCost,
    "cityblock": CityBlockCost,
    "bernoulli": BernoulliCost,
    "gaussian": GaussianCost,
    "heteroscedastic": HeteroscedasticCost,
}

__all__ = [
    "COSTS",
    "BaseCost",
    "BernoulliCost",
    "CallableCost",
    "CityBlockCost",
    "EuclideanCost",
    "GaussianCost",
    "HeteroscedasticCost",
    "SquaredEuclideanCost",
]
