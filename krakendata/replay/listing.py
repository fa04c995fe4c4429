"""How the exchange lists a pair and its assets: ids, keys, and what AssetPairs, Assets and `instrument` say of them."""

from __future__ import annotations

from typing import Any

from krakendata.replay.market import MarketPair
from krakendata.types import Pair, Symbols

__all__ = ["asset_entry", "asset_ids", "instrument_asset", "instrument_pair", "listed_pair", "pair_entry"]

# The oldest assets bear a letter before their name (kraken-facts 3), others are called as they are called.
ASSET_IDS = {
    **{
        name: f"X{name}"
        for name in ("ETC", "ETH", "LTC", "MLN", "REP", "XBT", "XDG", "XLM", "XMR", "XRP", "ZEC")
    },
    **{name: f"Z{name}" for name in ("AUD", "CAD", "EUR", "GBP", "JPY", "USD")},
}
REST_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
# An old asset whose pairs have new keys all the same: XDGUSD.
NEW_KEYS = "XDG"

FIAT_DECIMALS, COIN_DECIMALS = 4, 10
FIAT_SHOWN, COIN_SHOWN = 2, 5
COST_DECIMALS = 5


def listed_pair(pair: MarketPair) -> Pair:
    """A made-up pair in its four spellings."""
    return named_pair(pair.symbol, pair.price_decimals, pair.volume_decimals)


def named_pair(symbol: str, price_decimals: int, volume_decimals: int) -> Pair:
    """A pair in its four spellings, by rule."""
    base, quote = symbol.split("/")
    old_base, old_quote = REST_NAMES.get(base, base), REST_NAMES.get(quote, quote)
    is_old = {old_base, old_quote} <= ASSET_IDS.keys() and NEW_KEYS not in (old_base, old_quote)
    altname = Symbols().altname(symbol)
    return Pair(
        symbol=symbol,
        key=ASSET_IDS[old_base] + ASSET_IDS[old_quote] if is_old else altname,
        altname=altname,
        wsname=f"{old_base}/{old_quote}",
        base=base,
        quote=quote,
        status="online",
        price_decimals=price_decimals,
        volume_decimals=volume_decimals,
    )


def asset_ids(pair: Pair) -> tuple[str, str]:
    """REST's ids of base and quote: XXBT, ZUSD."""
    base, quote = pair.wsname.split("/")
    return ASSET_IDS.get(base, base), ASSET_IDS.get(quote, quote)


def pair_entry(pair: Pair) -> dict[str, Any]:
    """An entry of AssetPairs, as in September 2026 (kraken-facts 1.6)."""
    base, quote = asset_ids(pair)
    return {
        "altname": pair.altname,
        "wsname": pair.wsname,
        "aclass_base": "currency",
        "base": base,
        "aclass_quote": "currency",
        "quote": quote,
        "lot": "unit",
        "cost_decimals": COST_DECIMALS,
        "pair_decimals": pair.price_decimals,
        "lot_decimals": pair.volume_decimals,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [],
        "fees_maker": [],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": unit(pair.volume_decimals),
        "costmin": "0.5",
        "tick_size": unit(pair.price_decimals),
        "status": pair.status,
        "execution_venue": "international",
    }


def asset_entry(asset_id: str) -> dict[str, Any]:
    """An entry of Assets."""
    is_fiat = asset_id.startswith("Z") and asset_id[1:] in ASSET_IDS
    altname = asset_id[1:] if ASSET_IDS.get(asset_id[1:]) == asset_id else asset_id
    return {
        "aclass": "currency",
        "altname": altname,
        "decimals": FIAT_DECIMALS if is_fiat else COIN_DECIMALS,
        "display_decimals": FIAT_SHOWN if is_fiat else COIN_SHOWN,
        "status": "enabled",
    }


def instrument_asset(name: str) -> str:
    """An asset of the `instrument` channel as JSON; `name` is the v2 one."""
    is_fiat = ASSET_IDS.get(name, "").startswith("Z")
    precision, shown = (FIAT_DECIMALS, FIAT_SHOWN) if is_fiat else (COIN_DECIMALS, COIN_SHOWN)
    return (
        f'{{"id":"{name}","status":"enabled","precision":{precision},"precision_display":{shown},'
        '"borrowable":false,"collateral_value":0.000,"class":"currency"}'
    )


def instrument_pair(pair: Pair) -> str:
    """A pair of the `instrument` channel as JSON, numbers as Kraken writes them."""
    tick, lot = unit(pair.price_decimals), unit(pair.volume_decimals)
    return (
        f'{{"symbol":"{pair.symbol}","base":"{pair.base}","quote":"{pair.quote}","status":"{pair.status}",'
        f'"qty_precision":{pair.volume_decimals},"qty_increment":{lot},"price_precision":{pair.price_decimals},'
        f'"cost_precision":{COST_DECIMALS},"marginable":false,"has_index":false,'
        f'"ws_display_price_precision":{pair.price_decimals},"cost_min":0.50,"tick_size":{tick},'
        f'"price_increment":{tick},"qty_min":{lot}}}'
    )


def unit(decimals: int) -> str:
    """The smallest step with so many decimals: 0.1 for 1."""
    return f"0.{'0' * (decimals - 1)}1" if decimals else "1"
