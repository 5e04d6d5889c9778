"""Differentiable operations, one file for each topic of the lessons.

``minisegnet.functional`` is their public face.
"""
