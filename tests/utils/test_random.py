"""Independent streams of random numbers from one seed."""

import numpy as np
import pytest
import torch

from skotae.utils._random import STREAMS, child_seed, make_generator


def test_streams_differ_from_each_other_and_between_seeds():
    seeds = {child_seed(seed, stream) for seed in range(50) for stream in STREAMS}
    assert len(seeds) == 50 * len(STREAMS)


def test_keys_tell_one_fit_from_the_next():
    assert len({child_seed(0, "training", n) for n in range(100)}) == 100


def test_a_stream_is_the_same_again():
    assert child_seed(3, "order", 2) == child_seed(3, "order", 2)


@pytest.mark.parametrize("stream", STREAMS)
def test_any_generator_takes_them(stream):
    seed = child_seed(2**31 - 2, stream)
    make_generator(seed)
    assert 0 <= seed < 2**63


def test_streams_are_not_correlated():
    draws = torch.stack(
        [torch.randn(2000, generator=make_generator(child_seed(0, s))) for s in STREAMS]
    )
    correlations = np.corrcoef(draws.numpy()) - np.eye(len(STREAMS))
    assert np.abs(correlations).max() < 0.1
