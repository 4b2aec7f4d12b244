"""Checks of priors, costs, divergences and networks, each by itself."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor

from skotae.costs.base import CostModule
from skotae.priors import NormalPrior
from skotae.testing.base import unchanged_globals
from skotae.testing.generators import permuted_shift


def check_prior(prior: Any, n_components: int = 3) -> None:
    """Check that a prior keeps the contract of :class:`~skotae.priors.BasePrior`.

    Parameters
    ----------
    prior : BasePrior
        The prior; it is not changed.
    n_components : int, default=3
        A dimension that it accepts.

    Raises
    ------
    AssertionError
        If it does not.

    Examples
    --------
    >>> from skotae.priors import SpherePrior
    >>> from skotae.testing import check_prior
    >>> check_prior(SpherePrior(radius=2.0))
    """
    _check_spec(prior)
    d = n_components
    prior.check_dimension(d)
    _raises(ValueError, "n_components", prior.check_dimension, 0)
    for dtype in (torch.float32, torch.float64):
        with unchanged_globals("sample with a generator"):
            z = prior.sample(200, d, _generator(0), dtype=dtype)
            same = prior.sample(200, d, _generator(0), dtype=dtype)
            other = prior.sample(200, d, _generator(1), dtype=dtype)
        _check_tensor(z, "sample", (200, d), dtype)
        assert torch.isfinite(z).all() and not z.requires_grad
        assert torch.equal(z, same), "one generator state, two samples"
        assert not torch.equal(z, other), "the generator has no effect on sample"
        assert prior.sample(1, d, _generator(0), dtype=dtype).shape == (1, d)
    _check_head(prior, d)
    for t, end in ((0.0, z[:5]), (1.0, z[5:10])):
        torch.testing.assert_close(prior.interpolate(z[:5], z[5:10], t), end)
    middle = prior.interpolate(z[:5], z[5:10], torch.full((5, 1), 0.5, dtype=z.dtype))
    assert middle.shape == (5, d) and torch.isfinite(middle).all()
    if hasattr(prior, "log_prob"):
        value = prior.log_prob(z)
        assert value.shape == (200,) and value.dtype == z.dtype, "one log_prob for each row"
        assert torch.isfinite(value).all(), "log_prob of the prior's own draws is not finite"
        torch.testing.assert_close(prior.log_prob(z.reshape(2, 100, d)), value.reshape(2, 100))
    if hasattr(prior, "moments"):
        mean, covariance = prior.moments(d)
        assert mean.shape == (d,) and covariance.shape == (d, d), "shapes of moments"
        assert mean.dtype == covariance.dtype == torch.float64, "moments are in float64"
        many = prior.sample(50_000, d, _generator(2), dtype=torch.float64)
        spread = float(covariance.diagonal().max().sqrt())
        torch.testing.assert_close(many.mean(0), mean, rtol=0, atol=0.05 * spread)
        torch.testing.assert_close(many.T.cov(), covariance, rtol=0, atol=0.1 * spread**2)


def _check_head(prior: Any, d: int) -> None:
    """The encoder's last layer takes anything onto the support, with finite gradients."""
    head = prior.head(d)
    for dtype in (torch.float32, torch.float64):
        x = torch.cat([torch.randn(20, d, generator=_generator(0)), torch.zeros(2, d)]).to(dtype)
        for scale in (1e-6, 1.0, 1e6):
            raw = (scale * x).requires_grad_()
            z = copy.deepcopy(head).to(dtype)(raw)
            assert z.shape == (22, d) and z.dtype == dtype and torch.isfinite(z).all()
            (gradient,) = torch.autograd.grad(z.square().sum(), raw, allow_unused=True)
            assert gradient is not None, "the head of the prior passes no gradient on"
            assert torch.isfinite(gradient).all(), "the head's gradient is not finite"
    if hasattr(prior, "log_prob"):
        on_support = head(torch.randn(20, d, generator=_generator(1))).detach()
        assert torch.isfinite(prior.log_prob(on_support)).all(), "codes have no density"


