"""Exact transport cost as a penalty (Hungarian autoencoder)."""

from __future__ import annotations

import torch
from torch import Tensor

from skotae.divergences.base import BaseDivergence, debiased, refuse_weights
from skotae.transport import exact_cost


class ExactDivergence(BaseDivergence):
    r"""Exact optimal transport cost :math:`W_p^p` between two clouds.

    .. math::
        W_p^p(z, y) = \min_{\sigma} \frac1M \sum_i \sum_k |z_{ik} - y_{\sigma(i) k}|^p .

    Parameters
    ----------
    p : float >= 1, default=2
        Exponent of the cost.
    debias : {"independent", "none"}, default="independent"
        ``"none"`` is the cost itself (HAE of [1]_), which two samples of one distribution
        do not bring to zero and which is smallest at codes that are too narrow;
        ``"independent"`` corrects it by halves, see
        :class:`~skotae.divergences.SinkhornDivergence`.

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn autoencoders, UAI, section 6.

    Examples
    --------
    >>> import torch
    >>> from skotae.divergences import ExactDivergence
    >>> x = torch.arange(6.0).reshape(3, 2)
    >>> float(ExactDivergence(debias="none")(x + 1, x.flip(0)))
    2.0
    """

    prior_gradient = True
    usual_weight = 0.02

    def __init__(self, p: float = 2, debias: str = "independent"):
        self.p = p
        self.debias = debias

    def __call__(
        self,
        z: Tensor,
        prior_draws: Tensor,
        *,
        generator: torch.Generator | None = None,
        weights: Tensor | None = None,
    ) -> Tensor:
        if self.debias == "none":
            return exact_cost(z, prior_draws, p=self.p, a=weights)
        refuse_weights(self, weights)
        return debiased(lambda x, y: exact_cost(x, y, p=self.p), z, prior_draws, self.debias)
