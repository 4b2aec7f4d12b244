"""Optimal transport between point clouds, as pure functions on tensors."""

from skotae.transport._barycenters import fixed_support_barycenter, free_support_barycenter
from skotae.transport._debias import debias_independent, debias_paired
from skotae.transport._exact import exact_cost, exact_plan
from skotae.transport._gaussian import fit_gaussian, gaussian_map, gaussian_wasserstein
from skotae.transport._geodesic import geodesic_distances
from skotae.transport._matrix_cost import sinkhorn_cost
from skotae.transport._max_sliced import max_sliced_wasserstein
from skotae.transport._mmd import squared_mmd
from skotae.transport._partial import partial_cost, partial_plan
from skotae.transport._potentials import sinkhorn_plan, sinkhorn_potentials
from skotae.transport._semidual import c_transform
from skotae.transport._sinkhorn import sinkhorn_divergence
from skotae.transport._sliced import sliced_wasserstein
from skotae.transport._unbalanced import unbalanced_sinkhorn_divergence
from skotae.transport._unbalanced_cost import unbalanced_sinkhorn_cost
from skotae.transport._unbalanced_plan import (
    unbalanced_sinkhorn_plan,
    unbalanced_sinkhorn_potentials,
)
from skotae.transport._unrolled import unrolled_sinkhorn_cost
from skotae.transport.base import SinkhornInfo

__all__ = [
    "SinkhornInfo",
    "c_transform",
    "debias_independent",
    "debias_paired",
    "exact_cost",
    "exact_plan",
    "fit_gaussian",
    "fixed_support_barycenter",
    "free_support_barycenter",
    "gaussian_map",
    "gaussian_wasserstein",
    "geodesic_distances",
    "max_sliced_wasserstein",
    "partial_cost",
    "partial_plan",
    "sinkhorn_cost",
    "sinkhorn_divergence",
    "sinkhorn_plan",
    "sinkhorn_potentials",
    "sliced_wasserstein",
    "squared_mmd",
    "unbalanced_sinkhorn_cost",
    "unbalanced_sinkhorn_divergence",
    "unbalanced_sinkhorn_plan",
    "unbalanced_sinkhorn_potentials",
    "unrolled_sinkhorn_cost",
]
