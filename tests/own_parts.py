"""Parts that a user writes: functions, an object that is called, and what a function returns."""

from torch import nn


def network(n_in, n_out, width=4):
    return nn.Sequential(nn.Linear(n_in, width), nn.Tanh(), nn.Linear(width, n_out))


class Factory:
    """Networks of one width."""

    def __init__(self, width):
        self.width = width

    def __call__(self, n_in, n_out):
        return network(n_in, n_out, self.width)


def times(k):
    """A cost that holds on to a number."""
    return lambda x, y: k * (x - y).abs().sum(-1)
