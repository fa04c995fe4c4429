"""The room of everything Kraken-shaped: its archives, its REST answers and its WebSocket frames.

It owns the formats Kraken writes and the manners Kraken asks for, and nothing about where the data goes:
it imports words and rules only, never storage and never Django. Whoever moves data (the deeds) imports it.
"""
