"""The content policy: its text, and what was taken from the pages so that it can be strict."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import unfold
import unfold.settings

from config import env
from krakendata.security.content_policy import CHART_STYLE, DIRECTIVES, policy_for

STATIC = Path(env.ROOT, "krakendata/static/krakendata")
CHART = STATIC / "vendor/lightweight-charts-5.2.1/lightweight-charts.standalone.production.js"
ALPINE = re.compile(
    r"""\b(x-(?:data|init|show|text|if|model|resize|sort:config|on:[\w:.-]+|bind:[\w-]+|bind))\s*=\s*"([^"]*)\""""
)


def test_nothing_written_into_a_page_is_run() -> None:
    policy = policy_for("data.example.com", is_secure=True)
    assert "unsafe" not in policy
    assert "*" not in policy
    assert DIRECTIVES["default-src"] == "'none'"
    assert DIRECTIVES["script-src"] == "'self'"


@pytest.mark.parametrize(("is_secure", "socket"), [(True, "wss://[::1]:8000"), (False, "ws://[::1]:8000")])
def test_the_live_socket_of_the_same_host_may_be_opened(is_secure: bool, socket: str) -> None:
    assert f"connect-src 'self' {socket};" in policy_for("[::1]:8000", is_secure)


def test_the_charts_own_style_is_known_by_its_hash() -> None:
    (style,) = re.findall(r'innerText="(a#tv-attr-logo[^"]*)"', CHART.read_text(encoding="utf-8"))
    assert f"'sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" == CHART_STYLE


def test_the_colours_in_the_file_are_unfolds_but_for_ours() -> None:
    told = dict(re.findall(r"--color-([\w-]+): ([^;]+);", (STATIC / "theme.css").read_text(encoding="utf-8")))
    for name in ("base", "font"):
        for weight, colour in unfold.settings.CONFIG_DEFAULTS["COLORS"][name].items():
            assert told[f"{name}-{weight}"] == colour
    assert len([name for name in told if name.startswith("primary-")]) == 11


def expressions() -> list[str]:
    """Every text that Alpine would make a function of in unfold's pages, with its template's parts filled in."""
    root = Path(unfold.__file__).parent
    found = set()
    for page in root.rglob("*.html"):
        for _, text in ALPINE.findall(page.read_text(encoding="utf-8")):
            if text.count("{%") != text.count("%}"):
                # Cut off by a quotation mark inside a tag.
                continue
            named = re.sub(r"\{\{.*?\}\}|\{% (?!if|else|endif).*?%\}", "x", text)
            chosen = re.sub(r"\{% if [^%]*%\}([^{]*)(?:\{% else %\}[^{]*)?\{% endif %\}", r"\1", named)
            found.add(re.sub(r"\{%.*?%\}", "x", chosen))
    return sorted(found)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on PATH")
def test_every_expression_of_the_theme_is_understood() -> None:
    program = """
        const { compiled, within } = require(process.argv[1]);
        const asked = JSON.parse(require("fs").readFileSync(0, "utf8"));
        const isBad = (text) => { try { compiled(text); return false; } catch { return true; } };
        const failed = asked.expressions.filter(isBad);
        const worked = asked.cases.map(([text, scope]) => {
            try { return compiled(text).get(scope) ?? null; } catch (error) { return error.name; }
        });
        console.log(JSON.stringify({ failed, worked }));
    """
    cases = [
        ("{ a: 1, 'b c': on ? 'y' : 'n' }", {"on": 1}, {"a": 1, "b c": "y"}),
        ("a = 3; a + 1", {"a": 0}, 3),
        ("items !== undefined && items.length > 0", {"items": [1]}, True),
        (
            "['h3', 'strong'].includes(name.toLowerCase()) && (open = !open)",
            {"name": "H3", "open": False},
            True,
        ),
        ("1 + 2 * 3 - 4", {}, 3),
        ("!(a || b) ? 'x' : \"it's\"", {"a": 0, "b": 1}, "it's"),
        ("list.map(each => each + more)", {"list": [1, 2], "more": 1}, [2, 3]),
        ("none?.length", {"none": None}, None),
        ("'x'.constructor", {}, "TypeError"),
        ("constructor", {}, "TypeError"),
        ("x['con' + 'structor']", {"x": ""}, "TypeError"),
        ("({}).__proto__", {}, "TypeError"),
        ("alert(1", {}, "SyntaxError"),
        ("`text`", {}, "SyntaxError"),
    ]
    asked: dict[str, list[Any]] = {"expressions": expressions(), "cases": [case[:2] for case in cases]}
    command = [shutil.which("node") or "", "-e", program, str(STATIC / "strict.js")]
    answer = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
    found = json.loads(answer.stdout)
    assert len(asked["expressions"]) > 100
    assert found["failed"] == []
    assert found["worked"] == [case[2] for case in cases]
