"""``python -m minisegnet``: the command line."""

import sys

from minisegnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
