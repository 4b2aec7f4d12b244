"""
===================================================
Callbacks: TensorBoard, MLflow, an end of one's own
===================================================

A callback looks on while a model is fitted. It may write down how far it has come, or end the fit.
"""

# %%
# Rows that are trained on, and rows that are not:

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

X, X_valid = train_test_split(load_digits().data, train_size=800, random_state=0)

# %%
# Write down every epoch
# ----------------------
# A callback is an object with four methods, which scikit-learn calls. A fit is a task, and so is
# each of its epochs. This one hands all that is known after an epoch to a function of a name, a
# value and a step. `history_` has the terms of the loss. A hook that has the keyword
# `fitted_estimator` is given a copy of the estimator as it would be if training ended now.


class EachEpoch:
    """Writes the terms of the loss, and the score of rows X, after each epoch."""

    def __init__(self, write, X):
        self.write, self.X = write, X

    def setup(self, estimator, context):
        """Nothing to prepare."""

    def teardown(self, estimator, context):
        """Nothing to close."""

    def on_fit_task_begin(self, estimator, context):
        """A fit, or an epoch of it, begins."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """It is over."""
        if context.task_name == "epoch":
            for name, values in estimator.history_.items():
                self.write(name, values[-1], estimator.n_iter_)
            self.write("score", fitted_estimator.score(self.X), estimator.n_iter_)


# %%
# Here the function appends to a list:

import warnings

from sklearn.exceptions import ConvergenceWarning

from skotae import WAEEstimator

warnings.simplefilter("ignore", ConvergenceWarning)  # the fits of this page are short
lines = []


def write(name, value, step):
    """Keep it."""
    lines.append((name, value, step))


model = WAEEstimator(max_iter=10, random_state=0).set_callbacks(EachEpoch(write, X_valid)).fit(X)
curves = {
    name: [value for term, value, _ in lines if term == name] for name in (*model.history_, "score")
}
assert curves["loss"] == model.history_["loss"]
assert curves["score"][-1] == model.score(X_valid) > curves["score"][0]

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.24, 2.6), layout="constrained")
for name in ("reconstruction", "score"):
    ax.plot(range(1, 11), curves[name], "o-", ms=4, label=name)
ax.set(xlabel="epoch")
ax.legend()
plt.show()

# %%
# TensorBoard and MLflow
# ----------------------
# Their functions take the same three arguments, and are given in place of our own. These lines
# are run where the two are installed.

import importlib.util
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
short = WAEEstimator(max_iter=3, random_state=0)

if importlib.util.find_spec("tensorboard"):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder / "tensorboard") as writer:
        short.set_callbacks(EachEpoch(writer.add_scalar, X_valid)).fit(X)
    assert [*(folder / "tensorboard").glob("events.out.*")]

if importlib.util.find_spec("mlflow"):
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/runs.db")
    with mlflow.start_run() as run:
        mlflow.log_params(short.get_params(deep=False))
        short.set_callbacks(EachEpoch(mlflow.log_metric, X_valid)).fit(X)
    logged = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [each.value for each in logged] == short.history_["loss"]

# %%
# Then ``tensorboard --logdir FOLDER`` and ``mlflow ui`` show the curves of all fits.

# %%
# An end of one's own
# -------------------
# A hook that returns True after an epoch ends the fit. The estimator is then fitted as after any
# other epoch.


class UntilGood(EachEpoch):
    """Ends a fit once the reconstruction term is below a goal."""

    def __init__(self, goal):
        self.goal = goal

    def on_fit_task_end(self, estimator, context):
        """Good enough?"""
        return estimator.history_["reconstruction"][-1] < self.goal


stopped = WAEEstimator(random_state=0).set_callbacks(UntilGood(0.3)).fit(X)
*before, last = stopped.history_["reconstruction"]
print(f"{stopped.n_iter_} epochs until the reconstruction term was {last:.3f}")
assert last < 0.3 <= min(before)

# %%
# :class:`~skotae.callbacks.Checkpoint` is a callback too (:doc:`plot_save_resume`), and scikit-
# learn has a ``ProgressBar``. How a callback ends fits that promise nothing: :doc:`plot_optuna`.
