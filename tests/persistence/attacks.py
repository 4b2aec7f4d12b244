"""Ways to change a file: by accident, and by someone who sees to it that the digest is right.

Damage takes the bytes of a file and a `random.Random`; an attack takes and returns the
header, the description and the bytes of the tensors, and `attack` puts them together.
"""

import json

from .conftest import closed, opened, sealed

# --- damage: the digest is that of the file as it was -----------------------------------


def truncated(raw, draw):
    return raw[: draw.randrange(len(raw))]


def flipped(raw, draw):
    changed = bytearray(raw)
    for place in draw.sample(range(len(raw)), draw.choice([1, 1, 2, 8, 64])):
        changed[place] ^= 1 << draw.randrange(8)
    return bytes(changed)


def overwritten(raw, draw):
    place, n = draw.randrange(len(raw)), draw.choice([1, 8, 512, 4096])
    return raw[:place] + draw.randbytes(len(raw[place : place + n])) + raw[place + n :]


def shortened(raw, draw):
    place = draw.randrange(len(raw))
    return raw[:place] + raw[place + draw.choice([1, 8, 100]) :]


def lengthened(raw, draw):
    place = draw.randrange(len(raw) + 1)
    return raw[:place] + draw.randbytes(draw.choice([1, 8, 100])) + raw[place:]


def blank(raw, draw):
    place, n = draw.randrange(len(raw) - 600), 512
    return raw[:place] + bytes(n) + raw[place + n :]


def weights_swapped(raw, draw):
    """The bytes of two tensors of one size: only the digest tells."""
    header, document, body = opened(raw)
    spans = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            spans.setdefault(stop - start, []).append(body[start:stop])
    pairs = [(a, b) for group in spans.values() for a in group for b in group if a > b]
    a, b = draw.choice(pairs)
    return raw.replace(a, b"\0" * len(a), 1).replace(b, a, 1)


DAMAGE = [truncated, flipped, overwritten, shortened, lengthened, blank, weights_swapped]

# --- attacks: the digest is right -------------------------------------------------------


def tensor_entries(header):
    return [name for name in header if name != "__metadata__"]


def names_swapped(header, document, body, draw):
    names = tensor_entries(header)
    kinds = {name: (header[name]["dtype"], header[name]["shape"]) for name in names}
    a, b = draw.choice([(a, b) for a in names for b in names if kinds[a] != kinds[b]])
    header[a], header[b] = header[b], header[a]
    return header, document, body


def wrong_shape(header, document, body, draw):
    entry = header[draw.choice(tensor_entries(header))]
    entry["shape"] = draw.choice(
        [[*entry["shape"], 1], [2**31, 2**31], [2**62], [-1], [0], [1.5], "x", None, [[]], [10**40]]
    )
    return header, document, body


def wrong_shape_on_both_sides(header, document, body, draw):
    """The header and the description agree with each other; the model has another shape."""
    name = draw.choice([name for name in tensor_entries(header) if ".weight" in name])
    shape = [1, *header[name]["shape"]]
    header[name]["shape"] = document["state"]["model_"][name.removeprefix("model_.")]["shape"] = (
        shape
    )
    return header, document, body


def wrong_dtype(header, document, body, draw):
    entry = header[draw.choice(tensor_entries(header))]
    others = [
        "F64",
        "F32",
        "I32",
        "U8",
        "BOOL",
        "C64",
        "F8_E8M0",
        "os.system",
        "",
        None,
        3,
        ["F32"],
    ]
    entry["dtype"] = draw.choice([each for each in others if each != entry["dtype"]])
    return header, document, body


def wrong_offsets(header, document, body, draw):
    entry = header[draw.choice(tensor_entries(header))]
    start, stop = entry["data_offsets"]
    entry["data_offsets"] = draw.choice(
        [[start, 2**62], [start + 1, stop + 1], [stop + 1, start], [-8, 0], [start], [2**70, 2**71]]
    )
    return header, document, body


def bytes_added(header, document, body, draw):
    return header, document, body + bytes(draw.choice([1, 8, 100]))


def tensor_lost(header, document, body, draw):
    del header[draw.choice(tensor_entries(header))]
    return header, document, body


def tensor_added(header, document, body, draw):
    header["extra"] = {"dtype": "U8", "shape": [0], "data_offsets": [len(body)] * 2}
    return header, document, body


