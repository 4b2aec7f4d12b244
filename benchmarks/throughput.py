"""Speed and memory of ``WAEEstimator`` on 60,000 rows of 784 features.

    python benchmarks/throughput.py [--quick]

The estimator, with one hidden layer of 512 units, 8 components and batches of 256, against

- a hand-written minimal loop with the same network, optimiser, batches and loss, in turn
  with the estimator in one process: the ratio of times is to be at most 1.10;
- WAE_MMD of pythae with its own trainer, the same network, batch size and epochs (if pythae
  is installed): it is to take at least 2.5 times as long.

Each time is that of everything between an array and a fitted model: checks and
standardisation, one epoch or more, and what is left to do afterwards. For these two ratios the
estimator does what the others do: random weights at the start, the normal prior, samples from
it. As it is by default it also finds principal components before the first step and a mixture
of the codes after the last, once in a fit: that, too, stands in the table, for fits of one
epoch. Last, the peak of the resident memory of a process that does nothing but fit, less the
size of the data: at most 600 MB. The data are uniform noise, or MNIST where the environment
variable SKOTAE_DATA names a folder with mnist.npz. ``--quick`` fits fewer rows.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

# Read by tqdm, which draws the progress bars of pythae, when it is imported.
os.environ.setdefault("TQDM_DISABLE", "1")

import numpy as np
import torch
from _common import in_turn, median_ratio, print_table, pythae_coders, timing, write_json
from torch import nn

from skotae import WAEEstimator
from skotae.datasets import fetch_mnist
from skotae.divergences import MMD
from skotae.networks import MLP

SEED = 0
N_COMPONENTS = 8
HIDDEN = 512
BATCH_SIZE = 256
LEARNING_RATE = 0.001

MEMORY_PROBE = """
import resource, sys
import numpy as np
from skotae import WAEEstimator

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

n, n_features, n_components, hidden, batch_size = map(int, sys.argv[1:])
imported = peak()
X = np.random.default_rng(0).random((n, n_features), dtype=np.float32)
model = WAEEstimator(
    n_components=n_components, penalty="mmd", hidden_layer_sizes=(hidden,), batch_size=batch_size,
    max_iter=1, device="cpu", random_state=0,
).fit(X)
print(imported, X.nbytes, peak())
"""


def load(n_rows: int) -> tuple[str, np.ndarray]:
    """MNIST where it is there, else uniform noise of its shape; always float32."""
    if os.environ.get("SKOTAE_DATA"):
        try:
            return "mnist", fetch_mnist().X_train[:n_rows]
        except FileNotFoundError:
            pass
    return "uniform", np.random.default_rng(SEED).random((n_rows, 784), dtype=np.float32)


def fit_ours(
    X: np.ndarray, n_epochs: int, cls: Callable[..., Any] = WAEEstimator, **parameters: Any
) -> Any:
    return cls(
        n_components=N_COMPONENTS,
        batch_size=BATCH_SIZE,
        learning_rate="constant",
        learning_rate_init=LEARNING_RATE,
        max_iter=n_epochs,
        device="cpu",
        random_state=SEED,
        **parameters,
    ).fit(X)


def random_networks() -> dict[str, MLP]:
    """Encoder and decoder that start where those of other libraries do."""
    return {side: MLP((HIDDEN,), start="random") for side in ("encoder", "decoder")}


def make_networks(n_features: int) -> tuple[nn.Module, nn.Module]:
    encoder = nn.Sequential(
        nn.Linear(n_features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, N_COMPONENTS)
    )
    decoder = nn.Sequential(
        nn.Linear(N_COMPONENTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_features)
    )
    return encoder, decoder


def fit_by_hand(X: np.ndarray, n_epochs: int) -> None:
    """What one would write without an estimator: no checks, no history, no safeguards."""
    generator = torch.Generator().manual_seed(SEED)
    data = torch.from_numpy(X)
    data = data - data.mean(0)
    data /= data.square().mean().sqrt()
    encoder, decoder = make_networks(X.shape[1])
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
    mmd = MMD()
    for _ in range(n_epochs):
        for rows in torch.randperm(len(data), generator=generator).split(BATCH_SIZE):
            x = data.index_select(0, rows)
            z = encoder(x)
            prior = torch.randn(z.shape, generator=generator)
            error = (x - decoder(z)).square().sum(1).mean() / X.shape[1]
            loss = error + mmd(z, prior)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()


def fit_pythae(X: np.ndarray, n_epochs: int) -> None:
    """WAE_MMD with its own trainer; the seven kernel scales are the default of both."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import WAE_MMD, WAE_MMD_Config
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    encoder, decoder = pythae_coders(*make_networks(X.shape[1]))
    model = WAE_MMD(
        WAE_MMD_Config(input_dim=(X.shape[1],), latent_dim=N_COMPONENTS),
        encoder=encoder,
        decoder=decoder,
    )
    data = BaseDataset(torch.from_numpy(X), torch.zeros(len(X)))
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=n_epochs,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            no_cuda=True,
        )
        BaseTrainer(model, train_dataset=data, training_config=config).train()


