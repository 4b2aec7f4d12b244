"""Networks have the widths they are asked for; the user's own stay as they are."""

import math
import pickle

import pytest
import torch
from sklearn.base import clone
from torch import nn

from skotae.networks import ACTIVATIONS, MLP, ConvNet, LinearPath, build_network


@pytest.fixture(autouse=True)
def seeded():
    """Weights come from torch's global generator, which is lent to each test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


SHAPES = [
    (28, 28),
    (32, 32),
    (7, 9),
    (8, 8),
    (5, 4),
    (1, 28, 28),
    (3, 32, 32),
    (2, 7, 9),
]


def linear(n_in, n_out):
    return nn.Linear(n_in, n_out)


@pytest.mark.parametrize(
    "spec",
    [
        MLP(),
        MLP(hidden_layer_sizes=()),
        MLP(hidden_layer_sizes=7),
        MLP(hidden_layer_sizes=[8, 8, 4], batch_norm=True, dropout=0.5, residual=True),
        "mlp",
        nn.Linear(5, 3),
        nn.Linear,
        linear,
        nn.LazyLinear(3),
    ],
    ids=lambda spec: getattr(spec, "__name__", str(spec)),
)
def test_build_network_takes(spec):
    module = build_network(spec, 5, 3, "encoder")
    assert module(torch.randn(4, 5)).shape == (4, 3)
    assert all(part.training for part in module.modules())
    again = pickle.loads(pickle.dumps(module)).eval()
    x = torch.ones(2, 5)
    assert torch.equal(module.eval()(x), again(x))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    module = MLP((4,), activation=activation).build(3, 2)
    assert isinstance(module[1], ACTIVATIONS[activation])


def test_mlp_layers_are_what_is_asked_for():
    module = MLP((8, 8), batch_norm=True, dropout=0.1, residual=True).build(4, 2)
    kinds = [type(part).__name__ for part in module.modules()]
    assert kinds.count("Residual") == 1  # 4 -> 8 cannot be one, 8 -> 8 can
    assert kinds.count("BatchNorm1d") == kinds.count("Dropout") == 2
    block = next(part for part in module if type(part).__name__ == "Residual")
    x = torch.randn(3, 8)
    block.eval()
    assert torch.equal(block(x), x + block.inner(x))


@pytest.mark.parametrize(
    ("spec", "parameter"),
    [
        (MLP(hidden_layer_sizes=(4, 0)), "hidden_layer_sizes"),
        (MLP(hidden_layer_sizes=(4.5,)), "hidden_layer_sizes"),
        (MLP(activation="relo"), "activation='relo'"),
        (MLP(dropout=1.0), "dropout"),
        (ConvNet(image_shape=(8,)), "image_shape"),
        (ConvNet(image_shape=(4, 4), channels=(2, 2, 2)), "too small"),
        (ConvNet(image_shape=(28, 28, 1)), "channels first"),
        (ConvNet(channels=()), "channels"),
        (ConvNet(kernel_size=1), "kernel_size"),
        (ConvNet(), r"image_shape=\(28, 28\) has 784 pixels; got a network from 5 to 3"),
    ],
)
def test_bad_parameters_are_named(spec, parameter):
    with pytest.raises(ValueError, match=parameter):
        spec.build(5, 3)


@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_convolutions_have_exact_sizes(shape, kernel_size):
    spec = ConvNet(shape, channels=(3, 4), kernel_size=kernel_size, hidden=6)
    n_pixels = math.prod(shape)
    encoder = build_network(spec, n_pixels, 2, "encoder")
    decoder = build_network(spec, 2, n_pixels, "decoder")
    z = encoder(torch.randn(3, n_pixels))
    assert z.shape == (3, 2)
    assert decoder(z).shape == (3, n_pixels)


def test_convolution_rows_are_in_c_order():
    spec = ConvNet((2, 6, 6), channels=(2,), batch_norm=False)
    encoder = spec.build(72, 3)
    image = torch.randn(1, 2, 6, 6)
    layers = list(encoder)[1:]  # without the step from rows to images
    assert torch.equal(encoder(image.reshape(1, -1)), nn.Sequential(*layers)(image))


def test_convolutions_learn_an_image():
    decoder = ConvNet((7, 9), channels=(4, 8), hidden=16).build(2, 63)
    z, target = torch.randn(16, 2), torch.ones(16, 63)
    optimiser = torch.optim.Adam(decoder.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss = (decoder(z) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_conv_module_pickles():
    module = ConvNet((8, 8), channels=(2,), hidden=4).build(64, 2).eval()
    x = torch.randn(2, 64)
    assert torch.equal(module(x), pickle.loads(pickle.dumps(module))(x))


def test_weights_follow_the_global_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return MLP((4,)).build(3, 2)[0].weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


# --- what a user passes ----------------------------------------------------------------


def test_users_module_is_copied_and_left_alone():
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).double()
    module[1].eval()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    built = build_network(module, 4, 3, "encoder")
    assert built is not module
    assert built[0].weight.dtype == torch.float32 and module[0].weight.dtype == torch.float64
    assert built.training and not built[1].training  # as the user left them
    with torch.no_grad():
        built[0].weight.zero_()
    built(torch.randn(5, 4))
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_building_does_not_touch_batch_statistics():
    for start in ("pca", "random"):
        built = build_network(MLP((4,), batch_norm=True, start=start), 3, 2, "encoder")
        (norm,) = (part for part in built.modules() if isinstance(part, nn.BatchNorm1d))
        assert norm.num_batches_tracked == 0


class Complex(nn.Linear):
    def forward(self, x):
        return super().forward(x).to(torch.complex64)


class Attention(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.inner = nn.Linear(n_in, n_out)

    def forward(self, x):
        return self.inner(x), x


class OfAnother(nn.Linear):
    """With a tensor that is neither a parameter nor a buffer."""

    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out)
        self.twice = 2 * self.weight

    def forward(self, x):
        return nn.functional.linear(x, self.twice)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        (nn.Linear(5, 2), ValueError, r"decoder gives shape \(2, 2\).*expected shape \(2, 3\)"),
        (nn.Linear(4, 3), ValueError, r"decoder does not take rows of shape \(2, 5\)"),
        (Attention, ValueError, "decoder gives tuple"),
        (Complex, ValueError, "decoder gives numbers of dtype torch.complex64; expected torch.fl"),
        ("mpl", ValueError, r"decoder='mpl' is not known; expected one of \['mlp'\]"),
        (MLP, TypeError, r"decoder=MLP is a class; expected an instance"),
        (3, TypeError, "decoder=3 is not a network"),
        (None, TypeError, "decoder=None is not a network"),
        (lambda n_in, n_out: 1, TypeError, "returned an object of type int"),
        (lambda n: 1, TypeError, r"^decoder=<function .* called with \(n_in, n_out\) = \(5, 3\)"),
        (
            nn.ReLU,
            TypeError,
            r"^decoder=<class '.*ReLU'> cannot be called with .*; expected a spec",
        ),
        (OfAnother(5, 3), ValueError, r"^decoder=OfAnother\(.* cannot be copied \(Only Tensors"),
    ],
)
def test_errors_name_the_role(spec, error, message):
    with pytest.raises(error, match=message):
        build_network(spec, 5, 3, "decoder")


def test_errors_within_a_function_are_its_own():
    def network(n_in, n_out):
        return nn.Linear(n_in)

    with pytest.raises(TypeError, match=r"^Linear\.__init__\(\) missing"):
        build_network(network, 5, 3)


class Half(nn.Linear):
    def forward(self, x):
        return super().forward(x).half()


def test_codes_are_in_the_dtype_of_the_networks():
    with pytest.raises(ValueError, match="^encoder gives numbers of dtype torch.float16; expected"):
        build_network(Half, 5, 3, "encoder")
    build_network(Half, 5, 3, "decoder")  # the cost takes them as they are


def test_specs_are_searchable():
    for spec in (MLP(), ConvNet()):
        before = dict(vars(spec))
        assert clone(spec).set_params(activation="elu").activation == "elu"
        if isinstance(spec, MLP):
            spec.build(3, 2)
        else:
            spec.build(784, 2)
        assert vars(spec) == before


@pytest.mark.parametrize("n_in, n_out", [(2, 5), (5, 2)])
def test_adding_to_a_linear_path(n_in, n_out):
    path = LinearPath(nn.Linear(n_in, n_out), n_in, n_out)
    generator = torch.Generator().manual_seed(0)
    weight, more = (torch.randn(n_out, n_in, generator=generator) for _ in range(2))
    path.begin(weight, torch.randn(n_out, generator=generator))
    with torch.no_grad():
        path.gain.copy_(torch.randn(path.gain.shape, generator=generator))
        x = torch.randn(7, n_in, generator=generator)
        expected = path(x) + x @ more.T
        path.add(more)
        torch.testing.assert_close(path(x), expected)


def test_a_network_counts_for_as_little_as_its_outputs_may_be_off_by():
    path = LinearPath(nn.Linear(3, 3), 3, 3)
    weight, x = torch.eye(3), torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    path.begin(weight[:2], torch.zeros(2), torch.tensor([0.03, torch.inf]))
    with torch.no_grad():
        beside = path(x) - torch.cat([x[:, :2], torch.zeros(7, 1)], dim=1)
        alone = path.net(x)
    torch.testing.assert_close(beside, torch.tensor([0.1, 1.0, 1.0]) * alone)


def test_a_network_counts_in_full_where_its_outputs_may_be_far_off():
    path = LinearPath(nn.Linear(3, 2), 3, 2)
    path.begin(torch.ones(2, 3), torch.zeros(2), torch.tensor([0.5, torch.inf]))
    assert path.share is None
