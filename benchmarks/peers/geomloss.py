"""``SamplesLoss`` of geomloss over functions of skotae, setting by setting.

    python benchmarks/peers/geomloss.py [--quick]

A thin shim takes the place of ``geomloss.SamplesLoss``. Both are called with every combination of
loss, power, blur, reach, debiasing, weights, batches, potentials, and a cost or kernel of one's
own, on small clouds in float64; values or potentials, and the gradients of values for the points of
the first cloud, are compared. Values and potentials agree where they are within 1e-3, gradients
within 1e-2. geomloss makes one iteration at each of its falling scales, whose ratio is `scaling`,
and stops on its way to the solution: it is given 0.99, and where that does not agree 0.999 and
0.9999. Its distances are at least 1e-4, which shows in its losses of kernels. Its values of
unbalanced transport that are not debiased lack a term of the masses, which the shim takes away.

Its gradients of unbalanced transport are ``(rho + epsilon / 2) / (rho + epsilon)`` of the
derivative of its values. Settings count by themselves where that is all, and where differences of
geomloss's own values are as the gradient of skotae has them, and not as its own.
``results/peers_geomloss.json`` has how many settings agree, do so but for this factor, differ, have
no equivalent, or fail in geomloss itself, with the reasons. What changes no result is left out:
`backend`, `diameter`, `truncate`, `cluster_scale` and `verbose` say how, and a loss of kernels is
the same for all p, reach and debias. Its batches are a loop over their problems in skotae.
``--quick`` takes ``scaling=0.9`` for all, at which much differs, and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

# In the place of this folder, where this file is, and not the library, what is called geomloss.
sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).parents[1]))

import geomloss
import torch
from _common import print_table, write_json
from torch import Tensor

from skotae import transport

GRID: dict[str, tuple[Any, ...]] = {
    "loss": ("sinkhorn", "hausdorff", "energy", "gaussian", "laplacian"),
    "p": (1, 2),
    "blur": (0.2, 1.0),
    "reach": (None, 1.0),
    "debias": (True, False),
    "potentials": (False, True),
    "weighted": (False, True),
    "batch": (False, True),
    "own": (False, True),  # cost or kernel
}
SCALINGS = (0.99, 0.999, 0.9999)
STEP = 1e-4  # of differences of values
TOL = {"values": 1e-3, "gradients": 1e-2}
SOLVER = {"relative": False, "tol": 1e-9, "max_iter": 10_000}
FACTOR = "agrees but for a factor"


class Missing(Exception):
    """What a call asks for has no equivalent."""


class SamplesLoss:
    """The signature of geomloss, for the parameters that change a result."""

    def __init__(
        self,
        loss: str = "sinkhorn",
        p: int = 2,
        blur: float = 0.05,
        reach: float | None = None,
        cost: Callable[..., Tensor] | None = None,
        kernel: Callable[..., Tensor] | None = None,
        debias: bool = True,
        potentials: bool = False,
    ):
        self.loss, self.p, self.cost, self.kernel = loss, p, cost, kernel
        self.blur, self.debias, self.potentials = blur, debias, potentials
        self.epsilon, self.rho = blur**p, None if reach is None else reach**p
        # Squared distances are halved.
        self.unit = 1.0 if p == 1 or cost is not None else 0.5

    def __call__(self, *args: Tensor) -> Any:
        if len(args) == 6:
            raise Missing("labels of clusters")
        a, x, b, y = (None, args[0], None, args[1]) if len(args) == 2 else args
        if self.loss == "sinkhorn":
            return self._potentials(a, x, b, y) if self.potentials else self._value(a, x, b, y)
        return self._kernel_loss(a, x, b, y)

    def _options(self, x: Tensor, y: Tensor) -> dict[str, Any]:
        options: dict[str, Any] = {"epsilon": self.epsilon / self.unit, **SOLVER}
        if self.rho is not None:
            options["rho"] = self.rho / self.unit
        if self.cost is None:
            options |= {"x": x, "y": y, "p": self.p, "metric": "euclidean"}
        elif x.ndim == 2:
            options["cost"] = self.cost(x[None], y[None])[0]
        else:
            options["cost"] = self.cost(x, y)
        return options

    def _value(self, a: Tensor | None, x: Tensor, b: Tensor | None, y: Tensor) -> Tensor:
        masses = [1.0 if w is None else w.sum(-1) for w in (a, b)]
        if self.cost is not None:
            function = (
                transport.sinkhorn_cost if self.rho is None else transport.unbalanced_sinkhorn_cost
            )
            value = function(**self._options(x, y), a=a, b=b)
            if self.debias:
                own = function(**self._options(x, x), a=a, b=a)
                own = own + function(**self._options(y, y), a=b, b=b)
                value = value - own / 2 + self.epsilon * (masses[0] - masses[1]) ** 2 / 2
        else:
            function = (
                transport.sinkhorn_divergence
                if self.rho is None
                else transport.unbalanced_sinkhorn_divergence
            )
            debias = "paired" if self.debias else "none"
            value = self.unit * function(**self._options(x, y), a=a, b=b, debias=debias)
        if self.rho is not None and not self.debias:
            # What geomloss leaves out of a value that is not debiased.
            left_out = masses[0] * masses[1] - (masses[0] + masses[1]) / 2
            value = value - self.epsilon * left_out
        return value

    def _potentials(
        self, a: Tensor | None, x: Tensor, b: Tensor | None, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        function = (
            transport.sinkhorn_potentials
            if self.rho is None
            else transport.unbalanced_sinkhorn_potentials
        )
        f, g, _ = function(**self._options(x, y), a=a, b=b)
        if self.debias:
            f = f - sum(function(**self._options(x, x), a=a, b=a)[:2]) / 2
            g = g - sum(function(**self._options(y, y), a=b, b=b)[:2]) / 2
        return self.unit * f, self.unit * g

    def _kernel_loss(self, a: Tensor | None, x: Tensor, b: Tensor | None, y: Tensor) -> Any:
        kernel: Any = self.loss
        if self.kernel is not None:
            own = self.kernel

            def kernel(u: Tensor, v: Tensor) -> Tensor:
                return own(u[None], v[None], blur=self.blur, use_keops=False, ranges=None)[0]
        elif self.loss == "hausdorff":
            raise Missing("the Hausdorff loss")
        if x.ndim == 3:
            # Discrepancies have no batches.
            each = [
                self(*(w[k] for w in (a, x, b, y))) if a is not None else self(x[k], y[k])
                for k in range(len(x))
            ]
            stacked = [
                torch.stack(part)
                for part in (zip(*each, strict=True) if self.potentials else [each])
            ]
            return tuple(stacked) if self.potentials else stacked[0]
        masses = [
            torch.full(cloud.shape[:1], 1 / len(cloud), dtype=cloud.dtype) if w is None else w
            for w, cloud in ((a, x), (b, y))
        ]
        if self.potentials:
            masses = [w.detach().requires_grad_() for w in masses]
        value = transport.squared_mmd(
            x,
            y,
            weights=masses[0],
            y_weights=masses[1],
            kernel=kernel,
            bandwidth=self.blur,
            scales=(1 / x.shape[1],),
            unbiased=False,
        )
        return torch.autograd.grad(value / 2, masses) if self.potentials else value / 2


def own_cost(x: Tensor, y: Tensor) -> Tensor:
    return (x[:, :, None] - y[:, None]).abs().pow(1.5).sum(3)


def own_kernel(x: Tensor, y: Tensor, blur: float, **_: Any) -> Tensor:
    return 1.0 / (1.0 + (x[:, :, None] - y[:, None]).square().sum(3) / blur**2)


def settings() -> Iterator[dict[str, Any]]:
    """Yield those whose results may differ."""
    for values in product(*GRID.values()):
        setting = dict(zip(GRID, values, strict=True))
        unused = setting["p"], setting["reach"], setting["debias"]
        if setting["loss"] == "sinkhorn" or unused == (2, None, True):
            yield setting


def problem(setting: dict[str, Any]) -> list[Tensor]:
    """Clouds, or three pairs of them, with their weights if there are any."""
    generator = torch.Generator().manual_seed(0)
    size, n, m, d = 3, 12, 9, 2
    draw = {"generator": generator, "dtype": torch.float64}
    x, y = torch.randn(size, n, d, **draw), 0.7 * torch.randn(size, m, d, **draw) + 1.0
    a, b = (torch.rand(size, k, **draw) + 0.2 for k in (n, m))
    # Total masses have to be equal where transport is balanced.
    free = setting["reach"] is not None or setting["loss"] != "sinkhorn"
    totals = (1.6, 0.8) if free else (1.0, 1.0)
    a, b = (w * (total / w.sum(1, keepdim=True)) for w, total in zip((a, b), totals, strict=True))
    given = [a, x, b, y] if setting["weighted"] else [x, y]
    return given if setting["batch"] else [each[0] for each in given]


def outcome(function: Any, setting: dict[str, Any], given: list[Tensor]) -> list[Tensor]:
    """Values or potentials, and gradients of values for the points of the first cloud."""
    place = 1 if setting["weighted"] else 0
    inputs = [each.clone() for each in given]
    x = inputs[place].requires_grad_(not setting["potentials"])
    found = function(*inputs)
    if not setting["potentials"]:
        return [found.detach(), *torch.autograd.grad(found.sum(), x)]
    f, g = (each.detach() for each in found)
    if setting["loss"] == "sinkhorn" and setting["reach"] is None:
        # Up to a constant.
        a, b = (inputs[0], inputs[2]) if setting["weighted"] else (None, None)
        rows, columns = (
            each.mean(-1, keepdim=True) if w is None else (each * w).sum(-1, keepdim=True)
            for each, w in ((f, a), (g, b))
        )
        f, g = f - (rows - columns) / 2, g + (rows - columns) / 2
    return [torch.cat([f, g], -1)]


def difference(got: Tensor, expected: Tensor) -> float:
    return ((got - expected).abs().max() / expected.abs().max()).item()


def is_factor(peer: Any, setting: dict[str, Any], given: list[Tensor], both: list[Tensor]) -> bool:
    """Whether of both gradients ours is that of the peer's values, and the peer's a share of it."""
    if setting["loss"] != "sinkhorn" or setting["reach"] is None:
        return False
    epsilon, rho = setting["blur"] ** setting["p"], setting["reach"] ** setting["p"]
    if difference(both[0], both[1] * ((rho + epsilon) / (rho + epsilon / 2))) > TOL["gradients"]:
        return False
    place = 1 if setting["weighted"] else 0
    steps = [[*given], [*given]]
    for sign, moved in zip((1.0, -1.0), steps, strict=True):
        moved[place] = given[place] + sign * STEP * both[0]
    change = (peer(*steps[0]).sum() - peer(*steps[1]).sum()).item() / (2 * STEP)
    ours, theirs = ((gradient * both[0]).sum().item() - change for gradient in both)
    return abs(ours) < 0.2 * abs(theirs)


def compared(setting: dict[str, Any], scaling: float) -> tuple[str, list[float]]:
    """What becomes of a setting, and how far both are apart."""
    same = ("loss", "p", "blur", "reach", "debias", "potentials")
    options = {name: setting[name] for name in same}
    if setting["own"]:
        options |= {"cost": own_cost} if setting["loss"] == "sinkhorn" else {"kernel": own_kernel}
    given = problem(setting)
    peer = geomloss.SamplesLoss(**options, scaling=scaling, backend="tensorized")
    try:
        expected = outcome(peer, setting, given)
    except Exception as error:
        return f"fails in geomloss: {type(error).__name__}: {error}", []
    try:
        got = outcome(SamplesLoss(**options), setting, given)
    except Missing as missing:
        return f"missing: {missing}", []
    apart = [difference(*pair) for pair in zip(got, expected, strict=True)]
    if apart[0] > TOL["values"]:
        return "differs: value" if not setting["potentials"] else "differs: potentials", apart
    if len(apart) > 1 and apart[1] > TOL["gradients"]:
        if is_factor(peer, setting, given, [got[1], expected[1]]):
            return f"{FACTOR}: gradients of geomloss", apart
        return "differs: gradient", apart
    return "agrees", apart


def main() -> None:
    parser = argparse.ArgumentParser(description="SamplesLoss of geomloss over skotae.")
    parser.add_argument("--quick", action="store_true", help="coarse, and nothing is written")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: Counter[str] = Counter()
    worst: dict[str, dict[str, float]] = defaultdict(lambda: {"values": 0.0, "gradients": 0.0})
    rows = []
    finer: Counter[str] = Counter()
    for setting in settings():
        for scaling in (0.9,) if quick else SCALINGS:
            result, apart = compared(setting, scaling)
            if not result.startswith("differs"):
                break
        kind, _, reason = result.partition(": ")
        counts[setting["loss"]][kind] += 1
        finer[str(scaling)] += kind in ("agrees", FACTOR) and setting["loss"] == "sinkhorn"
        if reason:
            reasons[result] += 1
        if kind != "agrees":
            rows.append({**setting, "result": result, "apart": [float(f"{v:.2g}") for v in apart]})
        else:
            found = worst[setting["loss"]]
            for name, value in zip(found, apart, strict=False):
                found[name] = max(found[name], value)
    kinds = ("agrees", FACTOR, "differs", "missing", "fails in geomloss")
    table = {name: {kind: counts[name][kind] for kind in kinds} for name in GRID["loss"]}
    print_table(["Loss", *kinds], [[name, *row.values()] for name, row in table.items()])
    print_table(["Reason", "settings"], [[*each] for each in reasons.items()])
    most = {
        name: {key: float(f"{value:.2g}") for key, value in found.items()}
        for name, found in worst.items()
    }
    print(f"Apart, at most, where they agree: {most}")
    print(f"Of sinkhorn, settings that agree from a scaling on: {dict(finer)}")
    if quick:
        return
    results = {
        "settings": sum(sum(row.values()) for row in table.values()),
        "grid": {name: list(values) for name, values in GRID.items()},
        "settings of sinkhorn that agree from a scaling on": dict(finer),
        "tolerance": TOL,
        "losses": table,
        "reasons": dict(reasons),
        "largest difference where they agree": most,
        "other settings": rows,
    }
    write_json("peers_geomloss", results, "geomloss")


if __name__ == "__main__":
    main()
