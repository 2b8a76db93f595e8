"""Files: crash-safe parameter files, and ONNX."""

from .onnx_export import export_onnx
from .parameters import load_parameters, save_parameters

__all__ = ["export_onnx", "load_parameters", "save_parameters"]
