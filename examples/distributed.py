"""
Several processes
=================

The same script trains in one process and in many, on one host or on several:

    torchrun --nproc-per-node=2 examples/distributed.py

fits every estimator twice, in each process alone with mini-batches of 256 rows and by all
processes together with 256 rows divided by their number, and prints how far apart
the weights are after 50 steps. Estimators that are named are the only ones:
``... examples/distributed.py VAE GMWAE``.

The difference is that of rounding in float32. It grows where a last digit decides on which side
of its kink a unit of a rectifier is, as it does between two fits in one process whose first
weights differ in the last digit; hence the smooth activation here.
"""

import sys
import warnings

import numpy as np
import torch
from sklearn.datasets import load_digits

import skotae

NAMES = [name for name in skotae.__all__ if hasattr(getattr(skotae, name), "fit")]
N_ROWS, N_EPOCHS = 1280, 10  # five steps an epoch

# Small networks gain nothing from threads, and processes would wait for each other's.
torch.set_num_threads(1)
warnings.simplefilter("ignore")
X = load_digits().data[:N_ROWS].astype(np.float32)


def fitted(name, n_rows):
    """An estimator after 50 steps of mini-batches that are `n_rows` in each process."""
    options = {"activation": "tanh", "max_iter": N_EPOCHS, "random_state": 0}
    return getattr(skotae, name)(batch_size=n_rows, **options).fit(X)


for name in sys.argv[1:] or NAMES:
    alone = fitted(name, 256)

    # Within this context a fit is that of all processes. Each takes its part of every
    # mini-batch of the same X. (A process that torchrun has not started trains by itself.)
    with skotae.data_parallel() as ranks:
        together = fitted(name, 256 // ranks.size)

    if ranks.rank == 0:
        pairs = zip(together.model_.parameters(), alone.model_.parameters(), strict=True)
        apart = max(float((a - b).detach().abs().max()) for a, b in pairs)
        print(f"{name:18} {ranks.size} processes, weights differ by {apart:.1e} at the most")
