"""Roll back to the last good weights when a loss stops being finite."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch
from torch import nn

from skotae.exceptions import NonFiniteLossError

MAX_ROLLBACKS = 3

ADVICE = {
    "reconstruction": "Lower learning_rate_init, or look for extreme values in X.",
    "loss": "Lower learning_rate_init.",
}


class Guard:
    """Keeps the last weights whose losses were finite.

    Parameters
    ----------
    modules : nn.Module
        What is trained.
    optimisers : list of Optimizer
    advice : mapping of str to str
        What to change when a term fails, by the name of the term.
    """

    def __init__(
        self,
        modules: nn.Module,
        optimisers: list[torch.optim.Optimizer],
        advice: Mapping[str, str],
    ):
        self.modules = modules
        self.optimisers = optimisers
        self.advice = {**ADVICE, **advice}
        self.step_factor = 1.0
        self._rollbacks = 0
        self.keep()

    def keep(self) -> None:
        """Remember the present weights as good."""
        self._before = getattr(self, "_good", None)
        self._good = (
            copy.deepcopy(self.modules.state_dict()),
            [copy.deepcopy(optimiser.state_dict()) for optimiser in self.optimisers],
        )

    def restore(self, *, earlier: bool = False) -> None:
        """Go back to the weights that were kept, or to those before them."""
        weights, moments = (self._before if earlier else None) or self._good
        self.modules.load_state_dict(weights)
        for optimiser, state in zip(self.optimisers, moments, strict=True):
            optimiser.load_state_dict(copy.deepcopy(state))

    def accepts(self, terms: Mapping[str, float], epoch: int) -> bool:
        """Whether the epoch stands; if not, the weights have been rolled back.

        Raises
        ------
        NonFiniteLossError
            After three rollbacks in a row.
        """
        bad = [name for name, value in terms.items() if not math.isfinite(value)]
        if not bad and all(torch.isfinite(p).all() for p in self.modules.parameters()):
            self.keep()
            self._rollbacks = 0
            return True
        # The last step of an epoch may have led to finite weights whose loss is not: if smaller
        # steps from there fail too, go back one epoch more.
        self.restore(earlier=0 < self._rollbacks < MAX_ROLLBACKS)
        if self._rollbacks == MAX_ROLLBACKS:
            term = bad[0] if bad else "loss"
            advice = self.advice.get(term, f"Lower learning_rate_init or the weight of {term!r}.")
            raise NonFiniteLossError(term, epoch, advice)
        self._rollbacks += 1
        self.step_factor *= 0.5
        return False
