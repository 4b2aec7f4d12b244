"""What a network spec is: one method, that builds a module for given widths."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any

import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.nn.functional import linear

from skotae.utils.base import as_whole, brief, call_own, shortened

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "logistic": nn.Sigmoid,
    "identity": nn.Identity,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
}


class BaseNetwork(BaseEstimator):
    """A network without its widths, or its weights.

    A new network writes `build`. Weights start as the layers of torch start them, from
    torch's global generator, which an estimator seeds while it builds.

    Attributes
    ----------
    start : {"pca", "random"}
        Whether `build_network` puts a :class:`LinearPath` beside the module, through which
        encoders and decoders start from principal components.
    """

    start = "random"

    @abstractmethod
    def build(self, n_in: int, n_out: int) -> nn.Module:
        """A module with fresh weights.

        Parameters
        ----------
        n_in : int
            Width of the rows that go in.
        n_out : int
            Width of the rows that come out.

        Returns
        -------
        module : nn.Module
            From (n_rows, n_in) to (n_rows, n_out).
        """


# Of what a network with fresh weights gives, beside a linear map: at zero all its units would
# learn the same at first.
FIRST_SHARE = 0.3
# It can always bend an output a little: codes may have to follow a prior.
LEAST_SHARE = 0.001


class LinearPath(nn.Module):
    r"""A network, and beside it a linear map of which one factor for each code is trained.

    .. math::
        y = g \odot (W x + b) + s \odot f(x) \qquad\text{or}\qquad
        y = W (g \odot x) + b + s \odot f(x),

    whichever has fewer factors g. Where the linear map is a good answer, as principal
    components are, training improves on it in the place of looking for it, and decay of the
    weights of f draws to that answer, not to nothing. W and b are zero, s and g are one, until
    `begin` is called. W, b and s are not trained: a step of Adam, which is the same for every
    weight, would move the sum over many columns of rows far at once.

    Parameters
    ----------
    net : nn.Module
        The network :math:`f`.
    n_in, n_out : int
        Widths of the rows that go in and come out.

    Raises
    ------
    ValueError
        If no part of the network is a dense or convolutional layer.
    """

    begins = True
    weight: Tensor
    bias: Tensor
    share: Tensor | None

    def __init__(self, net: nn.Module, n_in: int, n_out: int):
        super().__init__()
        self.net = net
        self.register_buffer("weight", torch.zeros(n_out, n_in))
        self.register_buffer("bias", torch.zeros(n_out))
        self.register_buffer("share", None)
        self.gain = nn.Parameter(torch.ones(min(n_in, n_out)))
        self._last_layer()

    def _last_layer(self) -> nn.Linear | nn.ConvTranspose2d:
        layers = [p for p in self.net.modules() if isinstance(p, (nn.Linear, nn.ConvTranspose2d))]
        if not layers:
            raise ValueError(
                f"start='pca' with {self.net!r}; expected a network that ends in a Linear or "
                "ConvTranspose2d layer, or start='random'."
            )
        return layers[-1]

    @property
    def has_begun(self) -> bool:
        """Whether there is a linear map."""
        return bool(self.weight.any() or self.bias.any())

    @torch.no_grad()
    def begin(self, weight: Tensor, bias: Tensor, noise: Tensor | None = None) -> None:
        """Make the first k outputs those of a linear map, and little else.

        Parameters
        ----------
        weight : Tensor of shape (k, n_in)
        bias : Tensor of shape (k,)
        noise : Tensor of shape (at most k,), optional
            What the first outputs may be off by. Where that is less than what the network adds to
            them at first, what it gives counts for less, now and later: steps of Adam are as large
            where next to nothing is left to learn.
        """
        k = len(weight)
        if noise is not None and bool((noise < FIRST_SHARE).any()):
            self.share = torch.ones_like(self.bias)
            self.share[: len(noise)] = (noise / FIRST_SHARE).clamp(LEAST_SHARE, 1.0)
        self.weight[:k], self.bias[:k] = weight, bias
        last = self._last_layer()
        # A convolution makes all outputs at once.
        rows = slice(k) if isinstance(last, nn.Linear) else slice(None)
        for parameter in last.parameters(recurse=False):
            parameter[rows] *= FIRST_SHARE

    @torch.no_grad()
    def add(self, weight: Tensor) -> None:
        """Add a linear map, and make the factors a part of what it is added to.

        Parameters
        ----------
        weight : Tensor of shape (n_out, n_in)
        """
        if len(self.gain) == len(self.weight):
            self.weight.mul_(self.gain[:, None])
            self.bias.mul_(self.gain)
        else:
            self.weight.mul_(self.gain)
        self.gain.fill_(1.0)
        self.weight.add_(weight)

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x) if self.share is None else self.net(x) * self.share
        if len(self.gain) == len(self.weight):
            return torch.addcmul(out, linear(x, self.weight, self.bias), self.gain)
        return linear(x * self.gain, self.weight, self.bias) + out


class Residual(nn.Module):
    """A module plus its own input.

    Parameters
    ----------
    inner : nn.Module
        Whose output has the shape of its input.
    """

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


# Layers that make of a row what they make of it in any mode, and among any other rows.
FIXED = {
    *ACTIVATIONS.values(),
    LinearPath,
    Residual,
    nn.Sequential,
    nn.Linear,
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.Flatten,
    nn.Unflatten,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.GLU,
    nn.Softmax,
}


# Others that write nothing into what they are given, unless they say so.
READING = {nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout}


def is_fixed(module: nn.Module) -> bool:
    """Whether a module is known to be a function of each row alone, that no call of it changes.

    Two calls of it in one step are then as good as one: nothing is normalised over the batch,
    dropped at random, or kept.
    """
    return all(
        type(part) in FIXED and not (part._forward_hooks or part._forward_pre_hooks)
        for part in module.modules()
    )


NETWORKS: dict[str, type[BaseNetwork]] = {}


def make_activation(name: str) -> nn.Module:
    """The activation called `name`.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in ACTIVATIONS:
        raise ValueError(
            f"activation={brief(name)} is not known; expected one of {list(ACTIVATIONS)}."
        )
    return ACTIVATIONS[name]()


