"""A fit that was killed goes on from its last checkpoint and ends as an undisturbed one."""

import errno
import multiprocessing
import os
import random
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import Normal

import skotae
from skotae.callbacks import Checkpoint
from skotae.exceptions import CheckpointError
from skotae.networks import MLP
from skotae.priors import DistributionPrior, NormalPrior
from skotae.testing import make_data

from ..own_parts import Factory, network, times

X = make_data(60)
N_EPOCHS = 6
CASES = {
    "mmd": ("WAEEstimator", {}),
    "adversary": ("WAEEstimator", {"penalty": "gan"}),
    "dropout": ("WAEEstimator", {"encoder": MLP((8,), dropout=0.3, batch_norm=True)}),
    "early stopping": ("VAE", {"early_stopping": True, "n_iter_no_change": 3}),
    "tol": ("SinkhornAE", {"tol": 0.05, "n_iter_no_change": 2}),
    "many rows": ("SinkhornAE", {"penalty_batch_size": 40, "batch_size": 16}),
    "pseudo-inputs": ("SymmetricWAE", {"n_pseudo_inputs": 7}),
    "table": ("CoupledVAE", {"n_bank": 64}),
    "no bank steps": ("CoupledVAE", {"n_bank": 64, "n_bank_steps": 0}),
    "potential network": ("CoupledVAE", {"n_bank": 64, "potential": "network"}),
    "components": ("CoupledVAE", {"n_bank": 64, "init": "principal"}),
    "clusters": ("GMWAE", {"n_mixtures": 3, "init": "clusters"}),
    "critic": ("WGAN", {}),
    "rollback": ("WAEEstimator", {"learning_rate_init": 3.0}),
}


def make(case, **params):
    name, options = CASES[case]
    small = {"n_components": 2, "hidden_layer_sizes": (8,), "max_iter": N_EPOCHS}
    return getattr(skotae, name)(**{**small, "random_state": 0, **options, **params})


def outcome(model):
    """All that a fit finds, as arrays and lists."""
    weights = {name: np.asarray(value) for name, value in tensors_of(model).items()}
    codes = model.transform(X) if hasattr(model, "transform") else None
    rows, score = model.sample(5, random_state=0), model.score(X)
    return weights, codes, rows, score, model.n_iter_, model.history_, model.best_loss_


def tensors_of(model):
    state = model.model_.state_dict()
    return {name: value for name, value in state.items() if hasattr(value, "numpy")}


def assert_same(one, other):
    for a, b in zip(outcome(one), outcome(other), strict=True):
        np.testing.assert_equal(a, b)


class Die:
    """Ends the process at the end of an epoch, as a power cut would."""

    def __init__(self, epoch):
        self.epoch = epoch

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and estimator.n_iter_ == self.epoch:
            os._exit(9)


def in_a_child(function, seconds=None):
    """Run in a fork of this process, which is killed after some seconds; its exit code."""
    child = multiprocessing.get_context("fork").Process(target=function)
    child.start()
    if seconds is not None:
        time.sleep(seconds)
        child.kill()
    child.join(60)
    assert child.exitcode is not None, "the child hangs"
    return child.exitcode


def fit(case, folder, *others, **params):
    return make(case, **params).set_callbacks(Checkpoint(folder), *others).fit(X)


@pytest.mark.parametrize("case", CASES)
def test_a_killed_fit_goes_on(case, tmp_path):
    undisturbed = make(case).fit(X)
    last = min(4, undisturbed.n_iter_ - 1)
    assert in_a_child(lambda: fit(case, tmp_path, Die(last))) == 9
    # The process died before the callback of that epoch.
    assert [path.name for path in sorted(tmp_path.iterdir())]
    assert_same(fit(case, tmp_path), undisturbed)


def test_a_finished_fit_returns_at_once(tmp_path):
    first = fit("mmd", tmp_path)
    seen = Die(epoch=-1)
    seen.on_fit_task_end = lambda estimator, context: context.task_name == "epoch" and 1 / 0
    assert_same(fit("mmd", tmp_path, seen), first)


def test_an_interrupted_write_leaves_the_checkpoint_before(tmp_path):
    def child():
        rename, calls = os.replace, []

        def replace(*args):
            calls.append(args)
            if len(calls) == 3:
                os._exit(9)
            rename(*args)

        os.replace = replace
        fit("table", tmp_path)

    assert in_a_child(child) == 9
    names = {path.name for path in tmp_path.glob("checkpoint-*.safetensors")}
    assert names == {"checkpoint-000001.safetensors", "checkpoint-000002.safetensors"}
    assert_same(fit("table", tmp_path), make("table").fit(X))


