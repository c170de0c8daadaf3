# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Products of rows with integer weights: rows are quantised to 8 bits block by block, sums
# within a block are exact, and blocks are added in f32, one fused multiply-add each.
import numpy as np

F32 = np.float32
LONGEST = 128  # longer blocks are cut into such ones, for rows with scales of their own


def unpack(values, bits, count):
    """uint8 [..., bytes] -> integers [..., count]; of 4 bits the low half comes first."""
    values = np.asarray(values)
    if bits == 4:
        values = np.stack([values & 15, values >> 4], -1)
        values = values.reshape(*values.shape[:-2], -1)
    return values[..., :count].astype(np.int64)


def pack(integers, bits):
    """Integers in [0, 2^bits) [..., count] -> uint8 [..., bytes], the last half zero."""
    integers = np.asarray(integers).astype(np.uint8)
    if bits == 8:
        return integers
    if integers.shape[-1] % 2:
        integers = np.concatenate([integers, np.zeros_like(integers[..., :1])], -1)
    return integers[..., 0::2] | integers[..., 1::2] << 4


def centered(values, scales, zeros=None, *, bits, block, k):
    """q - z [..., N, K] as integers; values, scales and zeros as gate.dequantize has them."""
    q = unpack(values, bits, k)
    if zeros is None:
        return q - (1 << (bits - 1))
    z = unpack(zeros, bits, np.shape(scales)[-1])
    return q - np.repeat(z, block, -1)[..., :k]


def dequantize(values, scales, zeros=None, *, bits, block, k):
    """The weights [..., K, N] that the integers stand for."""
    q = centered(values, scales, zeros, bits=bits, block=block, k=k)
    scales = np.repeat(np.asarray(scales, np.float64), block, -1)[..., :k]
    return np.swapaxes(q * scales, -1, -2)


def _by_block(x, block):
    """[..., K] -> [..., J, block], filled up with zeros."""
    width = [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % block)]
    return np.pad(x, width).reshape(*x.shape[:-1], -1, block)


def quantize_weights(weights, bits, block, zero_points=False):
    """f32 [..., N, K] -> (integers [..., N, K], scales f32 [..., N, J]).

    Symmetric, or with a zero point, which has been subtracted from the integers.
    """
    blocks = _by_block(np.asarray(weights, F32), block)
    if zero_points:
        steps = F32((1 << bits) - 1)
        low = np.minimum(blocks.min(-1), F32(0))
        scales = np.maximum(blocks.max(-1), F32(0)) / steps - low / steps
    else:
        most = F32(127 if bits == 8 else 7)
        scales = np.abs(blocks).max(-1) / most
    # 0 where the scale is: a block of zeros, or one whose largest element underflows.
    with np.errstate(divide="ignore", invalid="ignore"):
        q = np.rint(blocks / scales[..., None])
        first = -np.rint(-low / scales)[..., None] if zero_points else -most
    last = first + steps if zero_points else most
    q = np.where(scales[..., None] == 0, 0, np.clip(q, first, last)).astype(np.int64)
    q = q.reshape(*q.shape[:-2], -1)[..., : np.shape(weights)[-1]]
    return q, scales


def quantize_rows(rows, block):
    """f32 [R, K] -> (integers [R, J, block], scales f32 [R, J], margins [R]).

    The margin of a row says how far x / s is from a number that would be rounded the
    other way. Rows that hold NaN or infinities have scales of NaN.
    """
    blocks = _by_block(np.asarray(rows, F32), block)
    with np.errstate(divide="ignore", invalid="ignore"):
        scales = np.abs(blocks).max(-1) / F32(127)
        scales = np.where(np.isfinite(scales), scales, F32(np.nan))
        exact = blocks / scales[..., None]
    exact = np.where(np.isfinite(exact), exact, 0)
    q = np.clip(np.rint(exact), -127, 127)  # subnormal scales are inexact
    margins = np.min(0.5 - np.abs(exact - q), (-1, -2), initial=0.5)
    return q.astype(np.int64), scales, margins


