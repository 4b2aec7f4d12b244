"""What estimators with an encoder, a decoder or both do with arrays."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import pairwise_distances_argmin
from sklearn.utils.validation import check_array, check_is_fitted

from skotae.autoencoders._base import NetworkEstimator
from skotae.autoencoders._fitted import ModelPart
from skotae.autoencoders._inference import DTYPES, Inference, check_count
from skotae.costs import COSTS
from skotae.costs.base import BaseCost, CallableCost
from skotae.metrics import transport_r2_score
from skotae.metrics._score import n_samples_for
from skotae.utils._random import child_seed, draw_seed, make_generator
from skotae.utils._registry import resolve_part
from skotae.utils._sklearn import (
    Interval,
    StrOptions,
    check_sample_weight,
    in_container,
    index_of,
    output_container,
)
from skotae.utils._torch import TORCH_DTYPES, ambient

# Samples among which a generator without an encoder looks for those nearest to rows.
N_NEAREST = 4096


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
        check_count("n_samples", n_samples, 1)
        Z = self._inference(X.dtype).codes(X, draw_seed(random_state), repeats=n_samples)
        return Z.reshape(len(X), n_samples, self.n_components_)

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
            self.data_mean_, self.data_scale_ = np.zeros(X.shape[1]), 1.0

    def _check_values(self, X: np.ndarray) -> None:
        self.cost_.check_data(X)

    def sample(self, n_samples=1, *, noise=False, random_state=None):
        """New rows: decoded draws from the prior.

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
        check_count("n_samples", n_samples, 1)
        rows = self._generate(n_samples, draw_seed(random_state), self._dtype, noise)
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
            sample_weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
        samples = self._generate(n_samples_for(len(X)), self._seed, X.dtype)
        parts = map(self._units.comparable, (X, self._reconstruct(X), samples))
        return transport_r2_score(*parts, sample_weight=sample_weight, random_state=self._seed)

    def _results(self, inference: Inference, X: np.ndarray) -> Iterator[np.ndarray]:
        yield from super()._results(inference, X)
        generator = make_generator(self._seed)
        codes = self.model_.draw_codes(len(X), generator, TORCH_DTYPES[X.dtype])
        yield inference.decoded(codes.numpy())

    def _reconstruct(self, X: np.ndarray) -> np.ndarray:
        """Rows as the model sees them; without an encoder the nearest of many samples."""
        samples = self._generate(N_NEAREST, child_seed(self._seed, "prior"), X.dtype)
        inference = self._inference(X.dtype)
        pair = (inference.standardised(part) for part in (X, samples))
        return samples[pairwise_distances_argmin(*pair)]

    @ambient()
    def _generate(
        self, n: int, seed: int, dtype: np.dtype, noise: bool = False, **options: Any
    ) -> np.ndarray:
        """Decoded draws from the prior."""
        if noise and not self.decoder_.cost.can_draw:
            raise ValueError(
                f"noise=True with cost={self.cost_!r}, which is no likelihood to draw from; "
                "expected noise=False, or an estimator with cost='gaussian' or 'bernoulli'."
            )
        generator = make_generator(seed)
        codes = self.model_.draw_codes(n, generator, TORCH_DTYPES[dtype], **options)
        rows = self._inference(dtype).decoded(
            codes.numpy(), child_seed(seed, "noise") if noise else None
        )
        return np.clip(rows, self.data_min_, self.data_max_, out=rows) if self.clip else rows

    def _frame(self, X: np.ndarray, index: Any = None) -> Any:
        """X as an array, or as a data frame where the user works with those."""
        container = output_container(self) or self._container
        if container is None:
            return X
        columns = getattr(self, "feature_names_in_", None)
        if columns is None:
            columns = np.asarray([f"x{i}" for i in range(self.n_features_in_)], dtype=object)
        return in_container(X, container, columns, index)


