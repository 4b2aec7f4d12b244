"""A fitted autoencoder applied to arrays, in the dtype of the array."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor

from skotae.costs.base import CostModule
from skotae.metrics import triangle_bound
from skotae.utils._random import draw_seed, make_generator
from skotae.utils._sklearn import check_sample_weight, in_container, index_of, output_container
from skotae.utils._torch import module_in

CHUNK = 4096
MAX_SCORED_ROWS = 2048
DTYPES = (np.float64, np.float32)


def infer(function: Callable[[Tensor], Tensor], X: np.ndarray, device: torch.device) -> np.ndarray:
    """``function`` on the rows of X, some thousand at a time, without gradients."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(X), CHUNK):
            rows = torch.from_numpy(np.array(X[start : start + CHUNK], order="C")).to(device)
            parts.append(function(rows).cpu())
    return torch.cat(parts).numpy()


def check_count(name: str, value: Any, least: int) -> None:
    """Raise a ValueError unless `value` is an integer of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < least:
        raise ValueError(f"{name}={value!r}; expected an integer of {least} or more.")


def in_dtype(estimator: Any, dtype: np.dtype) -> Any:
    """The estimator with its modules in `dtype`; itself if they are.

    Training is in float32; inference is in the dtype of X, so that a row gives the same
    code alone and within a batch, to the accuracy of its dtype.
    """
    torch_dtype = torch.float64 if dtype == np.float64 else torch.float32
    view = object.__new__(type(estimator))
    view.__dict__.update(estimator.__dict__)
    for name, part in estimator._modules().items():
        setattr(view, name, module_in(part, torch_dtype))
    if torch_dtype == torch.float64 and estimator.device_.type == "mps":
        view.device_ = torch.device("cpu")
    return view


def standardiser(X: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean of the columns, and the root mean square distance from it per feature.

    One scale for all features keeps the geometry of the data. It is 1 where X is
    constant.
    """
    mean = X.mean(axis=0, dtype=np.float64)
    with np.errstate(over="ignore", under="ignore"):
        square = _square_deviation(X, mean, 1.0)
    unit = 1.0
    if not 1e-20 * X.size < square < 1e20 * X.size:
        # Relative to the largest deviation, so that no square leaves the range.
        chunks = (X[i : i + CHUNK].astype(np.float64) for i in range(0, len(X), CHUNK))
        unit = max(np.abs(rows - mean).max() for rows in chunks)
        if unit == 0:
            return mean, 1.0
        square = _square_deviation(X.astype(np.float64, copy=False), mean, unit)
    scale = float(unit * np.sqrt(square / X.size))
    # A spread below the smallest normal number is no spread.
    return mean, scale if scale >= np.finfo(X.dtype).tiny else 1.0