def build_network(
    spec: Any,
    n_in: int,
    n_out: int,
    name: str = "network",
    copied: dict[int, Any] | None = None,
) -> nn.Module:
    """The module for one role in an autoencoder, from anything a user may pass.

    Parameters
    ----------
    spec : str, BaseNetwork, nn.Module or callable
        A name in ``NETWORKS``; a spec; a module, of which a copy is returned; or a class
        or function ``(n_in, n_out) -> nn.Module``.
    n_in, n_out : int
        Widths of the rows that go in and come out.
    name : str, default="network"
        The role, for messages.
    copied : dict, optional
        What has been copied of other networks, as ``copy.deepcopy`` keeps it: layers that they
        share are shared by the copies. It is added to.

    Returns
    -------
    module : nn.Module
        On the CPU, in float32.

    Raises
    ------
    ValueError
        If the name is unknown, or the module does not take (n, n_in) to (n, n_out), in real
        numbers.
    TypeError
        If `spec` is, or returns, something else.

    Examples
    --------
    >>> from torch import nn
    >>> from skotae.networks import build_network
    >>> build_network(nn.Linear, 4, 2, "encoder")
    Linear(in_features=4, out_features=2, bias=True)
    >>> build_network(nn.Linear(4, 3), 4, 2, "encoder")
    Traceback (most recent call last):
        ...
    ValueError: encoder gives shape (2, 3) for rows of shape (2, 4); expected shape (2, 2).
    """
    n_in, n_out = as_whole("n_in", n_in), as_whole("n_out", n_out)
    module = _resolve(spec, n_in, n_out, name, {} if copied is None else copied)
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"{name}={spec!r} returned an object of type {type(module).__name__} for "
            f"({n_in}, {n_out}); expected a torch.nn.Module."
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise TypeError(
            f"{name} is a TorchScript module, of which no copy can be trained; expected the "
            "torch.nn.Module that it was made from."
        )
    if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
        raise ValueError(
            f"{name} has weights on the meta device, which hold no numbers; expected a module on "
            "the CPU, such as module.to_empty(device='cpu') gives, with initial weights."
        )
    module = module.to("cpu", torch.float32)
    if _check_widths(module, n_in, n_out, name) or _may_write(module):
        inner: nn.Module = module.net if type(module) is LinearPath else module
        inner.register_forward_pre_hook(_with_copies)
    return module


