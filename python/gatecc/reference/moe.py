# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# com.microsoft.MoE as ONNX Runtime documents it, but for ties, which take the lower
# expert: softmax over all logits, top k, routes of weight <= 0 dropped.
import numpy as np

from . import tensor_ops
from .decisions import margin, route
from .work import apply, combine


def experts(
    x,
    router,
    fc1,
    fc1_bias=None,
    fc2=None,
    fc2_bias=None,
    fc3=None,
    fc3_bias=None,
    *,
    activation_type="relu",
    k=1,
    normalize_routing_weights=0,
    use_sparse_mixer=0,
    swiglu_fusion=0,
    swiglu_limit=np.inf,
    activation_alpha=1.0,
    activation_beta=0.0,
):
    """Returns (output, plan, margins [T])."""
    if use_sparse_mixer:
        raise NotImplementedError("use_sparse_mixer")
    shape = x.shape
    x = x.reshape(-1, shape[-1])
    router = router.reshape(-1, router.shape[-1])
    groups = fc1.shape[0]
    plan = route(
        router, k, normalize=bool(normalize_routing_weights), drop_nonpositive=True
    )

    def activate(h, second):
        if activation_type == "swiglu":
            if swiglu_fusion == 1:
                gate, up = h[:, 0::2], h[:, 1::2]
            elif swiglu_fusion == 2:
                gate, up = np.split(h, 2, axis=1)
            else:
                gate, up = h, second
            gate = np.minimum(gate, swiglu_limit)
            up = np.clip(up, -swiglu_limit, swiglu_limit)
            gate = gate * tensor_ops.sigmoid(activation_alpha * gate)
            return gate * (up + activation_beta)
        if activation_type == "silu":
            h = h * tensor_ops.sigmoid(h)
        elif activation_type == "gelu":
            h = tensor_ops.gelu(h, "tanh")  # the form that ONNX Runtime computes
        elif activation_type == "relu":
            h = np.maximum(h, 0)
        elif activation_type != "identity":
            raise NotImplementedError(f"activation_type {activation_type!r}")
        return h if second is None else h * second

    def bias(b, width):
        return np.zeros((groups, width)) if b is None else b

    def body(rows, w1, b1, w2, b2, *third):
        second = rows @ third[0].T + third[1] if third else None
        return activate(rows @ w1.T + b1, second) @ w2.T + b2

    params = [fc1, bias(fc1_bias, fc1.shape[1]), fc2, bias(fc2_bias, fc2.shape[1])]
    if fc3 is not None:
        params += [fc3, bias(fc3_bias, fc3.shape[1])]
    slots = apply(plan, [x], params, body)
    return combine(slots, plan).reshape(shape), plan, margin(router, k)
