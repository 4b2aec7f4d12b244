"""A look at networks before training: what they compute in, and whether of each row alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from skotae.autoencoders.bases.inference import widest_dtype
from skotae.networks.base import FIXED, READING
from skotae.utils._random import child_seed, make_generator
from skotae.utils._torch import module_in
from skotae.utils.base import brief

# Rows that are seen at once, and of which the last are seen by themselves.
MANY, FEW = 64, 2
# Of a network: the model's method, the estimator's, and what that takes.
METHODS = {
    "encoder": ("encode", "transform", "X"),
    "decoder": ("decode", "inverse_transform", "Z"),
}
# Of outputs in units of the largest: what is more is no rounding, in each dtype.
ROUNDING = {torch.float32: 1e-3, torch.float64: 1e-6}


def look_at_networks(estimator: Any, rows: Any, *, stacklevel: int = 2) -> torch.dtype:
    """Warn of networks that are no function of each row alone in evaluation mode.

    What they give for a row then depends on the others of the call: codes of a part of X are not
    those of X. Networks that draw in evaluation mode are not looked at: they give something else
    in each call.

    Parameters
    ----------
    estimator : estimator
        With a new model, in evaluation mode.
    rows : Rows
        That it is about to learn.
    stacklevel : int
        Whose line the warning is said to be from.

    Returns
    -------
    dtype : torch.dtype
        The widest that the networks compute in; see `widest_dtype`.
    """
    batch = rows[torch.arange(min(MANY, len(rows)))]
    widest = widest_dtype(estimator.model_, batch[:2])
    if len(batch) <= FEW or estimator._draws[1]:
        return widest
    for name in _unknown(estimator.model_):
        gap = _gap(estimator.model_, name, batch, estimator._seed)
        if gap > 0 and widest == torch.float64:
            # Rounding may come to more than is usual in float32.
            wide = module_in(estimator.model_, torch.float64).cpu()
            gap = _gap(wide, name, batch.cpu().double(), estimator._seed)
        if gap > 0:
            _, method, rows_of = METHODS[name]
            # An estimator of one's own need not have the parameter.
            given = getattr(estimator, name, None)
            who = f"The {name}" if given is None else f"{name}={brief(given)}"
            shown = f": {method}({rows_of})[:5] is not {method}({rows_of}[:5])"
            warnings.warn(
                f"{who} gives a row other outputs among other rows, in evaluation mode too, by up "
                f"to {gap:.2g} of the largest{shown if hasattr(estimator, method) else ''}. "
                "Expected a function of each row alone where self.training is False; statistics "
                "over the rows of a call, as BatchNorm1d(..., track_running_stats=False) takes "
                "them, are none.",
                UserWarning,
                stacklevel=stacklevel + 1,
            )
    return widest


def _unknown(model: Any) -> Iterator[str]:
    """Names of the networks of which it is not known that they take rows one by one."""
    for name, (method, *_) in METHODS.items():
        part, asked = getattr(model, name, None), hasattr(model, method)
        if isinstance(part, nn.Module) and asked and not all(map(_is_known, part.modules())):
            yield name


def _is_known(part: nn.Module) -> bool:
    if type(part).__module__.partition(".")[0] == __name__.partition(".")[0]:
        return True
    return type(part) in FIXED | READING and getattr(part, "track_running_stats", True)


@torch.no_grad()
def _gap(model: Any, name: str, batch: Tensor, seed: int) -> float:
    """Largest change of the outputs for a few rows that are taken by themselves, 0 if rounding."""
    if name == "decoder":
        generator = make_generator(child_seed(seed, "codes"), batch.device)
        batch = model.draw_codes(len(batch), generator, batch.dtype)
    function: Callable[[Tensor], Tensor] = getattr(model, METHODS[name][0])
    together, apart = function(batch), function(batch[-FEW:])
    size = together.abs().max()
    if not bool(together.isfinite().all() & apart.isfinite().all()) or size == 0:
        return 0.0
    gap = float((together[-FEW:] - apart).abs().max() / size)
    return gap if gap > ROUNDING[batch.dtype] else 0.0
