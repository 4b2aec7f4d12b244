"""Divergences between the aggregate posterior and the prior, from samples of both."""

from skotae.divergences._adversarial import AdversarialDivergence
from skotae.divergences._exact import ExactDivergence
from skotae.divergences._gaussian import GaussianDivergence
from skotae.divergences._mmd import MMD
from skotae.divergences._sinkhorn import SinkhornDivergence
from skotae.divergences._sliced import SlicedDivergence
from skotae.divergences.base import BaseDivergence

DIVERGENCES = {
    "mmd": MMD,
    "gan": AdversarialDivergence,
    "sinkhorn": SinkhornDivergence,
    "exact": ExactDivergence,
    "sliced": SlicedDivergence,
    "gaussian": GaussianDivergence,
}

__all__ = [
    "DIVERGENCES",
    "MMD",
    "AdversarialDivergence",
    "BaseDivergence",
    "ExactDivergence",
    "GaussianDivergence",
    "SinkhornDivergence",
    "SlicedDivergence",
]
