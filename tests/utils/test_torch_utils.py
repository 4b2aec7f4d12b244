"""Devices, dtypes and random state."""

import random
from threading import Thread

import numpy as np
import pytest
import torch
from torch import nn

from skotae.utils._random import borrowed_global_generator, draw_seed, make_generator
from skotae.utils._torch import module_in, on_cpu, resolve_device, uses_global_generator

# Devices.


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "cpu:0"])
def test_a_device_is_taken_as_it_is(device):
    assert resolve_device(device).type == "cpu"


def test_auto_is_a_device_that_works(monkeypatch):
    monkeypatch.delenv("SKOTAE_DEVICE", raising=False)
    assert torch.zeros(1, device=resolve_device("auto")).sum() == 0


def test_auto_follows_the_environment(monkeypatch):
    monkeypatch.setenv("SKOTAE_DEVICE", "cpu")
    assert resolve_device("auto") == torch.device("cpu")


def test_an_explicit_device_overrides_the_environment(monkeypatch):
    monkeypatch.setenv("SKOTAE_DEVICE", "nonsense")
    assert resolve_device("cpu") == torch.device("cpu")


def test_an_empty_environment_variable_is_none(monkeypatch):
    monkeypatch.setenv("SKOTAE_DEVICE", "")
    assert isinstance(resolve_device("auto"), torch.device)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", 1.5])
def test_an_unknown_device_is_named(device):
    with pytest.raises(ValueError, match=f"device={device!r} is not a device of this machine"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["gpu", "auto"])
def test_an_unknown_device_in_the_environment_is_named(monkeypatch, device):
    monkeypatch.setenv("SKOTAE_DEVICE", device)
    with pytest.raises(ValueError, match=f"SKOTAE_DEVICE='{device}' is not a device"):
        resolve_device("auto")


def test_the_meta_device_is_refused():
    with pytest.raises(ValueError, match="device='meta' holds no data"):
        resolve_device("meta")


# Modules.


def _linear():
    with torch.random.fork_rng(devices=[]):
        return nn.Linear(2, 2)


def test_a_module_of_the_dtype_is_itself():
    module = _linear()
    assert module_in(module, torch.float32) is module


def test_a_module_of_another_dtype_is_copied():
    module = _linear()
    wide = module_in(module, torch.float64)
    assert wide.weight.dtype == torch.float64 and module.weight.dtype == torch.float32


def test_a_module_without_weights_is_itself():
    module = nn.ReLU()
    assert module_in(module, torch.float64) is module


def test_a_module_of_buffers_alone_takes_the_dtype():
    module = nn.BatchNorm1d(2, affine=False).eval()
    x = torch.zeros(3, 2, dtype=torch.float64)
    assert module_in(module, torch.float64)(x).dtype == torch.float64


def test_a_module_on_the_cpu_is_itself():
    module = _linear()
    assert on_cpu(module) is module


@pytest.mark.parametrize(
    ("module", "draws"),
    [
        (lambda: nn.Linear(2, 2), False),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.0)), False),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)), True),
        (lambda: nn.AlphaDropout(0.1), True),
        (lambda: nn.RReLU(), True),
        (lambda: nn.MultiheadAttention(4, 2, dropout=0.1), True),
        (lambda: nn.LSTM(2, 2, num_layers=2, dropout=0.1), True),
    ],
    ids=["linear", "no_dropout", "dropout", "alpha_dropout", "rrelu", "attention", "lstm"],
)
def test_modules_that_draw_are_known(module, draws):
    with torch.random.fork_rng(devices=[]):
        assert uses_global_generator(module()) == draws


# Randomness.


def test_a_seed_stands_for_itself():
    assert draw_seed(3) == draw_seed(3) != draw_seed(4)


def test_a_random_state_moves_on():
    rng = np.random.RandomState(0)
    assert draw_seed(rng) != draw_seed(rng)


def test_a_seed_is_a_python_int():
    assert type(draw_seed(None)) is int


def test_generators_of_a_seed_agree():
    first, second = (torch.rand(3, generator=make_generator(5)) for _ in range(2))
    assert torch.equal(first, second)


def test_borrowing_seeds_the_global_generator():
    with borrowed_global_generator(5):
        drawn = torch.rand(3)
    assert torch.equal(drawn, torch.rand(3, generator=make_generator(5)))


def test_borrowing_restores_the_state():
    state = torch.get_rng_state()
    with borrowed_global_generator(5):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_borrowing_restores_the_state_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(KeyError), borrowed_global_generator(5):
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)


def test_borrowing_leaves_the_other_generators_alone():
    states = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    with borrowed_global_generator(5):
        torch.rand(3)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


def test_borrowing_nests():
    with borrowed_global_generator(5):
        expected = torch.rand(2), torch.rand(2)
    with borrowed_global_generator(5):
        first = torch.rand(2)
        with borrowed_global_generator(6):
            torch.rand(7)
        second = torch.rand(2)
    assert torch.equal(first, expected[0]) and torch.equal(second, expected[1])


def test_threads_borrow_one_after_the_other():
    def draw(seed, results):
        with borrowed_global_generator(seed):
            results[seed] = torch.stack([torch.rand(50) for _ in range(50)])

    serial, threaded = {}, {}
    for seed in range(6):
        draw(seed, serial)
    threads = [Thread(target=draw, args=(seed, threaded)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(serial[seed], threaded[seed]) for seed in range(6))
