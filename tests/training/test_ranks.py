"""Processes that train one model together, against one process with as many rows in a step."""

import contextlib
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
import torch.testing._internal.distributed.fake_pg  # registers the backend "fake"
from torch import distributed

import skotae
from skotae.callbacks import Checkpoint
from skotae.exceptions import ProcessLostError
from skotae.networks import MLP, ConvNet
from skotae.priors import DirichletPrior
from skotae.testing import make_data
from skotae.training._sharing import networks
from skotae.utils._random import GlobalStream

WORKER = Path(__file__).with_name("ranks_worker.py")
N_EPOCHS = 6
X = make_data(60)
# Rounding grows at the kinks of rectifiers, in one process as in many.
SMALL = {
    "n_components": 2,
    "hidden_layer_sizes": (8,),
    "activation": "tanh",
    "max_iter": N_EPOCHS,
    "random_state": 0,
}
CONV = ConvNet((8, 8), (2, 4), hidden=8, activation="tanh", batch_norm=False)
NORMED = MLP((8,), "tanh", batch_norm=True)
FEW = {
    "adversary": ("WAEEstimator", {"penalty": "gan", "early_stopping": True}),
    "clusters": ("GMWAE", {"n_mixtures": 3, "init": "clusters"}),
    "batch norm": ("VAE", {"encoder": NORMED, "decoder": NORMED}),
}
MANY = {
    **{name: (name, {}) for name in skotae.__all__ if isinstance(getattr(skotae, name), type)},
    **{name: ("WAEEstimator", {"penalty": name}) for name in ("sliced", "gaussian", "exact")},
    "sinkhorn": ("WAEEstimator", {"penalty": "sinkhorn"}),
    "many rows": ("SinkhornAE", {"penalty_batch_size": 40}),
    "sphere": ("SinkhornAE", {"prior": "sphere"}),
    "learned prior": ("SinkhornAE", {"prior": DirichletPrior(learn=True)}),
    "images": ("VAE", {"encoder": CONV, "decoder": CONV}),
    "shared moments": ("GMVAE", {"n_mixtures": 3, "moments": "shared"}),
    "potential networks": ("CoupledVAE", {"potential": "network", "dual": "full"}),
    "no encoder": ("CoupledVAE", {"posterior": "importance", "init": "principal"}),
    "weight clipping": ("WGAN", {"weight_clip": 0.1}),
}


def make(case, n_rows, **params):
    """An estimator that takes `n_rows` of a mini-batch in its process."""
    name, options = {**FEW, **MANY}[case]
    params = {**SMALL, **options, **params, "batch_size": n_rows}
    return getattr(skotae, name)(**params)


def run(start_process, folder, size, problems, *killed):
    """What each of some processes made of problems: estimators, and rows for each process."""
    joblib.dump(problems, folder / "problems.joblib")
    processes = [start_process(WORKER, rank, size, folder, *killed) for rank in range(size)]
    results = []
    for rank, process in enumerate(processes):
        code, text = process.finish(600)
        if rank not in killed:
            assert code == 0, text
            results.append(joblib.load(folder / f"{rank}.joblib"))
    return results


def tensors_of(model):
    state = model.model_.state_dict()
    return {name: value for name, value in state.items() if hasattr(value, "numpy")}


def assert_same(one, other):
    """To the bit: weights, history, and what is made of them."""
    assert tensors_of(one).keys() == tensors_of(other).keys()
    for name, value in tensors_of(one).items():
        np.testing.assert_array_equal(value, tensors_of(other)[name], err_msg=name)
    np.testing.assert_equal(dict(one.history_), dict(other.history_))
    assert (one.n_iter_, one.best_loss_) == (other.n_iter_, other.best_loss_)
    np.testing.assert_equal(getattr(one, "labels_", None), getattr(other, "labels_", None))
    np.testing.assert_array_equal(one.data_scale_, other.data_scale_)


