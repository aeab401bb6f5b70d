"""Models as ONNX files that need no torch: encoder and heads in one graph, checked against torch."""

from irploc.export.file import Exported, Runner, export_pipeline, measure
from irploc.export.head import Head
from irploc.export.models import find_model, load_pipeline
from irploc.export.photos import Material
from irploc.export.pipeline import Graph, Pipeline, Trunk, build_graph
from irploc.export.precision import PRECISIONS

__all__ = [
    "PRECISIONS",
    "Exported",
    "Graph",
    "Head",
    "Material",
    "Pipeline",
    "Runner",
    "Trunk",
    "build_graph",
    "export_pipeline",
    "find_model",
    "load_pipeline",
    "measure",
]
