"""The peers' models: chains of one convolution, as ONNX and as .tflite; and a float MobileNetV1.

For the peers' environment (scripts/peers-env). Weights are random: no peer's time depends on them.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as tfl
from onnx import TensorProto, helper, numpy_helper

OPENVINO = "org.openvinotoolkit"
SCALE = np.float32(0.05)  # of all int8 tensors


def onnx_chain(kind, size, channels, kernel, groups, copies):
    """kind: "float32"; "int8" (QLinearConv of uint8 and int8 weights, ONNX Runtime's fastest on x86); or "binary".

    "binary" is what OpenVINO turns into BinaryConvolution: FakeQuantize with two levels, its low limit equal to its
    high one, to 0 and 1, before a convolution with weights -1 and +1.
    """
    rng = np.random.default_rng(0)
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(value, name))
        return name

    window = {"kernel_shape": [kernel, kernel], "pads": [kernel // 2] * 4, "group": groups}
    shape = (channels, channels // groups, kernel, kernel)
    quantizer = [constant("scale", SCALE), constant("zero", np.uint8(128))]
    weight_quantizer = [constant("weight_scale", SCALE), constant("weight_zero", np.int8(0))]
    last = "x"
    for i in range(copies):
        if kind == "int8":
            weights = constant(f"w{i}", rng.integers(-127, 128, shape, dtype=np.int8))
            inputs = [last, *quantizer, weights, *weight_quantizer, *quantizer]
            nodes.append(helper.make_node("QLinearConv", inputs, [f"y{i}"], **window))
        elif kind == "binary":
            threshold = constant(f"t{i}", np.float32(0.5))
            limits = [threshold, threshold, constant(f"low{i}", np.float32(0)), constant(f"high{i}", np.float32(1))]
            nodes.append(helper.make_node("FakeQuantize", [last, *limits], [f"b{i}"], domain=OPENVINO, levels=2))
            weights = constant(f"w{i}", rng.choice(np.array([-1, 1], np.float32), shape))
            nodes.append(helper.make_node("Conv", [f"b{i}", weights], [f"y{i}"], **window))
        else:
            values = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))  # neither infinity nor denormals
            weights = constant(f"w{i}", values.astype(np.float32))
            nodes.append(helper.make_node("Conv", [last, weights], [f"y{i}"], **window))
        last = f"y{i}"
    element = TensorProto.UINT8 if kind == "int8" else TensorProto.FLOAT
    values = [helper.make_tensor_value_info(name, element, [1, channels, size, size]) for name in ("x", last)]
    graph = helper.make_graph(nodes, "chain", values[:1], values[1:], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(OPENVINO, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


class TfliteModel:
    """A chain of builtin operators in one subgraph."""

    def __init__(self, dtype, image_shape):
        self.dtype = dtype
        self.rng = np.random.default_rng(0)
        self.graph = tfl.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model = tfl.ModelT()
        self.model.version, self.model.subgraphs, self.model.operatorCodes = 3, [self.graph], []
        self.model.buffers = [tfl.BufferT()]
        self.graph.inputs = [self.tensor(image_shape)]
        self.last = self.graph.inputs[0]

    def tensor(self, shape, values=None, scales=None):
        """Index of a new tensor; int8 ones have the common scale unless `scales` are given."""
        tensor = tfl.TensorT()
        dtype = self.dtype if values is None else str(values.dtype)
        tensor.name, tensor.shape = f"t{len(self.graph.tensors)}", list(shape)
        tensor.type = {"float32": tfl.TensorType.FLOAT32, "int8": tfl.TensorType.INT8, "int32": tfl.TensorType.INT32}[
            dtype
        ]
        if values is not None:
            buffer = tfl.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        if self.dtype == "int8":
            tensor.quantization = tfl.QuantizationParametersT()
            tensor.quantization.scale = [float(SCALE)] if scales is None else scales
            tensor.quantization.zeroPoint = [0] * len(tensor.quantization.scale)
            tensor.quantization.quantizedDimension = 3 if scales and len(shape) == 4 and shape[0] == 1 else 0
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, code, version, constants, out_shape, options_type, options):
        """One more operator; its output is the next one's input."""
        entry = tfl.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), version
        self.model.operatorCodes.append(entry)
        operator = tfl.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        out = self.tensor(out_shape)
        operator.inputs, operator.outputs = [self.last, *constants], [out]
        operator.builtinOptionsType, operator.builtinOptions = options_type, options
        self.graph.operators.append(operator)
        self.last = out

    def convolution(self, outputs, kernel, stride=1, groups=1, activation=tfl.ActivationFunctionType.NONE):
        """SAME padding; groups == channels is the depthwise operator."""
        _, height, width, channels = self.graph.tensors[self.last].shape
        depthwise = groups == channels > 1
        shape = (1, kernel, kernel, outputs) if depthwise else (outputs, kernel, kernel, channels // groups)
        if self.dtype == "int8":
            weights = self.rng.integers(-127, 128, shape, dtype=np.int8)
            bias, scales = np.zeros(outputs, np.int32), [float(SCALE)] * outputs
            bias_scales = [float(SCALE) ** 2] * outputs
        else:
            weights = (self.rng.standard_normal(shape) / np.sqrt(kernel * kernel * channels / groups)).astype(
                np.float32
            )
            bias, scales, bias_scales = np.zeros(outputs, np.float32), None, None
        constants = [self.tensor(shape, weights, scales), self.tensor((outputs,), bias, bias_scales)]
        options = tfl.DepthwiseConv2DOptionsT() if depthwise else tfl.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = tfl.Padding.SAME, stride, stride
        options.dilationHFactor = options.dilationWFactor = 1
        options.fusedActivationFunction = activation
        if depthwise:
            options.depthMultiplier = 1
        code = tfl.BuiltinOperator.DEPTHWISE_CONV_2D if depthwise else tfl.BuiltinOperator.CONV_2D
        kind = tfl.BuiltinOptions.DepthwiseConv2DOptions if depthwise else tfl.BuiltinOptions.Conv2DOptions
        out_shape = (1, -(-height // stride), -(-width // stride), outputs)
        self.operator(code, 3 if self.dtype == "int8" else 1, constants, out_shape, kind, options)

    def pool(self):
        """Global average."""
        _, height, width, channels = self.graph.tensors[self.last].shape
        options = tfl.Pool2DOptionsT()
        options.padding, options.filterHeight, options.filterWidth = tfl.Padding.VALID, height, width
        options.strideH = options.strideW = 1
        code, kind = tfl.BuiltinOperator.AVERAGE_POOL_2D, tfl.BuiltinOptions.Pool2DOptions
        self.operator(code, 1, [], (1, 1, 1, channels), kind, options)

    def linear(self, outputs):
        """float32 alone."""
        channels = self.graph.tensors[self.last].shape[-1]
        weights = (self.rng.standard_normal((outputs, channels)) / np.sqrt(channels)).astype(np.float32)
        constants = [self.tensor(weights.shape, weights), self.tensor((outputs,), np.zeros(outputs, np.float32))]
        code, kind = tfl.BuiltinOperator.FULLY_CONNECTED, tfl.BuiltinOptions.FullyConnectedOptions
        self.operator(code, 1, constants, (1, outputs), kind, tfl.FullyConnectedOptionsT())

    def finish(self, outputs=None):
        """The file; `outputs`: the last operator's unless given."""
        import flatbuffers

        self.graph.outputs = outputs or [self.last]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def tflite_chain(kind, size, channels, kernel, groups, copies):
    """kind: "float32", or "int8" (both signed, weights with a scale per channel)."""
    model = TfliteModel(kind, (1, size, size, channels))
    for _ in range(copies):
        model.convolution(channels, kernel, groups=groups)
    return model.finish()


def tflite_float_layers(operator, shape, outputs, kernel, stride, copies):
    """`copies` times one layer ("convolution", "linear" or "pool") of the same float32 input; all are outputs."""
    model = TfliteModel("float32", shape)
    image, ends = model.last, []
    for _ in range(copies):
        model.last = image
        if operator == "convolution":
            model.convolution(outputs, kernel, stride)
        elif operator == "linear":
            model.linear(outputs)
        else:
            model.pool()
        ends.append(model.last)
    return model.finish(ends)


def tflite_mobilenet_v1():
    """Howard et al. 2017, width 1, 224x224, float32; the classifier as a 1x1 convolution."""
    relu6 = tfl.ActivationFunctionType.RELU6
    model = TfliteModel("float32", (1, 224, 224, 3))
    model.convolution(32, 3, stride=2, activation=relu6)
    channels = 32
    for outputs, stride in [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ]:
        model.convolution(channels, 3, stride=stride, groups=channels, activation=relu6)
        model.convolution(outputs, 1, activation=relu6)
        channels = outputs
    model.pool()
    model.convolution(1000, 1)
    return model.finish()
