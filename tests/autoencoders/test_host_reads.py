"""What a step of training reads from its device, for which the host would wait.

Sinkhorn iterations, assignments and sorts are done in NumPy where tensors are on the CPU, and on
the device elsewhere: they have no part in this. Nor has the distance of Gaussians, for whose
eigenvalues torch itself waits, and draws of one pseudo-input, which are counted on the CPU alone.
The losses are read once an epoch.
"""

from collections import Counter

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import skotae
from skotae.autoencoders import _symmetric
from skotae.autoencoders.bases import pseudo_inputs
from skotae.costs import GaussianCost
from skotae.testing import make_data
from skotae.training import Trainer

X = make_data(60, n_features=6)
IN_NUMPY = {"SinkhornAE", "SinkhornEncoder"}
NAMES = {name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")} - IN_NUMPY
CASES = {
    **{name: (name, {}) for name in sorted(NAMES - {"GMWAE"})},
    "gan": ("WAEEstimator", {"penalty": "gan"}),
    "gan, drawn codes": ("WAEEstimator", {"penalty": "gan", "posterior": "gaussian"}),
    "mixture": ("WAEEstimator", {"prior": "mixture"}),
    "rows of several batches": ("WAEEstimator", {"penalty_batch_size": 40, "batch_size": 15}),
    "nearest codes": ("SymmetricWAE", {"search": "latent", "metric": "cosine"}),
    "two levels": ("VampPriorVAE", {"n_components": 3, "n_upper": 1}),
    "amortised": ("CoupledVAE", {"posterior": "amortised"}),
    "potential": ("CoupledVAE", {"potential": "network", "dual": "full"}),
    "scales of features": ("CoupledVAE", {"cost": GaussianCost(per_feature=True)}),
    "no scale": ("CoupledVAE", {"cost": "sqeuclidean"}),
}
WITH_TABLE = {"CoupledVAE", "scales of features", "no scale"}
aten = torch.ops.aten
# Numbers, and shapes that depend on numbers.
READS = {
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.bincount.default,
    aten._unique2.default,
    aten.repeat_interleave.Tensor,
}
BY_INDEX = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
# These the dispatcher does not see on the CPU.
METHODS = ("cpu", "numpy", "tolist")


class Reads(TorchDispatchMode):
    """Counts what it sees by name, while it is on."""

    def __init__(self):
        super().__init__()
        self.found, self.on = Counter(), False

    def __enter__(self):
        self.on = True
        return super().__enter__()

    def __exit__(self, *error):
        self.on = False
        return super().__exit__(*error)

    def counted(self, method):
        """A method of tensors that is counted by its name."""
        own = getattr(Tensor, method)

        def call(tensor, *args, **kwargs):
            self.found.update([method] * self.on)
            return own(tensor, *args, **kwargs)

        return call

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = func.overloadpacket in BY_INDEX and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        self.found.update([str(func)] * (func in READS or by_mask))
        return func(*args, **(kwargs or {}))


def as_on_a_device(index, net):
    return index, 1


def test_draws_of_one_pseudo_input_are_not_counted_on_a_device():
    index = torch.zeros(3, dtype=torch.long, device="meta")
    rows, repeats = pseudo_inputs.each_once(index, torch.nn.Identity())
    assert rows is index and repeats == 1


@pytest.fixture
def reads_of(small, monkeypatch):
    """What the steps of a fit read, and how many steps there were."""

    def make(name, params):
        reads, step, n_steps = Reads(), Trainer._step, 0

        def watched(*args):
            nonlocal n_steps
            n_steps += 1
            with reads:
                return step(*args)

        monkeypatch.setattr(Trainer, "_step", watched)
        for part in (pseudo_inputs, _symmetric):
            monkeypatch.setattr(part, "each_once", as_on_a_device)
        for method in METHODS:
            monkeypatch.setattr(Tensor, method, reads.counted(method))
        small(name, **{"max_iter": 4, "batch_size": 30, **params}).fit(X)
        return dict(reads.found), n_steps

    return make


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_a_step_reads_nothing(case, reads_of):
    """But for the first of an epoch, where a table asks how it was in the one before."""
    found, n_steps = reads_of(*CASES[case])
    assert sum(found.values()) == (n_steps // 2 - 1 if case in WITH_TABLE else 0)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("params", [{}, {"discrepancy": "marginal"}, {"warm_up": 1.0}], ids=str)
def test_mixtures_read_once_which_codes_have_a_share(params, reads_of):
    """Without, they would decode the codes of all components for each row."""
    found, n_steps = reads_of("GMWAE", params)
    assert found == {"cpu": n_steps, "numpy": n_steps}


def test_reads_are_seen():
    x = torch.arange(4.0)
    with Reads() as reads:
        float(x[1]), bool(x[0] > 1), x[x > 2], x.nonzero()
    assert reads.found.total() == 4