class BaseAutoencoder(EncodingEstimator, GeneratingEstimator):
    """Base of the autoencoders: encoder, decoder, and the cost of a reconstruction.

    A new autoencoder writes a model, a subclass of
    :class:`~skotae.base.AutoencoderModel` with the method ``terms``, and an estimator with a
    docstring, ``_parameter_constraints``, an explicit ``__init__`` and the model's class as
    ``_model_class``.
    """

    _parameter_constraints: dict[str, Any] = {
        **GeneratingEstimator._parameter_constraints,
        **EncodingEstimator._parameter_constraints,
        "cost": "no_validation",
        "cost_scale": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    }
    _measured: tuple[str, ...] = (*GeneratingEstimator._measured, "cost_scale_")
    cost_scale: Any
    cost_scale_: float

    def _measure(self, X: np.ndarray) -> None:
        super()._measure(X)
        self.cost_scale_ = self._cost_unit(X)

    def _remeasure(self, X: np.ndarray, changed: set[str]) -> None:
        if "cost_scale" in changed:
            self.cost_scale_ = self._cost_unit(X)

    def _cost_unit(self, X: np.ndarray) -> float:
        """What a reconstruction cost of 1 means, in standardised units."""
        return self._unit_of(self._params.cost_scale, X)

    def _unit_of(self, cost_scale: Any, X: np.ndarray) -> float:
        """A number in the units of the cost; "auto" is the cost of the constant reconstruction."""
        if cost_scale != "auto":
            unit = float(cost_scale)
            if self.cost_.degree is not None and not isinstance(self.data_scale_, np.ndarray):
                half = self.data_scale_ ** (self.cost_.degree / 2)
                unit = unit / half / half
            return unit
        some = X[:: max(1, len(X) // 4096)].astype(np.float64)
        some = self._units.standardised(some)
        return self.cost_.unit(some, some.mean(axis=0))

    def inverse_transform(self, X):
        """Decode codes into data space.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components_)
            Codes.

        Returns
        -------
        X_original : ndarray or data frame of shape (n_samples, n_features)
            A data frame with the columns of the training data if the estimator was
            fitted on one, or after ``set_output``.
        """
        check_is_fitted(self)
        Z = check_array(X, dtype=DTYPES, order="C", input_name="X")
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {Z.shape[1]} columns; expected codes with n_components={self.n_components_}"
                " columns, as transform returns them."
            )
        return self._frame(self._inference(Z.dtype).decoded(Z), index=index_of(X))

    def reconstruct(self, X):
        """Encode and decode: the rows of X as the autoencoder sees them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        X_reconstructed : ndarray or data frame of shape (n_samples, n_features)
        """
        index = index_of(X)
        return self._frame(self._reconstruct(self._check(X)), index=index)

    def interpolate(self, X1, X2, n_steps=10):
        """Decoded paths between the codes of two sets of rows.

        The path is the prior's: straight in general, a great circle on the sphere.

        Parameters
        ----------
        X1, X2 : array-like of shape (n_samples, n_features)
            Ends of the paths.
        n_steps : int, default=10
            Number of points on each path, both ends included.

        Returns
        -------
        paths : ndarray of shape (n_samples, n_steps, n_features)
        """
        X1, X2 = self._check(X1), self._check(X2)
        if X1.shape != X2.shape:
            raise ValueError(
                f"X1 has shape {X1.shape} and X2 has shape {X2.shape}; expected equal shapes."
            )
        start, stop = (self._inference(part.dtype).codes(part) for part in (X1, X2))
        return self._paths(start, stop, n_steps)

    def _paths(self, z1: np.ndarray, z2: np.ndarray, n_steps: int) -> np.ndarray:
        """Decoded paths between codes of shape (n, d), of shape (n, n_steps, n_features)."""
        check_count("n_steps", n_steps, 2)
        ends = torch.from_numpy(z1), torch.from_numpy(z2)
        path = [self.prior_.interpolate(*ends, float(t)) for t in np.linspace(0, 1, n_steps)]
        Z = torch.stack(path, dim=1).numpy().reshape(-1, self.n_components_)
        return self._inference(Z.dtype).decoded(Z).reshape(len(z1), n_steps, -1)

    def score_samples(self, X):
        """Minus the reconstruction cost of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            In the units of the cost, within the range of the dtype of X; low for rows unlike
            the training data. Where each column has a scale of its own, the cost is that of
            standardised columns; a log-density is that of the data. Values beyond
            ``data_limits_`` cost what the limit costs.
        """
        X = self._check(X)
        inference = self._inference(X.dtype)
        costs = inference.apply(inference.model.row_costs, X)
        units = self.n_features_in_, self.data_scale_
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = self.cost_.in_data_units(costs, *units)
            if not np.isfinite(scaled).all():
                # Squares of what float32 holds may be beyond what it holds.
                wide, most = costs.astype(np.float64), np.finfo(X.dtype).max
                scaled = self.cost_.in_data_units(wide, *units).clip(-most, most)
        return -scaled.astype(X.dtype, copy=False)

    def _results(self, inference: Inference, X: np.ndarray) -> Iterator[np.ndarray]:
        yield from super()._results(inference, X)
        yield inference.decoded(inference.codes(X))
        yield inference.apply(inference.model.row_costs, X)

    def _reconstruct(self, X: np.ndarray) -> np.ndarray:
        inference = self._inference(X.dtype)
        return inference.decoded(inference.codes(X))
