"""
=====================
Searching with Optuna
=====================

A search that looks at what it has found before it tries the next setting, and that ends fits which
promise nothing. Optuna needs nothing of an estimator but `fit` and `score`.
"""

# %%
# The wines again. Rows for the search are apart from those that judge what it finds.

from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from skotae import WAEEstimator

X, y = load_wine(return_X_y=True)
X, X_test = train_test_split(X, stratify=y, random_state=0)
X_fit, X_valid = train_test_split(X, random_state=0)

# %%
# A fit that promises nothing
# ---------------------------
# Optuna's pruners compare the values that a trial reports on its way with those of the trials
# before it. A callback reports them. It is handed a copy of the estimator as it would be if
# training ended now, and ends the fit by returning True.


class Report:
    """Tells a trial the score every few epochs, and ends what it gives up."""

    def __init__(self, trial, X, every=10):
        self.trial, self.X, self.every = trial, X, every

    def setup(self, estimator, context):
        """Nothing to prepare."""

    def teardown(self, estimator, context):
        """Nothing to close."""

    def on_fit_task_begin(self, estimator, context):
        """An epoch begins."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        """An epoch is over."""
        if context.task_name != "epoch" or estimator.n_iter_ % self.every:
            return False
        self.trial.report(fitted_estimator.score(self.X), estimator.n_iter_)
        return self.trial.should_prune()


# %%
# The study
# ---------
# The first trial is a setting of one's own, here the default; Optuna chooses the others, first at
# random, then near what went well.

import optuna


def objective(trial):
    """The score of held-out rows."""
    model = WAEEstimator(
        3,
        lam=trial.suggest_float("lam", 1e-3, 10.0, log=True),
        learning_rate_init=trial.suggest_float("learning_rate_init", 1e-4, 0.1, log=True),
        random_state=0,
    )
    model.set_callbacks(Report(trial, X_valid)).fit(X_fit)
    if trial.should_prune():
        raise optuna.TrialPruned
    return model.score(X_valid)


optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(
    direction="maximize",
    sampler=optuna.samplers.TPESampler(n_startup_trials=5, seed=0),
    pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=5),
)
study.enqueue_trial({"lam": 0.5, "learning_rate_init": 1e-3})
study.optimize(objective, n_trials=12)

states = [trial.state.name for trial in study.trials]
print({state: states.count(state) for state in sorted(set(states))})
print({name: f"{value:.2g}" for name, value in study.best_params.items()})
print(f"score {study.best_value:.3f}, of the default {study.trials[0].value:.3f}")

# %%
# Fits that were given up stop early; the best one is no worse than the default, which was the
# first.

epochs = [max(trial.intermediate_values) for trial in study.trials]
pruned = [trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials]
assert any(pruned) and max(epochs) == 50
assert min(epochs) < 50
assert study.best_value >= study.trials[0].value

import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(6.24, 2.8), layout="constrained")
for trial, ended in zip(study.trials, pruned, strict=True):
    style = {"color": "0.6"} if ended else {"color": "#0072B2"}
    left.plot(*zip(*trial.intermediate_values.items(), strict=True), "o-", ms=3, **style)
    score = [*trial.intermediate_values.values()][-1]
    right.semilogx(trial.params["learning_rate_init"], score, "o", **style)
left.set(xlabel="epoch", ylabel="score of held-out rows", title="given up: grey")
right.set(xlabel="learning_rate_init", title="last score of each trial")
plt.show()

# %%
# The setting, fitted to all rows of the search, on rows that it has not seen:

best = WAEEstimator(3, **study.best_params, random_state=0).fit(X)
print(f"score {best.score(X_test):.3f}")
assert best.score(X_test) > 0.5

# %%
# A study in a data base (``create_study(storage=...)``) is shared by processes, and goes on after
# a stop. Cross-validation in place of `X_valid` is steadier, and takes as many times longer; then
# there is nothing to prune by.
