"""What estimators with an encoder do with arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.inference import Inference, check_count, check_room
from skotae.autoencoders.bases.network import NetworkEstimator
from skotae.utils._random import draw_seed


class EncodingEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, NetworkEstimator):
    """Base of the estimators with an encoder."""

    _parameter_constraints: dict[str, Any] = {
        **NetworkEstimator._parameter_constraints,
        "encoder": "no_validation",
    }
    encoder_ = ModelPart("encoder")

    def transform(self, X):
        """Codes of the rows of X: posterior means.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components_)
            In the dtype of X.
        """
        X = self._check(X)
        return self._inference(X.dtype).codes(X)

    def sample_posterior(self, X, n_samples=1, *, random_state=None):
        """Draws from the posterior of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples_X, n_features)
        n_samples : int, default=1
            Number of draws for each row; they are equal if the posterior is
            deterministic.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        Z : ndarray of shape (n_samples_X, n_samples, n_components_)
        """
        X = self._check(X)
        n = check_count("n_samples", n_samples, 1)
        check_room("n_samples", n, len(X), n, self.n_components_, dtype=X.dtype)
        return self._inference(X.dtype).draws(X, n, draw_seed(random_state))

    def _results(self, inference: Inference, X: np.ndarray) -> Iterator[np.ndarray]:
        yield from super()._results(inference, X)
        yield inference.codes(X)
        yield inference.codes(X, self._seed)

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
