"""Estimators as papers have them: what a row says of it, and the call that makes one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from sklearn.base import BaseEstimator, clone

from skotae import CoupledVAE
from skotae.autoencoders.bases.network import NetworkEstimator
from skotae.networks import MLP


@dataclass(frozen=True)
class Recipe:
    """What makes a row a system as its paper has it.

    Parameters
    ----------
    system : str
        The paper's name of it.
    open : tuple of str, default=()
        Parameters whose value the paper's text does not give.
    differs : str, default=""
        What the row has otherwise than the paper, in sentences.
    """

    system: str
    open: tuple[str, ...] = ()
    differs: str = ""


def as_papers_have_it(estimator: Any) -> None:
    """No principal components in networks and prior, no weight decay, decoders as trained."""
    if not isinstance(estimator, NetworkEstimator):  # a peer
        return
    now = estimator.get_params(deep=False)
    sizes, changed = now.get("hidden_layer_sizes"), {}
    for name, layers in {"encoder": sizes, "decoder": sizes and sizes[::-1]}.items():
        spec = now.get(name)
        if spec is None and name in now and "weight_decay" in now:
            # With an encoder, CoupledVAE has another posterior.
            if name == "decoder" or type(estimator) is not CoupledVAE or now["n_components"] > 2:
                changed[name] = MLP(layers, now["activation"], start="random")
        elif hasattr(spec, "start"):
            changed[name] = clone(spec).set_params(start="random")
    changed |= {"weight_decay": 0.0, "refit_decoder": False}
    if now.get("prior", "none") is None and estimator._default_prior == "principal":
        changed["prior"] = "normal"
    estimator.set_params(**{name: value for name, value in changed.items() if name in now})


def call_of(estimator: BaseEstimator) -> str:
    """The call that makes an estimator: its class, and what is not the default."""
    # All of the text, however long.
    return estimator.__repr__(N_CHAR_MAX=sys.maxsize)
