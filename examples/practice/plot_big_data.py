"""
==============================
Data that do not fit in memory
==============================

Two ways: a memory map, of which `fit` reads a mini-batch at a time, and `partial_fit` on chunks.
"""

# %%
# A file of rows that is too large, let us say: 20,000 rows of 64 numbers here, written piece by
# piece.

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits().data.astype(np.float32)
path = Path(tempfile.mkdtemp()) / "rows.npy"
rng = np.random.default_rng(0)
rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(20_000, 64))
for start in range(0, len(rows), 2000):
    some = digits[rng.integers(len(digits), size=2000)]
    rows[start : start + 2000] = some + rng.normal(size=some.shape)
rows.flush()
X_test = digits[::5]

# %%
# A memory map
# ------------
# It is passed as if it were an array. It is opened for reading only.

from skotae import WAEEstimator

X = np.load(path, mmap_mode="r")
model = WAEEstimator(max_iter=3, random_state=0).fit(X)
codes = model.transform(X)  # by blocks, too
assert codes.shape == (len(X), 8)

# %%
# Is it the same as with the array in memory? Bit for bit.

in_memory = WAEEstimator(max_iter=3, random_state=0).fit(np.array(X))
assert np.array_equal(in_memory.transform(X_test), model.transform(X_test))

# %%
# Chunks
# ------
# Where rows come as a stream, `partial_fit` trains for one epoch on each chunk, at a constant
# learning rate. The first chunk fixes mean and scale of the columns, and where the networks start.

stream = WAEEstimator(random_state=0)
scores = []
for start in range(0, 16_000, 2000):
    stream.partial_fit(X[start : start + 2000])
    scores.append(stream.score(X_test))
assert scores[-1] > scores[0]
assert stream.n_iter_ == len(scores)

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.24, 2.8), layout="constrained")
ax.plot(2000 * np.arange(1, len(scores) + 1), scores, "o-", label="partial_fit")
ax.axhline(model.score(X_test), ls="--", color="#D55E00", label="fit on the memory map")
ax.set(xlabel="rows seen", ylabel="score of held-out rows")
ax.legend()
plt.show()
