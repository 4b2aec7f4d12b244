"""Clouds whose rows are spread over processes, against the same clouds in one process."""

from pathlib import Path

import pytest
import torch
from torch import distributed

from skotae.transport import sinkhorn_divergence

WORKER = Path(__file__).with_name("group_worker.py")
# Uneven shares, and one process without any row of y.
SHARES = {
    "x": [(0, 40), (40, 41), (41, 61)],
    "y": [(0, 10), (10, 10), (10, 47)],
}
SHARES |= {"a": SHARES["x"], "b": SHARES["y"]}
OPTIONS = {
    "paired": {},
    "independent": {"debias": "independent"},
    "small epsilon": {"epsilon": 0.01},
    "log domain": {"epsilon": 1e-3, "debias": "none", "max_iter": 10_000},
    "cityblock": {"p": 1},
    "in blocks": {"max_memory": 1e-4},
    "weighted": {},
}


def _arguments(name):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(61, 3, generator=generator, dtype=torch.float64)
    y = 0.7 * torch.randn(47, 3, generator=generator, dtype=torch.float64) + 0.4
    arguments = {"x": x, "y": y, "tol": 1e-7, **OPTIONS[name]}
    if name == "weighted":
        arguments |= {
            "a": torch.rand(61, generator=generator, dtype=torch.float64),
            "b": torch.rand(47, generator=generator, dtype=torch.float64),
        }
    return arguments


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, start_process):
    """What each of three processes got for each problem."""
    folder = tmp_path_factory.mktemp("group")
    problems = []
    for name in OPTIONS:
        arguments = _arguments(name)
        problems.append((arguments, {key: SHARES[key] for key in SHARES if key in arguments}))
    torch.save(problems, folder / "problems.pt")
    processes = [
        start_process(WORKER, folder / "problems.pt", rank, 3, folder) for rank in range(3)
    ]
    for process in processes:
        code, text = process.finish(120)
        assert code == 0, text
    results = [torch.load(folder / f"{rank}.pt") for rank in range(3)]
    return {name: [result[i] for result in results] for i, name in enumerate(OPTIONS)}


@pytest.mark.parametrize("name", OPTIONS)
def test_ranks_agree_with_one_process(name, outcomes):
    arguments = _arguments(name)
    tensors = {k: arguments[k].requires_grad_() for k in ("x", "y", "a", "b") if k in arguments}
    value = sinkhorn_divergence(**arguments)
    gradients = dict(zip(tensors, torch.autograd.grad(value, tensors.values()), strict=True))
    for rank, (got, converged, shares) in enumerate(outcomes[name]):
        assert converged
        torch.testing.assert_close(got, value.detach(), rtol=1e-7, atol=0)
        for key, gradient in shares.items():
            expected = gradients[key][slice(*SHARES[key][rank])]
            assert gradient.shape == expected.shape
            assert (gradient - expected).norm() <= 1e-5 * gradients[key].norm()


@pytest.mark.parametrize("name", OPTIONS)
def test_every_rank_has_the_same_value(name, outcomes):
    assert len({value.item() for value, *_ in outcomes[name]}) == 1


def test_sharp_is_refused(tmp_path):
    distributed.init_process_group(
        "gloo", init_method=(tmp_path / "meeting").as_uri(), rank=0, world_size=1
    )
    try:
        with pytest.raises(ValueError, match="sharp=True needs whole plans, got a group"):
            x = torch.zeros(3, 2)
            sinkhorn_divergence(x, x, sharp=True, group=distributed.group.WORLD)
    finally:
        distributed.destroy_process_group()
