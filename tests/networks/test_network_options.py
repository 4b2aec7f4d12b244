"""Sizes at the edge, options, and messages of the networks."""

import math

import pytest
import torch
from torch import nn

from skotae.networks import MLP, ConvNet, build_network


@pytest.fixture(autouse=True)
def seeded():
    """Weights come from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


SHAPES = [(28, 28), (32, 32), (8, 8), (7, 9), (3, 16, 16), (5, 1), (1, 5), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_a_pair_of_networks_for_any_image(shape, kernel_size):
    spec = ConvNet(shape, channels=(2, 3), kernel_size=kernel_size, hidden=4)
    n_pixels = math.prod(shape)
    x = torch.zeros(2, n_pixels)
    assert build_network(spec, 3, n_pixels)(build_network(spec, n_pixels, 3)(x)).shape == x.shape


@pytest.mark.parametrize("shape", [(5, 1), (1, 5), (3, 3)], ids=str)
def test_an_image_that_is_too_small_is_named(shape):
    with pytest.raises(ValueError, match=r"image_shape=\(., .\) is too small for 2 convolutions"):
        ConvNet(shape).build(math.prod(shape), 2)


def test_a_row_of_another_width_names_shape_and_features():
    with pytest.raises(ValueError, match=r"image_shape=\(8, 8\) has 64 pixels; .* from 60 to 2"):
        build_network(ConvNet((8, 8)), 60, 2, "encoder")


@pytest.mark.parametrize(
    ("spec", "parameter"),
    [
        (ConvNet((8, 0)), "image_shape"),
        (ConvNet((8.5, 8)), "image_shape"),
        (ConvNet(64), "image_shape=64"),
        (ConvNet((8, 8), channels=(4, -1)), "channels"),
        (ConvNet((8, 8), channels=8), "channels=8"),
        (ConvNet((8, 8), kernel_size=2.5), "kernel_size=2.5"),
        (ConvNet((8, 8), hidden=0), "hidden=0"),
        (ConvNet((8, 8), activation="relo"), "activation='relo'"),
        (MLP(hidden_layer_sizes=-3), "hidden_layer_sizes=-3"),
        (MLP(hidden_layer_sizes="8"), "hidden_layer_sizes='8'"),
        (MLP(dropout=-0.1), "dropout=-0.1"),
        (MLP(dropout=math.nan), "dropout=nan"),
    ],
    ids=str,
)
def test_a_bad_option_is_named(spec, parameter):
    with pytest.raises(ValueError, match=parameter):
        spec.build(64, 2)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_batch_norm_is_optional_for_images(batch_norm):
    module = ConvNet((8, 8), channels=(2,), batch_norm=batch_norm, hidden=4).build(64, 2)
    assert any(isinstance(part, nn.BatchNorm2d) for part in module.modules()) == batch_norm


def test_without_hidden_layers_it_is_linear():
    module = MLP(hidden_layer_sizes=()).build(4, 2)
    a, b = torch.eye(4)[:2]
    torch.testing.assert_close(module(a + b), module(a) + module(b) - module(0 * a))


def test_identity_activation_is_linear():
    module = MLP((8, 8), activation="identity").build(4, 2)
    a, b = torch.eye(4)[:2]
    torch.testing.assert_close(module(a + b), module(a) + module(b) - module(0 * a))


def test_dropout_is_for_training_only():
    module, x = MLP((64,), dropout=0.5).build(4, 2), torch.ones(1, 4)
    assert not torch.equal(module(x), module(x))
    module.eval()
    assert torch.equal(module(x), module(x))


def test_residual_layers_pass_their_input_on():
    module = MLP((4, 4), residual=True).build(4, 4)
    for name, weight in module.named_parameters():
        if "inner" in name:
            nn.init.zeros_(weight)
    x = torch.ones(1, 4)
    torch.testing.assert_close(module(x), module[-1](x))


@pytest.mark.parametrize("spec", [MLP((4,)), ConvNet((4, 4), channels=(2,), hidden=4), nn.Linear])
def test_two_builds_have_weights_of_their_own(spec):
    first, second = (build_network(spec, 16, 2) for _ in range(2))
    weights = [[p for p in net.parameters() if p.ndim > 1] for net in (first, second)]
    assert not any(torch.equal(*pair) for pair in zip(*weights, strict=True))


def test_a_module_is_copied_and_a_step_does_not_reach_it():
    module = nn.Linear(4, 2)
    before = module.weight.detach().clone()
    built = build_network(module, 4, 2)
    optimiser = torch.optim.SGD(built.parameters(), lr=1.0)
    built(torch.ones(3, 4)).sum().backward()
    optimiser.step()
    assert torch.equal(module.weight, before) and not torch.equal(built.weight, before)


def test_the_copy_starts_with_the_weights_of_the_module():
    module = nn.Linear(4, 2)
    assert torch.equal(build_network(module, 4, 2).weight, module.weight)


class Narrow(nn.Module):
    """Gives a vector in the place of rows."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.inner = nn.Linear(n_in, n_out)

    def forward(self, x):
        return self.inner(x)[:, 0]


def test_an_output_without_columns_is_refused():
    with pytest.raises(
        ValueError, match=r"encoder gives shape \(2,\) for rows .*expected .*\(2, 1"
    ):
        build_network(Narrow, 4, 1, "encoder")


def test_the_widths_reach_a_factory():
    seen = []

    def factory(n_in, n_out):
        seen.append((n_in, n_out))
        return nn.Linear(n_in, n_out)

    build_network(factory, 4, 2)
    assert seen == [(4, 2)]
