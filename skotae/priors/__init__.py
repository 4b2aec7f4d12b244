"""Priors of the codes: what they are to be distributed like."""

from skotae.priors._atoms import AtomsPrior
from skotae.priors._dirichlet import DirichletPrior
from skotae.priors._distribution import DistributionPrior
from skotae.priors._mixture import GaussianMixturePrior
from skotae.priors._normal import NormalPrior, PrincipalPrior
from skotae.priors._sphere import SpherePrior
from skotae.priors._uniform import UniformPrior
from skotae.priors.base import BasePrior

PRIORS: dict[str, type[BasePrior]] = {
    "normal": NormalPrior,
    "principal": PrincipalPrior,
    "uniform": UniformPrior,
    "sphere": SpherePrior,
    "dirichlet": DirichletPrior,
    "mixture": GaussianMixturePrior,
}


def priors_with(*methods: str, support: str | None = None) -> str:
    """Names of the priors that have some methods, or a support, for messages and docstrings."""
    names = [
        f"{name!r}"
        for name, prior in PRIORS.items()
        if all(hasattr(prior, method) for method in methods) and support in (None, prior.support)
    ]
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


__all__ = [
    "PRIORS",
    "AtomsPrior",
    "BasePrior",
    "DirichletPrior",
    "DistributionPrior",
    "GaussianMixturePrior",
    "NormalPrior",
    "PrincipalPrior",
    "SpherePrior",
    "UniformPrior",
]
