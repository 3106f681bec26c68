"""Recurrences over time: what a step is, and how a loop of them runs."""
