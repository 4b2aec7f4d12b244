"""What estimators with a decoder do with arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.metrics import pairwise_distances_argmin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from skotae.autoencoders.bases.fitted import ModelPart
from skotae.autoencoders.bases.inference import (
    Inference,
    Limits,
    check_count,
    check_room,
    joined,
)
from skotae.autoencoders.bases.network import NetworkEstimator
from skotae.columns import Source, rows_at_once
from skotae.costs import COSTS
from skotae.costs.base import BaseCost, CallableCost, OutsideError, check_inherited
from skotae.metrics._score import n_samples_for, r2_by_blocks, rows_with_weight
from skotae.metrics.base import weights_of_rows
from skotae.utils._blocks import DrawnRows, LazyRows
from skotae.utils._random import child_seed, draw_seed, make_generator
from skotae.utils._registry import resolve_part
from skotae.utils._sklearn import in_container, output_container
from skotae.utils._torch import TORCH_DTYPES, ambient, tensor_of

# Samples among which a generator without an encoder looks for those nearest to rows.
N_NEAREST = 4096


class GeneratingEstimator(NetworkEstimator):
    """Base of the estimators with a decoder, and a cost between data and decoded rows."""

    _parameter_constraints: dict[str, Any] = {
        **NetworkEstimator._parameter_constraints,
        "decoder": "no_validation",
        "clip": ["boolean"],
    }
    _measured: tuple[str, ...] = ("data_mean_", "data_scale_")
    _shaping = NetworkEstimator._shaping | {"cost"}
    cost_: BaseCost
    clip: bool
    decoder_ = ModelPart("decoder")

    def _resolve_cost(self) -> BaseCost:
        cost = self._params.cost
        if callable(cost) and not isinstance(cost, (BaseCost, type)):
            cost = CallableCost(cost)
        return resolve_part(cost, "cost", COSTS, BaseCost, default="sqeuclidean")

    def _measure(self, X: np.ndarray) -> None:
        self.cost_ = self._resolve_cost()
        check_inherited(self.cost_, X.shape[1])
        self._check_values(X)
        scale = self._wanted_scale()
        if scale == "columns" and not self.cost_.by_column:
            raise ValueError(
                f"scale='columns' with cost={self.cost_!r}, for which all columns have one unit; "
                "expected scale='auto', or a cost such as 'sqeuclidean', 'euclidean', "
                "'cityblock' or 'gaussian' with a learned variance."
            )
        if self.cost_.standardise:
            self._set_units(X, scale, one_unit=not self.cost_.by_column)
        else:
            self.data_min_, self.data_max_ = X.min(axis=0), X.max(axis=0)
            self.data_mean_, self.data_scale_ = np.zeros(X.shape[1]), 1.0

    def _check_values(self, X: np.ndarray | Source) -> None:
        if isinstance(X, Source):
            X.check(self._check_some)
        else:
            self._check_some(X)

    def _check_some(self, X: np.ndarray, index: np.ndarray | None = None) -> None:
        """Look at some rows, whose numbers may be known."""
        try:
            self.cost_.check_data(X)
        except OutsideError as error:
            raise ValueError(error.told(self._column_names, index)) from None

    def sample(self, n_samples=1, *, noise=False, random_state=None):
        """New rows: decoded draws from what `latent` names, or from the prior.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        noise : bool, default=False
            Whether rows are drawn from the likelihood p(x|z), in the place of its mean; only
            where `cost` is a Gaussian or Bernoulli likelihood.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        X : ndarray or data frame of shape (n_samples, n_features)
            In the dtype of the training data.
        """
        check_is_fitted(self)
        n = check_count("n_samples", n_samples, 1)
        check_room("n_samples", n, n, self.n_features_in_ + self.n_components_, dtype=self._dtype)
        rows = self._generate(n, draw_seed(random_state), self._dtype, noise)
        return self._frame(rows)

    @ambient()
    def score(self, X, y=None, sample_weight=None):
        r"""Share of the variance of X that reconstructions and samples explain.

        .. math::
            R^2 = 1 - \frac{\mathbb E |x - G(E(x))|^2
            + \max(0, W_2^2(G_\# Q_Z, G_\# P_Z))}{\mathbb E |x - \mathbb E x|^2}

        1 is perfect, 0 is what the mean of X gets as reconstruction and as sample, and there is
        no lower limit. The second term compares reconstructions of X with fresh samples,
        at most 2,048 of each, by exact transport with independent debiasing. The score has no
        units and contains no weight of the objective, so that it can choose among weights and
        among estimators, on the same X. Squares are summed over columns as they are given;
        where each has a scale of its own, over standardised columns, and where
        ``data_limits_`` are given, of values within these.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        score : float
            Of constant rows, 1.0 if all comes back exactly, and else 0.0.

        See Also
        --------
        skotae.metrics.transport_r2_score : The same of any reconstructions and samples.
        """
        X = self._check(X)
        if sample_weight is not None:
            sample_weight = weights_of_rows(sample_weight, X, "sample_weight")
        samples = self._generate(n_samples_for(len(X)), self._seed, X.dtype)
        if sample_weight is not None:
            kept = rows_with_weight(sample_weight)
            if len(kept) < len(X):
                sample_weight, X = sample_weight[kept], LazyRows(X, index=kept)
        comparable = self._units.comparable
        return r2_by_blocks(
            LazyRows(X, comparable),
            map(comparable, self._reconstructions(X)),
            comparable(samples),
            sample_weight,
            self._seed,
        )

    def _results(self, inference: Inference, X: np.ndarray) -> Iterator[np.ndarray]:
        yield from super()._results(inference, X)
        generator = make_generator(self._seed)
        codes = self._drawn_codes(len(X), generator, X.dtype)
        yield inference.decoded(codes.numpy())

    def _reconstruct(self, X: np.ndarray) -> np.ndarray:
        return joined(self._reconstructions(X), len(X))

    def _reconstructions(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Rows as the model sees them; without an encoder the nearest of many samples.

        In blocks of rows.
        """
        samples = self._generate(N_NEAREST, child_seed(self._seed, "prior"), X.dtype)
        inference, size = self._inference(X.dtype), rows_at_once(X.shape[1])
        near = inference.tensor(samples).cpu()
        for start in range(0, len(X), size):
            rows = inference.tensor(X[start : start + size]).cpu()
            yield samples[pairwise_distances_argmin(rows.numpy(), near.numpy())]

    @ambient()
    def _generate(
        self, n: int, seed: int, dtype: np.dtype, noise: bool = False, **options: Any
    ) -> np.ndarray:
        """Rows decoded from drawn codes."""
        if noise and not self.decoder_.cost.can_draw:
            raise ValueError(
                f"noise=True with cost={self.cost_!r}, which is no likelihood to draw from; "
                "expected noise=False, or an estimator with cost='gaussian' or 'bernoulli'."
            )
        codes = self._codes_in_turn(n, seed, dtype, **options)
        return self._decoded(codes, dtype, child_seed(seed, "noise") if noise else None)

    def _decoded(self, codes: Any, dtype: np.dtype, noise_seed: int | None = None) -> np.ndarray:
        """Rows of codes, within the range of the training rows if `clip`, else of the dtype."""
        limits: Limits | None = None
        if self._current("clip"):
            kind = TORCH_DTYPES[dtype]
            limits = tensor_of(self.data_min_, kind), tensor_of(self.data_max_, kind)
        return self._inference(dtype).decoded(codes, noise_seed, limits)

    def _codes_in_turn(self, n: int, seed: int, dtype: np.dtype, **options: Any) -> DrawnRows:
        """The `_drawn_codes`, some thousand at a time."""
        generator, d = make_generator(seed), self.n_components_
        return DrawnRows(
            lambda k: self._drawn_codes(k, generator, dtype, **options).numpy(),
            *(n, rows_at_once(d), d),
        )

    def _drawn_codes(
        self, n: int, generator: torch.Generator, dtype: np.dtype, **options: Any
    ) -> Tensor:
        """Codes that samples are decoded from."""
        return self.model_.draw_codes(n, generator, TORCH_DTYPES[dtype], **options)

    def _frame(self, X: np.ndarray, index: Any = None) -> Any:
        """X as an array, or as a data frame where the user works with those."""
        container = output_container(self) or self._container
        if container is None:
            return X
        columns: Any = self._column_names
        # Names that are no strings are pandas's.
        if columns is None or (columns is self._labels and container != "pandas"):
            columns = np.asarray([f"x{i}" for i in range(self.n_features_in_)], dtype=object)
        return in_container(X, container, columns, index)