def _may_write(module: nn.Module) -> bool:
    """Whether it is not known that a module leaves its input as it is, in training too."""
    others = (part for part in module.modules() if type(part) not in FIXED)
    return any(type(part) not in READING or getattr(part, "inplace", False) for part in others)


def _with_copies(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Rows and codes are needed after the call too, by the cost and the penalty."""
    return tuple(each.clone() if isinstance(each, Tensor) else each for each in inputs)


def _resolve(spec: Any, n_in: int, n_out: int, name: str, copied: dict[int, Any]) -> Any:
    if isinstance(spec, str):
        if spec not in NETWORKS:
            raise ValueError(
                f"{name}={brief(spec)} is not known; expected one of {sorted(NETWORKS)}, or "
                f"{_ACCEPTED}."
            )
        return _resolve(NETWORKS[spec](), n_in, n_out, name, copied)
    if isinstance(spec, torch.jit.ScriptModule):
        return spec
    if isinstance(spec, nn.Module):
        return _copied(spec, name, copied)
    if isinstance(spec, type) and issubclass(spec, BaseNetwork):
        raise TypeError(
            f"{name}={spec.__name__} is a class; expected an instance, {spec.__name__}(...)."
        )
    if not isinstance(spec, type) and hasattr(spec, "build"):
        return _started(spec, spec.build(n_in, n_out), n_in, n_out)
    if callable(spec):
        named, given = f"{name}={brief(spec)}", f"(n_in, n_out) = ({n_in}, {n_out})"
        return call_own(named, spec, n_in, n_out, given=given, expected=_ACCEPTED)
    raise TypeError(f"{name}={brief(spec)} is not a network; expected {_ACCEPTED}.")


def _copied(module: nn.Module, name: str, copied: dict[int, Any]) -> nn.Module:
    try:
        return copy.deepcopy(module, copied)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{name}={brief(module)} cannot be copied ({shortened(str(error), 200)}); expected a "
            "module whose tensors are parameters or buffers, or the class or a function "
            "(n_in, n_out) -> Module."
        ) from error


def _started(spec: Any, module: Any, n_in: int, n_out: int) -> Any:
    """What a spec has built, with the linear path that it asks for."""
    start = getattr(spec, "start", "random")
    if start not in ("pca", "random"):
        raise ValueError(f"start={start!r} of {spec!r}; expected 'pca' or 'random'.")
    if start == "random" or not isinstance(module, nn.Module):
        return module
    return LinearPath(module, n_in, n_out)


_ACCEPTED = (
    "a spec such as MLP(...), a torch.nn.Module, or a class or function (n_in, n_out) -> Module"
)


def _check_widths(module: nn.Module, n_in: int, n_out: int, name: str) -> bool:
    """Send two rows of zeros through, in evaluation mode, and look at the shape.

    Returns
    -------
    wrote : bool
        Whether it wrote into its input, as a first ``nn.ReLU(inplace=True)`` does.
    """
    with torch.inference_mode(False):
        rows = torch.zeros(2, n_in)
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            out = module(rows)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{name} does not take rows of shape (2, {n_in}): {error} Expected a module from "
            f"width {n_in} to width {n_out}."
        ) from error
    finally:
        for part, mode in modes:
            part.training = mode
    if not isinstance(out, Tensor) or out.shape != (2, n_out):
        got = f"shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(
            f"{name} gives {got} for rows of shape (2, {n_in}); expected shape (2, {n_out})."
        )
    # Codes go into a decoder in float32.
    if not out.is_floating_point() or (name == "encoder" and out.dtype != torch.float32):
        raise ValueError(f"{name} gives numbers of dtype {out.dtype}; expected torch.float32.")
    return rows._version > 0
