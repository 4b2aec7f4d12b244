"""Time of ``import skotae`` against that of what it cannot do without.

    python benchmarks/import_time.py [--quick]

``import skotae`` and ``import torch, sklearn.base``, in turn in fresh interpreters; the
ratio is to be at most 1.3, and ``import skotae`` is to pull in neither matplotlib nor
pandas (scikit-learn itself imports pandas where it is installed; that does not count).
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from _common import in_turn, median_ratio, print_table, timing, write_json

OURS = "import skotae"
NEEDED = "import torch, sklearn.base"
UNWANTED = ("matplotlib", "pandas")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout


def loaded_by(code: str) -> set[str]:
    """Those of the unwanted modules that are there after `code`."""
    return set(run(f"{code}, sys; print(*[m for m in {UNWANTED} if m in sys.modules])").split())


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of import skotae.")
    parser.add_argument("--quick", action="store_true", help="7 pairs, nothing is written")
    parser.add_argument("--pairs", type=int, default=None, help="number of pairs")
    options = parser.parse_args()
    pairs = options.pairs or (7 if options.quick else 15)

    # Also puts the files in the cache of the operating system.
    found = sorted(loaded_by(OURS) - loaded_by(NEEDED))
    seconds = in_turn({OURS: lambda: run(OURS), NEEDED: lambda: run(NEEDED)}, pairs)
    ratio = median_ratio(seconds[OURS], seconds[NEEDED])
    print_table(
        ["in a fresh interpreter", "seconds"],
        [[code, timing(value)["median"]] for code, value in seconds.items()],
    )
    print_table(
        ["measure", "value", "target", "met"],
        [
            ["ratio", ratio, "at most 1.3", ratio <= 1.3],
            [f"pulls in {' or '.join(UNWANTED)}", bool(found), "no", not found],
        ],
    )
    if not options.quick:
        write_json(
            "import_time",
            {
                "seconds": {code: timing(value) for code, value in seconds.items()},
                "ratio": round(ratio, 3),
                "unwanted_modules": found,
            },
        )


if __name__ == "__main__":
    main()
