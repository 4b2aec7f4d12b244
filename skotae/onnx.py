"""Autoencoders within the pipelines that skl2onnx converts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from skotae import autoencoders

__all__ = ["register_converters"]


def register_converters() -> None:
    """Teach skl2onnx the estimators of skotae, as steps of what it converts.

    After it ``skl2onnx.to_onnx`` and ``skl2onnx.convert_sklearn`` write a pipeline that has an
    autoencoder among its steps, or an autoencoder by itself: its `transform`, as the method
    ``to_onnx`` of the estimator writes it. Needs ``pip install "skotae[onnx]"``.

    Returns
    -------
    None

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from skotae import WAEEstimator
    >>> from skotae.onnx import register_converters
    >>> X, y = load_iris(return_X_y=True)
    >>> model = WAEEstimator(2, max_iter=20, random_state=0)
    >>> pipeline = make_pipeline(model, LogisticRegression()).fit(X, y)
    >>> register_converters()  # doctest: +SKIP
    >>> graph = skl2onnx.to_onnx(pipeline, X[:1].astype("float32"))  # doctest: +SKIP
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError(
            "register_converters needs skl2onnx: pip install 'skotae[onnx]'."
        ) from error
    for name in autoencoders.__all__:
        cls = getattr(autoencoders, name)
        if hasattr(cls, "transform"):
            update_registered_converter(cls, f"Skotae{name}", _shapes, _convert)


def _shapes(operator: Any) -> None:
    """Codes are of the dtype of the rows; of integers they are float32."""
    from skl2onnx.common.data_types import guess_tensor_type
    from skl2onnx.common.utils import check_input_and_output_numbers

    check_input_and_output_numbers(operator, input_count_range=1, output_count_range=1)
    kind = guess_tensor_type(operator.inputs[0].type)
    kind.shape = [None, operator.raw_operator.n_components_]
    operator.outputs[0].type = kind


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Put the nodes of the estimator's own graph into that of the pipeline, under other names."""
    import onnx
    from skl2onnx.common._apply_operation import apply_cast
    from skl2onnx.common.data_types import DoubleTensorType

    double = isinstance(operator.outputs[0].type, DoubleTensorType)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "step.onnx")
        operator.raw_operator.to_onnx(path, dtype="float64" if double else "float32")
        model = onnx.load(path)
    graph = model.graph
    rows = scope.get_unique_variable_name("rows")
    kind = onnx.TensorProto.DOUBLE if double else onnx.TensorProto.FLOAT
    apply_cast(scope, operator.inputs[0].full_name, rows, container, to=kind)
    names = {
        "": "",  # an input that is left out
        graph.input[0].name: rows,
        graph.output[0].name: operator.outputs[0].full_name,
    }

    def renamed(name: str) -> str:
        if name not in names:
            names[name] = scope.get_unique_variable_name(name)
        return names[name]

    for tensor in graph.initializer:
        container.add_initializer(renamed(tensor.name), None, None, tensor)
    for node in graph.node:
        node.input[:] = map(renamed, node.input)
        node.output[:] = map(renamed, node.output)
        node.name = scope.get_unique_operator_name(node.op_type)
        container.nodes.append(node)
    for opset in model.opset_import:
        container.node_domain_version_pair_sets.add((opset.domain, opset.version))
