"""Frozen image encoders; importing this package registers all of them."""

from irploc.encoders import backbones, densevlad, netvlad, onnx
from irploc.encoders.base import ENCODERS, Encoder, EncoderEntry, EncoderOptions, create_encoder

__all__ = [
    "ENCODERS",
    "Encoder",
    "EncoderEntry",
    "EncoderOptions",
    "backbones",
    "create_encoder",
    "densevlad",
    "netvlad",
    "onnx",
]