def check_cost(cost: Any, n_features: int = 4) -> None:
    """Check that a cost keeps the contract of :class:`~skotae.costs.BaseCost`.

    Parameters
    ----------
    cost : BaseCost
        The cost; it is tried on values in [0, 1].
    n_features : int, default=4
        Width of the rows.

    Raises
    ------
    AssertionError
        If it does not.

    Examples
    --------
    >>> from skotae.costs import CityBlockCost
    >>> from skotae.testing import check_cost
    >>> check_cost(CityBlockCost())
    """
    _check_spec(cost)
    data, decoded = (torch.rand(n, n_features, generator=_generator(n)) for n in (7, 5))
    cost.check_data(data.numpy())
    for dtype in (torch.float32, torch.float64):
        x, y = data.to(dtype), decoded.to(dtype)
        pairs = cost(x[:, None], y)
        _check_tensor(pairs, "the cost of rows (7, 1, d) and (5, d)", (7, 5), dtype)
        torch.testing.assert_close(cost.pairwise(x, y), pairs, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(cost(x[:5], y), pairs.diagonal())
        y.requires_grad_()
        (gradient,) = torch.autograd.grad(cost(x[:5], y).sum(), y)
        assert torch.isfinite(gradient).all() and bool((gradient != 0).any())
    if cost.degree is not None:
        scaled = cost(3.0 * x[:5], 3.0 * y)
        torch.testing.assert_close(scaled, 3.0**cost.degree * cost(x[:5], y))
        back = cost.in_data_units(cost(x[:5] / 3, y / 3).detach().numpy(), n_features, 3.0)
        np.testing.assert_allclose(back, cost(x[:5], y).detach().numpy(), rtol=1e-6)
    if cost.by_column:
        # Columns with scales of their own: log-densities are those of the data.
        values = cost(x[:5], y).detach().numpy()
        own, one = (
            cost.in_data_units(values, n_features, s) for s in (np.full(n_features, 3.0), 3.0)
        )
        np.testing.assert_allclose(own, one if cost.likelihood else values, rtol=1e-6)
    if cost.standardise:
        torch.testing.assert_close(cost(x[:5] + 1, y + 1), cost(x[:5], y))
    unit = cost.unit(data.numpy(), data.numpy().mean(axis=0))
    assert isinstance(unit, float) and unit > 0, f"unit is {unit!r}"
    _check_cost_module(cost.build(n_features, 2.0), data, cost.n_outputs(n_features))


def _check_cost_module(module: CostModule, x: Tensor, n_outputs: int) -> None:
    """What a decoder is trained with agrees with itself."""
    raw = torch.randn(5, n_outputs, generator=_generator(0))
    y = module.decode(raw)
    assert y.shape == (5, x.shape[1])
    pairs = [
        (module.pairwise_from_raw(x, raw), module.from_raw(x[:, None], raw)),
        (module.pairwise(x, y), module(x[:, None], y)),
    ]
    if n_outputs == x.shape[1]:
        pairs += [
            (module.from_raw(x[:5], raw), module(x[:5], y)),
            (module.pairwise_from_raw(x, raw), module.pairwise(x, y)),
        ]
    for got, expected in pairs:
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    for scale in (1.0, 100.0):
        extreme = (scale * raw).requires_grad_()
        for value in (module.from_raw(x[:5], extreme), module.pairwise_from_raw(x, extreme)):
            assert torch.isfinite(value).all(), "the cost of a far-off output is not finite"
            (gradient,) = torch.autograd.grad(value.sum(), extreme)
            assert torch.isfinite(gradient).all(), "the gradient is not finite"
    copy.deepcopy(module)


def check_divergence(divergence: Any, prior: Any = None, n_components: int = 3) -> None:
    """Check that a divergence keeps the contract of :class:`~skotae.divergences.BaseDivergence`.

    Parameters
    ----------
    divergence : BaseDivergence
        The divergence; one that learns is checked as its ``build`` returns it.
    prior : BasePrior, default=None
        A prior that it accepts; None stands for a normal one.
    n_components : int, default=3
        Dimension of the codes.

    Raises
    ------
    AssertionError
        If it does not.

    Examples
    --------
    >>> from skotae.divergences import SlicedDivergence
    >>> from skotae.testing import check_divergence
    >>> check_divergence(SlicedDivergence(n_projections=10))
    """
    _check_spec(divergence)
    prior = NormalPrior() if prior is None else prior
    required = divergence.prior_required
    assert all(hasattr(prior, name) for name in required), f"the prior lacks one of {required}"
    with torch.random.fork_rng(devices=[]):
        built = divergence.build(prior, n_components)
    y = prior.sample(30, n_components, _generator(0))
    shifted = prior.sample(20, n_components, _generator(1)) + 1.0
    duplicates = shifted[:2].repeat(10, 1)
    for z in (shifted, duplicates, shifted[:2]):
        z = z.clone().requires_grad_()
        with unchanged_globals("the divergence"):
            value = built(z, y[: max(len(z), 4)], generator=_generator(2))
            same = built(z, y[: max(len(z), 4)], generator=_generator(2))
        _check_tensor(value, "the divergence", (), z.dtype)
        assert torch.isfinite(value), f"the divergence is {value}"
        assert torch.equal(value, same), "the divergence is not reproducible"
        assert value.requires_grad, "the divergence has no gradient for codes"
        (gradient,) = torch.autograd.grad(value, z)
        assert torch.isfinite(gradient).all(), "the gradient is not finite"
    if divergence.prior_gradient:
        # What is built for a prior that does not learn may know it, and not look at draws.
        draws = y.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(
            divergence(shifted, draws, generator=_generator(2)), draws
        )
        assert torch.isfinite(gradient).all() and gradient.norm() > 0, "prior_gradient, but none"
    x, far, _ = permuted_shift(64, n_components, 3.0, dtype=torch.float32, random_state=0)
    z = far.clone().requires_grad_()
    value = built(z, x, generator=_generator(2))
    (gradient,) = torch.autograd.grad(value, z)
    assert gradient.norm() > 0, "the gradient vanishes for clouds that are apart"
    step = 0.05 * far.norm() * gradient / gradient.norm()
    assert built(far - step, x, generator=_generator(2)) < value, "the gradient points upwards"
    if not isinstance(built, torch.nn.Module):
        near = built(x.flip(0), x, generator=_generator(2))
        assert near < value, "clouds that are apart are no further than equal ones"
    equal = torch.full((len(far),), 1.0 / len(far))
    try:
        weighted = built(far, x, weights=equal, generator=_generator(2))
    except ValueError as error:
        assert "weights" in str(error), "refusing weights, the message does not name them"
    else:
        torch.testing.assert_close(weighted, value.detach(), rtol=1e-3, atol=1e-4)


def check_network(spec: Any, n_in: int = 5, n_out: int = 3) -> None:
    """Check that a network spec keeps the contract of :class:`~skotae.networks.BaseNetwork`.

    Parameters
    ----------
    spec : BaseNetwork
        The spec; it is not changed.
    n_in, n_out : int
        Widths that it accepts.

    Raises
    ------
    AssertionError
        If it does not.

    Examples
    --------
    >>> from skotae.networks import MLP
    >>> from skotae.testing import check_network
    >>> check_network(MLP((8,)))
    """
    _check_spec(spec)

    def build(seed: int) -> torch.nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            module = spec.build(n_in, n_out)
        kind = type(module).__name__
        assert isinstance(module, torch.nn.Module), f"build returns {kind}; expected a Module"
        return module

    module, same, other = build(0), build(0), build(1)
    x = torch.randn(6, n_in, generator=_generator(0))
    for part in (module, same, other):
        part.eval()
    out = module(x)
    _check_tensor(out, f"the network, of rows {tuple(x.shape)},", (6, n_out), torch.float32)
    assert torch.isfinite(out).all(), "the network's outputs are not finite"
    assert torch.equal(out, same(x)), "equal seeds, other weights"
    assert not torch.equal(out, other(x)), "weights do not depend on the seed"
    shared = {id(p) for p in module.parameters()} & {id(p) for p in same.parameters()}
    assert not shared, "two modules share weights"
    assert module.double()(x.double()).dtype == torch.float64
    same.train()
    with torch.random.fork_rng(devices=[]):
        same(x).square().sum().backward()
    for name, parameter in same.named_parameters():
        assert parameter.grad is not None, f"{name} gets no gradient"
        assert torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite"
    torch.testing.assert_close(pickle.loads(pickle.dumps(module))(x.double()), module(x.double()))


def _check_tensor(value: Any, what: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """What a part returns is a tensor, of the shape and the dtype that are asked for."""
    found: Any = type(value).__name__
    if isinstance(value, Tensor):
        found = f"{value.dtype} of shape {tuple(value.shape)}"
    expected = f"{dtype} of shape {shape}"
    assert found == expected, f"{what} returns {found}; expected a tensor of {expected}"


def _check_spec(part: Any) -> None:
    """A part is a small estimator: parameters, clone, pickle, set_params, repr."""
    params = part.get_params(deep=False)
    for name, value in params.items():
        assert getattr(part, name) is value, f"__init__ does not assign {name} as it is"
    assert not any(isinstance(value, Tensor) for value in params.values()), "a live tensor"
    for same in (clone(part), pickle.loads(pickle.dumps(part)), clone(part).set_params(**params)):
        assert type(same) is type(part)
        assert _description(same) == _description(part), f"{same!r} is not {part!r}"
    attributes = set(vars(part)) - set(params)
    assert not attributes, f"attributes that are no parameters: {sorted(attributes)}"


def _description(part: Any) -> str:
    """What `part` looks like, but for the addresses of objects."""
    return re.sub(r"0x[0-9a-f]+", "", repr(part))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _raises(error: type[Exception], word: str, function: Any, *args: Any) -> None:
    try:
        function(*args)
    except error as raised:
        assert word in str(raised), f"the message does not name {word}: {raised}"
    else:
        raise AssertionError(f"{function.__name__}{args} raised nothing; expected {error.__name__}")
