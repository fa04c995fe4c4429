"""The export held against the real tools, each in an environment of its own: `make interop`.

Not a part of the suite: it installs packages whose pins are none of ours, below var/interop.
"""
