"""Checks for new estimators and parts, and problems with known answers."""

# Importing a file of estimator checks registers them.
from skotae.testing import _awkward, _fitting, _frames, _inferring  # noqa: F401
from skotae.testing._fuzzing import Case, check_case, fuzz_cases
from skotae.testing.base import make_data
from skotae.testing.estimator_checks import autoencoder_checks, check_autoencoder
from skotae.testing.generators import (
    gaussian_in_subspace,
    linear_gaussian,
    permuted_shift,
    scaled_normals,
)
from skotae.testing.part_checks import (
    check_cost,
    check_divergence,
    check_network,
    check_prior,
)

__all__ = [
    "Case",
    "autoencoder_checks",
    "check_autoencoder",
    "check_case",
    "check_cost",
    "check_divergence",
    "check_network",
    "check_prior",
    "fuzz_cases",
    "gaussian_in_subspace",
    "linear_gaussian",
    "make_data",
    "permuted_shift",
    "scaled_normals",
]
