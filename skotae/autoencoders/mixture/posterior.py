"""What estimators with a discrete and a continuous code have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn.functional import one_hot

from skotae.autoencoders.bases.autoencoder import BaseAutoencoder
from skotae.autoencoders.bases.codes import MAX_CODES
from skotae.autoencoders.bases.inference import check_count, check_room, joined
from skotae.autoencoders.bases.model import AutoencoderModel, Blueprint
from skotae.autoencoders.bases.modules import draw_gaussian, repeated
from skotae.autoencoders.bases.options import ROWS_TO_TELL
from skotae.autoencoders.mixture._encoder import ComponentNetworks, MixtureEncoder
from skotae.networks import NETWORKS
from skotae.priors import GaussianMixturePrior
from skotae.training import Rows
from skotae.utils._blocks import scattered
from skotae.utils._random import draw_seed
from skotae.utils._sklearn import Interval
from skotae.utils.base import as_real


class MixtureModel(AutoencoderModel):
    """Base of the models with the posterior q(k|x) q(z|k,x) and a Gaussian-mixture prior.

    Parameters
    ----------
    plan : Blueprint
        What it is built from.
    """

    def make_networks(self, plan: Blueprint) -> None:
        self.n_mixtures: int = plan.measured.n_mixtures_
        super().make_networks(plan)

    @property
    def shares_trunk(self) -> bool:
        """Whether q(k|x) and the moments of q(z|k,x) are outputs of one network."""
        return isinstance(self.params.moments, str) and self.params.moments == "shared"

    @property
    def posterior_width(self) -> int:
        return self.n_mixtures * (2 * self.n_components + 1 if self.shares_trunk else 1)

    @property
    def encoder_starts(self) -> bool:
        return self.shares_trunk

    def make_encoder(self, net: nn.Module, plan: Blueprint) -> MixtureEncoder:
        return MixtureEncoder(
            net, self.prior.component_means(self.n_components), self.make_moments_net(plan)
        )

    def make_moments_net(self, plan: Blueprint) -> nn.Module | None:
        """The network of the moments of q(z|k,x); None where it is the encoder's."""
        spec, d = self.params.moments, self.n_components
        if self.shares_trunk:
            return None
        if isinstance(spec, str) and spec == "separate":
            return ComponentNetworks(plan.n_features, d, self.n_mixtures)
        if isinstance(spec, str) and spec not in NETWORKS:
            raise ValueError(
                f"moments={spec!r}; expected 'separate', 'shared', a name among {[*NETWORKS]}, or "
                "a network."
            )
        return plan.network("moments", plan.n_features, 2 * d * self.n_mixtures)

    def begin_codes(self, x: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        # Those of separate networks are about means of components that rows are not told apart by.
        return super().begin_codes(x, z, generator) if self.shares_trunk else z

    def encode(
        self, x: Tensor, generator: torch.Generator | None = None, repeats: int = 1
    ) -> Tensor:
        if generator is None:
            return self.encoder(x)
        moments = self.encoder.moments(x)
        mean, log_scale = moments.mean, moments.log_scale
        k = torch.multinomial(repeated(moments.share, repeats), 1, generator=generator)[:, 0]
        rows = repeated(torch.arange(len(x), device=x.device), repeats)
        return draw_gaussian(mean[rows, k], log_scale[rows, k], generator)[0]

    def draw_codes(
        self,
        n: int,
        generator: torch.Generator,
        dtype: torch.dtype,
        component: int | None = None,
        scale: float = 1.0,
    ) -> Tensor:
        d = self.n_components
        prior = GaussianMixturePrior(means=self.prior.component_means(d), scale=scale)
        return prior.sample(n, d, generator, dtype=dtype, component=component)

    def weighted_moments(self, x: Tensor) -> Tensor:
        """Whether k is the most probable, mean less the prior's, variance; (n, K, 1 + 2 d)."""
        moments = self.encoder.moments(x)
        shift = moments.mean - self.encoder.prior_means
        own = one_hot(moments.logits.argmax(1), self.n_mixtures).to(shift)
        return torch.cat([own[..., None], shift, (2 * moments.log_scale).exp()], dim=2)

    def code_components(self) -> tuple[Tensor, Tensor]:
        means = self.prior.component_means(self.n_components)
        return means, torch.ones_like(means)

    def component_costs(self, x: Tensor, z: Tensor) -> Tensor:
        """Cost of decoding z, of shape (n, K, d), for each row of x; of shape (n, K)."""
        raw = self.decoder.net(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        return self.decoder.cost.from_raw(x[:, None, :], raw)


def gaussians_of_components(
    parts: Iterable[np.ndarray], means: np.ndarray
) -> dict[str, np.ndarray]:
    r"""One for the codes of each component: their moments, over rows that have weights for it.

    .. math::
        N_k = \sum_i w_{ik}, \qquad
        m_k = \frac1{N_k} \sum_i w_{ik}\, \mu_k(x_i), \qquad
        S_k = \frac1{N_k} \sum_i w_{ik} \big(\mu_k(x_i) \mu_k(x_i)^T
        + \mathrm{diag}\, \sigma_k^2(x_i)\big) - m_k m_k^T,

    where d + 1 rows with the moments of the prior count as well, so that a component that has
    hardly any row keeps the prior's. Weights are 1 for the row's most probable component: codes
    of rows that hardly belong to a component lie far out.

    Parameters
    ----------
    parts : iterable of ndarray of shape (n, K, 1 + 2 d)
        Weights, means less the prior's, and variances, of some rows at a time.
    means : ndarray of shape (K, d)
        The prior's, whose scales are 1.

    Returns
    -------
    gaussians : dict
        ``"component_weights"`` (K,), ``"component_means"`` (K, d) and ``"component_factors"``
        (K, d, d), each with its transpose a covariance; float64.
    """
    k, d = means.shape
    mass, first, second = np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d))
    for part in parts:
        part = part[np.isfinite(part).all(axis=(1, 2))].astype(np.float64)
        weight, shift, variance = part[..., 0], part[..., 1 : d + 1], part[..., d + 1 :]
        mass += weight.sum(axis=0)
        first += np.einsum("nk,nkd->kd", weight, shift)
        second += np.einsum("nkd,nke->kde", weight[..., None] * shift, shift)
        second[:, range(d), range(d)] += np.einsum("nk,nkd->kd", weight, variance)
    n = (mass + d + 1)[:, None]
    shift = first / n
    scatter = (second + (d + 1) * np.eye(d)) / n[..., None] - shift[:, :, None] * shift[:, None, :]
    value, vector = np.linalg.eigh(scatter)
    return {
        "component_weights": (mass + 1) / (mass + 1).sum(),
        "component_means": means + shift,
        "component_factors": vector * np.sqrt(value.clip(0))[:, None, :],
    }


