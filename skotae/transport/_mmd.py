"""Maximum mean discrepancy with inverse multiquadratic and other kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import torch
from torch import Tensor

from skotae.transport.base import (
    check_clouds,
    check_weight_shape,
    check_weight_values,
    full_precision,
    warn_if_infinite,
)
from skotae.transport.ground import in_one_dtype
from skotae.transport.kernel_means import (
    SCALES,
    KernelMean,
    constants_of,
    for_products,
    in_units_of,
    mass_of_pairs,
    squarable,
)
from skotae.utils.base import as_real, brief

Kernel = Callable[[Tensor, Tensor], Tensor]


def squared_mmd(
    x: Tensor,
    y: Tensor,
    *,
    bandwidth: float = 1.0,
    scales: tuple[float, ...] = SCALES,
    weights: Tensor | None = None,
    y_weights: Tensor | None = None,
    kernel: str | Kernel = "multiquadric",
    unbiased: bool = True,
) -> Tensor:
    r"""Squared maximum mean discrepancy of two clouds, unbiased unless the plain one is asked for.

    .. math::
        \widehat{\mathrm{MMD}}^2 =
        \frac{\sum_{i \ne j} w_i w_j k(x_i, x_j)}{1 - \sum_i w_i^2}
        + \frac{\sum_{i \ne j} v_i v_j k(y_i, y_j)}{1 - \sum_j v_j^2}
        - 2 \sum_{ij} w_i v_j k(x_i, y_j),
        \qquad
        k(x, y) = \sum_s \frac{C_s}{C_s + |x - y|^2},
        \quad C_s = 2 d \sigma^2 s .

    with uniform weights :math:`w_i = 1/n` and :math:`v_j = 1/m` unless they are given. The plain
    one, :math:`|\sum_i w_i k(x_i, \cdot) - \sum_j v_j k(y_j, \cdot)|^2`, has the sums over all
    pairs of a cloud, undivided: it is never negative, and not zero on average for two samples of
    one distribution.

    Of the other kernels, the Gaussian one is :math:`\sum_s \exp(-|x - y|^2 / C_s)` and the
    Laplacian one :math:`\sum_s \exp(-|x - y| / \sqrt{C_s / 2})`, with the same constants, and that
    of the energy distance is :math:`-|x - y|`, which has no bandwidth: the discrepancy is
    :math:`2 E|x - y| - E|x - x'| - E|y - y'|` [2]_.

    Parameters
    ----------
    x : Tensor of shape (n, d)
    y : Tensor of shape (m, d)
        Clouds; of two dtypes the wider one counts.
    bandwidth : float, default=1.0
        Standard deviation :math:`\sigma` of a coordinate.
    scales : tuple of float, default=(0.1, 0.2, 0.5, 1, 2, 5, 10)
        Multipliers of the bandwidth, one kernel each.
    weights : Tensor of shape (n,), optional
        Weights of `x`, not negative and divided by their sum; uniform by default.
    y_weights : Tensor of shape (m,), optional
        Weights of `y`, not negative and divided by their sum; uniform by default.
    kernel : {"multiquadric", "gaussian", "laplacian", "energy"} or callable, default="multiquadric"
        A callable takes clouds (n, d) and (m, d) and returns the values (n, m) of a symmetric
        kernel, by operations that autograd knows. `bandwidth` and `scales` do not count for it,
        nor for "energy".
    unbiased : bool, default=True
        Leave the pairs of a point with itself out. Where they count, weights are those of measures
        of any mass: they may be negative, have any sums, and are taken as they are.

    Returns
    -------
    Tensor
        A scalar, with gradient to `x`, `y` and their weights. Where it is unbiased the sum of a
        cloud of one point is left out. Points that are not finite give NaN.

    Raises
    ------
    ValueError
        If a shape, dtype, weight, `bandwidth` or `kernel` is invalid.

    Warns
    -----
    RuntimeWarning
        If the value for "energy" is beyond the range of its dtype (on the CPU); it is then
        infinite.

    Notes
    -----
    Of the kernels that have a bandwidth distances are in units of it. A point so far from the
    others that the square of its distance is out of range has nothing in common with them: the
    kernels are zero, and so is its gradient.

    References
    ----------
    .. [1] Tolstikhin et al. (2018), Wasserstein auto-encoders, Algorithm 2.
    .. [2] Sejdinovic, Sriperumbudur, Gretton and Fukumizu (2013), Equivalence of distance-based
       and RKHS-based statistics in hypothesis testing, theorem 22.

    Examples
    --------
    >>> import torch
    >>> from skotae.transport import squared_mmd
    >>> x = torch.arange(6.0).reshape(3, 2)
    >>> bool(squared_mmd(x, x + 10) > squared_mmd(x, x + 1))
    True

    A kernel of one's own:

    >>> def laplace(x, y):
    ...     return torch.exp(-torch.cdist(x, y, p=1))
    >>> round(squared_mmd(x, x + 10, kernel=laplace).item(), 3)
    0.025

    Half of it, with a Gaussian or Laplacian kernel of one scale, is what others call a kernel
    loss; the plain one is a squared norm:

    >>> options = {"scales": (1 / 2,), "bandwidth": 3.0, "unbiased": False}
    >>> round(squared_mmd(x, x + 10, kernel="laplacian", **options).item() / 2, 3)
    0.525
    """
    check_clouds(x, y)
    check_weight_shape("weights", weights, (len(x),))
    check_weight_shape("y_weights", y_weights, (len(y),))
    x, y = in_one_dtype(x, y)
    bandwidth = as_real("bandwidth", bandwidth, above=0)
    scales = tuple(as_real("scales", scale, above=0) for scale in scales)
    if kernel in ("multiquadric", "gaussian", "laplacian"):
        unit = _unit(x.shape[1], bandwidth, scales, x.dtype)
        if unit != 1.0:
            x, y, bandwidth = in_units_of(unit, x), in_units_of(unit, y), bandwidth / unit
    constants = constants_of(x.shape[1], bandwidth, scales, x.dtype)
    (n, _), (m, _) = x.shape, y.shape
    w = x.new_full((n,), 1.0 / n) if weights is None else weights.to(x)
    v = y.new_full((m,), 1.0 / m) if y_weights is None else y_weights.to(y)
    # What is there of pairs of different points; None where all count.
    pairs: list[Tensor | float | None] = [None, None]
    if unbiased:
        check_weight_values("weights", weights)
        check_weight_values("y_weights", y_weights)
        w, v = (u if given is None else u / u.sum() for u, given in ((w, weights), (v, y_weights)))
        pairs = [mass_of_pairs(w), 1.0 - 1.0 / m if y_weights is None else mass_of_pairs(v)]
    if kernel == "laplacian":
        kernel = partial(_laplacian, constants=constants)
    if callable(kernel):
        return _by_autograd(x, w, y, v, kernel, pairs)
    if kernel == "energy":
        size = _size(x, y)
        value = size * _by_autograd(x / size, w, y / size, v, _negative_distance, pairs)
        warn_if_infinite(value, "x and y")
        return value
    if kernel not in ("multiquadric", "gaussian"):
        raise ValueError(
            "kernel must be 'multiquadric', 'gaussian', 'laplacian', 'energy' or a callable, got "
            f"{brief(kernel)}."
        )
    gaussian = kernel == "gaussian"
    # About a common point: distances come from a matrix product.
    centre = squarable(y.detach()).mean(0)
    x, y = x - centre, y - centre
    inner = for_products(x), for_products(y)
    result = -2.0 * KernelMean.apply(x, w, y, v, constants, gaussian, inner)
    for cloud, masses, count, own in ((x, w, pairs[0], inner[:1]), (y, v, pairs[1], inner[1:])):
        if count is None:
            # The kernels are one at no distance.
            result = result + len(constants) * masses.square().sum()
        if len(cloud) > 1:
            mean = KernelMean.apply(cloud, masses, None, None, constants, gaussian, own)
            result = result + (mean if count is None else mean / count)
    return result


@lru_cache(maxsize=64)
def _unit(d: int, bandwidth: float, scales: tuple[float, ...], dtype: torch.dtype) -> float:
    """Return a power of two in units of which kernels are in range, 1 where they are."""
    usable = torch.finfo(dtype)
    width = bandwidth * math.sqrt(2.0 * d * max(scales, default=1.0))
    if usable.max**-0.125 < width < usable.max**0.125:
        return 1.0
    return 2.0 ** math.floor(math.log2(min(max(width, usable.tiny), usable.max)))


def _size(x: Tensor, y: Tensor) -> Tensor:
    """Return a power of two in units of which squares are in range: digits stay as they are."""
    most = torch.maximum(x.detach().abs().amax(), y.detach().abs().amax())
    size = torch.ldexp(torch.ones_like(most), torch.frexp(most).exponent - 1)
    return torch.where(size.isfinite() & (size > 0), size, 1.0)


def _negative_distance(x: Tensor, y: Tensor) -> Tensor:
    # Not by a matrix product: small distances would be lost to its rounding.
    return -torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _laplacian(x: Tensor, y: Tensor, *, constants: tuple[float, ...]) -> Tensor:
    near_x, near_y = squarable(x), squarable(y)
    size = _size(near_x, near_y)
    distances = -size * _negative_distance(near_x / size, near_y / size)
    far = for_products(x)[1].isinf()[:, None] | for_products(y)[1].isinf()
    if x is y:
        far.fill_diagonal_(False)
    distances = distances.masked_fill(far, math.inf)
    parts = [torch.exp(distances / -math.sqrt(c / 2.0)) for c in constants]
    return torch.stack(parts).sum(0)


def _by_autograd(
    x: Tensor,
    w: Tensor,
    y: Tensor,
    v: Tensor,
    kernel: Kernel,
    pairs: Sequence[Tensor | float | None],
) -> Tensor:
    """Return the squared discrepancy of a kernel that is a function of two clouds."""

    def between(first: Tensor, second: Tensor) -> Tensor:
        values = kernel(first, second)
        shape = (len(first), len(second))
        if not isinstance(values, Tensor) or tuple(values.shape) != shape:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(f"kernel must return a tensor of shape {shape}, got {got}.")
        return values

    with full_precision(x.device):
        result = -2.0 * (w @ between(x, y) @ v)
        for cloud, masses, count in ((x, w, pairs[0]), (y, v, pairs[1])):
            if count is None:
                result = result + masses @ between(cloud, cloud) @ masses
            elif len(cloud) > 1:
                own = between(cloud, cloud)
                within = masses @ own @ masses - masses.square() @ own.diagonal()
                result = result + within / count
        return result
