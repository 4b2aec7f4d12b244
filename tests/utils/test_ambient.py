"""What the user has set in torch."""

import contextlib
from threading import Barrier, Event, Thread

import pytest
import torch

from skotae.utils._torch import ambient

from ..torch_settings import default_dtype


def settings():
    return {
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device().type,
    }


PLAIN = {
    "gradients": False,
    "inference": False,
    "autocast": False,
    "dtype": torch.float32,
    "device": "cpu",
}


SETTINGS = {
    "nothing": contextlib.nullcontext,
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu"),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "meta device": lambda: torch.device("meta"),
}
each_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)


@each_setting
@pytest.mark.parametrize("gradients", [False, True])
def test_ambient_is_plain_and_puts_everything_back(setting, gradients):
    with setting():
        before = settings()
        with ambient(gradients=gradients):
            assert settings() == {**PLAIN, "gradients": gradients}
            assert torch.zeros(2).dtype == torch.float32 and torch.zeros(2).device.type == "cpu"
        assert settings() == before


@each_setting
def test_ambient_puts_everything_back_after_an_error(setting):
    with setting():
        before = settings()
        with pytest.raises(KeyError), ambient():
            raise KeyError
        assert settings() == before


def test_all_settings_at_once():
    with contextlib.ExitStack() as stack:
        for setting in SETTINGS.values():
            stack.enter_context(setting())
        before = settings()
        with ambient(gradients=True):
            assert settings() == {**PLAIN, "gradients": True}
            x = torch.ones(2, requires_grad=True)
            x.sum().backward()
        assert settings() == before
    assert x.grad.tolist() == [1.0, 1.0]


@each_setting
def test_ambient_nests(setting):
    with setting():
        before = settings()
        with ambient(gradients=True):
            with ambient():
                assert settings() == PLAIN
            assert settings() == {**PLAIN, "gradients": True}
            with SETTINGS["inference mode"](), ambient(gradients=True):
                assert settings() == {**PLAIN, "gradients": True}
        assert settings() == before


def test_a_decorated_function_is_plain_each_time():
    @ambient(gradients=True)
    def inside():
        return settings()

    for setting in SETTINGS.values():
        with setting():
            before = settings()
            assert inside() == {**PLAIN, "gradients": True}
            assert settings() == before


@pytest.mark.parametrize("last", [0, 1])
def test_the_last_of_two_threads_puts_the_default_dtype_back(last):
    """It belongs to the process: while one thread is inside, it is plain for both."""
    entered, leave, seen = Barrier(3), [Event(), Event()], {}

    def work(i):
        with ambient():
            entered.wait(60)
            leave[i].wait(60)
            seen[i] = torch.get_default_dtype()

    with default_dtype(torch.float64):
        threads = [Thread(target=work, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        entered.wait(60)
        for i in (1 - last, last):
            assert torch.get_default_dtype() == torch.float32
            leave[i].set()
            threads[i].join()
        assert torch.get_default_dtype() == torch.float64
    assert seen == {0: torch.float32, 1: torch.float32}
