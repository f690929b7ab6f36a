"""Frozen convolutional networks as feature extractors for grey images.

resnet18    the network of He et al. 2016, under torchvision's parameter names
quantised   its product-quantised weights, decoded
weights     a weights file of a declared format to a network, strictly
embed       images to pooled activations, loading while the device computes
"""
