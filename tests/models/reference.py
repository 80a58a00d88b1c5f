"""Seeded weights, inputs, and the papers' equations in plain numpy, float64.

Written from the papers and the checkpoints' layout, on purpose without the networks' own helpers, so that the two can
be held against each other.
"""

from __future__ import annotations

import math
import zlib
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import erf, logsumexp
from torch import nn

from slamfront.models.assignment import ImagePoints

Array = NDArray[np.float64]
Weights = dict[str, Array]
Network = TypeVar("Network", bound=nn.Module)

_FACTORS = (
    (0.1, ("mlp.3.weight", "ffn.3.weight", "kenc.encoder.12.weight")),
    (0.5, ("final_proj",)),
    (20.0, ("token.0", "matchability")),
)


def seeded_tensor(name: str, shape: tuple[int, ...]) -> Array:
    """Return the seeded weights of one tensor, by the recipe of the reference outputs."""
    noise = np.random.default_rng([9, zlib.crc32(name.encode())]).standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if name == "bin_score":
        return np.ones(shape)
    if name.endswith("running_var"):
        return np.exp(0.2 * noise)
    if name.endswith(("running_mean", "bias")):
        return 0.05 * noise
    if len(shape) == 1:
        return 1 + 0.1 * noise
    if name.endswith("Wr.weight"):
        return noise
    factor = next((factor for factor, parts in _FACTORS if any(part in name for part in parts)), 1.0)
    return noise * math.sqrt(2 / math.prod(shape[1:])) * factor


def seeded_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a state dict of seeded float32 weights with the names and shapes of a network."""
    state = {}
    for name, tensor in network.state_dict().items():
        state[name] = torch.from_numpy(np.asarray(seeded_tensor(name, tuple(tensor.shape)))).to(tensor.dtype)
    return state


def seeded(network: Network) -> Network:
    """Load seeded weights strictly and switch to inference."""
    network.load_state_dict(seeded_state(network))
    return network.eval()


def weights_of(network: nn.Module) -> Weights:
    """Return a network's tensors as float64 arrays by name."""
    return {name: tensor.double().numpy() for name, tensor in network.state_dict().items()}


def random_points(count: int, dim: int, seed: int, size: tuple[int, int] = (320, 240)) -> ImagePoints:
    """Return random keypoints with unit descriptors and scores, for one image."""
    generator = np.random.default_rng(seed)
    descriptors = generator.standard_normal((count, dim))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    return ImagePoints(
        torch.tensor(generator.uniform(0, 1, (count, 2)) * size, dtype=torch.float32),
        torch.tensor(descriptors, dtype=torch.float32),
        torch.tensor(size),
        torch.tensor(generator.uniform(0, 1, count), dtype=torch.float32),
    )


def padded(points: ImagePoints, length: int) -> ImagePoints:
    """Return points padded to a length with arbitrary values, which a mask marks."""
    count, dim = points.descriptors.shape
    filler = random_points(length - count, dim, seed=99)
    return ImagePoints(
        torch.cat((points.keypoints_xy, filler.keypoints_xy)),
        torch.cat((points.descriptors, filler.descriptors)),
        points.image_size,
        torch.cat((points.scores, filler.scores)),
        torch.arange(length) < count,
    )


def stacked(*images: ImagePoints) -> ImagePoints:
    """Return a batch of equally long point sets."""
    return ImagePoints(*(None if field[0] is None else torch.stack(field) for field in zip(*images)))


def _array(tensor: torch.Tensor) -> Array:
    return tensor.double().numpy()


def _normalised_positions(points: ImagePoints, divisor: float) -> Array:
    size = _array(points.image_size)
    return (_array(points.keypoints_xy) - size / 2) / (divisor * size.max())


def _softmax(x: Array, axis: int = -1) -> Array:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


# SuperPoint: section 3 and the layout of its checkpoint


def convolution(x: Array, weight: Array, bias: Array) -> Array:
    """Correlate x (C,H,W) with 3x3 or 1x1 kernels, zeros outside."""
    radius = weight.shape[-1] // 2
    around = np.pad(x, ((0, 0), (radius, radius), (radius, radius)))
    out = np.zeros((len(weight), *x.shape[1:])) + bias[:, None, None]
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            window = around[:, i : i + x.shape[1], j : j + x.shape[2]]
            out += np.tensordot(weight[:, :, i, j], window, axes=1)
    return out


