"""Layers that are steps of a Markov chain."""
