"""One process of a group, run by ``test_ranks.py``: fits estimators together with the others.

python ranks_worker.py RANK SIZE FOLDER [KILLED]

FOLDER has a file ``problems.joblib``, a dict of name -> (estimator, X of each rank). What each
became is written to ``RANK.joblib``: the fitted estimator; or the error, the estimator after it,
and the time. The rank KILLED ends itself in the third epoch.
"""

import os
import signal
import sys
import time
import warnings
from pathlib import Path

import joblib
import torch
from torch import distributed

import skotae


class Killed:
    """A callback that ends the process as a power cut would."""

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if estimator.n_iter_ == 3:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder, rank, size, killed=None):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    distributed.init_process_group(
        "gloo", init_method=(folder / "meeting").as_uri(), rank=rank, world_size=size
    )
    outcomes = {}
    for name, (estimator, rows) in joblib.load(folder / "problems.joblib").items():
        if rank == killed:
            estimator.set_callbacks(*estimator._skl_callbacks, Killed())
        try:
            with skotae.data_parallel() as ranks:
                assert (ranks.rank, ranks.size) == (rank, size)
                outcomes[name] = estimator.fit(rows[rank])
        except (ValueError, skotae.exceptions.ProcessLostError) as error:
            outcomes[name] = error, estimator, time.time()
    joblib.dump(outcomes, folder / f"{rank}.joblib")


if __name__ == "__main__":
    numbers = map(int, [*sys.argv[1:3], *sys.argv[4:]])
    main(Path(sys.argv[3]), *numbers)