def pool(x: Array) -> Array:
    """Take the maximum of 2x2 squares, odd remainders left out."""
    channels, height, width = x.shape
    squares = x[:, : height // 2 * 2, : width // 2 * 2].reshape(channels, height // 2, 2, width // 2, 2)
    return squares.max(axis=(2, 4))


def superpoint(image: Array, weights: Weights) -> tuple[Array, Array]:
    """Return logits (65,h,w) and unit descriptors (D,h,w) of an image (H,W)."""

    def layer(x: Array, name: str) -> Array:
        return convolution(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    x = image[None]
    for stage in "1234":
        for half in "ab":
            x = np.maximum(layer(x, f"conv{stage}{half}"), 0)
        if stage != "4":
            x = pool(x)
    logits = layer(np.maximum(layer(x, "convPa"), 0), "convPb")
    descriptors = layer(np.maximum(layer(x, "convDa"), 0), "convDb")
    return logits, descriptors / np.linalg.norm(descriptors, axis=0)


def keypoint_probabilities(logits: Array) -> Array:
    """Unfold the softmax of (65,h,w) without its dustbin into (8h,8w), pixel by pixel."""
    probability = _softmax(logits, axis=0)
    _, rows, columns = logits.shape
    out = np.empty((8 * rows, 8 * columns))
    for y in range(8 * rows):
        for x in range(8 * columns):
            out[y, x] = probability[8 * (y % 8) + x % 8, y // 8, x // 8]
    return out


def descriptor_at(descriptors: Array, x: float, y: float) -> Array:
    """Interpolate a map (D,h,w) bilinearly at a pixel, in the original convention, to unit length."""
    _, height, width = descriptors.shape
    u = (x - 8 / 2 + 0.5) / (width * 8 - 8 / 2 - 0.5) * (width - 1)
    v = (y - 8 / 2 + 0.5) / (height * 8 - 8 / 2 - 0.5) * (height - 1)
    out = np.zeros(len(descriptors))
    for row in (math.floor(v), math.floor(v) + 1):
        for column in (math.floor(u), math.floor(u) + 1):
            if 0 <= row < height and 0 <= column < width:
                out += (1 - abs(v - row)) * (1 - abs(u - column)) * descriptors[:, row, column]
    return out / np.linalg.norm(out)


# SuperGlue: equations 2 to 9


def _perceptron(x: Array, weights: Weights, prefix: str, linears: int) -> Array:
    """Apply convolutions of width 1 with batch norm and rectifier between, to points (N,C)."""
    for i in range(linears):
        name = f"{prefix}.{3 * i}"
        x = x @ weights[f"{name}.weight"][:, :, 0].T + weights[f"{name}.bias"]
        if i < linears - 1:
            norm = f"{prefix}.{3 * i + 1}"
            mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
            x = (x - mean) / np.sqrt(variance + 1e-5) * weights[f"{norm}.weight"] + weights[f"{norm}.bias"]
            x = np.maximum(x, 0)
    return x


def _superglue_message(x: Array, source: Array, weights: Weights, prefix: str) -> Array:
    def linear(points: Array, name: str) -> Array:
        return points @ weights[f"{prefix}.{name}.weight"][:, :, 0].T + weights[f"{prefix}.{name}.bias"]

    query, key, value = linear(x, "proj.0"), linear(source, "proj.1"), linear(source, "proj.2")
    message = np.empty_like(query)
    for head in range(4):
        own = slice(head, None, 4)
        similarity = query[:, own] @ key[:, own].T / math.sqrt(query.shape[1] // 4)
        message[:, own] = _softmax(similarity) @ value[:, own]
    return linear(message, "merge")


def superglue_similarity(points0: ImagePoints, points1: ImagePoints, weights: Weights) -> Array:
    """Return the similarities (M,N) before the dustbins."""
    states = []
    for points in (points0, points1):
        inputs = np.column_stack((_normalised_positions(points, 0.7), _array(points.scores)))
        linears = sum(
            name.startswith("kenc") and name.endswith("weight") and w.ndim == 3 for name, w in weights.items()
        )
        states.append(_array(points.descriptors) + _perceptron(inputs, weights, "kenc.encoder", linears))
    layers = sum(name.endswith("merge.weight") for name in weights)
    for index in range(layers):
        prefix = f"gnn.layers.{index}"
        sources = states if index % 2 == 0 else states[::-1]
        updates = []
        for x, source in zip(states, sources):
            message = _superglue_message(x, source, weights, f"{prefix}.attn")
            updates.append(_perceptron(np.column_stack((x, message)), weights, f"{prefix}.mlp", 2))
        states = [x + update for x, update in zip(states, updates)]
    final0, final1 = (x @ weights["final_proj.weight"][:, :, 0].T + weights["final_proj.bias"] for x in states)
    return final0 @ final1.T / math.sqrt(final0.shape[1])


def transport(similarity: Array, bin_score: float, iterations: int) -> Array:
    """Return the log assignment (M+1,N+1) by Sinkhorn's algorithm in log space."""
    count0, count1 = similarity.shape
    scores = np.full((count0 + 1, count1 + 1), bin_score)
    scores[:-1, :-1] = similarity
    total = count0 + count1
    rows = np.log(np.append(np.ones(count0), count1) / total)
    columns = np.log(np.append(np.ones(count1), count0) / total)
    v = np.zeros(count1 + 1)
    for _ in range(iterations):
        u = rows - logsumexp(scores + v, axis=1)
        v = columns - logsumexp(scores + u[:, None], axis=0)
    return scores + u[:, None] + v + math.log(total)


# LightGlue: equations 1 to 8


def _linear(x: Array, weights: Weights, name: str) -> Array:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def _feed_forward(x: Array, weights: Weights, prefix: str) -> Array:
    x = _linear(x, weights, f"{prefix}.0")
    x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    x = x * weights[f"{prefix}.1.weight"] + weights[f"{prefix}.1.bias"]
    x = x * (1 + erf(x / math.sqrt(2))) / 2
    return _linear(x, weights, f"{prefix}.3")


def _rotated(x: Array, angles: Array) -> Array:
    """Turn the pairs (2k, 2k+1) of channels (N,head_dim) by angles (N,head_dim/2), as complex numbers."""
    turned = (x[:, 0::2] + 1j * x[:, 1::2]) * np.exp(1j * angles)
    out = np.empty_like(x)
    out[:, 0::2], out[:, 1::2] = turned.real, turned.imag
    return out


def _self_layer(x: Array, angles: Array, weights: Weights, prefix: str, heads: int) -> Array:
    unpacked = _linear(x, weights, f"{prefix}.Wqkv").reshape(len(x), heads, -1, 3)
    context = []
    for head in range(heads):
        query, key, value = (unpacked[:, head, :, i] for i in range(3))
        similarity = _rotated(query, angles) @ _rotated(key, angles).T / math.sqrt(query.shape[1])
        context.append(_softmax(similarity) @ value)
    message = _linear(np.concatenate(context, axis=1), weights, f"{prefix}.out_proj")
    return x + _feed_forward(np.column_stack((x, message)), weights, f"{prefix}.ffn")


def _cross_layer(x0: Array, x1: Array, weights: Weights, prefix: str, heads: int) -> tuple[Array, Array]:
    (key0, key1), (value0, value1) = (
        [_linear(x, weights, f"{prefix}.{name}").reshape(len(x), heads, -1) for x in (x0, x1)]
        for name in ("to_qk", "to_v")
    )
    context0, context1 = np.empty_like(value0), np.empty_like(value1)
    scale = key0.shape[2] ** -0.25
    for head in range(heads):
        similarity = (key0[:, head] * scale) @ (key1[:, head] * scale).T
        context0[:, head] = _softmax(similarity, axis=1) @ value1[:, head]
        context1[:, head] = _softmax(similarity, axis=0).T @ value0[:, head]
    updated = []
    for x, context in ((x0, context0), (x1, context1)):
        message = _linear(context.reshape(len(x), -1), weights, f"{prefix}.to_out")
        updated.append(x + _feed_forward(np.column_stack((x, message)), weights, f"{prefix}.ffn"))
    return updated[0], updated[1]


def lightglue_states(
    points0: ImagePoints, points1: ImagePoints, weights: Weights, heads: int
) -> list[tuple[Array, Array]]:
    """Return the states of both images after each layer."""
    x0, x1 = _array(points0.descriptors), _array(points1.descriptors)
    if "input_proj.weight" in weights:
        x0, x1 = _linear(x0, weights, "input_proj"), _linear(x1, weights, "input_proj")
    angles0, angles1 = (_normalised_positions(p, 0.5) @ weights["posenc.Wr.weight"].T for p in (points0, points1))
    states = []
    for layer in range(sum(name.endswith("to_qk.weight") for name in weights)):
        prefix = f"transformers.{layer}"
        x0 = _self_layer(x0, angles0, weights, f"{prefix}.self_attn", heads)
        x1 = _self_layer(x1, angles1, weights, f"{prefix}.self_attn", heads)
        x0, x1 = _cross_layer(x0, x1, weights, f"{prefix}.cross_attn", heads)
        states.append((x0, x1))
    return states


def lightglue_assignment(x0: Array, x1: Array, weights: Weights, layer: int) -> Array:
    """Return the log assignment (M+1,N+1) from the states after a layer: logarithms of probabilities."""
    prefix = f"log_assignment.{layer}"
    similarity = _linear(x0, weights, f"{prefix}.final_proj") @ _linear(x1, weights, f"{prefix}.final_proj").T
    similarity /= math.sqrt(x0.shape[1])
    logit0, logit1 = (_linear(x, weights, f"{prefix}.matchability")[:, 0] for x in (x0, x1))
    log_both = similarity - logsumexp(similarity, axis=1, keepdims=True)
    log_both += similarity - logsumexp(similarity, axis=0, keepdims=True)
    out = np.zeros((len(x0) + 1, len(x1) + 1))
    out[:-1, :-1] = log_both - np.logaddexp(0, -logit0)[:, None] - np.logaddexp(0, -logit1)
    out[:-1, -1], out[-1, :-1] = -np.logaddexp(0, logit0), -np.logaddexp(0, logit1)
    return out