@pytest.mark.slow
@pytest.mark.parametrize("case", ["mmd", "adversary", "early stopping", "pseudo-inputs", "table"])
def test_kills_at_random_moments(case, tmp_path):
    undisturbed = make(case, max_iter=40).fit(X)
    start = time.perf_counter()
    fit(case, tmp_path / "timed", max_iter=40)
    length = time.perf_counter() - start
    rng, n_killed, n_fits = random.Random(0), 0, 0
    while n_killed < 30:
        n_fits += 1
        assert n_fits < 60, "children end before they are killed"
        folder = tmp_path / str(n_fits)
        for _ in range(3):
            # Early on too: what goes on from a checkpoint ends sooner.
            seconds = rng.uniform(0, 0.7 * length)
            code = in_a_child(lambda f=folder: fit(case, f, max_iter=40), seconds)
            n_killed += code != 0
        assert_same(fit(case, folder, max_iter=40), undisturbed)


def test_the_last_two_are_kept(tmp_path):
    make("mmd", max_iter=8).set_callbacks(Checkpoint(tmp_path, every=3)).fit(X)
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == ["checkpoint-000006.safetensors", "checkpoint-000008.safetensors"]


def test_a_damaged_file_is_passed_over(tmp_path):
    undisturbed = fit("mmd", tmp_path)
    last = max(tmp_path.iterdir())
    last.write_bytes(last.read_bytes()[:-7])
    with pytest.warns(UserWarning, match="An earlier checkpoint is used"):
        again = fit("mmd", tmp_path)
    assert_same(again, undisturbed)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lam": 0.3}, "lam is 0.3, was 'auto'"),
        ({"prior": NormalPrior(2.0)}, r"prior is NormalPrior\(scale=2.0\), was None"),
        ({"max_iter": 9}, "max_iter is 9, was 6"),
        ({"random_state": 1}, "random_state is 1, was 0"),
    ],
)
def test_other_parameters_are_refused_by_name(tmp_path, params, message):
    fit("mmd", tmp_path)
    with pytest.raises(CheckpointError, match=message):
        fit("mmd", tmp_path, **params)


def test_other_data_are_refused(tmp_path):
    fit("mmd", tmp_path)
    other = X.copy()
    other[17, 2] += 1e-9
    with pytest.raises(CheckpointError, match="X is float64 of shape"):
        make("mmd").set_callbacks(Checkpoint(tmp_path)).fit(other)


def test_a_refused_fit_leaves_the_estimator(tmp_path):
    fit("mmd", tmp_path)
    model = make("mmd", lam=0.3).fit(X)
    before = model.transform(X)
    with pytest.raises(CheckpointError):
        model.set_callbacks(Checkpoint(tmp_path)).fit(X)
    np.testing.assert_array_equal(model.transform(X), before)


def test_device_verbosity_and_no_seed(tmp_path, capsys):
    first = fit("mmd", tmp_path, random_state=None)
    again = fit("mmd", tmp_path, random_state=None, verbose=True, device="cpu")
    assert_same(again, first)


def test_a_full_disk_warns_once_and_training_goes_on(tmp_path, monkeypatch):
    calls = []
    rename = os.replace

    def full(*args):
        calls.append(args)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(*args)

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(UserWarning, match="disk is full") as warned:
        model = fit("mmd", tmp_path)
    assert len([w for w in warned if "disk is full" in str(w.message)]) == 1
    monkeypatch.undo()
    assert_same(model, make("mmd").fit(X))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"checkpoint-000001.safetensors", "checkpoint-000002.safetensors"}


def test_a_folder_that_cannot_be_made(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OSError, match="file"):
        fit("mmd", file / "folder")


@pytest.mark.parametrize("every", [0, 1.5, True, "often"])
def test_bad_every(tmp_path, every):
    with pytest.raises(ValueError, match="every=.* of Checkpoint"):
        make("mmd").set_callbacks(Checkpoint(tmp_path, every=every)).fit(X)


def test_partial_fit_writes_none(tmp_path):
    make("mmd").set_callbacks(Checkpoint(tmp_path)).partial_fit(X)
    assert not [*Path(tmp_path).iterdir()]


def drawn(distribution):
    return {"prior": DistributionPrior(distribution)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: {"encoder": partial(network, width=4)}, {"encoder": partial(network, width=5)}),
        (lambda: {"encoder": Factory(4)}, {"encoder": Factory(5)}),
        (lambda: {"cost": times(1.0)}, {"cost": times(2.0)}),
        (lambda: drawn(stats.norm(0, 1)), drawn(stats.norm(2, 1))),
        (lambda: drawn(Normal(torch.zeros(2), 1.0)), drawn(Normal(torch.ones(2), 1.0))),
    ],
    ids=["partial", "factory", "closure", "scipy", "torch"],
)
def test_values_without_a_name_are_told_apart(tmp_path, one, other):
    first = fit("mmd", tmp_path, **one())
    assert_same(fit("mmd", tmp_path, **one()), first)
    with pytest.raises(CheckpointError, match=f"{next(iter(other))} is .*, was "):
        fit("mmd", tmp_path, **other)
