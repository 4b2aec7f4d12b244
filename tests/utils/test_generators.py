"""Seeds, generators and streams of random numbers."""

import contextlib
import random
from threading import Thread

import numpy as np
import pytest
import torch

from skotae.utils._random import (
    GlobalStream,
    borrowed_global_generator,
    draw_seed,
    make_generator,
)


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


# A stream of the global generator.


def test_a_stream_goes_on_where_it_was_left():
    with borrowed_global_generator(5):
        expected = torch.rand(6)
    stream, drawn = GlobalStream(5), []
    for _ in range(3):
        with stream.borrowed():
            drawn.append(torch.rand(2))
        torch.rand(3, generator=make_generator(0))
    assert torch.equal(torch.cat(drawn), expected)


def test_a_stream_leaves_the_global_generator_alone():
    state, stream = torch.get_rng_state(), GlobalStream(5)
    with stream.borrowed():
        torch.rand(3)
    with pytest.raises(KeyError), stream.borrowed():
        torch.rand(3)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)


def test_a_stream_counts_what_was_drawn_before_an_error():
    with borrowed_global_generator(5):
        _, expected = torch.rand(2), torch.rand(2)
    stream = GlobalStream(5)
    with contextlib.suppress(KeyError), stream.borrowed():
        torch.rand(2)
        raise KeyError
    with stream.borrowed():
        assert torch.equal(torch.rand(2), expected)


def test_streams_nest():
    outer, inner = GlobalStream(5), GlobalStream(6)
    with outer.borrowed():
        first = torch.rand(2)
        with inner.borrowed():
            other = torch.rand(2)
        second = torch.rand(2)
    assert torch.equal(torch.cat([first, second]), torch.rand(4, generator=make_generator(5)))
    assert torch.equal(other, torch.rand(2, generator=make_generator(6)))


def test_a_stream_is_handed_over_by_its_states():
    first, second = GlobalStream(5), GlobalStream(6)
    with first.borrowed():
        torch.rand(7)
    second.states = [state.clone() for state in first.states]
    drawn = []
    for stream in (first, second):
        with stream.borrowed():
            drawn.append(torch.rand(4))
    assert torch.equal(*drawn)


def test_threads_with_streams_of_their_own_do_not_mix():
    def draw(seed, results):
        stream, drawn = GlobalStream(seed), []
        for _ in range(50):
            with stream.borrowed():
                drawn.append(torch.rand(20))
        results[seed] = torch.cat(drawn)

    results = {}
    threads = [Thread(target=draw, args=(seed, results)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        assert torch.equal(results[seed], torch.rand(1000, generator=make_generator(seed)))
