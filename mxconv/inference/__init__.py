"""Networks for inference only, as fast as MXNet can run them."""

from .build import for_inference
from .network import InferenceNetwork
from .report import Report, Step

__all__ = ["InferenceNetwork", "Report", "Step", "for_inference"]
