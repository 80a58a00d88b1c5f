"""Networks as plain torch modules, the files their weights come from, and nothing else of slamfront.

superpoint, superglue, lightglue: the networks, with the layouts of their authors' checkpoints. detection, sinkhorn,
assignment: the steps around them as functions of tensors. precision: the data type that a device is fastest with.
weights: where checkpoints come from (without torch). checkpoints: from a file to a network.
"""
