"""
==================
Save, load, resume
==================

A fitted model is one file without a pickle. A fit that is interrupted goes on where it was.
"""

# %%
# Save and load
# -------------

import os
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

import skotae
from skotae import WAEEstimator
from skotae.callbacks import Checkpoint

X = load_digits().data
folder = Path(tempfile.mkdtemp())

model = WAEEstimator(2, max_iter=12, random_state=0).fit(X)
model.save(folder / "digits.safetensors")
loaded = skotae.load(folder / "digits.safetensors")
assert np.array_equal(loaded.transform(X), model.transform(X))
assert loaded.score(X) == model.score(X)

# %%
# A fit that is interrupted
# -------------------------
# A callback is an object with four methods. This one stands for a power cut: it raises an error at
# the end of the fifth epoch.


class PowerCut:
    """Ends a fit badly."""

    def __init__(self):
        self.epochs = 0

    def setup(self, estimator, context):
        """Nothing to prepare."""

    def teardown(self, estimator, context):
        """Nothing to close."""

    def on_fit_task_begin(self, estimator, context):
        """An epoch begins."""

    def on_fit_task_end(self, estimator, context):
        """An epoch is over."""
        self.epochs += context.task_name == "epoch"
        if self.epochs == 5:
            raise RuntimeError("no power")


checkpoint = Checkpoint(folder / "checkpoints", every=2)
cut = WAEEstimator(2, max_iter=12, random_state=0).set_callbacks(checkpoint, PowerCut())
try:
    cut.fit(X)
except RuntimeError as error:
    print(f"{error} after {cut.n_iter_} epochs; {sorted(os.listdir(folder / 'checkpoints'))}")

# %%
# The same lines again, in another process as a rule. The fit starts from the last checkpoint and
# ends bit for bit where the one ended that nothing disturbed.

resumed = WAEEstimator(2, max_iter=12, random_state=0).set_callbacks(checkpoint).fit(X)
assert resumed.n_iter_ == 12
assert np.array_equal(resumed.transform(X), model.transform(X))

# %%
# Both losses, epoch by epoch: the resumed fit has those of before the cut too.

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.24, 2.6), layout="constrained")
ax.plot(range(1, 13), model.history_["loss"], lw=4, alpha=0.4, label="undisturbed")
ax.plot(range(1, 13), resumed.history_["loss"], "o-", ms=4, label="resumed")
ax.set(xlabel="epoch", ylabel="loss")
ax.legend()
plt.show()

# %%
# What else callbacks can do: :doc:`plot_callbacks`.
