"""The project: settings, the task queue, the web entry and the addresses; it alone knows where we are deployed.

Nothing in `krakendata` imports from here, and the environment is read in `config/env.py` alone.
"""
