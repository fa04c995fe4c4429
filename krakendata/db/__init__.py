"""Django's doors to the database, one per way of naming it, and the migrations' operations.

`timescale/` serves `timescale://`; `postgresql/` serves `postgresql://` and `embedded:`.
"""
