"""
=================
Several processes
=================

Rows of a mini-batch are shared out between processes. Two processes with half as many rows each
train the model that one process trains.
"""

# %%
# The script
# ----------
# It is the same for one process and for many. Within ``skotae.data_parallel()`` a fit is that of
# all processes; each is given the same rows.

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = """
import sys
from sklearn.datasets import load_digits
import skotae

X = load_digits().data[:1024].astype("float32")
with skotae.data_parallel() as ranks:
    model = skotae.WAEEstimator(
        activation="tanh", batch_size=256 // ranks.size, max_iter=10, random_state=0
    )
    model.fit(X)
if ranks.rank == 0:
    model.save(sys.argv[1])
"""
folder = Path(tempfile.mkdtemp())
(folder / "fit.py").write_text(SCRIPT)

# %%
# One process, and two
# --------------------
# On a command line these are ``python fit.py one`` and ``torchrun --nproc-per-node=2 fit.py
# two``.

torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
for name, launcher in {"one": [], "two": torchrun}.items():
    command = [sys.executable, "-W", "ignore", *launcher, folder / "fit.py", folder / name]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

# %%
# The weights differ by rounding alone.

import skotae

one, two = (skotae.load(folder / name) for name in ("one", "two"))
pairs = zip(one.model_.parameters(), two.model_.parameters(), strict=True)
apart = max(float((a - b).detach().abs().max()) for a, b in pairs)
print(f"weights differ by {apart:.1e} at the most")
assert apart < 1e-4

import matplotlib.pyplot as plt

figure, ax = plt.subplots(figsize=(6.24, 2.6), layout="constrained")
ax.plot(range(1, 11), one.history_["loss"], lw=5, alpha=0.4, label="one process, 256 rows")
ax.plot(range(1, 11), two.history_["loss"], "o-", ms=4, label="two processes, 128 rows each")
ax.set(xlabel="epoch", ylabel="loss")
ax.legend()
plt.show()

# %%
# It pays where the networks are most of a step, and each process has a core or a GPU of its own:
# :doc:`/user_guide/several_processes`. In a clone of the repository ``torchrun --nproc-per-node=2
# examples/distributed.py`` makes this comparison for every estimator.
