"""The fault campaign: seeded runs in which everything goes wrong, and in the end everything has to be right.

`plan` says what a seed draws, `servers` are the campaign's own, `collecting` fetches under fire, `holes` makes gaps,
`truth` holds the result against the exchange, and `run` is one run. `tests/acceptance/test_campaign.py` makes a
handful of them, `python -m tests.soak` as many as one likes.

The live path has runs of its own, `live_run`: `live_plan` draws them, `live_market` trades, `feeds` are processes of
`stream_trades` (`hurried_feed` is their program), `live_truth` holds what only feeds tell. `calm` ends either kind.
"""