def measure_memory(n_rows: int) -> dict[str, float]:
    """Resident memory, in MB, of a fresh process that makes data and fits them."""
    arguments = [n_rows, 784, N_COMPONENTS, HIDDEN, BATCH_SIZE]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_PROBE, *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
    )
    imported, data, peak = (int(value) / 1e6 for value in done.stdout.split())
    return {"imports": imported, "data": data, "peak": peak, "peak_less_data": peak - data}


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of WAEEstimator.")
    parser.add_argument("--quick", action="store_true", help="fewer rows, nothing is written")
    parser.add_argument("--repeats", type=int, help="number of rounds", default=None)
    parser.add_argument("--epochs", type=int, help="epochs of a fit", default=1)
    options = parser.parse_args()
    n_rows = 20_000 if options.quick else 60_000
    repeats = options.repeats or (3 if options.quick else 5)
    # First: on Linux a new process inherits the peak of the one that starts it.
    memory = measure_memory(n_rows)
    name, X = load(n_rows)

    # The others stop after the last step.
    as_trained = {"prior": "normal", "latent": "prior", "refit_decoder": False}
    like_the_others = {**random_networks(), **as_trained}
    fits = {
        "skotae": partial(fit_ours, n_epochs=options.epochs, **like_the_others),
        "skotae, defaults": partial(
            fit_ours, n_epochs=options.epochs, hidden_layer_sizes=(HIDDEN,)
        ),
        "by hand": partial(fit_by_hand, n_epochs=options.epochs),
    }
    if find_spec("pythae") is not None:
        logging.disable(logging.INFO)
        fits["pythae"] = partial(fit_pythae, n_epochs=options.epochs)
    else:
        print("pythae is not installed: the comparison with it is skipped.")
    some = X[: 8 * BATCH_SIZE]
    for fit in fits.values():  # what is done once in a process
        fit(some)
    torch.manual_seed(SEED)
    seconds = in_turn({key: partial(fit, X) for key, fit in fits.items()}, repeats)

    ratio = median_ratio(seconds["skotae"], seconds["by hand"])
    defaults = median_ratio(seconds["skotae, defaults"], seconds["by hand"])
    rows = [
        ["time, ratio to a hand-written loop", ratio, "at most 1.10", ratio <= 1.10],
        ["the same of the defaults", defaults, "", ""],
    ]
    results = {
        "data": name,
        "shape": list(X.shape),
        "seed": SEED,
        "n_epochs": options.epochs,
        "batch_size": BATCH_SIZE,
        "hidden_layer_sizes": [HIDDEN],
        "n_components": N_COMPONENTS,
        "seconds": {key: timing(value) for key, value in seconds.items()},
        "ratio_to_hand_written": round(ratio, 3),
        "defaults_ratio_to_hand_written": round(defaults, 3),
        "memory_mb": {key: round(value, 1) for key, value in memory.items()},
    }
    if "pythae" in seconds:
        against = median_ratio(seconds["pythae"], seconds["skotae"])
        results["pythae_ratio_to_skotae"] = round(against, 3)
        rows.append(["time of pythae, ratio to skotae", against, "at least 2.5", against >= 2.5])
    extra = memory["peak_less_data"]
    rows.append(["peak memory less data, MB", extra, "at most 600", extra <= 600])
    print(f"{name}, {len(X)} rows, {options.epochs} epoch(s), medians of {repeats}:")
    print_table(["fit", "seconds"], [[k, timing(v)["median"]] for k, v in seconds.items()])
    print_table(["measure", "value", "target", "met"], rows)
    if not options.quick:
        write_json("throughput", results, "pythae")


if __name__ == "__main__":
    main()
