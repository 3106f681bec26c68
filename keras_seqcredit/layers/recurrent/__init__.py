"""Recurrent layers and their parts."""