def contract_quantized(rows, q, scales, block):
    """rows f32 [R, K] times integers [N, K] with scales [N, J]: (f32 [R, N], margins)."""
    scales = np.asarray(scales, F32)
    if block > LONGEST:
        pieces = np.arange(0, np.shape(rows)[1], LONGEST)
        scales, block = scales[:, pieces // block], LONGEST
    q = _by_block(np.asarray(q), block)
    x, row_scales, margins = quantize_rows(rows, block)
    result = np.zeros((len(x), len(q)), F32)
    for j in range(q.shape[1]):
        # Sums are below 2^53, so that f64 has them exactly.
        sums = (x[:, j].astype(float) @ q[:, j].T.astype(float)).astype(F32)
        scale = row_scales[:, j, None] * scales[None, :, j]
        result = (sums.astype(float) * scale + result).astype(F32)
    result[np.isnan(row_scales).any(1)] = np.nan
    return result, margins


def round_bf16(x):
    """f32 rounded to bf16, to nearest even."""
    bits = np.ascontiguousarray(x, F32).view(np.uint32)
    bits = bits + (0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return bits.astype(np.uint32).view(F32)


def round_rows(rows):
    """Rows [R, K] rounded to bf16 (f32), and margins [R].

    A margin says how far an element is from a number that would be rounded the other way,
    in steps of the row's largest element. Elements that f32 has exactly are certain, and
    those whose own steps are much smaller count for nothing.
    """
    rows = np.asarray(rows, np.float64)
    size = np.abs(rows)
    most = size.max(-1, keepdims=True, initial=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        step = np.exp2(np.floor(np.log2(size)) - 7)
        far = np.abs(size / step % 1 - 0.5) * step / np.exp2(np.floor(np.log2(most)) - 7)
    certain = (rows == rows.astype(F32)) | ~(size > 0.003 * most)
    return round_bf16(rows), np.where(certain, 0.5, far).min(-1, initial=0.5)


def _flush(x):
    """Subnormal numbers as zeros of their sign."""
    return np.where(np.abs(x) < np.finfo(F32).tiny, np.copysign(F32(0), x), x)


def _fma(x, y, z):
    """x * y + z in f32 for numbers of bf16 x and y, whose products f64 has exactly."""
    return _flush((x.astype(float) * y + z).astype(F32))


def _halves(rows, weights, step):
    """rows [R, K] and weights [N, K] in bf16, K filled up to whole steps: [.., K, 1, 2]."""
    rows, weights = (_flush(round_bf16(x)) for x in (rows, weights))
    width = -rows.shape[-1] % step
    rows, weights = (np.pad(x, [(0, 0), (0, width)]) for x in (rows, weights))
    return rows.reshape(len(rows), 1, -1, 2), weights.reshape(1, len(weights), -1, 2)


def contract_dot_bf16(rows, weights):
    """rows f32 [R, K] times weights f32 [N, K] as gate.dot_bf16 (vdpbf16ps) adds: f32 [R, N]."""
    x, w = _halves(rows, weights, 2)
    sums = np.zeros((x.shape[0], w.shape[1]), F32)
    for u in range(x.shape[2]):
        for half in (1, 0):
            sums = _fma(x[:, :, u, half], w[:, :, u, half], sums)
    return sums


def contract_amx_bf16(rows, weights):
    """The same as gate.amx_dot_bf16 (tdpbf16ps) adds: even and odd k of 32 on their own."""
    x, w = _halves(rows, weights, 32)
    sums = np.zeros((x.shape[0], w.shape[1]), F32)
    for first in range(0, x.shape[2], 16):
        parts = []
        for half in (0, 1):
            part = np.zeros_like(sums)
            for u in range(first, first + 16):
                part = _fma(x[:, :, u, half], w[:, :, u, half], part)
            parts.append(part)
        sums = _flush(sums + _flush(parts[0] + parts[1]))
    return sums


def matmul_nbits(
    a,
    values,
    scales,
    zeros=None,
    g_idx=None,
    bias=None,
    *,
    K,
    N,
    block_size,
    bits=4,
    accuracy_level=0,
):
    """com.microsoft.MatMulNBits: (result [..., N], rounding margins [rows])."""
    if g_idx is not None:
        raise NotImplementedError("g_idx")
    scales = scales.reshape(N, -1)
    if zeros is not None:
        zeros = zeros.reshape(N, -1)
    layout = {"bits": bits, "block": block_size, "k": K}
    q = centered(values.reshape(N, -1), scales, zeros, **layout)
    rows = a.reshape(-1, K)
    result, margins = contract_quantized(rows, q, scales, block_size)
    result = result.astype(float) + (0 if bias is None else bias)
    return result.reshape(*a.shape[:-1], N), margins
