"""Candles and trades into files that other tools read: in parts, each whole or not there, and never twice for nothing.

`parts` cuts the time, `layouts` says what a tool wants its files to be called and to hold, `files` writes them,
`manifest` remembers what was written of which data, `exporter` does the deed. Imports the provider and the rules.
"""
