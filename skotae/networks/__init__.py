"""Networks: specs that build a ``torch.nn.Module`` for given widths."""

from skotae.networks._conv import ConvNet
from skotae.networks._mlp import MLP
from skotae.networks.base import ACTIVATIONS, NETWORKS, BaseNetwork, LinearPath, build_network

# Filled here: base.py, which looks names up, does not know its siblings.
NETWORKS["mlp"] = MLP

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "NETWORKS",
    "BaseNetwork",
    "ConvNet",
    "LinearPath",
    "build_network",
]
