# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# ONNX operators in float64: a table from operator name to a function of the inputs
# (None where absent) and attributes. Integers keep their type; every float is f64.
import math

import numpy as np

from . import indexing
from .decisions import order, softmax, topk

OPS = {}
FLOAT_TYPES = {1, 10, 11, 16}  # TensorProto: FLOAT, FLOAT16, DOUBLE, BFLOAT16
INT_TYPES = {2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_}


def register(*names):
    def add(function):
        for name in names:
            OPS[name] = function
        return function

    return add


def sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x):
    return np.asarray(_erf(x), np.float64)


def gelu(x, approximate="none"):
    if approximate == "tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def _division(a, b):
    if np.result_type(a, b).kind == "f":
        with np.errstate(divide="ignore", invalid="ignore"):
            return a / b
    return np.trunc(a / b).astype(np.result_type(a, b))


_ELEMENTWISE = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _division,
    "Pow": np.power,
    "Neg": np.negative,
    "Abs": np.abs,
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Log": np.log,
    "Erf": erf,
    "Tanh": np.tanh,
    "Sin": np.sin,
    "Cos": np.cos,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Reciprocal": lambda x: 1 / x,
    "Relu": lambda x: np.maximum(x, 0),
    "Sigmoid": sigmoid,
    "Softplus": lambda x: np.logaddexp(x, 0),
    "Identity": lambda x: x,
    "Not": np.logical_not,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Where": np.where,
    "IsNaN": np.isnan,
    "IsInf": np.isinf,
    "Shape": lambda x, start=0, end=None: np.array(x.shape[start:end], np.int64),
    "Size": lambda x: np.array(x.size, np.int64),
}
for _name, _function in _ELEMENTWISE.items():
    OPS[_name] = _function


@register("Max")
def maximum(*x):
    return _fold(np.maximum, x)


@register("Min")
def minimum(*x):
    return _fold(np.minimum, x)


@register("Sum")
def total(*x):
    return _fold(np.add, x)


def _fold(function, x):
    result = x[0]
    for other in x[1:]:
        result = function(result, other)
    return result


@register("Clip")
def clip(x, low=None, high=None):
    if low is not None:
        x = np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


@register("Gelu")
def gelu_op(x, approximate="none"):
    return gelu(x, approximate)


@register("Elu")
def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@register("LeakyRelu")
def leaky_relu(x, alpha=0.01):
    return np.where(x < 0, alpha * x, x)


@register("HardSigmoid")
def hard_sigmoid(x, alpha=0.2, beta=0.5):
    return np.clip(alpha * x + beta, 0, 1)


@register("Mish")
def mish(x):
    return x * np.tanh(np.logaddexp(x, 0))


@register("MatMul")
def matmul(a, b):
    return a @ b


@register("Gemm")
def gemm(a, b, c=None, alpha=1.0, beta=1.0, transA=0, transB=0):
    y = alpha * ((a.T if transA else a) @ (b.T if transB else b))
    return y if c is None else y + beta * c


@register("Softmax")
def softmax_op(x, axis=-1):
    return softmax(x, axis)


@register("LogSoftmax")
def log_softmax(x, axis=-1):
    z = x - x.max(axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis, keepdims=True))


@register("LayerNormalization")
def layer_norm(x, scale, bias=None, axis=-1, epsilon=1e-5, stash_type=1):
    axes = tuple(range(axis % x.ndim, x.ndim))
    mean = x.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt(np.square(x - mean).mean(axes, keepdims=True) + epsilon)
    y = (x - mean) * inverse * scale
    return (y if bias is None else y + bias), mean, inverse


@register("RMSNormalization")
def rms_norm(x, scale, axis=-1, epsilon=1e-5, stash_type=1):
    axes = tuple(range(axis % x.ndim, x.ndim))
    return x / np.sqrt(np.square(x).mean(axes, keepdims=True) + epsilon) * scale


def _reduction(name, function):
    def reduce(x, axes_input=None, axes=None, keepdims=1, noop_with_empty_axes=0):
        if axes_input is not None:
            axes = axes_input.tolist()
        if not axes and noop_with_empty_axes:
            return x
        return function(x, axis=tuple(axes) if axes else None, keepdims=bool(keepdims))

    OPS[name] = reduce


_reduction("ReduceSum", np.sum)
_reduction("ReduceMean", np.mean)
_reduction("ReduceMax", np.max)
_reduction("ReduceMin", np.min)
_reduction("ReduceProd", np.prod)
_reduction("ReduceL2", lambda x, **a: np.sqrt(np.sum(np.square(x), **a)))
_reduction("ReduceSumSquare", lambda x, **a: np.sum(np.square(x), **a))


