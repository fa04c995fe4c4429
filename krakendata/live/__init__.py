"""The live socket: candles and trades to whoever subscribes, from the database on and without a seam.

One hub a process listens to what the feed says on the channel layer, keeps one series for all who follow the same
candles or trades (`live_series.py` has the rules), and hands each message, made once, to their outboxes. An outbox is
bounded; who reads too slowly is told so and let go. `consumers.LiveConsumer` is the socket's own side.

`requests` and `replies` are the two halves of the protocol (docs/reference/live-socket.md).
"""

# Where the socket is; the admin's live page is told it.
SOCKET_PATH = "/live/"
