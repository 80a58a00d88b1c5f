"""Batch norm while a network learns, and none of it when it is used."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


class NormalisedConvolution(nn.Module):
    """A convolution with batch norm after it, which stands where the plain convolution stood."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = nn.BatchNorm2d(convolution.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise (B,C,H,W)."""
        return self.norm(self.convolution(x))

    def folded(self) -> nn.Conv2d:
        """Return one plain convolution that gives what both give in evaluation."""
        return fuse_conv_bn_eval(self.convolution.eval(), self.norm.eval())


def normalise(network: Network, unless: tuple[str, ...] = ("convPb", "convDb")) -> Network:
    """Put batch norm after the network's own convolutions, in place, but for those named; returns the network.

    The outputs of a network are left alone: they are to be of any size.
    """
    for name, module in list(network.named_children()):
        if isinstance(module, nn.Conv2d) and name not in unless:
            setattr(network, name, NormalisedConvolution(module))
    return network


@torch.no_grad()
def fold(network: Network) -> Network:
    """Undo `normalise` in place: each pair becomes the one convolution that gives the same; returns the network."""
    for name, module in list(network.named_children()):
        if isinstance(module, NormalisedConvolution):
            setattr(network, name, module.folded())
    return network
