"""Multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from skotae.networks.base import BaseNetwork, Residual, make_activation
from skotae.utils.base import brief, is_real, is_whole


class MLP(BaseNetwork):
    r"""Multilayer perceptron.

    .. math:: h_0 = x, \qquad h_l = \phi(W_l h_{l-1} + b_l), \qquad y = W_L h_{L-1} + b_L

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(256, 256)
        Widths of the hidden layers; () is a linear map.
    activation : str, default="relu"
        :math:`\phi`: ``"relu"``, ``"tanh"``, ``"logistic"``, ``"identity"``, ``"elu"``,
        ``"gelu"``, ``"silu"`` or ``"leaky_relu"``.
    batch_norm : bool, default=False
        Whether hidden layers are normalised over the batch, before the activation.
    dropout : float in [0, 1), default=0.0
        Share of the hidden units that is dropped in training.
    residual : bool, default=False
        Whether a hidden layer is added to the one before it, where both are of one width.
    start : {"pca", "random"}, default="pca"
        What an estimator trains an encoder or decoder from: ``"pca"`` adds a linear map
        (:class:`LinearPath`) that stands for principal components, while
        :math:`W_L` and :math:`b_L` start small; ``"random"`` has the perceptron alone.

    Examples
    --------
    >>> from skotae.networks import MLP
    >>> MLP(hidden_layer_sizes=(16,),).build(4, 2)
    Sequential(
      (0): Linear(in_features=4, out_features=16, bias=True)
      (1): ReLU()
      (2): Linear(in_features=16, out_features=2, bias=True)
    )
    """

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] | int = (256, 256),
        activation: str = "relu",
        batch_norm: bool = False,
        dropout: float = 0.0,
        residual: bool = False,
        start: str = "pca",
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.residual = residual
        self.start = start

    def build(self, n_in: int, n_out: int) -> nn.Module:
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        if not all(is_whole(size) and size > 0 for size in sizes):
            raise ValueError(
                f"hidden_layer_sizes={brief(self.hidden_layer_sizes)}; expected integers of 1 or "
                "more."
            )
        if not (is_real(self.dropout) and 0 <= self.dropout < 1):
            raise ValueError(f"dropout={brief(self.dropout)}; expected a number in [0, 1).")
        layers: list[nn.Module] = []
        width = n_in
        for size in map(int, sizes):
            hidden = self._hidden(width, size)
            if self.residual and size == width:
                layers.append(Residual(nn.Sequential(*hidden)))
            else:
                layers.extend(hidden)
            width = size
        return nn.Sequential(*layers, nn.Linear(width, n_out))

    def _hidden(self, n_in: int, n_out: int) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Linear(n_in, n_out)]
        if self.batch_norm:
            layers.append(nn.BatchNorm1d(n_out))
        layers.append(make_activation(self.activation))
        if self.dropout > 0:
            layers.append(nn.Dropout(float(self.dropout)))
        return layers