def _square_deviation(X: np.ndarray, mean: np.ndarray, unit: float) -> float:
    """Sum of ((X - mean) / unit)**2, in blocks that stay in the cache."""
    mean = mean.astype(X.dtype)
    size = max(1, 2**17 // X.shape[1])
    total = 0.0
    for start in range(0, len(X), size):
        rows = X[start : start + size] - mean
        if unit != 1.0:
            rows /= unit
        total += float(np.vdot(rows, rows))
    return total


class EncodingMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """What an estimator with an encoder does with arrays; it rests on `_encode`."""

    if TYPE_CHECKING:
        encoder_: Any
        n_components_: int
        n_features_in_: int
        device_: torch.device

        _check: Any
        _standardised: Any

    def _encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Codes of standardised rows: posterior means, or draws if a generator is given."""
        return self.encoder_(x) if generator is None else self.encoder_.sample(x, generator)

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
        return self._codes(self._check(X))

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
        Z = self._codes(np.repeat(X, n_samples, axis=0), draw_seed(random_state))
        return Z.reshape(len(X), n_samples, self.n_components_)

    def _codes(self, X: np.ndarray, seed: int | None = None) -> np.ndarray:
        """Posterior means; draws, if there is a seed."""
        model = in_dtype(self, X.dtype)
        generator = None if seed is None else make_generator(seed, model.device_)
        return infer(lambda x: model._encode(x, generator), self._standardised(X), model.device_)

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class GeneratingMixin:
    """What an estimator with a decoder does; it rests on `_draw_codes` and the decoder."""

    if TYPE_CHECKING:
        n_features_in_: int
        data_mean_: np.ndarray
        data_scale_: float
        data_min_: np.ndarray
        data_max_: np.ndarray
        decoder_: Any
        device_: torch.device
        cost_: Any
        clip: bool
        _seed: int
        _dtype: np.dtype
        _container: str | None

        _check: Any
        _draw_codes: Any

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

    def score(self, X, y=None, sample_weight=None):
        r"""Minus a bound on the Wasserstein distance between data and model.

        .. math::
            -\Big(\sqrt{\mathbb E |x - G(E(x))|^2}
            + \sqrt{\max(0, W_2^2(G_\# Q_Z, G_\# P_Z))}\Big)

        The second term compares the reconstructions of X (at most 2,048 of them) with as
        many fresh samples, by exact transport with independent debiasing. The score has
        the units of the data and contains no weight of the objective, so that it can
        choose among weights and among estimators; higher is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        score : float

        References
        ----------
        Patrini et al. (2019), Sinkhorn autoencoders, UAI, proof of Theorem 2.1, part ii.
        """
        X = self._check(X)
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, X, ensure_non_negative=True)
        samples = self._generate(min(len(X), MAX_SCORED_ROWS), self._seed, X.dtype)
        bound = triangle_bound(
            X, self._reconstruct(X), samples, sample_weight=sample_weight, random_state=self._seed
        )
        return -bound

    def _decode(self, Z: np.ndarray, noise_seed: int | None = None) -> np.ndarray:
        """Means of the likelihood; draws from it, if there is a seed."""
        model = in_dtype(self, Z.dtype)
        generator = None if noise_seed is None else make_generator(noise_seed, model.device_)

        def decode(z: Tensor) -> Tensor:
            y = model.decoder_(z)
            return y if generator is None else model.decoder_.cost.draw(y, generator)

        out = infer(decode, Z, model.device_)
        return out * Z.dtype.type(self.data_scale_) + self.data_mean_.astype(Z.dtype)

    def _reconstruct(self, X: np.ndarray) -> np.ndarray:
        """Rows as the model sees them; without an encoder they stand for themselves."""
        return X

    def _generate(
        self, n: int, seed: int, dtype: np.dtype, noise: bool = False, **options: Any
    ) -> np.ndarray:
        """Decoded draws from the prior."""
        if noise and type(self.decoder_.cost).draw is CostModule.draw:
            raise ValueError(
                f"noise=True with cost={self.cost_!r}, which is no likelihood to draw from; "
                "expected noise=False, or an estimator with cost='gaussian' or 'bernoulli'."
            )
        torch_dtype = torch.float64 if dtype == np.float64 else torch.float32
        codes = self._draw_codes(n, make_generator(seed), torch_dtype, **options)
        rows = self._decode(codes.numpy(), seed + 1 if noise else None)
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


class InferenceMixin(EncodingMixin):
    """What encoder and decoder do together."""

    if TYPE_CHECKING:
        data_scale_: float
        prior_: Any
        cost_: Any

        _decode: Any
        _frame: Any

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
        return self._frame(self._decode(Z), index=index_of(X))

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
        return self._paths(self._codes(X1), self._codes(X2), n_steps)

    def _paths(self, z1: np.ndarray, z2: np.ndarray, n_steps: int) -> np.ndarray:
        """Decoded paths between codes of shape (n, d), of shape (n, n_steps, n_features)."""
        check_count("n_steps", n_steps, 2)
        ends = torch.from_numpy(z1), torch.from_numpy(z2)
        path = [self.prior_.interpolate(*ends, float(t)) for t in np.linspace(0, 1, n_steps)]
        Z = torch.stack(path, dim=1).numpy().reshape(-1, self.n_components_)
        return self._decode(Z).reshape(len(z1), n_steps, -1)

    def score_samples(self, X):
        """Minus the reconstruction cost of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            In the units of the cost; low for rows unlike the training data.
        """
        X = self._check(X)
        model = in_dtype(self, X.dtype)
        costs = infer(
            lambda x: model.decoder_.cost.from_raw(x, model.decoder_.net(model._encode(x))),
            self._standardised(X),
            model.device_,
        )
        costs = self.cost_.in_data_units(costs, self.n_features_in_, self.data_scale_)
        return -costs.astype(X.dtype, copy=False)

    def _reconstruct(self, X: np.ndarray) -> np.ndarray:
        return self._decode(self._codes(X))
