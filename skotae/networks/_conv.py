"""Convolutional encoders and decoders of images in flat rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from torch import nn

from skotae.networks.base import BaseNetwork, make_activation
from skotae.utils.base import as_whole, is_whole


class ConvNet(BaseNetwork):
    """Convolutional network for rows that are images.

    As an encoder, where ``n_in`` is the number of pixels: convolutions of stride 2, each of
    which halves the image, then a dense hidden layer. As a decoder, where ``n_out`` is the
    number of pixels: the same in reverse, with transposed convolutions.

    Parameters
    ----------
    image_shape : tuple of int, default=(28, 28)
        (height, width) of the image in a row, or (channels, height, width), channels
        first, in C order: a row is ``image.reshape(-1)``.
    channels : tuple of int, default=(32, 64)
        Channels after each convolution of the encoder.
    kernel_size : int, default=4
        Height and width of the kernels, 2 or more.
    activation : str, default="relu"
        As in :class:`MLP`.
    batch_norm : bool, default=True
        Whether channels are normalised over the batch, before the activation.
    hidden : int, default=256
        Width of the dense hidden layer.
    start : {"pca", "random"}, default="pca"
        As in :class:`MLP`.

    Examples
    --------
    >>> import torch
    >>> from skotae.networks import ConvNet
    >>> encoder = ConvNet(image_shape=(8, 8), channels=(4, 8), hidden=16).build(64, 2)
    >>> decoder = ConvNet(image_shape=(8, 8), channels=(4, 8), hidden=16).build(2, 64)
    >>> decoder(encoder(torch.zeros(3, 64))).shape
    torch.Size([3, 64])
    """

    def __init__(
        self,
        image_shape: Sequence[int] = (28, 28),
        channels: Sequence[int] = (32, 64),
        kernel_size: int = 4,
        activation: str = "relu",
        batch_norm: bool = True,
        hidden: int = 256,
        start: str = "pca",
    ):
        self.image_shape = image_shape
        self.channels = channels
        self.kernel_size = kernel_size
        self.activation = activation
        self.batch_norm = batch_norm
        self.hidden = hidden
        self.start = start

    def build(self, n_in: int, n_out: int) -> nn.Module:
        """An encoder if `n_in` is the number of pixels, a decoder if `n_out` is.

        Raises
        ------
        ValueError
            If neither is, or if the image is too small for that many convolutions.
        """
        maps = self._maps()
        n_pixels = math.prod(maps[0])
        if n_in == n_pixels:
            return nn.Sequential(*self._encoder(maps, n_out))
        if n_out == n_pixels:
            return nn.Sequential(*self._decoder(maps, n_in))
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
        as_whole("hidden", self.hidden, of="")
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

    def _encoder(self, maps: list[tuple[int, int, int]], n_out: int) -> list[nn.Module]:
        layers: list[nn.Module] = [nn.Unflatten(1, maps[0])]
        kernel_size = int(self.kernel_size)
        for before, after in pairwise(maps):
            layers.append(
                nn.Conv2d(before[0], after[0], kernel_size, stride=2, padding=self._padding)
            )
            layers.extend(self._activated(after[0]))
        layers += [nn.Flatten(), nn.Linear(math.prod(maps[-1]), self.hidden)]
        return [*layers, make_activation(self.activation), nn.Linear(self.hidden, n_out)]

    def _decoder(self, maps: list[tuple[int, int, int]], n_in: int) -> list[nn.Module]:
        layers: list[nn.Module] = [
            nn.Linear(n_in, self.hidden),
            make_activation(self.activation),
            nn.Linear(self.hidden, math.prod(maps[-1])),
            nn.Unflatten(1, maps[-1]),
        ]
        for after, before in pairwise(reversed(maps)):
            layers.extend(self._activated(after[0]))
            # What the convolution rounded away, so that sizes come back exactly.
            smallest = [2 * (n - 1) - 2 * self._padding + self.kernel_size for n in after[1:]]
            missing = (before[1] - smallest[0], before[2] - smallest[1])
            layers.append(
                nn.ConvTranspose2d(
                    after[0],
                    before[0],
                    int(self.kernel_size),
                    stride=2,
                    padding=self._padding,
                    output_padding=missing,
                )
            )
        return [*layers, nn.Flatten()]

    def _activated(self, channels: int) -> list[nn.Module]:
        norm: list[nn.Module] = [nn.BatchNorm2d(channels)] if self.batch_norm else []
        return [*norm, make_activation(self.activation)]


def _positive_integers(values: Sequence[int]) -> bool:
    return np.ndim(values) == 1 and all(is_whole(value) and value > 0 for value in values)
