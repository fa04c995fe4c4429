"""Kraken market data, from the exchange into PostgreSQL and out again.

What lives here, from the edges down; imports only ever go down:

- edges: Django's own names (apps, models, admin, checks, tasks, consumers, management commands), and `api/`;
- deeds: `ingest/` (history in) and `historical_provider.py` (history out);
- worlds: `kraken/` (the exchange and its files) and `storage/` (PostgreSQL), which do not know each other;
- rules: `candles.py`, `validation.py`, `gaps.py`, all pure;
- words: `types.py` and `errors.py`, which everybody may import and which import nobody.

The package never imports the project around it (`config`) and never reads the environment.
"""
