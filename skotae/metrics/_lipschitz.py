"""How much a decoder stretches distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skotae.metrics.base import check_rows

CODES_AT_ONCE = 4096
# Half the distance of codes that are compared, in units of the spread of a component.
STEP = 1e-4


def lipschitz_factor(decode: Callable[[Any], Any], Z: Any) -> float:
    r"""Largest factor by which a decoder stretches small distances between codes.

    .. math::
        \hat\gamma = \max_i \| J_G(z_i) \|_2 \le
        \sup_{z \ne z'} \frac{|G(z) - G(z')|}{|z - z'|} = \gamma ,

    the largest singular value of the Jacobian, from central differences. The Lipschitz constant
    :math:`\gamma` carries the distance of codes and prior over to the data ([1]_, Theorem 2.1):

    .. math::
        W_p(P_X, P_G) \le \sqrt[p]{\mathbb E_x |x - G(E(x))|^p} + \gamma\, W_p(Q_Z, P_Z) .

    It is a bound on :math:`\gamma` from below, which codes that cover the prior come close to.

    Parameters
    ----------
    decode : callable
        From an array of codes to an array of rows, such as the `inverse_transform` of an
        estimator. It is called with float64.
    Z : array-like of shape (n, d)
        Codes to look at, such as those of rows and draws from the prior.

    Returns
    -------
    factor : float
        In units of the rows over those of the codes.

    Raises
    ------
    ValueError
        If Z is invalid, or `decode` does not return one row of finite numbers for each code.
    TypeError
        If `decode` is no function.

    References
    ----------
    .. [1] Patrini et al. (2019), Sinkhorn autoencoders, UAI, Theorem 2.1.

    Examples
    --------
    A linear map stretches by its largest singular value:

    >>> import numpy as np
    >>> from skotae.metrics import lipschitz_factor
    >>> A = np.diag([3.0, 1.0])
    >>> round(lipschitz_factor(lambda z: z @ A, [[0.0, 0.0], [1.0, 2.0]]), 6)
    3.0
    """
    z = check_rows(Z, "Z")
    if not callable(decode):
        raise TypeError(f"decode={decode!r}; expected a function of codes.")
    # Of each component about its own mean: how far from 0 or from each other they are is no matter.
    spread = z.std(axis=0)
    whole = float(np.linalg.norm(spread)) / np.sqrt(len(spread)) or 1.0
    steps = STEP * np.where(spread > 0, spread, whole)
    factor = 0.0
    for start in range(0, len(z), CODES_AT_ONCE):
        part = z[start : start + CODES_AT_ONCE]
        columns = [
            (_rows(decode, part + shift) - _rows(decode, part - shift)) / (2 * shift.max())
            for shift in np.diag(steps)
        ]
        jacobian = np.stack(columns, axis=-1)
        factor = max(factor, float(np.linalg.norm(jacobian, 2, axis=(1, 2)).max()))
    return factor


def _rows(decode: Callable[[Any], Any], codes: np.ndarray) -> np.ndarray:
    rows = np.asarray(decode(codes), dtype=np.float64)
    if rows.ndim != 2 or len(rows) != len(codes):
        raise ValueError(
            f"decode returned shape {rows.shape} for {len(codes)} codes; expected one row for each."
        )
    if not np.isfinite(rows).all():
        raise ValueError("decode returned NaN or infinite values; expected finite numbers.")
    return rows
