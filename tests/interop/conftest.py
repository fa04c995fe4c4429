"""Only where it is asked for: it installs packages."""

import os

collect_ignore_glob = [] if os.environ.get("INTEROP") else ["test_*.py"]
