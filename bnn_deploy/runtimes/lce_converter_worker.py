"""Builds a network in TensorFlow and converts it with LCE; a script for LCE's own environment, with TensorFlow.

    argument  a folder: network.json (`image` [H, W, C], `steps` as Step.to_json); `INDEX.NAME.npy` for each constant
    stdout    a line as each of STAGES begins
    result    model.tflite in that folder

Nothing of bnn_deploy is imported: it is not installed in that environment. That suits the purpose: only the folded
constants are shared with the direct writer. The patterns are those that LCE's converter turns into binary operators; it
says nothing of one that it does not know, and leaves a float layer.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

STAGES = ("importing TensorFlow", "building the network", "converting")
WORD = 32  # LCE's groups are multiples of this many channels


class Builder:
    """Steps -> TensorFlow operations; values are float32 [1, H, W, C].

    Args:
        tf: the module tensorflow.
        constants: `INDEX.NAME` -> array.
    """

    def __init__(self, tf: Any, steps: list[dict[str, Any]], constants: dict[str, Any]) -> None:
        self.tf, self.steps, self.constants = tf, steps, constants

    def network(self, values: Any) -> Any:
        """Images [1, H, W, image channels] -> logits [1, classes]."""
        for index, step in enumerate(self.steps):
            match step["kind"]:
                case "conv2d":
                    values = self.rprelu(index, step, self.conv2d(index, step, values))
                case "bconv2d":
                    output = self.shortcut(step, self.bconv2d(index, step, values), values)
                    values = self.rprelu(index, step, output)
                case "global_avgpool":
                    values = self.tf.reduce_mean(values, [1, 2])
                case "linear":
                    values = self.tf.matmul(values, self.constant(index, "weights").T) + self.constant(index, "bias")
        return values

    def conv2d(self, index: int, step: dict[str, Any], values: Any) -> Any:
        """Float convolution with zero padding."""
        window = self.constant(index, "weights").transpose(1, 2, 3, 0)
        return self.tf.nn.conv2d(values, window, step["stride"], "SAME") + self.constant(index, "bias")

    def bconv2d(self, index: int, step: dict[str, Any], values: Any) -> Any:
        """sign(x - threshold), padded with +1, convolved with -1 and +1, times scale, plus bias.

        The converter wants the sign directly before the convolution but for that padding, one scale for each output
        channel behind it, and a multiple of 32 channels in each of several groups.
        """
        weights = self.constant(index, "weights").astype(np.float32)  # [O, k, k, C/g]
        values = values - self.constant(index - 1, "threshold")
        surplus = 0.0
        extra = -weights.shape[-1] % WORD if step["groups"] > 1 else 0
        if extra:
            values = self.padded_groups(step, values, extra)
            filler = np.resize(np.array([1, -1], np.float32), (*weights.shape[1:3], extra))  # so that its sum is 0 or 1
            surplus = filler.sum()
            weights = np.concatenate([weights, np.broadcast_to(filler, (len(weights), *filler.shape))], axis=-1)
        signs = self.tf.where(values < 0, -1.0, 1.0)
        rows, columns = (self.same(step, axis) for axis in ("height", "width"))
        signs = self.tf.pad(signs, [(0, 0), rows, columns, (0, 0)], constant_values=1.0)
        dots = self.tf.nn.conv2d(signs, weights.transpose(1, 2, 3, 0), step["stride"], "VALID") - surplus
        return dots * self.constant(index, "scale") + self.constant(index, "bias")

    def padded_groups(self, step: dict[str, Any], values: Any, extra: int) -> Any:
        """`extra` channels of +1 behind those of every group."""
        height, width, groups = step["in_height"], step["in_width"], step["groups"]
        values = self.tf.reshape(values, (1, height * width, groups, step["in_channels"] // groups))
        values = self.tf.pad(values, [(0, 0), (0, 0), (0, 0), (0, extra)], constant_values=1.0)
        return self.tf.reshape(values, (1, height, width, -1))

    def same(self, step: dict[str, Any], axis: str) -> tuple[int, int]:
        """TensorFlow's SAME padding of an axis, before and after."""
        total = (step[f"out_{axis}"] - 1) * step["stride"] + step["kernel"] - step[f"in_{axis}"]
        return max(total, 0) // 2, (max(total, 0) + 1) // 2

    def shortcut(self, step: dict[str, Any], output: Any, values: Any) -> Any:
        """y + the step's float input: as it is, pooled, or its channels repeated."""
        match step["shortcut"]:
            case "identity":
                return output + values
            case "avgpool":
                return output + self.tf.nn.avg_pool2d(values, 2, 2, "SAME")
            case "repeat":
                return output + self.tf.concat([values] * (step["out_channels"] // step["in_channels"]), axis=3)
        return output

    def rprelu(self, index: int, step: dict[str, Any], output: Any) -> Any:
        """d = y - gamma, (d > 0 ? d : beta * d) + zeta; the converter makes PRELU of a slope [1, 1, C] written so."""
        if not step["rprelu"]:
            return output
        d = output - self.constant(index, "gamma")
        slope = -self.constant(index, "beta").reshape(1, 1, -1)
        return self.tf.nn.relu(d) + slope * self.tf.nn.relu(-d) + self.constant(index, "zeta")

    def constant(self, index: int, name: str) -> Any:
        return self.constants[f"{index}.{name}"]


def main() -> None:
    """One network."""
    stages = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not stand among the stages
    folder = Path(sys.argv[1])
    network = json.loads((folder / "network.json").read_text())
    constants = {path.stem: np.load(path) for path in folder.glob("*.npy")}

    print(STAGES[0], file=stages, flush=True)
    os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    import larq_compute_engine
    import tensorflow as tf

    print(STAGES[1], file=stages, flush=True)
    images = tf.TensorSpec((1, *network["image"]), tf.float32, "images")
    module = tf.Module()
    module.run = tf.function(Builder(tf, network["steps"], constants).network, input_signature=[images])
    tf.saved_model.save(module, str(folder / "saved_model"), {"serving_default": module.run})

    print(STAGES[2], file=stages, flush=True)
    model = larq_compute_engine.convert_saved_model(str(folder / "saved_model"))
    (folder / "model.tflite").write_bytes(model)


if __name__ == "__main__":
    main()
