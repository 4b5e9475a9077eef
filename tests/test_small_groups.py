"""Groups that LCE cannot express: padded, or in our own operator; what either costs, and who refuses what."""

from __future__ import annotations

import json
from pathlib import Path

import flatbuffers.flexbuffers
import numpy as np
import pytest
import tflite
from click.testing import CliRunner

from bnn_deploy.architecture import Architecture, Block, Stem
from bnn_deploy.cli import cli
from bnn_deploy.deploy_graph import DeployGraph
from bnn_deploy.errors import FileFormatError
from bnn_deploy.export.common import architecture_of
from bnn_deploy.export.files import export_files
from bnn_deploy.export.small_groups import (
    OWN_OPERATOR,
    SmallGroups,
    has_small_groups,
    padded_weights,
    report,
)
from bnn_deploy.export.tflite import export_tflite, pack_words, to_flatbuffer
from bnn_deploy.runtimes.lce import LceRuntime
from bnn_deploy.runtimes.parity import check_parity
from bnn_deploy.runtimes.registry import missing_runtimes
from bnn_deploy.runtimes.tflite_file import TfliteFile
from bnn_deploy.training import Recipe, load_data
from bnn_deploy.training.network_folder import NetworkFolder
from tests.graphs import NETWORKS, binary_steps, named_graph, network, random_graph, random_images

NATIVE = SmallGroups.NATIVE
OPTIONS = {
    "channels_in",
    "dilation_height_factor",
    "dilation_width_factor",
    "fused_activation_function",
    "groups",
    "pad_values",
    "padding",
    "stride_height",
    "stride_width",
}
TINY = Architecture(8, 8, 3, Stem(8, stride=1), (Block(8, 16, stride=2, groups=2), Block(16, 16, groups=4)), classes=10)

needs_lce = pytest.mark.skipif("lce" in missing_runtimes(), reason=missing_runtimes().get("lce", ""))


def small_graph() -> DeployGraph:
    """Steps 1 and 3 have groups of 16 and of 32 channels."""
    return random_graph(network(Block(64, 64, groups=4), Block(64, 64, groups=2)), np.random.default_rng(0))


def test_report_says_what_padding_costs() -> None:
    graph = small_graph()
    result = report(graph)
    assert [layer.index for layer in result.layers] == [1]
    assert result.layers[0].channels_per_group == 16
    assert result.layers[0].padded_channels_per_group == 32
    pixels = 12 * 12
    macs = pixels * 64 * (9 * 16 + 64 + 9 * 32 + 64)
    assert result.binary_macs == macs
    assert result.file_binary_macs == macs + pixels * 64 * 9 * 16
    assert str(result).startswith("1 binary layer padded to 32 channels per group; 1.26 times")
    assert str(report(named_graph("dense"))) == "no binary layer needed padding"


def test_report_says_what_our_own_operator_costs() -> None:
    result = report(small_graph(), NATIVE)
    assert [layer.index for layer in result.layers] == [1]
    assert result.mac_factor == 1
    assert str(result) == (
        "1 binary layer (step 1) in our own operator BnnBconv2d: needs our delegate, LCE's interpreter refuses it"
    )
    assert "2 binary layers (steps 1, 3) in" in str(report(named_graph("groups-of-16"), NATIVE))
    assert str(report(named_graph("dense"), NATIVE)) == "no binary layer needed padding"


@pytest.mark.parametrize("name", ["groups-of-16", "groups-of-48", "groups-of-odd", "depthwise"])
def test_padding_adds_the_surplus_that_it_says(name: str) -> None:
    for deploy in binary_steps(named_graph(name)):
        weights, surplus = padded_weights(deploy)
        added = weights[..., deploy.constants["weights"].shape[-1] :].astype(int)
        assert (np.abs(weights) == 1).all()
        assert (added.sum((1, 2, 3)) == surplus).all()
        assert surplus in (0, 1)
        assert deploy.step.groups == 1 or weights.shape[-1] % 32 == 0


