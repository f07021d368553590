"""``python -m shardfleet_operator.cli``: the command without an installed script."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
