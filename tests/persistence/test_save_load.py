"""Estimators go into a file and come back; what is no file of skotae, or too much, does not."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skotae
from skotae import exceptions
from skotae.exceptions import (
    CorruptFileError,
    PersistenceError,
    UnsavableError,
    UntrustedError,
    VersionError,
)
from skotae.networks import MLP
from skotae.persistence import load, save
from skotae.persistence.format import document as format_document
from skotae.priors import GaussianMixturePrior, NormalPrior

from .conftest import TRUSTED, closed, opened, same

ESTIMATORS = [
    getattr(skotae, name)
    for name in skotae.__all__
    if isinstance(getattr(skotae, name), type) and issubclass(getattr(skotae, name), BaseEstimator)
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def fitted(user_code, X):
    part = GaussianMixturePrior(n_mixtures=3, weights=[1, 2, 3])
    return user_code.Estimator(
        prior=part, encoder=MLP((4,)), random_state=3, hidden_layer_sizes=np.array([6, 4])
    ).fit(X)


def public(estimator):
    return {name: value for name, value in vars(estimator).items() if name != "model_"}


def test_round_trip(fitted, path, X):
    assert save(fitted, path) is None
    back = load(path, trusted=TRUSTED)
    assert type(back) is type(fitted)
    assert same(public(back), public(fitted))
    assert np.array_equal(back.transform(X), fitted.transform(X))
    assert all(p.requires_grad for p in back.model_.parameters())
    again = path.with_name("again")
    save(back, str(again).encode())
    assert again.read_bytes() == path.read_bytes()


def test_the_file_is_small(fitted, path, user_code, X):
    for sizes in ((6, 4), (300, 300)):
        model = user_code.Estimator(hidden_layer_sizes=sizes, prior=fitted.prior).fit(X)
        save(model, path)
        weights = sum(tensor.nbytes for tensor in model.model_.state_dict().values())
        assert path.stat().st_size <= 1.02 * weights + 20_000


def test_saving_leaves_the_estimator_alone(fitted, path):
    before = dict(vars(fitted))
    save(fitted, path)
    assert vars(fitted) == before and vars(fitted)["prior"] is before["prior"]


def test_another_process(start_process, fitted, path, X, tmp_path):
    save(fitted, path)
    np.save(tmp_path / "X.npy", X)
    code = (
        "import importlib.util, os, sys, numpy as np\n"
        f"spec = importlib.util.spec_from_file_location('user_code', {str(user_code_file())!r})\n"
        "sys.modules['user_code'] = module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "from skotae.persistence import load\n"
        f"model = load({str(path)!r}, trusted={TRUSTED!r})\n"
        "os.chdir(sys.argv[0])\n"
        "np.save('codes.npy', model.transform(np.load('X.npy')))\n"
    )
    status, text = start_process(tmp_path, code=code).finish()
    assert status == 0, text
    assert np.array_equal(np.load(tmp_path / "codes.npy"), fitted.transform(X))


def user_code_file():
    return Path(__file__).with_name("user_code.py")


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_unfitted_estimators_of_skotae(cls, path):
    model = cls(n_components=3, random_state=np.random.RandomState(2), batch_size=100_000)
    if hasattr(model, "set_output"):
        model.set_output(transform="pandas")
    save(model, path)
    back = load(path)
    assert type(back) is cls
    assert same(vars(back), vars(model))


def test_unfitted_sizes_are_free(path):
    """Nothing is built from them before fit."""
    save(skotae.WAEEstimator(hidden_layer_sizes=(100_000,)), path)
    assert load(path).hidden_layer_sizes == (100_000,)


def test_what_belongs_to_the_process_stays_out(path):
    model = skotae.WAEEstimator()
    model._skl_callbacks = [object()]
    model._metadata_request = object()
    save(model, path)
    assert not {"_skl_callbacks", "_metadata_request"} & vars(load(path)).keys()


def test_device(path, fitted):
    save(skotae.WAEEstimator(device="cuda"), path)
    assert load(path).device == "cuda"
    assert load(path, device="cpu").device == "cpu"
    assert load(path, device=torch.device("cpu")).device == torch.device("cpu")
    with pytest.raises(ValueError, match="device='nowhere' is not a device of this machine"):
        load(path, device="nowhere")
    save(fitted, path)
    assert load(path, trusted=TRUSTED, device="cpu").device == "cpu"


def test_ambient_state_of_torch(fitted, path, X):
    with torch.inference_mode():
        save(fitted, path)
        back = load(path, trusted=TRUSTED)
    assert not any(p.is_inference() for p in back.model_.parameters())
    assert np.array_equal(back.transform(X), fitted.transform(X))


def test_trust(fitted, path, user_code):
    fitted.encoder = user_code.Spec()
    save(fitted, path)
    with pytest.raises(UntrustedError) as caught:
        load(path)
    assert "trusted=['user_code.Estimator', 'user_code.Spec']" in str(caught.value)
    assert str(path) in str(caught.value)
    load(path, trusted=["user_code.Estimator", "user_code.Spec"])
    load(path, trusted=iter(["user_code.Estimator", "user_code.Spec"]))
    for wrong in ("user_code.Estimator", [user_code.Estimator]):
        with pytest.raises(TypeError, match="expected a list of strings"):
            load(path, trusted=wrong)


def test_unsavable_parameters_are_named(path, fitted):
    fitted.cost = lambda x, y: x
    with pytest.raises(UnsavableError, match="^Cannot save Estimator: cost is .*<lambda> of"):
        save(fitted, path)
    model = skotae.WAEEstimator(decoder=torch.nn.Identity())
    with pytest.raises(UnsavableError, match="^Cannot save WAEEstimator: decoder is a live module"):
        save(model, path)
    assert not path.exists()


def test_unsavable_classes(path, user_code, X):
    class Local(user_code.Estimator):
        pass

    with pytest.raises(UnsavableError, match="its class is .*Local of"):
        save(Local(), path)
    model = user_code.Estimator()
    del model.lam
    with pytest.raises(UnsavableError, match="parameter lam is not an attribute"):
        save(model, path)


def test_other_objects(path, user_code):
    wae = skotae.WAEEstimator()
    for value, hint in {
        make_pipeline(PCA(), wae): r"save\(pipeline.named_steps\['waeestimator'\], path\)",
        GridSearchCV(wae, {}): "cannot be saved; save the autoencoder",
        PCA(): "sklearn.decomposition._pca.PCA cannot be saved",
        NormalPrior(): "NormalPrior cannot be saved",
        torch.nn.Identity(): "Identity cannot be saved",
        skotae.WAEEstimator: "type",
        None: "NoneType",
    }.items():
        with pytest.raises(TypeError, match=hint):
            save(value, path)
    search = GridSearchCV(wae, {})
    search.best_estimator_ = wae
    with pytest.raises(TypeError, match="save its best_estimator_"):
        save(search, path)
    for wrong in (None, 3):
        with pytest.raises(TypeError):
            save(wae, wrong)
        with pytest.raises(TypeError):
            load(wrong)


def test_the_disk(path):
    with pytest.raises(FileNotFoundError, match="make it first"):
        save(skotae.WAEEstimator(), path / "absent")
    with pytest.raises(FileNotFoundError):
        load(path)


def test_errors_name_the_file(path):
    path.write_bytes(b"nothing")
    with pytest.raises(CorruptFileError) as caught:
        load(path)
    assert str(path) in str(caught.value) and "save the estimator again" in str(caught.value)
    assert issubclass(PersistenceError, ValueError)
    for name in ("UnsavableError", "CorruptFileError", "UntrustedError", "VersionError"):
        assert issubclass(getattr(exceptions, name), PersistenceError)


# --- versions ---------------------------------------------------------------------------


def changed(path, change):
    header, document, body = opened(path.read_bytes())
    document = change(document)
    path.write_bytes(closed(header, document, body))


def test_versions_are_recorded(path):
    save(skotae.WAEEstimator(), path)
    document = opened(path.read_bytes())[1]
    assert document["schema"] == 1 and document["class"] == "skotae.WAEEstimator"
    assert document["versions"]["skotae"] == skotae.__version__
    assert {"torch", "numpy", "scikit-learn"} < document["versions"].keys()


def test_a_later_version(path):
    save(skotae.WAEEstimator(), path)
    changed(path, lambda d: {**d, "schema": 7, "versions": {"skotae": "9.1"}, "more": 1})
    with pytest.raises(VersionError) as caught:
        load(path)
    for text in ("schema 7", "skotae '9.1'", f"skotae {skotae.__version__}", "schema 1", "Install"):
        assert text in str(caught.value)


def test_an_earlier_version(path, monkeypatch):
    save(skotae.WAEEstimator(lam=3.0), path)

    def renamed(document):
        state = dict(document["state"])
        state["penalty"] = "sliced"
        return {**document, "state": state}

    monkeypatch.setattr(format_document, "SCHEMA", 3)
    monkeypatch.setitem(format_document.MIGRATIONS, 2, renamed)
    with pytest.raises(VersionError, match="schema 1, which .* no longer reads"):
        load(path)
    monkeypatch.setitem(format_document.MIGRATIONS, 1, lambda document: document)
    assert load(path).penalty == "sliced" and load(path).lam == 3.0


@pytest.mark.parametrize("schema", [0, -1, True, 1.0, "1", None, [1]])
def test_versions_that_are_none(path, schema):
    save(skotae.WAEEstimator(), path)
    changed(path, lambda document: {**document, "schema": schema})
    with pytest.raises(CorruptFileError, match="no schema version"):
        load(path)


# --- numbers that ask for memory --------------------------------------------------------


def altered(**fields):
    """The state with other numbers, in the file of a fitted estimator."""
    return lambda document: {**document, "state": {**document["state"], **fields}}


def inner(name, param, value):
    def change(document):
        document["state"][name]["params"][param] = value
        return document

    return change


TOO_MUCH = {
    "components": altered(n_components=10**12),
    "fitted components": altered(n_components_=10**12),
    "features": altered(n_features_in_=10**12),
    "negative": altered(n_bank=-(10**12)),
    "bank": altered(n_bank=10**12),
    "layers": altered(hidden_layer_sizes=[10**12]),
    "tuple": altered(hidden_layer_sizes={"$": "tuple", "items": [4, 10**12]}),
    "scalar": altered(n_bank={"$": "scalar", "dtype": "<i8", "value": 10**12}),
    "in a part": inner("prior", "n_mixtures", 10**12),
    "in a part's list": inner("encoder", "hidden_layer_sizes", [[10**12]]),
    "products": altered(hidden_layer_sizes=[9_000] * 9),
    "many layers": altered(hidden_layer_sizes=[1] * 100_000),
}


@pytest.mark.parametrize("change", TOO_MUCH.values(), ids=TOO_MUCH)
def test_too_much(fitted, path, change):
    fitted.hidden_layer_sizes = (6, 4)
    save(fitted, path)
    changed(path, change)
    with pytest.raises(CorruptFileError, match="larger than"):
        load(path, trusted=TRUSTED)


def test_integers_that_are_no_sizes(user_code, path, X):
    model = user_code.Estimator(random_state=2**31, lam=10**9, max_iter=10**6).fit(X)
    model.encoder = user_code.Spec(seed=2**40)
    save(model, path)
    back = load(path, trusted=["user_code.Estimator", "user_code.Spec"])
    assert (back.random_state, back.lam, back.max_iter) == (2**31, 10**9, 10**6)


def test_what_could_not_be_loaded_is_not_saved(user_code, path, X):
    model = user_code.Estimator().fit(X)
    model.n_bank = 10**6
    with pytest.raises(UnsavableError, match="n_bank=1000000 is larger than all weights"):
        save(model, path)


@pytest.mark.parametrize(
    "change",
    [
        altered(hidden_layer_sizes=[6, 5]),
        altered(hidden_layer_sizes="abc"),
        altered(n_components_=3),
        altered(n_features_in_=None),
        altered(model_={}),
        lambda d: {**d, "state": {k: v for k, v in d["state"].items() if k != "lam"}},
        lambda d: {**d, "state": [d["state"]]},
        lambda d: {**d, "state": {"$": "dict", "items": [[1, 2]]}},
        lambda d: {**d, "class": "skotae.show_versions"},
        lambda d: {**d, "class": "skotae.__version__"},
        lambda d: {**d, "class": "WAEEstimator"},
        lambda d: {**d, "class": ["skotae.WAEEstimator"]},
        lambda d: {**d, "class": "user_code.Estimator"},
        lambda d: {k: v for k, v in d.items() if k != "state"},
        lambda d: {**d, "code": "import os"},
        lambda d: [d],
    ],
)
def test_states_that_make_no_estimator(fitted, path, change):
    fitted.hidden_layer_sizes = (6, 4)
    save(fitted, path)
    changed(path, change)
    with pytest.raises(CorruptFileError):
        load(path, trusted=TRUSTED)


def test_trusted_classes_that_are_no_estimators(fitted, path, user_code):
    save(fitted, path)
    where = {"$": "object", "module": "user_code", "qualname": "Scaled"}
    changed(path, lambda document: {**document, "class": where})
    with pytest.raises(CorruptFileError, match="is no estimator"):
        load(path, trusted=[*TRUSTED, "user_code.Scaled"])


def test_a_file_is_json_for_anyone(fitted, path):
    save(fitted, path)
    header, document, _ = opened(path.read_bytes())
    assert json.loads(json.dumps(document)) == document
    assert {"model_.0.weight", "model_.bank", "data_mean_"} <= header.keys()
    assert os.path.getsize(path) < 20_000
