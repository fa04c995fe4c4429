"""The room of the pretended exchange: a generated market, and what Kraken would publish of it.

An edge: it may use anything below and nothing imports it but commands and tests. Everything here is made up
and follows from a seed, so that a demo or a failing test can be repeated to the last digit.
"""
