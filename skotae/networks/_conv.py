"""Convolutional encoders and decoders of images in flat rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from torch import nn

from skotae.networks.base import BaseNetwork, Residual, make_activation
from skotae.utils.base import as_real, as_whole, brief, is_whole


class ConvNet(BaseNetwork):
    """Convolutional network for rows that are images.

    As an encoder, where ``n_in`` is the number of pixels: convolutions of stride 2, each of
    which halves the image, then a dense hidden layer. As a decoder, where ``n_out`` is the
    number of pixels: the same in reverse, with transposed convolutions.

    Without the dense layer (``hidden=None``), and with ``weight_scale=0.02``, the networks have the
    form of the DCGAN ([1]_), as those of Wasserstein autoencoders have; with ``gated=True`` and
    ``batch_norm=False`` that of the convolutional VampPrior ([2]_).

    Parameters
    ----------
    image_shape : tuple of int, default=(28, 28)
        (height, width) of the image in a row, or (channels, height, width), channels
        first, in C order: a row is ``image.reshape(-1)``.
    channels : tuple of int, default=(32, 64)
        Channels after each convolution of the encoder.
    kernel_size : int >= 2, default=4
        Height and width of the kernels, 2 or more.
    activation : str, default="relu"
        As in :class:`MLP`.
    batch_norm : bool, default=True
        Whether channels are normalised over the batch, before the activation.
    hidden : int >= 1 or None, default=256
        Width of the dense hidden layer; None is none.
    start : {"pca", "random"}, default="pca"
        As in :class:`MLP`.
    gated : bool, default=False
        Whether the nonlinearity is a gate in the place of `activation`: hidden layers have twice
        as many outputs, one half of which is multiplied by the logistic function of the other.
    n_residual : int >= 0, default=0
        Number of residual blocks, of two 3 x 3 convolutions each, on every map between the
        convolutions.
    weight_scale : float > 0 or None, default=None
        Standard deviation of the normal distribution that weights start from, with biases of 0;
        None is torch's own start.

    References
    ----------
    .. [1] Radford, Metz and Chintala (2016), Unsupervised representation learning with deep
       convolutional generative adversarial networks, ICLR.
    .. [2] Tomczak and Welling (2018), VAE with a VampPrior, AISTATS.

    Examples
    --------
    >>> import torch
    >>> from skotae.networks import ConvNet
    >>> encoder = ConvNet(image_shape=(8, 8), channels=(4, 8), hidden=16).build(64, 2)
    >>> decoder = ConvNet(image_shape=(8, 8), channels=(4, 8), hidden=16).build(2, 64)
    >>> decoder(encoder(torch.zeros(3, 64))).shape
    torch.Size([3, 64])

    Networks of the DCGAN for colour images of 64 x 64 pixels:

    >>> dcgan = ConvNet((3, 64, 64), (64, 128, 256, 512), hidden=None, weight_scale=0.02)
    >>> dcgan.build(3 * 64 * 64, 100)[-1]
    Linear(in_features=8192, out_features=100, bias=True)
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (28, 28),
        channels: Sequence[int] = (32, 64),
        kernel_size: int = 4,
        activation: str = "relu",
        batch_norm: bool = True,
        hidden: int | None = 256,
        start: str = "pca",
        gated: bool = False,
        n_residual: int = 0,
        weight_scale: float | None = None,
    ):
        self.image_shape = image_shape
        self.channels = channels
        self.kernel_size = kernel_size
        self.activation = activation
        self.batch_norm = batch_norm
        self.hidden = hidden
        self.start = start
        self.gated = gated
        self.n_residual = n_residual
        self.weight_scale = weight_scale

    def build(self, n_in: int, n_out: int) -> nn.Module:
        """An encoder if `n_in` is the number of pixels, a decoder if `n_out` is, or a multiple.

        Several images, as some costs ask for, come one after the other.

        Raises
        ------
        ValueError
            If neither is, or if the image is too small for that many convolutions.
        """
        maps = self._maps()
        n_pixels = math.prod(maps[0])
        if n_in == n_pixels:
            return self._started(nn.Sequential(*self._encoder(maps, n_out)))
        n_images, rest = divmod(n_out, n_pixels)
        if n_images and not rest:
            return self._started(nn.Sequential(*self._decoder(maps, n_in, n_images)))
        raise ValueError(
            f"image_shape={tuple(self.image_shape)} has {n_pixels} pixels; got a network from "
            f"{n_in} to {n_out} features, of which one has to be {n_pixels}."
        )

    @property
    def _padding(self) -> int:
        return (int(self.kernel_size) - 1) // 2

    def _maps(self) -> list[tuple[int, int, int]]:
        """(channels, height, width) before and after each convolution of the encoder."""
        if not _positive_integers(self.image_shape) or len(self.image_shape) not in (2, 3):
            raise ValueError(
                f"image_shape={self.image_shape!r}; expected (height, width) or "
                "(channels, height, width)."
            )
        shape = tuple(self.image_shape)
        if not _positive_integers(self.channels) or len(self.channels) == 0:
            raise ValueError(
                f"channels={self.channels!r}; expected one integer of 1 or more for each "
                "convolution."
            )
        as_whole("kernel_size", self.kernel_size, least=2, of="")
        if self.hidden is not None:
            as_whole("hidden", self.hidden, of="")
        as_whole("n_residual", self.n_residual, least=0, of="")
        if not isinstance(self.gated, bool | np.bool_):
            raise ValueError(f"gated={brief(self.gated)}; expected True or False.")
        c, height, width = (1, *shape) if len(shape) == 2 else shape
        maps = [(int(c), int(height), int(width))]
        for c in self.channels:
            reach = 2 * self._padding - int(self.kernel_size)
            height, width = (height + reach) // 2 + 1, (width + reach) // 2 + 1
            if min(height, width) < 1:
                raise ValueError(
                    f"image_shape={shape} is too small for {len(self.channels)} convolutions of "
                    "stride 2; expected fewer channels, an odd kernel_size, or channels first in "
                    "image_shape."
                )
            maps.append((int(c), int(height), int(width)))
        return maps

    @property
    def _n_halves(self) -> int:
        """Outputs of a hidden layer for one of the next one's inputs."""
        return 2 if self.gated else 1

    def _encoder(self, maps: list[tuple[int, int, int]], n_out: int) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Unflatten(1, maps[0])]
        kernel_size = int(self.kernel_size)
        for before, after in pairwise(maps):
            n_maps = self._n_halves * after[0]
            layers.append(
                nn.Conv2d(before[0], n_maps, kernel_size, stride=2, padding=self._padding)
            )
            layers.extend(self._activated(after[0]))
        return [*layers, nn.Flatten(), *self._dense(math.prod(maps[-1]), n_out)]

    def _decoder(
        self, maps: list[tuple[int, int, int]], n_in: int, n_images: int
    ) -> list[nn.Module]:
        c, height, width = maps[-1]
        last = (self._n_halves * c, height, width)
        layers = [*self._dense(n_in, math.prod(last)), nn.Unflatten(1, last)]
        for after, before in pairwise(reversed(maps)):
            layers.extend(self._activated(after[0]))
            # What the convolution rounded away, so that sizes come back exactly.
            smallest = [2 * (n - 1) - 2 * self._padding + self.kernel_size for n in after[1:]]
            missing = (before[1] - smallest[0], before[2] - smallest[1])
            # The image itself is not gated.
            n_maps = (n_images if before is maps[0] else self._n_halves) * before[0]
            layers.append(
                nn.ConvTranspose2d(
                    after[0],
                    n_maps,
                    int(self.kernel_size),
                    stride=2,
                    padding=self._padding,
                    output_padding=missing,
                )
            )
        return [*layers, nn.Flatten()]

    def _dense(self, n_in: int, n_out: int) -> list[nn.Module]:
        """From a flat row to another, through the hidden layer if there is one."""
        if self.hidden is None:
            return [nn.Linear(n_in, n_out)]
        hidden = int(self.hidden)
        first = nn.Linear(n_in, self._n_halves * hidden)
        return [first, self._nonlinearity(), nn.Linear(hidden, n_out)]

    def _activated(self, channels: int) -> list[nn.Module]:
        """What stands between two convolutions, with `channels` at its end."""
        blocks = [Residual(nn.Sequential(*self._block(channels))) for _ in range(self.n_residual)]
        return [*self._normalised(channels), *blocks]

    def _block(self, channels: int) -> list[nn.Module]:
        first = nn.Conv2d(channels, self._n_halves * channels, 3, padding=1)
        return [first, *self._normalised(channels), nn.Conv2d(channels, channels, 3, padding=1)]

    def _normalised(self, channels: int) -> list[nn.Module]:
        n_maps = self._n_halves * channels
        norm: list[nn.Module] = [nn.BatchNorm2d(n_maps)] if self.batch_norm else []
        return [*norm, self._nonlinearity()]

    def _nonlinearity(self) -> nn.Module:
        return nn.GLU(dim=1) if self.gated else make_activation(self.activation)

    def _started(self, net: nn.Sequential) -> nn.Sequential:
        """The network, with weights from a normal distribution if that is asked for."""
        if self.weight_scale is None:
            return net
        scale = as_real("weight_scale", self.weight_scale, above=0, of="")
        for layer in net.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=scale)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        return net


def _positive_integers(values: Sequence[int]) -> bool:
    return np.ndim(values) == 1 and all(is_whole(value) and value > 0 for value in values)
