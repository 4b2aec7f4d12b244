"""Parts of skotae, distributions, and code of a user's own that has to be trusted."""

import inspect
import sys

import numpy as np
import pytest
import torch
from scipy import stats
from torch import distributions, nn

from skotae.costs import CallableCost, GaussianCost, SquaredEuclideanCost
from skotae.divergences import MMD, AdversarialDivergence
from skotae.exceptions import (
    CorruptFileError,
    PersistenceError,
    UnsavableError,
    UntrustedError,
)
from skotae.networks import MLP, ConvNet
from skotae.persistence.format import codec, strict_json
from skotae.persistence.format._parts import PARTS
from skotae.priors import (
    AtomsPrior,
    DirichletPrior,
    DistributionPrior,
    GaussianMixturePrior,
    NormalPrior,
)

from .conftest import same


def round_trip(value, trusted=()):
    node, tensors = codec.encode({"part": value})
    return codec.decode(strict_json.parse(strict_json.dump(node)), tensors, trusted)["part"]


DEFAULT = [
    cls
    for cls in PARTS.values()
    if all(p.default is not p.empty for p in inspect.signature(cls).parameters.values())
]


def test_every_public_part_is_known():
    assert {"skotae.networks.MLP", "skotae.priors.NormalPrior", "skotae.divergences.MMD"} <= {
        *PARTS
    }
    assert len(PARTS) >= 22


@pytest.mark.parametrize("cls", DEFAULT, ids=lambda cls: cls.__name__)
def test_parts_by_default(cls):
    assert same(round_trip(cls()), cls())


@pytest.mark.parametrize(
    "part",
    [
        MLP((16, np.int64(8)), activation=np.str_("tanh"), dropout=0.1),
        MLP(hidden_layer_sizes=np.array([4, 5])),
        ConvNet(image_shape=(3, 8, 8), channels=[4, 8]),
        ConvNet((8, 8), (4,), hidden=None, gated=True, n_residual=1, weight_scale=0.02),
        AtomsPrior([[0.0, 1.0], [1.0, 0.0]], weights=np.array([1, 3])),
        AtomsPrior(torch.eye(3)),
        DirichletPrior(np.float32(0.3), learn=True),
        GaussianMixturePrior(n_mixtures=3, means=np.eye(3), weights=(1, 2, 3)),
        GaussianCost(variance=0.1),
        SquaredEuclideanCost(bounds=(0, np.inf)),
        MMD(scales=(0.5, 2.0)),
        AdversarialDivergence(hidden_layer_sizes=(4,)),
    ],
    ids=lambda part: type(part).__name__,
)
def test_parts(part):
    assert same(round_trip(part), part)


def name_of(distribution):
    """The same in every process, which what scipy prints is not."""
    return type(getattr(distribution, "dist", distribution)).__name__


SCIPY = [
    stats.norm(),
    stats.t(df=5),
    stats.beta(2, 3, loc=-1, scale=2),
    stats.norm([0.0, 1.0], [1.0, 2.0]),
    stats.laplace(loc=np.array([0.0, 1.0])),
]
TORCH = [
    distributions.Normal(0.0, 1.0),
    distributions.Laplace(torch.zeros(3), torch.ones(3)),
    distributions.Beta(2.0, 3.0),
    distributions.Dirichlet(torch.tensor([1.0, 2.0, 3.0])),
    distributions.Uniform(-1.0, 1.0),
    distributions.LogNormal(0.0, 0.5),
    distributions.StudentT(5.0),
    distributions.Gumbel(0.0, 1.0),
    distributions.Chi2(torch.tensor(3.0, dtype=torch.float64)),
    distributions.MultivariateNormal(torch.zeros(2), torch.tensor([[2.0, 0.3], [0.3, 1.0]])),
    distributions.MultivariateNormal(torch.zeros(2), precision_matrix=torch.eye(2) * 3),
    distributions.Independent(distributions.Gamma(torch.ones(2), torch.ones(2)), 1),
]


@pytest.mark.parametrize("distribution", SCIPY + TORCH, ids=name_of)
def test_distributions(distribution):
    prior = DistributionPrior(distribution)
    back = round_trip(prior)
    d = prior.min_components
    draws = [p.sample(4, d, torch.Generator().manual_seed(0)) for p in (prior, back)]
    assert torch.equal(*draws)
    if hasattr(prior, "log_prob"):
        z = draws[0].double() if distribution in SCIPY else draws[0]
        assert torch.equal(prior.log_prob(z), back.log_prob(z))
    if hasattr(prior, "moments"):
        assert all(map(torch.equal, prior.moments(d), back.moments(d)))


class Own(stats.rv_continuous):
    def _pdf(self, x):
        return x


