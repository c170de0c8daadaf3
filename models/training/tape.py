# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Reverse-mode differentiation over NumPy arrays: just the operations that the two
# example networks need, each with its gradient written by hand, and Adam.
import numpy as np


class Value:
    """An array in the tape. `backward` maps its gradient to those of its parents."""

    def __init__(self, data, parents=(), backward=None):
        self.data = np.asarray(data, np.float64)
        self.grad = None
        self.parents = parents
        self.backward = backward

    def accumulate(self, grad):
        self.grad = grad if self.grad is None else self.grad + grad


def constant(data):
    return data if isinstance(data, Value) else Value(data)


def _sum_to(grad, shape):
    """Undo broadcasting: sum `grad` down to `shape`."""
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    kept = tuple(i for i, n in enumerate(shape) if n == 1 and grad.shape[i] != 1)
    return grad.sum(axis=kept, keepdims=True) if kept else grad


def add(a, b):
    a, b = constant(a), constant(b)
    return Value(
        a.data + b.data,
        (a, b),
        lambda g: (_sum_to(g, a.data.shape), _sum_to(g, b.data.shape)),
    )


def mul(a, b):
    a, b = constant(a), constant(b)
    return Value(
        a.data * b.data,
        (a, b),
        lambda g: (
            _sum_to(g * b.data, a.data.shape),
            _sum_to(g * a.data, b.data.shape),
        ),
    )


def matmul(a, b):
    """Matrix product; leading dimensions broadcast."""
    return Value(
        a.data @ b.data,
        (a, b),
        lambda g: (
            _sum_to(g @ np.swapaxes(b.data, -1, -2), a.data.shape),
            _sum_to(np.swapaxes(a.data, -1, -2) @ g, b.data.shape),
        ),
    )


def relu(x):
    return Value(np.maximum(x.data, 0), (x,), lambda g: (g * (x.data > 0),))


def silu(x):
    s = 1 / (1 + np.exp(-x.data))
    return Value(x.data * s, (x,), lambda g: (g * s * (1 + x.data * (1 - s)),))


def layer_norm(x, scale, bias, epsilon=1e-5):
    mean = x.data.mean(-1, keepdims=True)
    inverse = 1 / np.sqrt(x.data.var(-1, keepdims=True) + epsilon)
    y = (x.data - mean) * inverse

    def backward(g):
        h = g * scale.data
        dx = h - h.mean(-1, keepdims=True) - y * (h * y).mean(-1, keepdims=True)
        return (
            inverse * dx,
            _sum_to(g * y, scale.data.shape),
            _sum_to(g, bias.data.shape),
        )

    return Value(y * scale.data + bias.data, (x, scale, bias), backward)


def softmax(x, mask=None):
    """Softmax along the last axis over the entries where `mask` is set."""
    z = x.data if mask is None else np.where(mask, x.data, -np.inf)
    e = np.exp(z - z.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    return Value(p, (x,), lambda g: (p * (g - (g * p).sum(-1, keepdims=True)),))


def total(x, axis=None):
    """Sum along `axis` (all axes if None)."""

    def backward(g):
        g = g if axis is None else np.expand_dims(g, axis)
        return (np.broadcast_to(g, x.data.shape),)

    return Value(x.data.sum(axis), (x,), backward)


def expert_axis_last(x):
    """[B,E] -> [E,B,1], to weight the experts' outputs [E,B,D]."""
    return Value(x.data.T[:, :, None], (x,), lambda g: (g[:, :, 0].T,))


def cross_entropy(logits, labels, smoothing=0.0):
    """Mean over the batch; labels are class numbers."""
    rows, classes = logits.data.shape
    target = np.full((rows, classes), smoothing / classes)
    target[np.arange(rows), labels] += 1 - smoothing
    z = logits.data - logits.data.max(-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return Value(
        -(target * log_p).sum() / rows,
        (logits,),
        lambda g: (g * (np.exp(log_p) - target) / rows,),
    )


def differentiate(loss):
    """Fill in `grad` of every value that `loss` was computed from."""
    order, seen = [], set()

    def visit(v):
        if id(v) in seen:
            return
        seen.add(id(v))
        for parent in v.parents:
            visit(parent)
        order.append(v)

    visit(loss)
    loss.grad = np.ones_like(loss.data)
    for v in reversed(order):
        if v.backward is None or v.grad is None:
            continue
        for parent, grad in zip(v.parents, v.backward(v.grad), strict=True):
            parent.accumulate(grad)


class Adam:
    """Adam with decoupled weight decay on matrices."""

    def __init__(self, parameters, decay=0.0):
        self.parameters = list(parameters)
        self.decay = decay
        self.first = [np.zeros_like(p.data) for p in self.parameters]
        self.second = [np.zeros_like(p.data) for p in self.parameters]
        self.step_number = 0

    def step(self, rate, beta1=0.9, beta2=0.99, epsilon=1e-8):
        self.step_number += 1
        c1 = 1 - beta1**self.step_number
        c2 = 1 - beta2**self.step_number
        for p, m, v in zip(self.parameters, self.first, self.second, strict=True):
            if p.grad is None:
                continue
            m += (1 - beta1) * (p.grad - m)
            v += (1 - beta2) * (p.grad**2 - v)
            if p.data.ndim > 1:
                p.data -= rate * self.decay * p.data
            p.data -= rate * (m / c1) / (np.sqrt(v / c2) + epsilon)
            p.grad = None
