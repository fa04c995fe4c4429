"""The room of the replayed exchange: what Kraken would answer, from what is stored or from a made-up market.

An edge: it may use anything below, and nothing imports it but commands and tests. What is made up follows from a
seed, so that a demo or a failing test can be repeated to the last digit.
"""
