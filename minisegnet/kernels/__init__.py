"""Arrays in, arrays out, no gradients: the arithmetic under every op.

``correlate`` is the only convolution of the engine. ``reference`` holds the same definitions as
plain loops; the tests hold every kernel here equal to them.
"""
