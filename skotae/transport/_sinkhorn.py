"""Entropic optimal transport: the debiased divergence."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, Literal, overload

import torch
from torch import Tensor

from skotae.transport.base import (
    DEBIASING,
    SinkhornInfo,
    check_clouds,
    check_debias,
    check_solver,
    check_weight_shape,
    parts,
    warn_unless_converged,
)
from skotae.transport.entropic.batched import evaluate_batch
from skotae.transport.entropic.debiased import evaluate, evaluate_shared
from skotae.transport.entropic.envelope import differentiable
from skotae.transport.entropic.options import Options
from skotae.transport.entropic.shards import Alone, Group
from skotae.utils.base import as_real


@overload
def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float = ...,
    relative: bool = ...,
    tol: float = ...,
    max_iter: int = ...,
    p: float = ...,
    metric: str = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    debias: str = ...,
    sharp: bool = ...,
    max_memory: float = ...,
    group: Any = ...,
    return_info: Literal[False] = ...,
) -> Tensor: ...


@overload
def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float = ...,
    relative: bool = ...,
    tol: float = ...,
    max_iter: int = ...,
    p: float = ...,
    metric: str = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    debias: str = ...,
    sharp: bool = ...,
    max_memory: float = ...,
    group: Any = ...,
    return_info: Literal[True],
) -> tuple[Tensor, SinkhornInfo]: ...


@overload
def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float = ...,
    relative: bool = ...,
    tol: float = ...,
    max_iter: int = ...,
    p: float = ...,
    metric: str = ...,
    a: Tensor | None = ...,
    b: Tensor | None = ...,
    debias: str = ...,
    sharp: bool = ...,
    max_memory: float = ...,
    group: Any = ...,
    return_info: bool,
) -> Tensor | tuple[Tensor, SinkhornInfo]: ...


def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    *,
    epsilon: float = 0.05,
    relative: bool = True,
    tol: float = 1e-3,
    max_iter: int = 1000,
    p: float = 2,
    metric: str = "minkowski",
    a: Tensor | None = None,
    b: Tensor | None = None,
    debias: str = "paired",
    sharp: bool = False,
    max_memory: float = 256,
    group: Any = None,
    return_info: bool = False,
) -> Tensor | tuple[Tensor, SinkhornInfo]:
    r"""Debiased entropic optimal-transport cost between two point clouds.

    .. math::
        \mathrm{OT}_\varepsilon(x, y) = \min_{P 1 = a,\; P^\top 1 = b}
        \langle P, C \rangle + \varepsilon\, \mathrm{KL}(P \,|\, a \otimes b),
        \qquad C_{ij} = \sum_k |x_{ik} - y_{jk}|^p

    and, for ``debias="paired"``,
    :math:`\mathrm{OT}(x, y) - (\mathrm{OT}(x, x) + \mathrm{OT}(y, y)) / 2`.

    Parameters
    ----------
    x, y : Tensor of shape (n, d) and (m, d), or (B, n, d) and (B, m, d)
        Clouds, of one device, or batches of B clouds: problem `k` is between ``x[k]`` and ``y[k]``,
        and all is as if it were alone. The value has the dtype of `x`. Non-finite points give NaN.
    epsilon : float, default=0.05
        Regularisation, in units of the mean cost (`relative`) or of the cost. It is at least
        1e-12 of the mean cost, and at most 1e8 of it: what is beyond counts as the end.
    relative : bool, default=True
        Multiply `epsilon` by the mean cost between `x` and `y`. No gradient flows through it, and
        all terms of a debiased value share it; each problem of a batch has its own.
    tol : float, default=1e-3
        L1 marginal violation at which to stop. The error of the value is of its square.
    max_iter : int, default=1000
        Largest number of iterations; not reaching `tol` warns.
    p : float, default=2
        Power of the distance that is the cost, at least 1.
    metric : {"minkowski", "euclidean"}, default="minkowski"
        Distance between points: the `p`-norm of their difference, as in the formula, or the
        Euclidean one, so that :math:`C_{ij} = \|x_i - y_j\|_2^p`. The same for ``p=2``.
    a, b : Tensor of shape (n,) and (m,), or (B, n) and (B, m), optional
        Non-negative weights, divided by their sum; uniform by default. Differentiable, where they
        are zero too. Those of shape (n,) and (m,) are shared by a batch.
    debias : {"paired", "independent", "none"}, default="paired"
        "paired" is the Sinkhorn divergence on the same clouds. "independent" splits each cloud
        into its first and second half, x, x' and y, y', and returns
        ``[W(x,y) + W(x,y') + W(x',y) + W(x',y')]/4 - W(x,x')/2 - W(y,y')/2``: the same bias in
        every term, so that mini-batches do not favour too narrow a cloud. It may be negative. A
        single point is its own second half. "none" is the first term alone.
    sharp : bool, default=False
        Leave the entropy out of the values, ``<P, C>`` at the entropic plan (eq. 12 of [1]_). The
        plan then moves with the points, which the gradient follows by implicit differentiation; for
        weights, of those that are not zero.
    max_memory : float, default=256
        Mebibytes. A kernel of n x m entries that is larger is never stored, but made anew in
        blocks in every iteration, which bounds the memory and takes a few times as long. `sharp`
        needs the kernel and refuses.
    group : torch.distributed.ProcessGroup, optional
        Each process of the group has some rows of `x` and `y`, and of `a` and `b`; the value is
        that of all rows together, the same in every process, and the gradient is that of this one
        value with respect to the rows here. The rows of the kernels, and the work, are shared out.
        Every process of the group must call with the same options. (Where gradients are averaged
        over processes afterwards, multiply the value by their number.)
    return_info : bool, default=False
        Also return a `SinkhornInfo`.

    Returns
    -------
    value : Tensor of shape (), or (B,)
    info : SinkhornInfo
        Only if `return_info`. That of a batch has the figures of each problem in ``problems``.

    Raises
    ------
    ValueError
        If a shape, dtype, weight or option is invalid.
    RuntimeError
        When differentiated twice.

    Warns
    -----
    ConvergenceWarning
        If `tol` is not reached, by how many problems of a batch.
    RuntimeWarning
        If the value is beyond the range of the dtype of `x`; it is then infinite, and
        `converged` False.

    Notes
    -----
    On one core a batch of clouds of 64 points takes a sixth (8 features) to a third (64) of the
    time of a loop; above 256 points nothing is gained. What needs more than plain iterations goes
    on alone: problems of a small `epsilon`, or that converge slowly, other powers than 2, and
    `sharp`. ``torch.func.vmap`` makes a batch of its calls.

    Where the environment variable ``SKOTAE_COMPILED`` is 1 and numba is installed (``pip install
    "skotae[compiled]"``), numba compiles the solver of single problems: of 2 to 512 points a side
    (256 where torch has several threads) on the CPU, in float32 or less, with ``p=2``, without
    `sharp`, gradients of weights or weights of zero, and as far as plain iterations lead. A value
    with its gradient takes a fifth to a half of the time at 64 points, a half to three quarters
    from 256 on; it is the same up to rounding, or within `tol` where iterations are many. The first
    call takes some seconds, once a machine.

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn AutoEncoders, eq. 8 to 12.
    .. [2] Feydy et al. (2019), Interpolating between optimal transport and MMD using Sinkhorn
       divergences, eq. 3.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import sinkhorn_divergence
    >>> x = torch.tensor([[0.0], [1.0]], requires_grad=True)
    >>> value = sinkhorn_divergence(x, x.detach() + 3.0, tol=1e-6)
    >>> round(value.item(), 3)
    9.0
    >>> value.backward()
    >>> x.grad.round(decimals=3)
    tensor([[-3.],
            [-3.]])

    A batch of two problems:

    >>> x = torch.tensor([[[0.0], [1.0]], [[0.0], [2.0]]])
    >>> sinkhorn_divergence(x, x + 3.0, tol=1e-6).round(decimals=3)
    tensor([9., 9.])
    """
    shards = Alone() if group is None else Group(group)
    check_clouds(x, y, may_be_empty=not shards.alone, batches=shards.alone)
    asked = epsilon, relative, tol, max_iter, p, metric, debias, sharp, max_memory
    try:
        # torch.compile would leave out the cache, with a warning.
        options = (_options if torch.compiler.is_compiling() else _known_options)(*asked)
    except TypeError:  # of what has no hash: it is refused, or a number
        options = _options(*asked)
    if shards.alone and (a is not None or b is not None):
        check_weight_shape("a", a, (x.shape[-2],), tuple(x.shape[:-1]))
        check_weight_shape("b", b, (y.shape[-2],), tuple(y.shape[:-1]))
        a, b = (w if w is None else w.expand(*x.shape[:-2], w.shape[-1]) for w in (a, b))
    if sharp:
        _check_sharp(options, x.shape[-2], y.shape[-2], shards)
    if not shards.alone:
        options = replace(options, shards=shards)
    problem = partial(evaluate if shards.alone else evaluate_shared, options=options)
    batches = partial(evaluate_batch, options=options)
    value, info = differentiable("sinkhorn_divergence", problem, batches, 2, x=x, y=y, a=a, b=b)
    warn_unless_converged(info, options.tol, options.max_iter, x.dtype)
    return (value, info) if return_info else value


def _options(
    epsilon: float,
    relative: bool,
    tol: float,
    max_iter: int,
    p: float,
    metric: str,
    debias: str,
    sharp: bool,
    max_memory: float,
) -> Options:
    """Return options that are valid, or raise ValueError."""
    epsilon, tol, max_iter, ground = check_solver(epsilon, tol, max_iter, p, metric)
    check_debias(debias)
    max_bytes = as_real("max_memory", max_memory, above=0) * 2.0**20
    return Options(
        epsilon, relative, tol, max_iter, ground, debias=debias, sharp=sharp, max_bytes=max_bytes
    )


_known_options = lru_cache(maxsize=64, typed=True)(_options)


def _check_sharp(options: Options, n: int, m: int, shards: Alone) -> None:
    """Raise ValueError unless the plans, which a sharp value needs whole, are here and fit."""
    if not shards.alone:
        raise ValueError("sharp=True needs whole plans, got a group: pass group=None.")
    sizes = {part: rows.stop - rows.start for part, rows in parts(options.debias, n, m).items()}
    needed = max(8 * sizes[i] * sizes[j] for i, j, _ in DEBIASING[options.debias])
    if needed > options.max_bytes:
        raise ValueError(
            f"sharp=True needs plans of {needed / 2**20:.0f} MiB in memory for {n} and {m} points, "
            f"got max_memory={options.max_bytes / 2**20:g}: increase it, or take fewer points."
        )
