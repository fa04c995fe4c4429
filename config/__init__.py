"""The project: settings, task queue, web entry, addresses; it alone knows where we are deployed.

Nothing in `krakendata` imports from here, and the environment is read in `config/env.py` alone.
"""
