"""Layers that map hidden states to distributions."""
