"""The room of what training changes: one module for each fitted estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor, nn

from skotae.autoencoders.bases.codes import check_support
from skotae.autoencoders.bases.modules import Decoder, Encoder
from skotae.autoencoders.bases.principal import PrincipalMap, ridge_regression
from skotae.costs.base import BaseCost
from skotae.networks import MLP, LinearPath, build_network
from skotae.priors.base import BasePrior, check_draws
from skotae.training import Trainable

# Roles of networks with rows at one end and codes at the other: these start from something.
STARTING = ("encoder", "decoder")


@dataclass(frozen=True)
class Blueprint:
    """Shapes and numbers: all that a model is built from, before it has seen a row.

    Attributes
    ----------
    owner : str
        Name of the estimator's class, for messages.
    n_features, n_components : int
        Width of rows and of codes.
    params : SimpleNamespace
        The estimator's parameters, as they were at the fit.
    prior : BasePrior
    cost : BaseCost or None
        None where nothing is decoded.
    measured : SimpleNamespace
        Numbers that the estimator took from the training data, by the names of its fitted
        attributes (``data_scale_``, ``cost_scale_``).
    copied : dict
        What has been copied of live networks, for those that share layers.
    """

    owner: str
    n_features: int
    n_components: int
    params: SimpleNamespace
    prior: BasePrior
    cost: BaseCost | None
    measured: SimpleNamespace
    copied: dict[int, Any] = field(default_factory=dict, repr=False)

    def network(self, which: str, n_in: int, n_out: int, starts: bool | None = None) -> nn.Module:
        """The user's network for a role, or an MLP as the parameters describe it.

        It may start from something if `starts`; by default, where its role is one that can.
        """
        spec = getattr(self.params, which, None)
        if spec is None:
            sizes = np.atleast_1d(np.asarray(self.params.hidden_layer_sizes)).tolist()
            if which == "decoder":
                sizes = sizes[::-1]
            spec = MLP(tuple(sizes), self.params.activation)
        starts = which in STARTING if starts is None else starts
        if not starts and getattr(spec, "start", "random") != "random":
            spec = clone(spec).set_params(start="random")
        net: Any = build_network(spec, n_in, n_out, which, self.copied)
        # Several processes share out the rows that it is called with, unless it says otherwise.
        net.row_wise = getattr(net, "row_wise", True)
        return net

    def encoder_network(self, width: int, starts: bool = True) -> nn.Module:
        """From rows to `width` outputs."""
        return self.network("encoder", self.n_features, width, starts)

    def head(self) -> nn.Module:
        """The layer onto the support of the prior."""
        head, d = self.prior.head(self.n_components), self.n_components
        with torch.no_grad():
            width = head.eval()(torch.ones(2, d)).shape[-1]
        if width != d:
            raise ValueError(
                f"prior={self.prior!r} has a head() from {d} numbers to {width}; expected "
                f"n_components={d}."
            )
        return head.train()

    def decoder(self) -> Decoder:
        """From codes to rows, with the head and the scale that the cost asks for."""
        assert self.cost is not None
        width = self.cost.n_outputs(self.n_features)
        net = self.network("decoder", self.n_components, width)
        measured = self.measured
        cost = self.cost.build(self.n_features, measured.data_scale_, measured.data_mean_)
        return Decoder(net, cost)


class Model(Trainable):
    """Networks, heads, prior, and whatever else training changes; and what it minimises.

    A subclass writes `terms`, and `make_networks` where it has more than its base. All that
    changes is a parameter, a buffer or extra state of a module. The constructor sees shapes
    and numbers alone; what the data give is written into its tensors afterwards.

    Parameters
    ----------
    plan : Blueprint
        What it is built from.

    Attributes
    ----------
    params : SimpleNamespace
        The estimator's parameters, as they were at the fit.
    n_components : int
        Dimension d of the codes.
    prior : BasePrior or nn.Module
        The prior in use; a module where it learns.
    """

    # What the prior has to have: methods, a support. (None: any.)
    prior_needs: tuple[str, ...] = ()
    prior_support: str | None = None
    # Whether the objective has a gradient for the prior's own weights.
    learns_prior = False
    # Whether codes are to stay as near to principal components as these leave little.
    codes_stay = True
    # Numbers that a row turns into on its way to a code, where that is more than it has columns.
    row_width = 0

    def __init__(self, plan: Blueprint):
        super().__init__()
        self.params = plan.params
        self.n_components = plan.n_components
        self.prior: Any = plan.prior.build(plan.n_components)
        if isinstance(self.prior, nn.Module) and not self.learns_prior:
            raise ValueError(
                f"prior={plan.prior!r} has parameters that {plan.owner} does not learn; "
                "expected a fixed prior, or an estimator that can, such as SinkhornAE."
            )
        check_draws(self.prior, self.n_components)
        self.make_networks(plan)
        self._check_apart(plan)

    def _check_apart(self, plan: Blueprint) -> None:
        """Raise a ValueError where what learns from `inner_terms` shares weights with others."""
        copies = {*map(id, plan.copied.values())}
        weights = {
            name: {*map(id, part.parameters())} & copies for name, part in self.named_children()
        }
        inner = {*self.inner} & weights.keys()
        for name in inner:
            others = [o for o, own in weights.items() if o not in inner and own & weights[name]]
            if others:
                raise ValueError(
                    f"The networks of {plan.owner} for {name} and {others[0]} share weights, which "
                    "would learn from objectives against each other; expected networks with "
                    "weights of their own."
                )

    @property
    def can_begin(self) -> bool:
        """Whether a network can start from a linear map."""
        return any(getattr(each, "begins", False) for each in self.modules())

    @torch.no_grad()
    def begin(self, x: Tensor, path: PrincipalMap, generator: torch.Generator) -> None:
        """Let the networks that can start from the principal components of rows `x`.

        Codes have the widths of the prior, where it is known to have any. On a simplex none do:
        from there codes are slower to come near its corners than from random weights.
        """
        if self.prior.support == "simplex":
            return
        widths = torch.ones(self.n_components)
        if self.prior.support == "space" and hasattr(self.prior, "moments"):
            variances = self.prior.moments(self.n_components)[1].diagonal()
            widths = variances.sqrt().float() if bool(variances.isfinite().all()) else widths
        path = path.widened(widths, free=not self.codes_stay)
        if self.begin_encoder(path):
            self.begin_decoder(x, torch.addmm(path.bias, x, path.weight.T), generator)

    def begin_encoder(self, path: PrincipalMap) -> bool:
        """Let codes, before the head, start as a linear map; whether they do, or there are none."""
        return True

    def begin_decoder(self, x: Tensor, z: Tensor, generator: torch.Generator) -> None:
        """Let rows start as a linear map of codes, where `z` are those of `x` before the head."""

    def decaying(self) -> list[nn.Parameter]:
        started = [m for m in self.modules() if isinstance(m, LinearPath) and m.has_begun]
        parameters = (each for part in started for each in part.net.parameters())
        return [each for each in parameters if each.ndim > 1]

    def make_networks(self, plan: Blueprint) -> None:
        """Everything with weights; torch's global generator is seeded while this runs."""

    def prior_draws(self, like: Tensor, generator: torch.Generator) -> Tensor:
        """As many draws from the prior as `like` has rows, in its dtype."""
        return self.prior.sample(len(like), self.n_components, generator, dtype=like.dtype)

    def draw_codes(self, n: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Codes that samples are decoded from: draws from the prior."""
        return self.prior.sample(n, self.n_components, generator, dtype=dtype)

    def code_components(self) -> tuple[Tensor, Tensor] | None:
        """Means and scales (K, d) of the Gaussians of equal weight that `draw_codes` draws from.

        None where the draws are those of `prior`.
        """
        return None


class EncodingModel(Model):
    """Base of the models with an encoder.

    Parameters
    ----------
    plan : Blueprint
        What it is built from.
    """

    @property
    def posterior_width(self) -> int:
        """Width of the encoder network's output."""
        return self.n_components

    @property
    def encoder_starts(self) -> bool:
        """Whether the encoder network can start from principal components."""
        return True

    def make_networks(self, plan: Blueprint) -> None:
        net = plan.encoder_network(self.posterior_width, self.encoder_starts)
        self.encoder: Any = self.make_encoder(net, plan)
        super().make_networks(plan)

    def make_encoder(self, net: nn.Module, plan: Blueprint) -> nn.Module:
        """Codes from what a network makes of rows."""
        return Encoder(net, plan.head())

    def begin_encoder(self, path: PrincipalMap) -> bool:
        begin = getattr(self.encoder, "begin", None)
        return begin is not None and begin(path)

    def encode(
        self, x: Tensor, generator: torch.Generator | None = None, repeats: int = 1
    ) -> Tensor:
        """Codes of standardised rows: posterior means, or draws if a generator is given."""
        return self.encoder(x) if generator is None else self.encoder.sample(x, generator, repeats)

    def outputs(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        return {"encoder": self.encode(batch), **super().outputs(batch, generator)}


class GeneratingModel(Model):
    """Base of the models with a decoder.

    Parameters
    ----------
    plan : Blueprint
        What it is built from.
    """

    def make_networks(self, plan: Blueprint) -> None:
        super().make_networks(plan)
        self.decoder = plan.decoder()

    def begin_decoder(self, x: Tensor, z: Tensor, generator: torch.Generator) -> None:
        net, cost = self.decoder.net, self.decoder.cost
        if isinstance(net, LinearPath) and (raw := cost.raw_of(x)) is not None:
            net.begin(*ridge_regression(self.begin_codes(x, z, generator), raw))

    def begin_codes(self, x: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        """Codes that rows are decoded from at the start."""
        return z

    def decode(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Standardised rows of codes: means of the likelihood, or draws with a generator."""
        if generator is None:
            return self.decoder(z)
        return self.decoder.cost.draw_from_raw(self.decoder.net(z), generator)

    def outputs(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        codes = self.draw_codes(len(batch), generator, batch.dtype)
        return {**super().outputs(batch, generator), "decoder": self.decode(codes)}


class AutoencoderModel(EncodingModel, GeneratingModel):
    """Base of the models with an encoder and a decoder.

    Parameters
    ----------
    plan : Blueprint
        What it is built from.
    """

    def weight_of(self, value: Any, usual: float) -> float:
        """A weight of the objective; "auto" is a share of the usual one."""
        return usual * self.weight_share if value == "auto" else float(value)

    def make_networks(self, plan: Blueprint) -> None:
        super().make_networks(plan)
        self.cost_scale: float = plan.measured.cost_scale_
        self.weight_share: float = plan.measured._weight_share
        if getattr(plan.params, "latent", "prior") == "mixture":
            check_support(plan.prior)

    def begin_codes(self, x: Tensor, z: Tensor, generator: torch.Generator) -> Tensor:
        return self.encode(x, generator)

    def reconstruction_cost(self, x: Tensor, z: Tensor) -> Tensor:
        """Mean cost of decoding `z` for `x`, in units of ``cost_scale_``."""
        return self.decoder.cost_of(x, z).mean() / self.cost_scale

    def codes_for_decoder(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Codes that the decoder's last layer is solved for: those that it learns from."""
        return self.encode(x)

    def row_costs(self, x: Tensor, move: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Cost of reconstructing each row; the mean with that from its code after a `move`."""
        z = self.encode(x)
        cost = self.decoder.cost_of(x, z)
        return cost if move is None else cost / 2 + self.decoder.cost_of(x, move(z)) / 2

    def outputs(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        outputs = super().outputs(batch, generator)
        return {**outputs, "decoder of codes": self.decode(self.encode(batch))}

    def costs(self, batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        return {"reconstruction": self.row_costs(batch)}
