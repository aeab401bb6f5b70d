"""PoseNet and MapNet, on embeddings and on photos, in quaternions and logarithms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_export import DIMENSION, write_encoder

from irploc.encoders.backbones import BACKBONES, random_state_dict
from irploc.encoders.base import EncoderOptions
from irploc.encoders.onnx import OnnxEncoder
from irploc.export import Material, export_pipeline, load_pipeline
from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.rotations import canonical
from irploc.images import decode_image
from irploc.onnxmodel import OnnxLocalizer, Preparation
from irploc.scene import Scene
from irploc.training.absolute.heads import make_head
from irploc.training.absolute.model import AbsoluteModel, save_absolute
from irploc.training.absolute.recipes import absolute_recipe
from irploc.training.backbone import ImageOptions, PooledBackbone
from irploc.training.backbone_file import backbone_to_plain, features_of_photos
from irploc.training.posevector import PoseVector

REFERENCE = tuple(canonical([0.3, -0.5, 0.7, 0.2]).tolist())


def model(method: str, rotation: str, inputs: int, encoder: str, sha256: str, preprocessing: str, **more) -> AbsoluteModel:
    """With random weights."""
    torch.manual_seed(1)
    code = PoseVector(rotation, REFERENCE)
    head = make_head(method, inputs, code.size).eval().requires_grad_(False)
    head[-1].weight *= 0.1  # turns of less than a whole circle
    identity = {
        "scene": "toy",
        "mapping_fingerprint": "f" * 64,
        "ground_truth": "rendered",
        "encoder": encoder,
        "weights_sha256": sha256,
        "preprocessing": preprocessing,
        "max_side": 0,
        "dimension": inputs,
    }
    return AbsoluteModel(method, head, code, absolute_recipe(method, "fast", side=80, crop=64), 3, identity, {}, **more)


@pytest.fixture(scope="module")
def scene(toy_scene: Path) -> Scene:
    return Scene.load(toy_scene)


@pytest.mark.parametrize(("method", "rotation"), [("posenet", "quaternion"), ("mapnet", "log")])
def test_models_on_embeddings_are_exported(tmp_path: Path, scene: Scene, method: str, rotation: str) -> None:
    encoder = OnnxEncoder(f"onnx:{write_encoder(tmp_path / 'e.onnx')}", EncoderOptions(device="cpu"))
    made = model(method, rotation, DIMENSION, encoder.name, encoder.weights_sha256, encoder.preprocessing)
    save_absolute(made, tmp_path / "m.pt")
    pipeline = load_pipeline(tmp_path / "m.pt")
    exported = export_pipeline(pipeline, tmp_path / "m.onnx", Material(scene.frames, pipeline.preparation))
    assert exported.about.check["rotation_deg"] < 1e-3
    assert (exported.about.method, exported.about.crop) == (method, 0)


def test_a_model_on_photos_sees_the_crops_it_sees_in_torch(tmp_path: Path, scene: Scene) -> None:
    images = ImageOptions("resnet18", frozen=True, random_weights=True)
    backbone = PooledBackbone(BACKBONES["resnet18"], random_state_dict(BACKBONES["resnet18"], 0), trainable=False)
    plain = backbone_to_plain(backbone, images)
    made = model("mapnet", "log", 512, "resnet18", "random-seed-0", "crops", backbone=plain)
    save_absolute(made, tmp_path / "m.pt")
    pipeline = load_pipeline(tmp_path / "m.pt")
    assert pipeline.preparation == Preparation(0, 80, 64)
    export_pipeline(pipeline, tmp_path / "m.onnx", Material(scene.frames, pipeline.preparation))
    photos = [scene.frames.images[0], np.asarray(decode_image(scene.frames.images[1]).resize((70, 131)))]
    found = Poses.concatenate([answer.pose for answer in OnnxLocalizer(tmp_path / "m.onnx").localize(photos)])
    wanted = made.poses(features_of_photos(backbone, photos, 80, 64))
    position_m, rotation_deg = pose_errors(found, wanted)
    assert position_m.max() < 1e-4 and rotation_deg.max() < 1e-3
