"""Candles and trades as columns: Arrow, Polars, pandas and NumPy without a Python object per cell.

`lines` makes Arrow tables of what the database sends, `tables` are the answers and what they turn into, `reading` reads
them in pieces of bounded size. Imports storage, the rules and the words; pandas only where it is asked for.
"""
