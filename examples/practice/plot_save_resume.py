"""
=========================
Save, load, resume, watch
=========================

A fitted model is one file without a pickle. A fit that is interrupted goes on where it was, and
callbacks look on while it runs.
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
# Watch and stop
# --------------
# A callback may also look at the model as it would be if training ended now, and end the training:
# it returns True. What goes on in the body of this one, a logger of your choice (TensorBoard,
# MLflow) would be told.


class Watch(PowerCut):
    """Notes a measure after each epoch, and stops at a goal."""

    def __init__(self, X, goal):
        self.X, self.goal, self.scores = X, goal, []

    def on_fit_task_end(self, estimator, context, reconstruction_attributes=None):
        """Score the model so far."""
        if context.task_name != "epoch":
            return None
        so_far = estimator.history_["reconstruction"][-1]
        self.scores.append(so_far)
        return so_far < self.goal


watch = Watch(X, goal=0.55)
stopped = WAEEstimator(2, random_state=0).set_callbacks(watch).fit(X)
print(f"{stopped.n_iter_} epochs until the reconstruction term was below {watch.goal}")
assert watch.scores[-1] < watch.goal <= min(watch.scores[:-1])
assert stopped.n_iter_ == len(watch.scores) < 50

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.24, 2.6), layout="constrained")
ax.plot(range(1, len(watch.scores) + 1), watch.scores, "o-", ms=4)
ax.axhline(watch.goal, ls="--", color="#D55E00")
ax.annotate("goal", (1, watch.goal), xytext=(0, 4), textcoords="offset points")
ax.set(xlabel="epoch", ylabel="reconstruction term")
plt.show()
