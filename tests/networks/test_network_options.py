"""Sizes at the edge, options, and messages of the networks."""

import math

import pytest
import torch
from torch import nn

from skotae.networks import MLP, ConvNet, build_network
from skotae.networks.base import is_fixed


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
        (ConvNet((8, 8), gated=1), "gated=1"),
        (ConvNet((8, 8), n_residual=-1), "n_residual=-1"),
        (ConvNet((8, 8), weight_scale=0.0), "weight_scale=0.0"),
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


FORMS = {
    "dcgan": {"hidden": None, "weight_scale": 0.02},
    "gated": {"gated": True, "batch_norm": False},
    "residual": {"n_residual": 2},
    "all": {"gated": True, "n_residual": 1, "hidden": None, "weight_scale": 0.1},
}
OF_PAPERS = [(28, 28), (32, 32), (64, 64), (3, 32, 32), (3, 64, 64), (7, 9)]


@pytest.mark.parametrize("shape", OF_PAPERS, ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_convolutional_networks(form, shape):
    spec = ConvNet(shape, channels=(2, 3), **{"hidden": 4, **FORMS[form]})
    n_pixels = math.prod(shape)
    encoder, decoder = build_network(spec, n_pixels, 3), build_network(spec, 3, n_pixels)
    x = torch.rand(4, n_pixels)
    y = decoder(encoder(x))
    assert y.shape == x.shape
    y.square().sum().backward()
    for part in (encoder, decoder):
        assert all(p.grad is not None and p.grad.isfinite().all() for p in part.parameters())


def test_the_dcgan_form_has_no_dense_layer():
    spec = ConvNet((8, 8), (2, 3), hidden=None, batch_norm=True)
    kinds = [type(part).__name__ for part in spec.build(64, 5)]
    block = ["Conv2d", "BatchNorm2d", "ReLU"]
    assert kinds == ["Unflatten", *block, *block, "Flatten", "Linear"]
    kinds = [type(part).__name__ for part in spec.build(5, 64)]
    block = ["BatchNorm2d", "ReLU", "ConvTranspose2d"]
    assert kinds == ["Linear", "Unflatten", *block, *block, "Flatten"]


def test_a_gate_is_a_product():
    net = ConvNet((4, 4), (1,), hidden=None, gated=True, batch_norm=False).build(16, 2)
    first = net[1]
    x = torch.randn(3, 16)
    maps = first(x.unflatten(1, (1, 4, 4)))
    assert maps.shape[1] == 2
    gated = maps[:, :1] * maps[:, 1:].sigmoid()
    torch.testing.assert_close(net(x), net[-1](gated.flatten(1)))


def test_residual_blocks_add_to_their_input():
    net = ConvNet((4, 4), (2,), hidden=None, batch_norm=False, n_residual=2).build(16, 2)
    blocks = [part for part in net if type(part).__name__ == "Residual"]
    assert len(blocks) == 2
    x = torch.randn(3, 2, 2, 2)
    for block in blocks:
        torch.testing.assert_close(block(x), x + block.inner(x))
        last = block.inner[-1]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        assert torch.equal(block(x), x)


def test_weights_have_the_scale():
    net = ConvNet((28, 28), weight_scale=0.02).build(784, 10)
    weights = torch.cat([p.flatten() for n, p in net.named_parameters() if p.ndim > 1])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    biases = [p for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d) for p in [m.bias]]
    assert all((bias == 0).all() for bias in biases)


@pytest.mark.parametrize("form", FORMS)
def test_forms_learn_an_image(form):
    """From codes, better than the mean by far."""
    spec = ConvNet((8, 8), channels=(8, 16), **{"hidden": 32, **FORMS[form]})
    z, x = torch.randn(16, 4), torch.rand(16, 64)
    net = spec.build(4, 64)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(200):
        optimiser.zero_grad()
        loss = (net(z) - x).square().mean()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.2 * x.var(0).mean().item()


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


class Own(nn.Sequential):
    """A user's own, which may do anything."""


@pytest.mark.parametrize(
    ("net", "fixed"),
    [
        (MLP((4,)), True),
        (MLP((4, 4), "gelu", residual=True), True),
        (MLP((4,), batch_norm=True), False),
        (MLP((4,), dropout=0.5), False),
        (ConvNet((4, 4), (2,), batch_norm=False, gated=True, n_residual=1), True),
        (ConvNet((4, 4), (2,)), False),
        (nn.Sequential(nn.Linear(16, 2), nn.LayerNorm(2)), True),
        (Own(nn.Linear(16, 2)), False),
        (nn.utils.spectral_norm(nn.Linear(16, 2)), False),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(16, 2)), False),
    ],
    ids=str,
)
def test_networks_that_are_known_to_be_functions_of_a_row(net, fixed):
    assert is_fixed(build_network(net, 16, 2)) == fixed
