"""Posterior by importance weights over a bank of prior draws."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.autoencoders._inference import InferenceMixin, in_dtype, infer
from skotae.priors import AtomsPrior
from skotae.transport import c_transform

FEW_EFFECTIVE_DRAWS = 10


class PosteriorBank(nn.Module):
    """Prior draws with what they decode to and their logarithmic weights v(z) / epsilon."""

    z: Tensor
    raw: Tensor
    log_weight: Tensor

    def __init__(self, z: Tensor, raw: Tensor, log_weight: Tensor):
        super().__init__()
        self.register_buffer("z", z.detach())
        self.register_buffer("raw", raw.detach())
        self.register_buffer("log_weight", log_weight.detach())


def balanced_potentials(cost: Tensor, log_b: Tensor, epsilon: float, n_steps: int) -> Tensor:
    """v of draws, by Sinkhorn's algorithm from a large epsilon down to the given one.

    Parameters
    ----------
    cost : Tensor of shape (n, m)
        Between rows, of equal weights, and draws.
    log_b : Tensor of shape (m,)
        Logarithms of the weights of the draws.
    epsilon : float
        Of the solution; it is reached after half of the steps.
    n_steps : int
        Number of iterations.

    Returns
    -------
    v : Tensor of shape (m,)
        With which the plan sums to the weights of the draws exactly, to those of the rows
        after enough steps.
    """
    u = cost.new_zeros(len(cost))
    hot = max(1.0, float(cost.mean() - cost.amin(1).mean()) / epsilon)
    for step in range(n_steps):
        warm = epsilon * hot ** max(0.0, 1.0 - 2.0 * (step + 1) / n_steps)
        v = c_transform(u, cost, warm)
        u = -warm * ((v - cost) / warm + log_b).logsumexp(1)
    return c_transform(u, cost, epsilon)


class ImportancePosterior(InferenceMixin):
    """What the coupled autoencoder does with its bank, from which it draws."""

    if TYPE_CHECKING:
        epsilon: float
        n_bank: int
        bank_: Any
        decoder_: Any

        @property
        def _amortised(self) -> bool: ...

    def _log_posterior(self, x: Tensor) -> Tensor:
        """Logarithms of the importance weights over the bank, not normalised."""
        bank = self.bank_
        return bank.log_weight - self.decoder_.cost.pairwise_from_raw(x, bank.raw) / self.epsilon

    def _encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if generator is None and self._amortised:
            return self.encoder_(x)
        weights = self._log_posterior(x).softmax(1)
        if generator is None:
            return weights @ self.bank_.z
        return self.bank_.z[torch.multinomial(weights, 1, generator=generator)[:, 0]]

    def effective_sample_size(self, X):
        r"""Effective number of bank draws behind the posterior of each row.

        .. math::
            \mathrm{ESS}(x) = 1 / \sum_b w_b(x)^2

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        size : ndarray of shape (n_samples,)
            Between 1 and `n_bank`.
        """
        X = self._check(X)
        model = in_dtype(self, X.dtype)
        return infer(
            lambda x: 1.0 / model._log_posterior(x).softmax(1).square().sum(1),
            self._standardised(X),
            model.device_,
        )

    def transform(self, X):
        """Posterior means of the codes of the rows of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components_)
            In the dtype of X.

        Warns
        -----
        UserWarning
            If importance weights rest on fewer than ten draws for half of the rows.
        """
        Z = super().transform(X)
        if not self._amortised and not isinstance(self.prior_, AtomsPrior):
            size = float(np.median(self.effective_sample_size(X)))
            if size < FEW_EFFECTIVE_DRAWS:
                warnings.warn(
                    f"The median effective sample size of the posterior is {size:.1f}; raise "
                    f"n_bank={self.n_bank} or epsilon={self.epsilon}, or use "
                    "posterior='amortised'.",
                    UserWarning,
                    stacklevel=2,
                )
        return Z