def empty_tensor_of_huge_sides(header, document, body, draw):
    shape = [0, draw.choice([2**40, 2**62])]
    header["extra"] = {"dtype": "U8", "shape": shape, "data_offsets": [len(body)] * 2}
    document["state"]["extra_"] = {"$": "tensor", "name": "extra", "dtype": "U8", "shape": shape}
    return header, document, body


def huge_number(header, document, body, draw):
    state = document["state"]
    huge = draw.choice([10**9, 10**12, 2**63, 2**63 - 1])
    name = draw.choice(["n_components", "n_bank", "n_features_in_", "n_components_"])
    place = draw.randrange(4)
    if place == 0:
        state[name] = huge
    elif place == 1:
        state["hidden_layer_sizes"] = draw.choice([[huge], [5_000] * 50, [1] * 30_000, [8, huge]])
    elif place == 2:
        state["encoder"]["params"]["hidden_layer_sizes"]["items"] = [huge]
    else:
        state[name] = {"$": "scalar", "dtype": "<u8", "value": huge}
    return header, document, body


def bomb(header, document, body, draw):
    text = json.dumps(document)
    number = draw.choice(
        [
            "9" * draw.choice([25, 5_000, 200_000]),
            "1e999",
            "-1e400",
            "NaN",
            "Infinity",
            "0x10",
            "1_0",
        ]
    )
    return header, text.replace('"lam": 1.0', f'"lam": {number}'), body


