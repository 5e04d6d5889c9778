"""How fast minisegnet is beside PyTorch: ``python -m tests.benchmarks``.

``cases.py`` says what is computed, ``engines.py`` with what, ``child.py`` measures one engine in a
process of its own, and ``__main__.py`` starts these processes in turn and writes the tables.
"""
