"""Posterior by importance weights over a bank of prior draws."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from skotae.autoencoders._inference import InferenceMixin, in_dtype, infer
from skotae.exceptions import ConvergenceWarning
from skotae.priors import AtomsPrior
from skotae.transport import sinkhorn_potentials

FEW_EFFECTIVE_DRAWS = 10
BANK_TOL = 0.01


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


def balanced_potentials(cost: Tensor, b: Tensor, epsilon: float, max_iter: int) -> Tensor:
    """v of draws of weights b, from the entropic problem between rows and draws.

    The rows of the plan, of equal weights, are exact; the draws miss `BANK_TOL` of theirs in sum,
    or what is left after `max_iter` iterations.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, v, _ = sinkhorn_potentials(
            cost=cost, b=b, epsilon=epsilon, relative=False, tol=BANK_TOL, max_iter=max_iter
        )
    return v


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
