"""A thousand files that are not what was written: each ends in a named error, soon.

Half of them are damaged; half have a digest that is right, as an attacker would see to. Not
among them is what no file without a signature can tell: other weights of the same shapes.
"""

import contextlib
import json
import random
import re
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from skotae.exceptions import PersistenceError
from skotae.networks import MLP
from skotae.persistence import load, save
from skotae.persistence.format import strict_json
from skotae.priors import DirichletPrior, DistributionPrior

from .attacks import ATTACKS, DAMAGE, attack, walk
from .conftest import TRUSTED, closed, opened

N = 500
SECONDS, MEGABYTES = 1.0, 200


@pytest.fixture(scope="module")
def raw(user_code, tmp_path_factory):
    path = tmp_path_factory.mktemp("mutations") / "file"
    X = np.random.RandomState(0).uniform(size=(20, 5))
    save(
        user_code.Estimator(
            encoder=MLP((4,)),
            prior=DistributionPrior(stats.t(df=5, loc=np.zeros(2))),
            cost=DirichletPrior(np.ones(2)),
            random_state=np.random.RandomState(1),
        ).fit(X),
        path,
    )
    return path.read_bytes()


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def memory(name):
    """Megabytes that the process has (VmRSS), or had at the most since `forget_peak` (VmHWM)."""
    if not CLEAR.exists():
        return 0.0
    return int(re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text())[1]) / 2**10


def forget_peak():
    with contextlib.suppress(OSError):
        CLEAR.write_text("5")


class Cost:
    """Most seconds of processor time, and megabytes, of one load."""

    def __init__(self):
        self.seconds, self.megabytes = (0.0, ""), (0.0, "")

    @contextlib.contextmanager
    def of(self, what):
        forget_peak()
        before, start = memory("VmRSS"), time.process_time()
        yield
        self.seconds = max(self.seconds, (time.process_time() - start, what))
        self.megabytes = max(self.megabytes, (memory("VmHWM") - before, what))

    def check(self, record):
        record("most seconds", str(self.seconds))
        record("most megabytes", str(self.megabytes))
        assert self.seconds[0] < SECONDS and self.megabytes[0] < MEGABYTES


@pytest.mark.parametrize("kinds", [DAMAGE, ATTACKS], ids=["damage", "attack"])
def test_mutations(raw, kinds, tmp_path, canary, record_property):
    path, cost = tmp_path / "file", Cost()
    path.write_bytes(closed(*opened(raw)))
    load(path, trusted=TRUSTED)
    for seed in range(N):
        draw, kind = random.Random(seed), kinds[seed % len(kinds)]
        made = kind(raw, draw) if kinds is DAMAGE else attack(raw, draw, kind)
        assert made != raw, (kind.__name__, seed)
        path.write_bytes(made)
        with cost.of(f"{kind.__name__} {seed}"), pytest.raises(PersistenceError) as caught:
            load(path, trusted=TRUSTED)
        assert len(str(caught.value)) < 3000
    cost.check(record_property)


def test_values_of_an_attacker(raw, tmp_path, canary, record_property):
    """Anything anywhere in the description: an error, or an estimator of plain values."""
    path, loaded, cost = tmp_path / "file", 0, Cost()
    values = [None, True, 0, -1, 3, 0.5, 1e300, "", "os.system", [], [1, 2], {}, {"a": [None]}]
    for seed in range(300):
        draw = random.Random(seed)
        header, document, body = opened(raw)
        node = draw.choice([*walk(document)])
        if node:
            node[draw.choice([*node])] = draw.choice(values)
        path.write_bytes(closed(header, document, body))
        with cost.of(str(seed)), contextlib.suppress(PersistenceError):
            assert type(load(path, trusted=TRUSTED)).__name__ == "Estimator"
            loaded += 1
    cost.check(record_property)
    assert 0 < loaded < 200


CROWDS = [
    "[]",
    "{}",
    "0",
    '""',
    "0.1234",
    "[[[[]]]]",
    '{"a":{"a":{}}}',
    '{"$":"float","value":"inf"}',
    '{"$":"tuple","items":[]}',
    '{"$":"dict","items":[["a",1]]}',
    '{"$":"part","name":"skotae.networks.MLP","params":{}}',
    '{"$":"scipy","name":"vonmises","args":[1],"kwds":{}}',
    '{"$":"device","value":"cpu"}',
    '{"$":"scalar","dtype":"<f4","value":1.0}',
    '{"$":"object","module":"a","qualname":"b"}',
    '["\U0001f600"]',
]


@pytest.mark.parametrize("crowd", CROWDS)
def test_as_much_as_a_file_may_hold(raw, tmp_path, canary, record_property, crowd):
    """Just below the bounds, where a file may also be fine."""
    path, cost = tmp_path / "file", Cost()
    header, document, body = opened(raw)
    n = min(195_000 // len(strict_json.TOKEN.findall(crowd + ",")), 3 * 2**20 // (2 * len(crowd)))
    text = json.dumps(document).replace('"lam": 1.0', f'"lam": [{f"{crowd}," * n}0]')
    path.write_bytes(closed(header, text, body))
    with cost.of(crowd), contextlib.suppress(PersistenceError):
        load(path, trusted=TRUSTED)
    cost.check(record_property)
