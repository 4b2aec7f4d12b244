"""What estimators with an encoder and a decoder do with arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_array, check_is_fitted
from torch import Tensor

from skotae.autoencoders.bases._ex_post import draw, fit_mixture
from skotae.autoencoders.bases.codes import MAX_CODES, SUPPORTS, Chart, middle, pulled
from skotae.autoencoders.bases.encoding import EncodingEstimator
from skotae.autoencoders.bases.generating import GeneratingEstimator
from skotae.autoencoders.bases.inference import (
    DTYPES,
    Inference,
    check_count,
    check_room,
    within_range,
)
from skotae.autoencoders.bases.last_layer import solve_last_layer
from skotae.autoencoders.bases.principal import FirstRows
from skotae.columns import naming_columns
from skotae.priors.base import BasePrior, path
from skotae.training import Rows
from skotae.utils._blocks import scattered
from skotae.utils._random import child_seed
from skotae.utils._sklearn import Interval, StrOptions, check_columns, index_of
from skotae.utils._torch import TORCH_DTYPES, as_rows
from skotae.utils.base import as_real

# A weight that is "auto" is not lowered by more than this.
LEAST_SHARE = 0.01


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
        "latent": [StrOptions({"auto", "prior", "mixture"})],
    }
    _measured: tuple[str, ...] = (*GeneratingEstimator._measured, "cost_scale_", "_weight_share")
    # What a weight that is "auto" depends on, beside it.
    _of_share = frozenset({"latent"})
    # The parameter that is a weight, where it may be "auto", and then is multiplied by a multiple
    # of a power of what components leave.
    _auto_weight = ""
    _share_multiple, _share_power = 1.0, 1.0
    _weight_share: float = 1.0
    # Of the rows that a fit began with, once it is asked for: later chunks may be a few rows.
    _unexplained: float | None = None
    cost_scale: Any
    cost_scale_: float
    # Of an estimator without the parameter: `draw_codes` of its model has the last word.
    latent: str = "prior"
    _codes_: dict[str, np.ndarray]

    def _measure(self, X: np.ndarray) -> None:
        super()._measure(X)
        self.cost_scale_ = self._cost_unit(X)

    def _remeasure(self, X: np.ndarray, changed: set[str]) -> None:
        if "cost_scale" in changed:
            self.cost_scale_ = self._cost_unit(X)
        if changed & {self._auto_weight, *self._of_share}:
            self._weight_share = self._share(self._first_rows(X))

    def _measure_components(self, first: FirstRows, prior: BasePrior) -> None:
        super()._measure_components(first, prior)
        self._unexplained = None
        self._weight_share = self._share(first)

    def _share(self, first: FirstRows) -> float:
        """What a weight that is "auto" is multiplied by, for what components leave.

        Not where codes matter for themselves, because a prior was chosen or samples are decoded
        from its draws, or where they can follow it at no cost; nor beside costs of another kind.
        """
        params = self._params
        if getattr(params, self._auto_weight, None) != "auto" or params.latent == "prior":
            return 1.0
        chosen = hasattr(params, "prior") and self._prior_scale is None
        if chosen or self.cost_.degree != 2 or self.n_components_ >= self.n_features_in_:
            return 1.0
        if self._unexplained is None:
            self._unexplained = first.unexplained
        share = self._share_multiple * self._unexplained**self._share_power
        return min(1.0, max(LEAST_SHARE, share))

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
        some = X[scattered(len(X), len(X) // 4096)].astype(np.float64, order="C")
        some = self._units.standardised(some)
        return self.cost_.unit(some, some.mean(axis=0))

    @property
    def _chart(self) -> Chart:
        return Chart(self.prior_, self.n_components_)

    @property
    def _draws_from_mixture(self) -> bool:
        latent = self._current("latent")
        return self.prior_.support in SUPPORTS if latent == "auto" else latent == "mixture"

    def _after_fit(self, rows: Rows, incremental: bool) -> None:
        super()._after_fit(rows, incremental)
        # Rows of `partial_fit` are some of all.
        if getattr(self._params, "refit_decoder", False) and not incremental:
            solve_last_layer(self._inference(np.float32), rows.X, child_seed(self._seed, "codes"))

    def _look_at_codes(self, rows: Rows) -> None:
        X, seed = rows.X, child_seed(self._seed, "codes")
        if len(X) > MAX_CODES:
            some = np.random.default_rng(seed).choice(len(X), MAX_CODES, False, shuffle=False)
            X = X[np.sort(some)]
        inference, chart = self._inference(np.float32), self._chart
        means = chart.points(inference.codes(X))
        self._codes_ = middle(means)
        if self._draws_from_mixture:
            codes = chart.points(inference.codes(X, seed))
            # Of a posterior without noise they are the same.
            same = np.array_equal(codes, means)
            self._codes_ |= fit_mixture(codes, self._codes_ if same else middle(codes), seed)

    def _drawn_codes(
        self, n: int, generator: torch.Generator, dtype: np.dtype, **options: Any
    ) -> Tensor:
        if not self._draws_from_mixture:
            return super()._drawn_codes(n, generator, dtype, **options)
        mixture = self._mixture_of_codes(**options)
        return self._chart.codes(draw(mixture, n, generator)).to(TORCH_DTYPES[dtype])

    def _mixture_of_codes(self) -> dict[str, np.ndarray]:
        """Weights, means and factors of the Gaussians that codes are drawn from."""
        if "weights" not in self._codes_:
            raise ValueError(
                f"latent={self.latent!r} was set after the fit, that kept no mixture of the codes; "
                "expected latent='prior', or a fit with latent='mixture'."
            )
        return self._codes_

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

        Raises
        ------
        ValueError
            If codes are so far out that their rows are no numbers.
        """
        Z = self._check_codes(X, "X")
        blame = f"X has codes as far out as {np.abs(Z).max():.3g}"
        rows = self._rows_of(Z, blame, "codes like those that transform returns")
        return self._frame(rows, index=index_of(X))

    def _rows_of(self, Z: np.ndarray, blame: str, expected: str) -> np.ndarray:
        """Rows of codes, or an error over codes of which the decoder makes no numbers."""
        rows = self._inference(Z.dtype).decoded(Z)
        if np.isnan(rows.max()):
            raise ValueError(
                f"{blame}, of which the decoder makes no numbers; expected {expected}."
            )
        return rows

    def _check_codes(self, codes: Any, name: str) -> np.ndarray:
        check_is_fitted(self)
        check_columns(codes, [*self.get_feature_names_out()], name)
        rows = as_rows(codes)
        with naming_columns(rows, name):
            Z = check_array(rows, dtype=DTYPES, input_name=name)
        if Z.shape[1] != self.n_components_:
            raise ValueError(
                f"{name} has {Z.shape[1]} columns; expected codes with n_components="
                f"{self.n_components_} columns, as transform returns them."
            )
        return Z

    def noise_scale(self, Z):
        """Standard deviations of the Gaussian likelihood p(x|z) of codes.

        Parameters
        ----------
        Z : array-like of shape (n_codes, n_components_)
            Codes.

        Returns
        -------
        scale : ndarray of shape (n_codes, n_features)
            In the units of the data. With ``cost="heteroscedastic"`` it depends on the code.

        Raises
        ------
        ValueError
            If `cost` is no Gaussian likelihood.
        """
        Z = self._check_codes(Z, "Z")
        if not self.decoder_.cost.sets_scale:
            raise ValueError(
                f"noise_scale() with cost={self.cost_!r}, which has none; expected an estimator "
                "with cost='gaussian' or 'heteroscedastic'."
            )
        inference = self._inference(Z.dtype)

        def scales(z: torch.Tensor) -> torch.Tensor:
            decoder = inference.model.decoder
            return decoder.cost.log_scales(decoder.net(z)).exp().expand(len(z), n_features)

        n_features = self.n_features_in_
        with np.errstate(over="ignore"):
            values = inference.apply(scales, Z, rows=False) * self.data_scale_
            return within_range(values.astype(Z.dtype, copy=False))

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

    def interpolate(self, X1, X2, n_steps=10, *, extrapolate=0.0):
        """Decoded paths between the codes of two sets of rows.

        The path is the prior's: straight in general, a great circle on the sphere.

        Parameters
        ----------
        X1, X2 : array-like of shape (n_samples, n_features)
            Ends of the paths.
        n_steps : int, default=10
            Number of points on each path, both ends included.
        extrapolate : float >= 0, default=0.0
            How far paths go on beyond each end, as a share of the way between them: with 0.5 the
            rows are a quarter of the path from its ends. Only where the prior's support has no
            edge.

        Returns
        -------
        paths : ndarray of shape (n_samples, n_steps, n_features)

        Raises
        ------
        ValueError
            If shapes differ, or paths would leave the support of the prior.
        """
        X1, X2 = self._check(X1), self._check(X2)
        if X1.shape != X2.shape:
            raise ValueError(
                f"X1 has shape {X1.shape} and X2 has shape {X2.shape}; expected equal shapes."
            )
        extrapolate = as_real("extrapolate", extrapolate, least=0)
        if extrapolate > 0 and self.prior_.support not in ("space", "sphere"):
            raise ValueError(
                f"extrapolate={extrapolate:g} would leave the support of prior={self.prior_!r}; "
                "expected 0."
            )
        start, stop = (self._inference(part.dtype).codes(part) for part in (X1, X2))
        return self._paths(start, stop, n_steps, extrapolate)

    def _paths(
        self, z1: np.ndarray, z2: np.ndarray, n_steps: int, beyond: float = 0.0
    ) -> np.ndarray:
        """Decoded paths between codes of shape (n, d), of shape (n, n_steps, n_features)."""
        n_steps = check_count("n_steps", n_steps, 2)
        check_room("n_steps", n_steps, len(z1), n_steps, self.n_features_in_, dtype=z1.dtype)
        ends = torch.from_numpy(z1), torch.from_numpy(z2)
        with np.errstate(over="ignore", invalid="ignore"):
            places = np.linspace(-beyond, 1.0 + beyond, n_steps).tolist()
        Z = path(self.prior_, *ends, places).numpy().reshape(-1, self.n_components_)
        blame = f"extrapolate={beyond:g} leads to codes as far out as {np.abs(Z).max():.3g}"
        return self._rows_of(Z, blame, "a smaller share").reshape(len(z1), n_steps, -1)

    def score_samples(self, X, *, reconstruction_only=False):
        r"""Minus the cost of each row: of its reconstruction, and of how unusual its code is.

        .. math::
            s(x) = -\tfrac12 c\big(x, G(E(x))\big) - \tfrac12 c\big(x, G(P(E(x)))\big), \qquad
            P(z) = \psi^{-1}\Big(m + \frac{u - m}{1 + |u - m|_S^2 / r^2}\Big), \quad
            u = \psi(z), \quad |v|_S^2 = v^T S^{-1} v .

        P moves a code straight towards the centre of the training rows' codes: little near it,
        half the way at distance r, most of the way far out. What a row costs after that move
        more than before is the price of its code, in the unit of the reconstruction. A
        network that was trained on outliers too reproduces them, but from codes far out.

        The centre m and the scatter S are those of a Student distribution with 4 degrees of
        freedom, fitted to the codes of n <= 2,048 training rows (of the last chunk after
        `partial_fit`), which a share of outliers does not move far, with
        :math:`S \leftarrow (n S + \mathrm{tr}(S)\, I) / (n + d)`; r is 1.5 times the median of
        :math:`|u - m|_S` over these rows. The coordinates :math:`\psi` are those of the
        support of the prior: logits in a cube, log-ratios on a simplex, else the code itself,
        which on a sphere is divided by its length in the end.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        reconstruction_only : bool, default=False
            Whether to leave codes where they are: minus the reconstruction cost
            :math:`-c(x, G(E(x)))`.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            In the units of the cost, within the range of the dtype of X; low for rows unlike
            the training data. Where each column has a scale of its own, the cost is that of
            standardised columns; a log-density is that of the data. Values beyond
            ``data_limits_`` cost what the limit costs, and the way to it.
        """
        X = self._check(X)
        start, parts = 0, []
        for costs in self._row_costs(self._inference(X.dtype), X, reconstruction_only):
            rows = np.ascontiguousarray(X[start : start + len(costs)])
            parts.append(self._scores(costs, rows))
            start += len(costs)
        return np.concatenate(parts)

    def _scores(self, costs: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Scores of rows, for their costs in standardised units."""
        units, beyond = (self.n_features_in_, self.data_scale_), self._cost_beyond(X)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = self.cost_.in_data_units(costs, *units) + beyond
            if not np.isfinite(scaled).all():
                # Squares of what float32 holds may be beyond what it holds.
                wide, most = costs.astype(np.float64), np.finfo(X.dtype).max
                scaled = self.cost_.in_data_units(wide, *units) + beyond
                scaled = scaled.clip(-most, most)
        return -scaled.astype(X.dtype, copy=False)

    def _results(self, inference: Inference, X: np.ndarray) -> Iterator[np.ndarray]:
        yield from super()._results(inference, X)
        yield inference.decoded(inference.codes(X))
        yield from self._row_costs(inference, X, False)

    def _cost_beyond(self, X: np.ndarray) -> Any:
        """Cost of bringing rows within the limits that networks see them in."""
        units = self._units
        if units.limits is None:
            return 0.0
        near, far = (
            torch.from_numpy(each.standardised(X.astype(np.float64)))
            for each in (units, replace(units, limits=None))
        )
        cost = (self.cost_(far, near) - self.cost_(near, near)).numpy()
        if units.by_column or self.cost_.degree is None:
            return cost
        return cost * float(self.data_scale_) ** self.cost_.degree

    def _row_costs(self, inference: Inference, X: np.ndarray, own: bool) -> Iterator[np.ndarray]:
        """Cost of each row from its own code, or the mean with that from the `pulled` one.

        In blocks of rows.
        """
        chart, codes = self._chart, self._codes_
        move = None if own else lambda z: pulled(z, codes, chart)
        return inference.blocks(lambda x: inference.model.row_costs(x, move), X)

    def _reconstructions(self, X: np.ndarray) -> Iterator[np.ndarray]:
        return self._inference(X.dtype).reconstructed(X)