def deep(header, document, body, draw):
    n = draw.choice([40, 200, 2_000, 100_000])
    opening, closing = draw.choice([("[", "]"), ('{"a":', "}"), ('{"$":"tuple","items":[', "]}")])
    n = min(n, 2**21 // len(opening))
    text = json.dumps(document)
    return header, text.replace('"lam": 1.0', f'"lam": {opening * n}1{closing * n}'), body


def wide(header, document, body, draw):
    part = draw.choice(["[],", "{},", "0,", '"",', '{"$":"float","value":"inf"},', "0.1,"])
    text = json.dumps(document)
    many = part * (draw.choice([2**20, 2**23]) // len(part))
    return header, text.replace('"lam": 1.0', f'"lam": [{many}0]'), body


def twice(header, document, body, draw):
    text = json.dumps(document)
    key = draw.choice(["lam", "cost", "n_bank", "model_"])
    return header, text.replace(f'"{key}":', f'"{key}": 1, "{key}":', 1), body


def header_twice(header, document, body, draw):
    header["__metadata__"]["skotae"] = json.dumps(document)
    text = json.dumps(header, separators=(",", ":"))
    name = draw.choice(tensor_entries(header))
    return text.replace(f'"{name}":', f'"{name}":{{}},"{name}":', 1), document, body


def other_version(header, document, body, draw):
    document["schema"] = draw.choice([0, 2, 99, -1, 1.5, "1", None, True, [1], {"$": "float"}])
    return header, document, body


def other_class(header, document, body, draw):
    document["class"] = draw.choice(
        [
            "os.system",
            "skotae.show_versions",
            "skotae.load",
            "../../etc/passwd",
            "user_code.Estimator",
            None,
            ["x"],
            foreign("skotae_canary", "call"),
            foreign("user_code", "Estimator.fit"),
            foreign("user_code", "np"),
            foreign("os", "system"),
        ]
    )
    return header, document, body


def foreign(module, qualname, kind="object"):
    node = {"$": kind, "module": module, "qualname": qualname}
    return node if kind == "object" else {**node, "params": {}}


def code(header, document, body, draw):
    """Code where a value was; all of these kinds import, or would, what they name."""
    kind = draw.choice(["object", "instance"])
    target = draw.choice(
        [
            ("skotae_canary", "call"),
            ("skotae_canary", "__name__"),
            ("os", "system"),
            ("builtins", "eval"),
            ("subprocess", "Popen"),
            ("user_code", "Estimator.__init__.__globals__"),
            ("", ""),
            ("../canary/skotae_canary.py", "call"),
            (["skotae_canary"], "call"),
            (None, None),
        ]
    )
    holders = [
        document["state"],
        document["state"]["encoder"]["params"],
        document["state"]["model_"],
    ]
    holder = draw.choice(holders)
    holder[draw.choice([*holder])] = foreign(*target, kind)
    return header, document, body


def unknown_kind(header, document, body, draw):
    holder = draw.choice([document["state"], document["state"]["prior"]["params"]])
    kind = draw.choice(["pickle", "eval", "__reduce__", "import", "skotae_canary", "", None, 1, {}])
    holder[draw.choice([*holder])] = {"$": kind, "value": "__import__('skotae_canary')"}
    return header, document, body


def other_part(header, document, body, draw):
    document["state"]["encoder"]["name"] = draw.choice(
        [
            "skotae_canary.call",
            "skotae.networks.build_network",
            "skotae.networks.base.BaseNetwork",
            "sklearn.decomposition.PCA",
            "skotae.WAEEstimator",
            "",
            None,
            ["skotae.networks.MLP"],
        ]
    )
    return header, document, body


def other_distribution(header, document, body, draw):
    params = document["state"]["prior"]["params"]
    params["distribution"] = draw.choice(
        [
            {"$": "scipy", "name": "irwinhall", "args": [10**12], "kwds": {}},
            {"$": "scipy", "name": "skotae_canary", "args": [], "kwds": {}},
            {"$": "scipy", "name": "norm", "args": [1, 2, 3], "kwds": {}},
            {"$": "scipy", "name": "norm", "args": [], "kwds": {"dist": 1}},
            {"$": "scipy", "name": "norm", "args": [[[1.0] * 99] * 99], "kwds": {}},
            {"$": "torch distribution", "name": "kl_divergence", "arguments": {}},
            {"$": "torch distribution", "name": "Normal", "arguments": {"loc": 0.0}},
            {"$": "torch distribution", "name": "__loader__", "arguments": {"": 1}},
        ]
    )
    return header, document, body


def broken_field(header, document, body, draw):
    """One field of a value of some kind is gone, is more, or is what it cannot be."""
    nodes = [node for node in walk(document["state"]) if "$" in node]
    node = draw.choice(nodes)
    name = draw.choice([key for key in node if key != "$"])
    change = draw.randrange(3)
    if change == 0:
        del node[name]
    elif change == 1:
        node["more"] = node[name]
    else:
        node[name] = draw.choice([{"$": "x"}, {"$": "tuple"}, {"$": None, "a": 1}])
    return header, document, body


def walk(node):
    if isinstance(node, dict):
        yield node
        for each in node.values():
            yield from walk(each)
    elif isinstance(node, list):
        for each in node:
            yield from walk(each)


def used_twice(header, document, body, draw):
    references = [node for node in walk(document["state"]) if node.get("$") == "tensor"]
    a, b = draw.sample(references, 2)
    b.update(a)
    return header, document, body


def key_lost(header, document, body, draw):
    state = document["state"]
    names = ["lam", "cost", "encoder", "n_features_in_", "n_components_", "hidden_layer_sizes"]
    holder, keys = draw.choice([(state, names), (document, [*document])])
    del holder[draw.choice(keys)]
    return header, document, body


def metadata_changed(header, document, body, draw):
    metadata = header["__metadata__"]
    change = draw.randrange(4)
    if change == 0:
        metadata["format"] = draw.choice(["pt", "", None, 3])
    elif change == 1:
        metadata["code"] = "__import__('skotae_canary')"
    elif change == 2:
        return {**header, "__metadata__": draw.choice([None, 1, [], "x", {}])}, document, body
    else:
        return header, draw.choice(["", "null", "[]", "1", "{}", "import skotae_canary", '"']), body
    return header, document, body


def booleans(header, document, body, draw):
    start, stop = header["model_.used"]["data_offsets"]
    place = draw.randrange(start, stop)
    return header, document, body[:place] + bytes([draw.randrange(2, 256)]) + body[place + 1 :]


ATTACKS = [
    names_swapped,
    wrong_shape,
    wrong_shape_on_both_sides,
    wrong_dtype,
    wrong_offsets,
    bytes_added,
    tensor_lost,
    tensor_added,
    empty_tensor_of_huge_sides,
    huge_number,
    bomb,
    deep,
    wide,
    twice,
    header_twice,
    other_version,
    other_class,
    code,
    unknown_kind,
    other_part,
    other_distribution,
    broken_field,
    used_twice,
    key_lost,
    metadata_changed,
    booleans,
]


def attack(raw, draw, kind):
    if draw.random() < 0.05:
        n = draw.choice([0, 1, 2**22 + 1, 2**40, 2**63, 2**64 - 1, len(raw)])
        return sealed(n.to_bytes(8, "little") + raw[8:])
    return closed(*kind(*opened(raw), draw))
