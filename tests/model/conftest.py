"""Without Spin these tests are not collected; ``.ci/run`` installs it, and ``make model`` asks for it."""

from .check import missing_tools

collect_ignore = ["test_model.py"] if missing_tools() else []