def assert_close(one, other, atol=1e-4):
    if "batch_norm=True" in repr(one):
        # Biases before it have no effect: Adam makes steps of the rounding of their gradients.
        np.testing.assert_allclose(one.transform(X), other.transform(X), atol=5e-3)
    else:
        for name, value in tensors_of(one).items():
            np.testing.assert_allclose(value, tensors_of(other)[name], atol=atol, err_msg=name)
    assert one.history_.keys() == other.history_.keys()
    for name, values in one.history_.items():
        np.testing.assert_allclose(values, other.history_[name], rtol=1e-3, atol=atol)
    assert one.n_iter_ == other.n_iter_
    if hasattr(one, "labels_"):
        assert (one.labels_ == other.labels_).mean() > 0.95


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Of a fit that stopped half way, in one process."""
    folder = tmp_path_factory.mktemp("checkpoints")
    stopped = make("batch norm", 32, max_iter=N_EPOCHS).set_callbacks(Checkpoint(folder), Stop())
    assert stopped.fit(X).n_iter_ == 3
    return folder


class Stop:
    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        return estimator.n_iter_ == 3


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, start_process, checkpoints):
    """What each of two processes found; mini-batches have 16 rows in each."""
    same = [X, X]
    problems = {case: (make(case, 16), same) for case in FEW}
    resumed = make("batch norm", 16).set_callbacks(Checkpoint(checkpoints))
    dropping = make("batch norm", 16, encoder=MLP((8,), dropout=0.5), random_state=None)
    problems |= {
        "resumed": (resumed, same),
        "other data": (make("batch norm", 16), [X, X + 1]),
        "dropout": (dropping, same),
    }
    return run(start_process, tmp_path_factory.mktemp("ranks"), 2, problems)


@pytest.mark.parametrize("case", FEW)
def test_two_processes_train_as_one(case, outcomes):
    first, second = (outcome[case] for outcome in outcomes)
    assert_same(first, second)
    assert_close(first, make(case, 32).fit(X))


def test_two_processes_go_on_where_one_stopped(outcomes):
    first, second = (outcome["resumed"] for outcome in outcomes)
    assert_same(first, second)
    assert_close(first, make("batch norm", 32).fit(X))


def test_processes_agree_on_seeds_and_with_dropout(outcomes):
    assert_same(*(outcome["dropout"] for outcome in outcomes))


def test_other_data_are_refused(outcomes):
    for outcome in outcomes:
        error, estimator, _ = outcome["other data"]
        assert type(error) is ValueError
        assert "processes of data_parallel() differ in X: expected the same" in str(error)
        assert not hasattr(estimator, "model_")


def test_a_lost_process_ends_the_others_and_one_goes_on(start_process, tmp_path):
    folder, case = tmp_path / "checkpoints", "adversary"
    estimator = make(case, 16).set_callbacks(Checkpoint(folder))
    problems = {case: (estimator, [X, X])}
    ((outcome,),) = (result.values() for result in run(start_process, tmp_path, 2, problems, 1))
    error, left, told = outcome
    assert type(error) is ProcessLostError
    assert (error.rank, error.size) == (0, 2)
    assert "Process 0 of 2 can no longer train together with the others" in str(error)
    written = max(path.stat().st_mtime for path in folder.iterdir())
    assert told - written < 60
    # The estimator is whole, and the last checkpoint is from before the end.
    assert left.n_iter_ == len(left.history_["loss"]) == 3
    assert np.isfinite(left.transform(X)).all()
    alone = make(case, 32).fit(X)
    assert_close(make(case, 32).set_callbacks(Checkpoint(folder)).fit(X), alone)
    epochs = sorted(path.name for path in folder.iterdir())
    assert epochs == ["checkpoint-000005.safetensors", "checkpoint-000006.safetensors"]


@contextlib.contextmanager
def fake_group(rank):
    """As one of two processes, of which the other sends what this one does."""
    store = distributed.HashStore()
    distributed.init_process_group("fake", store=store, rank=rank, world_size=2)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def test_a_group_alone_changes_nothing():
    """Without the context, nothing asks for the other process."""
    with fake_group(1):
        beside = make("adversary", 32).fit(X)
    assert_same(beside, make("adversary", 32).fit(X))


def test_networks_draw_masks_of_their_own():
    """The rest of the draws of a step are those of one process, on all."""
    net, x, kept = torch.nn.Sequential(torch.nn.Dropout(0.5)), torch.ones(8, 5), []
    net.row_wise = True
    for rank in range(2):
        with fake_group(rank), GlobalStream(0).borrowed(), skotae.data_parallel() as ranks:
            with ranks.sharing(torch.nn.ModuleList([net]), draws=True):
                kept.append((net(x)[4 * rank :][:4], torch.rand(3)))
    (first, then), (second, also) = kept
    assert not torch.equal(first, second)
    torch.testing.assert_close(then, also, rtol=0, atol=0)
    assert torch.equal(net.eval()(x), x)


def test_context_without_a_group():
    with skotae.data_parallel() as ranks:
        inside = make("batch norm", 32).fit(X)
    assert (ranks.rank, ranks.size) == (0, 1)
    assert_same(inside, make("batch norm", 32).fit(X))


def test_networks_that_take_rows_one_by_one():
    model = make("adversary", 32).fit(X).model_
    assert {*networks(model)} == {model.encoder.net, model.decoder.net}
    model = make("potential networks", 32, max_iter=1).fit(X).model_
    assert {*networks(model)} > {model.dual.u_net, model.dual.v_net, model.decoder.net}


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_every_estimator(size, start_process, tmp_path):
    """Fifty steps; with three processes their parts of a mini-batch are not of one size."""
    data = {case: make_data(240, 64 if case == "images" else 6) for case in MANY}
    epochs = {"max_iter": 10}
    problems = {case: (make(case, 48 // size, **epochs), [data[case]] * size) for case in MANY}
    results = run(start_process, tmp_path, size, problems)
    for case in MANY:
        for other in results[1:]:
            assert_same(results[0][case], other[case])
        assert_close(results[0][case], make(case, 48, **epochs).fit(data[case]))