# Components where none are asked for, if the rows are enough for them.
USUAL = 10


class MixtureAutoencoder(BaseAutoencoder):
    """Base of the estimators whose model is a `MixtureModel`."""

    _parameter_constraints: dict[str, Any] = {
        **BaseAutoencoder._parameter_constraints,
        "n_mixtures": [None, Interval(Integral, 1, None, closed="left")],
        "separation": [Interval(Real, 0, None, closed="neither")],
        "moments": "no_validation",
    }
    _measured: tuple[str, ...] = (*BaseAutoencoder._measured, "n_mixtures_")
    _shaping = BaseAutoencoder._shaping | {"n_mixtures", "separation", "moments"}
    # A mini-batch has n_mixtures codes for each row.
    _auto_batch = (16, 32, 128)
    n_mixtures_: int
    model_: MixtureModel

    def _resolve_prior(self) -> GaussianMixturePrior:
        return GaussianMixturePrior(self.n_mixtures_, separation=self._params.separation)

    def _measure(self, X: np.ndarray) -> None:
        super()._measure(X)
        k = self._params.n_mixtures
        if k is None:
            k = min(USUAL, max(2, len(X) // ROWS_TO_TELL), len(X))
        if k > len(X):
            raise ValueError(
                f"n_mixtures={k} is more than the {len(X)} rows of X; expected at most as many."
            )
        self.n_mixtures_ = k

    def _after_fit(self, rows: Rows, incremental: bool) -> None:
        super()._after_fit(rows, incremental)
        labels, total = [], np.zeros(self.n_mixtures_)
        for proba in self._proba(rows.X):
            labels.append(proba.argmax(axis=1))
            total += proba.sum(axis=0, dtype=np.float64)
        self.labels_ = np.concatenate(labels)
        self.weights_ = (total / len(rows)).astype(proba.dtype)

    def _look_at_codes(self, rows: Rows) -> None:
        super()._look_at_codes(rows)
        if self._draws_from_mixture:
            some = rows.X[scattered(len(rows), -(-len(rows) // MAX_CODES))]
            inference = self._inference(np.float32)
            parts = inference.blocks(inference.model.weighted_moments, some)
            means = self.prior_.component_means(self.n_components_).numpy()
            self._codes_ |= gaussians_of_components(parts, means)

    def _mixture_of_codes(
        self, component: int | None = None, scale: float = 1.0
    ) -> dict[str, np.ndarray]:
        codes = super()._mixture_of_codes()
        if component is None and scale == 1.0:
            return codes
        if "component_means" not in codes:
            raise ValueError(
                "component and scale need the moments of each component's codes, which an earlier "
                "version of skotae did not keep; expected latent='prior', or a new fit."
            )
        which = slice(None) if component is None else slice(component, component + 1)
        return {
            "weights": np.ones(1) if component is not None else codes["component_weights"],
            "means": codes["component_means"][which],
            "factors": scale * codes["component_factors"][which],
        }

    def _proba(self, X: np.ndarray) -> Iterator[np.ndarray]:
        """Posterior probabilities, in blocks of rows."""
        inference = self._inference(X.dtype)
        return inference.blocks(lambda x: inference.model.encoder.logits(x).softmax(1), X)

    def predict_proba(self, X):
        """Posterior probability of each component.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        proba : ndarray of shape (n_samples, n_mixtures)
            q(k|x).
        """
        X = self._check(X)
        return joined(self._proba(X), len(X))

    def predict(self, X):
        """Most probable component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of shape (n_samples,), int64
        """
        return np.concatenate([part.argmax(axis=1) for part in self._proba(self._check(X))])

    def fit_predict(self, X, y=None):
        """Fit, and return the component of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        labels : ndarray of shape (n_samples,), int64
        """
        return self.fit(X, y).labels_

    def sample(self, n_samples=1, *, component=None, scale=1.0, noise=False, random_state=None):
        """New rows: decoded draws from what `latent` names, or from one of the components.

        With ``latent="prior"`` components are those of the prior, p(z|k). Otherwise they are
        Gaussians with the moments that the codes of training rows, at most 2,048 in all, have in
        their most probable component.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        component : int or None, default=None
            Number of the component to draw from; None draws from all, or from the mixture of
            the codes.
        scale : float, default=1.0
            Factor of the standard deviation of the components; below 1, codes lie closer to the
            means. Another number than 1 draws from these, not from the mixture of the codes.
        noise : bool, default=False
            Whether rows are drawn from the likelihood p(x|z), in the place of its mean; only
            where `cost` is a Gaussian or Bernoulli likelihood.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        X : ndarray or data frame of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        n = check_count("n_samples", n_samples, 1)
        check_room("n_samples", n, n, self.n_features_in_ + self.n_components_, dtype=self._dtype)
        if component is not None:
            component = int(self._check_components("component", component, ndim=0))
        options = {"component": component, "scale": as_real("scale", scale, above=0, of="")}
        rows = self._generate(n, draw_seed(random_state), self._dtype, noise, **options)
        return self._frame(rows)

    def interpolate_components(self, start, stop, n_steps=10):
        """Decoded straight paths between the means of components of the prior.

        Parameters
        ----------
        start, stop : int or array-like of int
            Numbers of the components at the ends; one and many give a path to each.
        n_steps : int, default=10
            Number of points on each path, both ends included.

        Returns
        -------
        paths : ndarray of shape (..., n_steps, n_features)
            Where ``...`` is the shape that `start` and `stop` broadcast to. In the dtype
            of the training data.
        """
        check_is_fitted(self)
        start = self._check_components("start", start)
        stop = self._check_components("stop", stop)
        means = self.prior_.component_means(self.n_components_).numpy().astype(self._dtype)
        try:
            start, stop = np.broadcast_arrays(start, stop)
        except ValueError as error:
            raise ValueError(
                f"start has shape {start.shape} and stop has shape {stop.shape}; expected shapes "
                "that broadcast."
            ) from error
        paths = self._paths(means[start.ravel()], means[stop.ravel()], n_steps)
        return paths.reshape(*start.shape, n_steps, -1)

    def _check_components(self, name: str, value: Any, ndim: int | None = None) -> np.ndarray:
        """Numbers of components as an array of integers."""
        numbers = np.asarray(value)
        if (
            numbers.dtype.kind not in "iu"
            or (ndim is not None and numbers.ndim != ndim)
            or not ((numbers >= 0) & (numbers < self.n_mixtures_)).all()
        ):
            what = "an integer" if ndim == 0 else "integers"
            raise ValueError(f"{name}={value!r}; expected {what} from 0 to {self.n_mixtures_ - 1}.")
        return numbers
