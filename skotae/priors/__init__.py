"""Priors of the codes: what they are to be distributed like."""

from skotae.priors._atoms import AtomsPrior
from skotae.priors._dirichlet import DirichletPrior
from skotae.priors._distribution import DistributionPrior
from skotae.priors._mixture import GaussianMixturePrior
from skotae.priors._normal import NormalPrior
from skotae.priors._sphere import SpherePrior
from skotae.priors._uniform import UniformPrior
from skotae.priors.base import BasePrior

PRIORS = {
    "normal": NormalPrior,
    "uniform": UniformPrior,
    "sphere": SpherePrior,
    "dirichlet": DirichletPrior,
    "mixture": GaussianMixturePrior,
}

__all__ = [
    "PRIORS",
    "AtomsPrior",
    "BasePrior",
    "DirichletPrior",
    "DistributionPrior",
    "GaussianMixturePrior",
    "NormalPrior",
    "SpherePrior",
    "UniformPrior",
]
