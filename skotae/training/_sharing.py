"""Networks that compute a part of their rows in each of several processes.

Every rank has the whole mini-batch, the same random numbers and the same weights, and computes the
objective as one process would. Networks, which take rows one by one, are given a part of
the rows on each rank, and their outputs are put together: so any objective sees the whole batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from skotae.utils._random import GlobalStream, child_seed

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def networks(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost parts that take rows one by one, as their attribute ``row_wise`` says."""
    for part in module.children():
        if getattr(part, "row_wise", False):
            yield part
        else:
            yield from networks(part)


@contextlib.contextmanager
def sharing(module: nn.Module, ranks: Any, draws: bool) -> Iterator[None]:
    """The networks in a module share out the rows that they are called with, for a while.

    Parameters
    ----------
    module : nn.Module
    ranks : Ranks
    draws : bool
        Whether networks draw from torch's global generator.
    """
    with contextlib.ExitStack() as stack:
        nets = {*networks(module)}
        # One that is a layer of another is given that one's rows.
        within = {part for net in nets for part in net.modules() if part is not net}
        for net in nets - within:
            stack.enter_context(_replaced(net, partial(_shared, net.forward, ranks, draws)))
            for part in net.modules():
                if isinstance(part, BATCH_NORMS):
                    normed = partial(_normed, part, part.forward, ranks)
                    stack.enter_context(_replaced(part, normed))
        yield


@contextlib.contextmanager
def _replaced(module: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Another ``forward`` for a module, for a while."""
    own = vars(module).get("forward")
    module.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


def _shared(forward: Callable[[Tensor], Tensor], ranks: Any, draws: bool, x: Tensor) -> Tensor:
    """What a network gives for all rows, of which it computes some here."""
    if len(x) < ranks.size:
        return forward(x)
    part = Part.apply(x, ranks)
    if draws:
        # One number on all ranks, so that what else draws goes on with the same on each.
        seed = child_seed(int(torch.randint(2**62, ())), "networks", ranks.rank)
        with GlobalStream(seed, x.device).borrowed():
            out = forward(part)
    else:
        out = forward(part)
    return Whole.apply(out, ranks, len(x))


def _normed(norm: Any, forward: Callable[[Tensor], Tensor], ranks: Any, x: Tensor) -> Tensor:
    """Batch normalisation by mean and variance of the rows of all ranks."""
    if not norm.training and norm.running_mean is not None:
        return forward(x)
    axes, shape = [0, *range(2, x.ndim)], (1, -1, *[1] * (x.ndim - 2))
    sums = Sum.apply(torch.cat([x.sum(axes), x.new_tensor([x.numel() / x.shape[1]])]), ranks)
    n = sums[-1].detach()
    mean = sums[:-1] / n
    centred = x - mean.view(shape)
    variance = Sum.apply(centred.square().sum(axes), ranks) / n
    if norm.training and norm.running_mean is not None:
        with torch.no_grad():
            norm.num_batches_tracked += 1
            share = 1.0 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean, share)
            norm.running_var.lerp_(variance * (n / (n - 1.0)), share)
    out = centred * (variance + norm.eps).rsqrt().view(shape)
    return out if norm.weight is None else out * norm.weight.view(shape) + norm.bias.view(shape)


# The gradient of what all ranks have is the same on each. Within a network it is that of a part of
# the rows, times the number of ranks, so that the mean over ranks is the gradient of every weight,
# of those that the objective uses in other ways too. The first two are each other's gradients, the
# third its own, also where gradients have gradients.


class Part(torch.autograd.Function):
    """The rows of this rank."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, ranks: Any) -> Tensor:
        ctx.ranks, ctx.n = ranks, len(rows)
        return ranks.part_of(rows).clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return Whole.apply(gradient, ctx.ranks, ctx.n) / ctx.ranks.size, None


class Whole(torch.autograd.Function):
    """The rows of all ranks."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, ranks: Any, n: int) -> Tensor:
        ctx.ranks = ranks
        return ranks.whole_of(part, n)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return Part.apply(gradient, ctx.ranks) * ctx.ranks.size, None, None


class Sum(torch.autograd.Function):
    """The sum over ranks of what each makes of its rows, within a network."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, ranks: Any) -> Tensor:
        ctx.ranks = ranks
        return ranks.sum_of(part)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return Sum.apply(gradient, ctx.ranks), None
