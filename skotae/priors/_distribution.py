"""Prior from a distribution of torch or scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import rv_continuous, rv_discrete
from sklearn.utils.metaestimators import available_if
from torch import Tensor
from torch.distributions import Distribution, Independent

from skotae.priors.base import BasePrior, device_of, draw_child_seed
from skotae.utils._random import borrowed_global_generator


def _has_log_prob(prior: DistributionPrior) -> bool:
    distribution = prior.distribution
    if isinstance(distribution, Distribution):
        return type(distribution).log_prob is not Distribution.log_prob
    return hasattr(distribution, "logpdf") and not _is_discrete(distribution)


def _has_moments(prior: DistributionPrior) -> bool:
    return prior._natural_moments() is not None


class DistributionPrior(BasePrior):
    """Any distribution of ``torch.distributions`` or ``scipy.stats``.

    Parameters
    ----------
    distribution : torch.distributions.Distribution or frozen scipy.stats distribution
        Of vectors of shape (d,), which fixes `n_components`, or of numbers: then the
        coordinates are independent, and have it in common. A torch distribution has to be
        on the CPU.

    Notes
    -----
    ``log_prob`` and ``moments`` exist where `distribution` has a density, and finite moments of
    known form. The density of a scipy distribution has no gradient.

    Examples
    --------
    >>> import torch
    >>> from scipy import stats
    >>> from skotae.priors import DistributionPrior
    >>> prior = DistributionPrior(stats.t(df=5))
    >>> prior.sample(4, 3, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 3])
    >>> prior = DistributionPrior(torch.distributions.Laplace(0.0, 1.0))
    >>> prior.moments(2)[1].tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """

    def __init__(self, distribution: Any):
        self.distribution = distribution

    @property
    def min_components(self) -> int:  # type: ignore[override]
        """Dimension of the distribution; 1 for a distribution of numbers."""
        return self._dimension() or 1

    def check_dimension(self, d: int) -> None:
        own = self._dimension()
        if own is None:
            super().check_dimension(d)
        elif own != d:
            raise ValueError(
                f"n_components={d}, but distribution={self.distribution!r} of DistributionPrior "
                f"is of dimension {own}; expected n_components={own}."
            )

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        self.check_dimension(d)
        seed = draw_child_seed(generator)
        own = self._dimension()
        if isinstance(self.distribution, Distribution):
            # torch.distributions draw from the global generator only.
            with borrowed_global_generator(seed):
                draws = self.distribution.sample(torch.Size([n, d] if own is None else [n]))
        else:
            whole = _is_univariate(self.distribution) or own is None
            rng = np.random.default_rng(seed)
            draws = self.distribution.rvs(size=(n, d) if whole else n, random_state=rng)
            # One draw loses its first axis.
            draws = torch.from_numpy(np.array(draws, dtype=np.float64).reshape(n, d))
        return draws.to(device_of(generator), dtype)

    @available_if(_has_log_prob)
    def log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of codes of shape (..., d), where there is one."""
        own = self._dimension()
        if isinstance(self.distribution, Distribution):
            logs = self.distribution.log_prob(z)
            return (logs if self.distribution.event_shape else logs.sum(-1)).to(z.dtype)
        points = z.detach().cpu().double().numpy()
        if _is_univariate(self.distribution):
            value = np.asarray(self.distribution.logpdf(points)).sum(-1)
        elif own is None:
            value = np.reshape(self.distribution.logpdf(points.ravel()), points.shape).sum(-1)
        else:
            rows = points.reshape(-1, own)
            value = np.array([self.distribution.logpdf(row) for row in rows], dtype=np.float64)
            value = value.reshape(points.shape[:-1])
        return torch.as_tensor(value).to(z)

    @available_if(_has_moments)
    def moments(self, d: int) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), in float64, where they are finite and known."""
        self.check_dimension(d)
        mean, cov = self._natural_moments()  # type: ignore[misc]
        mean = mean.expand(d).clone()
        return mean, cov.clone() if cov.ndim == 2 else cov.expand(d).diag()

    def _natural_moments(self) -> tuple[Tensor, Tensor] | None:
        """Mean, and covariance or variances, of the distribution as it is."""
        distribution = self.distribution
        try:
            if isinstance(distribution, Distribution):
                mean = distribution.mean
                if not distribution.event_shape or isinstance(distribution, Independent):
                    cov = distribution.variance
                else:
                    cov = distribution.covariance_matrix  # type: ignore[attr-defined]
            elif _is_univariate(distribution):
                mean, cov = distribution.mean(), distribution.var()
            else:
                mean = distribution.mean() if callable(distribution.mean) else distribution.mean
                cov = distribution.cov() if callable(distribution.cov) else distribution.cov
        except (AttributeError, NotImplementedError):
            return None
        mean = torch.as_tensor(mean).detach().cpu().double()
        cov = torch.as_tensor(cov).detach().cpu().double()
        if mean.numel() == 1 and self._dimension() is None:
            mean, cov = mean.reshape(()), cov.reshape(())
        return (mean, cov) if bool(mean.isfinite().all() and cov.isfinite().all()) else None

    def _dimension(self) -> int | None:
        """Dimension of the distribution; None if it is one of numbers."""
        distribution = self.distribution
        if isinstance(distribution, Distribution):
            shape = tuple(distribution.batch_shape) + tuple(distribution.event_shape)
        elif isinstance(distribution, (type, rv_continuous, rv_discrete)) or not hasattr(
            distribution, "rvs"
        ):
            raise TypeError(
                f"distribution={distribution!r} of DistributionPrior; expected a "
                "torch.distributions.Distribution or a frozen distribution of scipy.stats."
            )
        elif _is_univariate(distribution):
            shape = np.shape(distribution.rvs(random_state=np.random.default_rng(0)))
        else:
            # Two draws: some distributions drop the first axis of one, some keep it.
            shape = np.shape(distribution.rvs(size=2, random_state=np.random.default_rng(0)))[1:]
        if len(shape) > 1:
            raise ValueError(
                f"distribution={distribution!r} of DistributionPrior gives draws of shape "
                f"{shape}; expected one of vectors or of numbers."
            )
        return shape[0] if shape else None


def _is_univariate(distribution: Any) -> bool:
    return isinstance(getattr(distribution, "dist", None), (rv_continuous, rv_discrete))


def _is_discrete(distribution: Any) -> bool:
    return isinstance(getattr(distribution, "dist", None), rv_discrete)