def _arg(x, largest, axis, keepdims, select_last_index):
    best = order(np.moveaxis(x, axis, -1), largest, bool(select_last_index))[..., 0]
    return np.expand_dims(best, axis) if keepdims else best


@register("ArgMax")
def argmax(x, axis=0, keepdims=1, select_last_index=0):
    return _arg(x, True, axis, keepdims, select_last_index)


@register("ArgMin")
def argmin(x, axis=0, keepdims=1, select_last_index=0):
    return _arg(x, False, axis, keepdims, select_last_index)


@register("TopK")
def topk_op(x, k, axis=-1, largest=1, sorted=1):
    values, indices = topk(np.moveaxis(x, axis, -1), int(k[0]), bool(largest))
    return np.moveaxis(values, -1, axis), np.moveaxis(indices, -1, axis)


@register("Cast")
def cast(x, to, saturate=1):
    if to in FLOAT_TYPES:
        return x.astype(np.float64)
    return x.astype(INT_TYPES[to])


@register("Reshape")
def reshape(x, shape, allowzero=0):
    shape = shape.tolist()
    if not allowzero:
        shape = [x.shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return x.reshape(shape)


@register("Flatten")
def flatten(x, axis=1):
    axis = axis % (x.ndim + 1)
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


@register("Transpose")
def transpose(x, perm=None):
    return x.transpose(perm)


@register("Squeeze")
def squeeze(x, axes=None):
    return x.squeeze(None if axes is None else tuple(axes.tolist()))


@register("Unsqueeze")
def unsqueeze(x, axes):
    return np.expand_dims(x, tuple(axes.tolist()))


@register("Concat")
def concat(*x, axis):
    return np.concatenate(x, axis)


@register("Split")
def split(x, sizes=None, axis=0, num_outputs=None, _outputs=None):
    if sizes is None:
        parts = num_outputs or _outputs
        size = -(-x.shape[axis] // parts)
        return tuple(np.split(x, [size * i for i in range(1, parts)], axis))
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


@register("Slice")
def slice_op(x, starts, ends, axes=None, steps=None):
    axes = range(len(starts)) if axes is None else axes
    steps = np.ones_like(starts) if steps is None else steps
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        end = None if step < 0 and end < -x.shape[axis] else int(end)
        index[axis] = slice(int(start), end, int(step))
    return x[tuple(index)]


@register("Gather")
def gather(x, indices, axis=0):
    return np.take(x, indices, axis)


@register("GatherElements")
def gather_elements(x, indices, axis=0):
    return np.take_along_axis(
        x, np.where(indices < 0, indices + x.shape[axis], indices), axis
    )


@register("Expand")
def expand(x, shape):
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape.tolist())))


@register("Tile")
def tile(x, repeats):
    return np.tile(x, repeats)


@register("ConstantOfShape")
def constant_of_shape(shape, value=None):
    value = np.zeros(1) if value is None else value
    return np.full(shape.tolist(), value[0])


@register("Range")
def arange(start, limit, delta):
    return np.arange(start, limit, delta)


@register("OneHot")
def one_hot(indices, depth, values, axis=-1):
    depth = int(np.asarray(depth).reshape(()))
    indices = np.where(indices < 0, indices + depth, indices)
    hit = np.expand_dims(indices, axis) == np.arange(depth).reshape(
        [-1 if i == axis % (indices.ndim + 1) else 1 for i in range(indices.ndim + 1)]
    )
    return np.where(hit, values[1], values[0])


@register("NonZero")
def nonzero(x):
    return np.array(np.nonzero(x), np.int64)


@register("GatherND")
def gather_nd(x, indices, batch_dims=0):
    if batch_dims:
        raise NotImplementedError("GatherND with batch_dims")
    return x[tuple(np.moveaxis(indices, -1, 0))]


@register("Mod")
def mod(a, b, fmod=0):
    return (np.fmod if fmod else np.mod)(a, b)


@register("CumSum")
def cumsum(x, axis, exclusive=0, reverse=0):
    return indexing.cumsum(x, int(axis), bool(exclusive), bool(reverse))


@register("ScatterElements")
def scatter_elements(x, indices, updates, axis=0, reduction="none"):
    return indexing.scatter_elements(x, indices, updates, axis, reduction)


@register("ScatterND")
def scatter_nd(x, indices, updates, reduction="none"):
    x = x.copy()
    where = tuple(np.moveaxis(indices, -1, 0))
    if reduction == "none":
        x[where] = updates
    else:
        names = {
            "add": np.add,
            "mul": np.multiply,
            "max": np.maximum,
            "min": np.minimum,
        }
        names[reduction].at(x, where, updates)
    return x
