"""Dirichlet prior on the simplex."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.priors.base import BasePrior, device_of, draw_child_seed, positive
from skotae.utils.base import brief


class DirichletPrior(BasePrior):
    r"""Dirichlet distribution on the simplex.

    .. math::
        p(z) = \frac{\Gamma(\sum_k a_k)}{\prod_k \Gamma(a_k)} \prod_k z_k^{a_k - 1},
        \qquad z_k \ge 0, \quad \sum_k z_k = 1

    with respect to the first d - 1 coordinates. The encoder ends in a softmax.

    Parameters
    ----------
    concentration : float > 0 or array-like of shape (n_components,), default=1.0
        :math:`a_k`; one number stands for all. 1 is the uniform distribution, less
        draws codes to the corners, of which each is one group of rows.
    learn : bool, default=False
        Whether `concentration` is where training starts from, and is then learned with
        the networks: one number stays one number, an array learns each entry. Of the
        estimators those with a transport cost or a maximum mean discrepancy between codes
        and draws can (SinkhornAE, SinkhornEncoder, WAEEstimator). The fitted ``prior_`` is then
        a module with the methods of this class, and the attribute ``concentration_``.

    Notes
    -----
    Draws are normalised gamma variables, :math:`z = g / \sum_k g_k`. For the gradient with
    respect to :math:`a`, :math:`\log g_k = \log g'_k + \log(u_k) / a_k` with
    :math:`g'_k \sim \Gamma(a_k + 1)`, differentiated implicitly (eq. 5 of [1]_), and
    :math:`u_k` uniform, which neither under- nor overflows for small :math:`a`.

    References
    ----------
    .. [1] Figurnov, Mohamed and Mnih (2018), Implicit reparameterization gradients, NeurIPS.
    .. [2] Patrini et al. (2019), Sinkhorn autoencoders, UAI, section 6.3.

    Examples
    --------
    >>> import torch
    >>> from skotae.priors import DirichletPrior
    >>> z = DirichletPrior(0.01).sample(4, 3, torch.Generator().manual_seed(0))
    >>> torch.allclose(z.sum(1), torch.ones(4))
    True
    >>> mean, _ = DirichletPrior([1.0, 3.0]).moments(2)
    >>> mean.tolist()
    [0.25, 0.75]
    """

    min_components = 2
    support = "simplex"

    def __init__(self, concentration: Any = 1.0, learn: bool = False):
        self.concentration = concentration
        self.learn = learn

    def check_dimension(self, d: int) -> None:
        super().check_dimension(d)
        self._concentration(d)
        if not isinstance(self.learn, (bool, np.bool_)):
            raise ValueError(f"learn={self.learn!r} of DirichletPrior; expected True or False.")

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        self.check_dimension(d)
        return draw_dirichlet(self._concentration(d), n, generator).to(dtype)

    def build(self, d: int) -> Any:
        return LearnedDirichlet(self, d) if self.learn else self

    def head(self, d: int) -> nn.Module:
        return nn.Softmax(dim=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """Logarithm of the density of codes of shape (..., d) on the simplex.

        Coordinates of 0 count as the smallest normal number, so that it is finite.
        """
        return dirichlet_log_density(self._concentration(z.shape[-1]), z)

    def moments(self, d: int) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d), in float64."""
        a = self._concentration(d)
        mean = a / a.sum()
        return mean, (mean.diag() - torch.outer(mean, mean)) / (a.sum() + 1.0)

    def _concentration(self, d: int) -> Tensor:
        if np.ndim(self.concentration) == 0:
            one = positive(self, "concentration")
            return torch.full((d,), one, dtype=torch.float64)
        a = np.asarray(self.concentration, dtype=np.float64)
        if a.ndim > 1 or a.size == 0 or not ((a > 0) & np.isfinite(a)).all():
            raise ValueError(
                f"concentration={brief(self.concentration)} of DirichletPrior; expected a number "
                "above 0, or one for each component."
            )
        if len(a) != d:
            raise ValueError(
                f"n_components={d}, but concentration of DirichletPrior has {len(a)} entries; "
                f"expected n_components={len(a)}, or one number for all components."
            )
        return torch.tensor(a)


class LearnedDirichlet(nn.Module):
    """Dirichlet distribution with a concentration that is trained.

    Parameters
    ----------
    spec : DirichletPrior
        Where the concentration starts.
    d : int
        Dimension of a code.
    """

    support = DirichletPrior.support

    def __init__(self, spec: DirichletPrior, d: int):
        super().__init__()
        self.d = d
        start = spec._concentration(d)
        shared = np.ndim(spec.concentration) == 0
        # Its logarithm is learned: it stays positive, and a step is a relative one.
        self.log_concentration = nn.Parameter((start[:1] if shared else start).log().float())

    @property
    def concentration_(self) -> np.ndarray:
        """The concentration of each component, of shape (n_components,)."""
        return self._concentration().detach().cpu().numpy()

    @property
    def _spec(self) -> DirichletPrior:
        return DirichletPrior(self.concentration_)

    def extra_repr(self) -> str:
        return f"concentration={self.concentration_.round(3).tolist()}"

    def check_dimension(self, d: int) -> None:
        self._spec.check_dimension(d)

    def sample(
        self,
        n: int,
        d: int,
        generator: torch.Generator | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Draw codes (n, d), differentiable with respect to the concentration."""
        return draw_dirichlet(self._concentration(), n, generator).to(dtype)

    def head(self, d: int) -> nn.Module:
        return self._spec.head(d)

    def interpolate(self, z1: Tensor, z2: Tensor, t: float | Tensor) -> Tensor:
        return self._spec.interpolate(z1, z2, t)

    def log_prob(self, z: Tensor) -> Tensor:
        return dirichlet_log_density(self._concentration(), z)

    def moments(self, d: int) -> tuple[Tensor, Tensor]:
        return self._spec.moments(d)

    def _concentration(self) -> Tensor:
        log: Tensor = self.log_concentration
        if log.device.type == "mps":  # no float64 there
            log = log.cpu()
        return log.double().exp().expand(self.d)


def draw_dirichlet(a: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """n draws with float64 concentration (d,), differentiable with respect to it."""
    device = device_of(generator)
    if device.type not in ("cpu", "cuda"):  # neither gamma draws nor float64 there
        child = torch.Generator().manual_seed(draw_child_seed(generator))
        return draw_dirichlet(a.cpu(), n, child).to(device, torch.float32)
    a = a.to(device).expand(n, -1)
    # A gamma variable of shape a < 0.2 underflows; its logarithm, that of one of shape
    # a + 1 plus log(U) / a, does not. The gradient of _standard_gamma is the implicit one.
    gamma = torch._standard_gamma(a + 1.0, generator=generator)
    u = 1.0 - torch.rand(a.shape, generator=generator, dtype=torch.float64, device=device)
    return (gamma.log() + u.log() / a).softmax(1)


def dirichlet_log_density(a: Tensor, z: Tensor) -> Tensor:
    """Logarithm of the density of codes (..., d), for a concentration (d,)."""
    constant = a.sum().lgamma() - a.lgamma().sum()
    # The terms are larger by far than their sum where the concentration is.
    wide = z.dtype if z.device.type == "mps" else torch.float64  # there is none there
    logs = z.clamp_min(torch.finfo(z.dtype).tiny).to(wide).log()
    return (((a - 1.0).to(logs) * logs).sum(-1) + constant.to(logs)).to(z.dtype)