@pytest.mark.parametrize("name", NETWORKS)
def test_our_own_operator(name: str, tmp_path: Path) -> None:
    """Each layer with small groups is one operator with the constants as folded; all others are as ever."""
    graph = named_graph(name)
    export_tflite(graph, tmp_path / "model.tflite", NATIVE)
    file = TfliteFile(tmp_path / "model.tflite")
    assert architecture_of(file.metadata, file.path) == graph.architecture
    subgraph = tflite.Model.GetRootAs(file.data, 0).Subgraphs(0)
    layers = [(i, op) for i, op in enumerate(file.operators) if op.custom in ("LceBconv2d", OWN_OPERATOR)]
    for (index, operator), deploy in zip(layers, binary_steps(graph), strict=True):
        step = deploy.step
        options = flatbuffers.flexbuffers.Loads(subgraph.Operators(index).CustomOptionsAsNumpy().tobytes())
        assert operator.custom == (OWN_OPERATOR if has_small_groups(step) else "LceBconv2d")
        assert set(options) == (OPTIONS if has_small_groups(step) else OPTIONS - {"groups"})
        assert options.get("groups", step.groups) == step.groups
        assert options["channels_in"] == step.in_channels
        assert (options["stride_height"], options["padding"], options["pad_values"]) == (step.stride, 0, 1)
        bits, weights, scale, bias, thresholds = operator.inputs
        assert thresholds == -1
        assert file.shape(bits) == (1, step.in_height, step.in_width, -(-step.in_channels // 32))
        assert file.shape(operator.outputs[0]) == (1, step.out_height, step.out_width, step.out_channels)
        np.testing.assert_array_equal(file.constant(weights), pack_words(deploy.constants["weights"] < 0))
        np.testing.assert_array_equal(file.constant(scale), deploy.constants["scale"])
        np.testing.assert_array_equal(file.constant(bias), deploy.constants["bias"])
    builtins = {tflite.BuiltinOperator.RESHAPE, tflite.BuiltinOperator.PADV2}
    model = tflite.Model.GetRootAs(file.data, 0)
    assert not builtins & {model.OperatorCodes(i).BuiltinCode() for i in range(model.OperatorCodesLength())}


def test_a_network_without_small_groups_is_the_same_file() -> None:
    graph = named_graph("groups-of-32")
    assert to_flatbuffer(graph, NATIVE) == to_flatbuffer(graph)


@needs_lce
def test_lce_refuses_our_own_operator(tmp_path: Path) -> None:
    graph = named_graph("groups-of-16")
    export_files(graph, tmp_path, ["tflite"], NATIVE)
    message = r"model\.tflite: exported with --small-groups native.*need our delegate.*--small-groups pad"
    with pytest.raises(FileFormatError, match=message):
        LceRuntime(tmp_path / "model.tflite")
    with pytest.raises(FileFormatError, match=message):
        check_parity(graph, tmp_path, random_images(graph.architecture, 1, np.random.default_rng(0)), ["lce"])


def test_the_command(tmp_path: Path) -> None:
    NetworkFolder(tmp_path, TINY, "digits", Recipe(epochs=1, batch_size=256), 0).train(load_data("digits", 8, 8))
    for arguments, remark in [
        ([], "2 binary layers padded to 32 channels per group; "),
        (
            ["--small-groups", "native"],
            "2 binary layers (steps 1, 3) in our own operator BnnBconv2d: needs our delegate",
        ),
    ]:
        result = CliRunner().invoke(cli, ["export", str(tmp_path), "--format", "tflite", "--json", *arguments])
        (file,) = json.loads(result.stdout)
        assert file["remark"].startswith(remark)
    if "lce" not in missing_runtimes():
        result = CliRunner().invoke(cli, ["verify", str(tmp_path), "--runtime", "lce"])
        assert isinstance(result.exception, FileFormatError)
