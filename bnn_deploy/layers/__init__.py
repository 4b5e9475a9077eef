"""Torch: binarizers, the binary convolution, the units, BinaryMobileNet. Needs the `train` extra."""

from bnn_deploy.layers.activation import RPReLU, RSign
from bnn_deploy.layers.binarize import (
    WEIGHT_STE,
    Binarization,
    Ste,
    SteKind,
    binarize_weight,
    binary_sign,
    filter_scale,
    set_binarization,
    sign_ste,
)
from bnn_deploy.layers.block import BinaryUnit, RealUnit
from bnn_deploy.layers.conv import BinaryConv2d
from bnn_deploy.layers.mobilenet import BinaryMobileNet
from bnn_deploy.layers.norm import BatchNorm, recalibrate

__all__ = [
    "WEIGHT_STE",
    "BatchNorm",
    "Binarization",
    "BinaryConv2d",
    "BinaryMobileNet",
    "BinaryUnit",
    "RPReLU",
    "RSign",
    "RealUnit",
    "Ste",
    "SteKind",
    "binarize_weight",
    "binary_sign",
    "filter_scale",
    "recalibrate",
    "set_binarization",
    "sign_ste",
]
