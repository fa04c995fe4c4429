"""The HTTP API: candles, trades and how complete they are, for apps in any language.

A request goes through these in order: `urls` (the addresses, and what every answer has), `callers` (who asks: a token's
bearer or the admin's staff, and what they may), `rate_limit`, `routes` (what may be asked), `questions` (is it a
question that can be met), `page_reader` (the provider, page by page), `etags` (has the asker got the answer
already) and `formats` (JSON, CSV, Arrow). `problems` is what is said instead of an answer, in one shape. Its docs are
docs/reference/http-api.md.

A project that includes `krakendata.api.urls` needs `ninja` in INSTALLED_APPS: without it the page to try the API on
would load its scripts from other hosts.
"""
