"""Layers that compute a step of a Markov chain."""
