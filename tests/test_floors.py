"""Who may import whom: the floors of the package, read off the source."""

import ast
from pathlib import Path

import pytest

import skotae

ROOT = Path(skotae.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MAX_LINES = 400

FLOORS = {
    "exceptions": 0,
    "utils": 0,
    "transport": 1,
    "networks": 1,
    "priors": 1,
    "costs": 1,
    "columns": 1,
    "datasets": 1,
    "divergences": 2,
    "metrics": 2,
    "training": 2,
    "persistence": 3,
    "autoencoders": 4,
    "callbacks": 5,
    "onnx": 5,
    "displays": 5,
    "testing": 5,
    "base": 6,
}

# Files that others in their folder may import, from the bottom up: a file imports those
# before it. ``base`` is everywhere; the rest are parts of something too long for one file.
SHARED = {
    "utils": ["base", "_threads", "_containers"],
    "transport": ["ground", "base", "kernel_means"],
    "columns": ["base", "_naming"],
    "metrics": [
        "base",
        "_intervals",
        "_score",
        "_codes",
        "_frechet",
        "_neighbours",
    ],
    "training": ["base", "_history", "_state", "_batches", "_sharing"],
    "persistence": ["base", "_bounds"],
    "displays": ["base", "_verdicts"],
    "testing": ["base", "generators"],
}
# Files that put their siblings together: they import any of them, and none imports them.
ASSEMBLIES = {"displays._report", "metrics._report", "training._loop"}
# Folders within a folder, with all their files from the bottom up. A file of a room imports those
# before it and what is shared in the folder around it. Its private files are for it alone.
ROOMS = {
    "transport.linear": ["line", "plans", "slices"],
    "transport.entropic": [
        "arrays",
        "log_domain",
        "shards",
        "options",
        "clouds",
        "log_kernel",
        "kernel",
        "scaling",
        "newton",
        "solve",
        "sharp",
        "balanced",
        "solutions",
        "marginals",
        "damped",
        "envelope",
        "relaxed",
        "compiled",
        "debiased",
        "rounds",
        "batched",
        "solution_batches",
        "relaxed_solutions",
        "relaxed_batches",
        "histograms",
    ],
    "columns.sources": ["_readers", "moments", "source"],
    "persistence.format": [
        "_tensors",
        "strict_json",
        "_arrays",
        "_distributions",
        "_parts",
        "codec",
        "file",
        "document",
    ],
    "autoencoders.bases": [
        "docs",
        "values",
        "_snapshot",
        "inference",
        "options",
        "_diagnosis",
        "_each_row",
        "_extremes",
        "principal",
        "codes",
        "_noise",
        "_export",
        "_calls",
        "_copies",
        "modules",
        "model",
        "fitted",
        "network",
        "_ex_post",
        "encoding",
        "generating",
        "last_layer",
        "autoencoder",
        "penalised",
        "variational",
        "pseudo_inputs",
    ],
    "autoencoders.mixture": [
        "_graph_clusters",
        "_encoder",
        "_clustering_terms",
        "_codes_in_use",
        "posterior",
        "_gmwae",
        "_gmvae",
    ],
    "autoencoders.coupled": [
        "_bank",
        "_cooling",
        "_potentials",
        "_posterior",
        "_model",
        "_estimator",
    ],
}
# Files directly under skotae/, beside ``exceptions``, that nothing else imports.
TOP = {"__init__", "_show_versions"}


def name_of(path):
    """Dotted name below the package: ``costs._euclidean``; '' for its ``__init__``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path) for path in FILES}


def imports(path):
    """(line, module, name) of every import of a file, also within functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, None
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} imports relatively"
            for alias in node.names:
                yield node.lineno, node.module, alias.name


def targets(path):
    """(line, dotted name below the package) of every file that a file imports."""
    for line, module, name in imports(path):
        if module.split(".")[0] != "skotae":
            continue
        below = module.removeprefix("skotae").removeprefix(".")
        inner = f"{below}.{name}".removeprefix(".")
        yield line, inner if inner in MODULES else below


def room_of(name):
    """The room that a file is in, or None."""
    return next((room for room in ROOMS if name.startswith(f"{room}.")), None)