@pytest.mark.parametrize(
    "distribution",
    [
        stats.poisson(3),
        stats.multivariate_normal(np.zeros(2)),
        stats.irwinhall(3),
        stats.gaussian_kde([0.0, 1.0, 3.0]),
        stats.rv_histogram(np.histogram([0.0, 1.0, 3.0]))(),
        stats.norm(np.zeros((2, 2))),
        Own(name="norm")(),
        distributions.Normal(torch.zeros(2, 1), torch.ones(2)),
        distributions.MultivariateNormal(torch.zeros(3, 2), torch.eye(2)),
        distributions.Poisson(3.0),
        distributions.MixtureSameFamily(
            distributions.Categorical(torch.ones(2)), distributions.Normal(torch.zeros(2), 1.0)
        ),
        distributions.TransformedDistribution(distributions.Normal(0.0, 1.0), []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_distributions_are_refused(distribution):
    with pytest.raises(UnsavableError, match=r"prior\.distribution.*BasePrior"):
        codec.encode({"prior": DistributionPrior(distribution)})


def test_users_code_by_name(user_code):
    cases = {
        "user_code.Scaled": user_code.Scaled,
        "user_code.Scaled.Inner": user_code.Scaled.Inner,
        "user_code.cost": user_code.cost,
        "user_code.Spec": user_code.Spec(width=5),
        "user_code.Prior": user_code.Prior(means=np.eye(2)),
        "torch.nn.modules.linear.Linear": nn.Linear,
    }
    for path, value in cases.items():
        back = round_trip(value, [path])
        assert back is value if isinstance(value, type) or callable(value) else same(back, value)
        with pytest.raises(UntrustedError) as caught:
            round_trip(value, ["user_code", "user_code.*", path.upper(), path + "x"])
        assert f"trusted=['{path}']" in str(caught.value)


def test_all_that_is_not_trusted_is_named_at_once(user_code):
    node, tensors = codec.encode(
        {"a": CallableCost(user_code.cost), "b": [user_code.Spec()], "c": {1: user_code.Scaled}}
    )
    with pytest.raises(UntrustedError) as caught:
        codec.decode(node, tensors, ["user_code.cost"])
    assert "trusted=['user_code.Scaled', 'user_code.Spec']" in str(caught.value)


def test_users_code_that_is_refused(user_code, monkeypatch):
    def inner(x, y):
        return x

    class Inner(user_code.Spec):
        pass

    with torch.random.fork_rng(devices=[]):
        live = user_code.Scaled(1, 2)
    moved = type("Moved", (user_code.Spec,), {"__module__": "user_code"})
    main = type("Mine", (nn.Module,), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Mine", main, raising=False)
    for value, message in {
        inner: "top level of a module",
        user_code.renamed: "top level of a module",
        Inner(): "top level of a module",
        main: "top level of a module",
        moved: "imported under its own name",
        user_code.Bare(): "user_code.Bare; expected None",
        live: "live module",
        user_code.Bare().__call__: "method; expected None",
        user_code.Careless(): "lost a parameter",
        user_code.Estimator(): "estimator of its own",
    }.items():
        with pytest.raises(UnsavableError) as caught:
            codec.encode({"critic": value})
        assert message in str(caught.value) and str(caught.value).startswith("critic")


def node_of(kind, **fields):
    return {"it": {"$": kind, **fields}}


def test_trust_imports_nothing_else(canary):
    for module, qualname in [
        ("skotae_canary", "call"),
        ("skotae_canary", "os.system"),
        ("os", "system"),
        ("builtins", "eval"),
    ]:
        for kind in ("object", "instance"):
            with pytest.raises(PersistenceError):
                node = node_of(kind, module=module, qualname=qualname, params={})
                codec.decode(node, {}, ["os.path", "user_code.Spec"])


def test_trusted_names_that_are_not_there(user_code):
    for module, qualname in [("no_such_module", "x"), ("user_code", "gone"), ("os", "path.gone")]:
        with pytest.raises(PersistenceError, match="cannot be imported here") as caught:
            node = node_of("object", module=module, qualname=qualname)
            codec.decode(node, {}, [f"{module}.{qualname}"])
        assert type(caught.value) is PersistenceError


def test_trusted_names_that_are_something_else(user_code):
    with pytest.raises(CorruptFileError, match="neither a class nor a function"):
        node = node_of("object", module="user_code", qualname="np")
        codec.decode(node, {}, ["user_code.np"])
    with pytest.raises(CorruptFileError, match="no class with get_params"):
        node = node_of("instance", module="user_code", qualname="cost", params={})
        codec.decode(node, {}, ["user_code.cost"])
    with pytest.raises(CorruptFileError, match="Spec does not take the parameters"):
        node = node_of("instance", module="user_code", qualname="Spec", params={"no": 1})
        codec.decode(node, {}, ["user_code.Spec"])


def test_a_part_of_a_subclass_is_not_its_base(user_code):
    """What a subclass of a user's changes would be lost under the name of its base."""
    node, _ = codec.encode({"it": user_code.Prior()})
    assert node["it"]["$"] == "instance"
    assert node["it"]["module"] == "user_code"
    assert isinstance(round_trip(NormalPrior()), NormalPrior)
