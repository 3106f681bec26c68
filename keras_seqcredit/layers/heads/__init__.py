"""Layers from hidden states to distributions."""