def shared_files(folder):
    """Files of a folder that others in it may import, from the bottom up; rooms lie above them."""
    rooms = [room for room in ROOMS if room.split(".")[0] == folder]
    inside = [f"{room.partition('.')[2]}.{file}" for room in rooms for file in ROOMS[room]]
    return [*SHARED.get(folder, ["base"]), *inside]


def violations(path):
    own = name_of(path)
    folder, is_init = own.split(".")[0], path.name == "__init__.py"
    if not own or own in TOP:
        return
    for line, target in targets(path):
        there = target.split(".")[0]
        where = f"{path.relative_to(ROOT)}:{line}"
        room = room_of(target)
        if room not in (None, own, room_of(own)) and target.removeprefix(f"{room}.")[0] == "_":
            yield f"{where} imports {target}, which is private to {room}"
        if there != folder:
            if not target:
                yield f"{where} imports the package itself"
            elif FLOORS[there] >= FLOORS[folder]:
                yield (
                    f"{where} imports {target} (floor {FLOORS[there]}) from floor {FLOORS[folder]}"
                )
        elif not is_init and (own not in ASSEMBLIES or target in ASSEMBLIES):
            shared = shared_files(folder)
            file = target.partition(".")[2]
            if file not in shared:
                yield f"{where} imports its sibling {target}"
            elif (mine := own.partition(".")[2]) in shared:
                if shared.index(file) >= shared.index(mine):
                    yield f"{where} imports {target}, which lies above it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_floors(path):
    found = [*violations(path)]
    assert not found, "\n".join(found)


def test_every_folder_has_a_floor():
    folders = {name.split(".")[0] for name in MODULES if name} - TOP
    assert folders <= FLOORS.keys(), f"no floor for {sorted(folders - FLOORS.keys())}"


def test_shared_files_exist():
    missing = [
        f"{folder}.{file}"
        for folder, files in SHARED.items()
        for file in files
        if f"{folder}.{file}" not in MODULES
    ]
    missing += sorted(ASSEMBLIES - MODULES)
    assert not missing, f"files that are not there: {missing}"


def test_shared_files_are_shared():
    found = {
        target
        for path in FILES
        if path.name != "__init__.py" and name_of(path) not in ASSEMBLIES
        for _, target in targets(path)
        if target.split(".")[0] == name_of(path).split(".")[0]
    }
    shared = {f"{folder}.{file}" for folder, files in SHARED.items() for file in files}
    needless = sorted(name for name in shared - found if not name.endswith(".base"))
    assert not needless, f"no sibling imports {needless}"


def test_rooms_list_their_files():
    found = {name: path for name, path in zip(map(name_of, FILES), FILES, strict=True)}
    rooms = {".".join(name.split(".")[:2]) for name in found if name.count(".") > 1}
    assert rooms == ROOMS.keys()
    for room, files in ROOMS.items():
        inside = [name.removeprefix(f"{room}.") for name in found if name.startswith(f"{room}.")]
        assert sorted(inside) == sorted(files), f"ROOMS does not list the files of {room}"


def test_transport_is_of_tensors_alone():
    for path in FILES:
        if name_of(path).split(".")[0] == "transport":
            found = {module.split(".")[0] for _, module, _ in imports(path)}
            assert "sklearn" not in found, f"{path.relative_to(ROOT)} imports scikit-learn"


def test_private_sklearn_has_one_door():
    found = []
    for path in FILES:
        if name_of(path) == "utils._sklearn":
            continue
        for line, module, name in imports(path):
            dotted = [*module.split("."), *([name] if name else [])]
            experimental = "experimental" in dotted or dotted[:2] == ["sklearn", "callback"]
            private = any(part.startswith("_") for part in dotted)
            if dotted[0] == "sklearn" and (private or experimental):
                found.append(f"{path.relative_to(ROOT)}:{line} imports {'.'.join(dotted)}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", ["skotae", "tests", "benchmarks", "examples", "doc"])
def test_no_long_file(folder):
    root = ROOT if folder == "skotae" else Path(__file__).parents[1] / folder
    if not root.is_dir():
        pytest.skip(f"{folder} is not beside the tests")
    lengths = {
        str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines())
        for path in root.rglob("*.py")
    }
    long = {name: length for name, length in lengths.items() if length > MAX_LINES}
    assert not long, f"longer than {MAX_LINES} lines: {long}"
