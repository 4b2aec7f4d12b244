"""Devices and dtypes."""

import pytest
import torch
from torch import nn

from skotae.utils._torch import module_in, resolve_device


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


def test_a_copy_in_another_dtype_shares_what_the_module_shares():
    module = nn.Sequential(_linear(), _linear(), nn.Flatten())
    module[1].weight = module[0].weight
    module[0].bias.requires_grad_(False)
    module[2].register_buffer("count", torch.tensor(3))
    wide = module_in(module, torch.float64)
    assert wide[1].weight is wide[0].weight and wide[1].weight is not module[0].weight
    assert not wide[0].bias.requires_grad and wide[1].bias.requires_grad
    assert (wide[2].count.dtype, int(wide[2].count)) == (torch.int64, 3)
    assert module[0].weight.dtype == torch.float32
    torch.testing.assert_close(wide[0].weight, module[0].weight.double(), rtol=0, atol=0)
