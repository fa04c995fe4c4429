// The completeness map: rows of cells drawn on a canvas, moved through by mouse, touch and keys, told in words and as tables.
"use strict";

(() => {
    const place = document.getElementById("map");
    if (!place) {
        return;
    }
    const { cellsUrl, previewUrl, startUrl, runsUrl } = place.dataset;
    const { askJson } = krakendata;
    const find = (name) => place.querySelector(`[data-${name}]`);
    const [frame, canvas, surface, names] = [find("frame"), find("canvas"), find("cells"), find("names")];
    const form = place.querySelector("form[method=get]");

    const STATES = {
        p: ["proven", "Proven"], v: ["provisional", "Provisional"], m: ["missing", "Missing"],
        x: ["exchange_hole", "Exchange's hole"], b: ["before_listing", "Before listing"], a: ["ahead", "Not yet"],
    };
    const SHOWN_IN_TABLE = ["p", "v", "m", "x", "b"];
    // As completeness.css has them beside the names.
    const AXIS_HEIGHT = 24;
    const ROW_HEIGHT = 22;
    const ROW_GAP = 3;
    const TICK_WIDTH = 78;
    const HOUR = 3600;
    const DAY = 24 * HOUR;
    const YEAR = 365 * DAY;
    const SHORTEST = HOUR;
    const STRETCHES_SHOWN = 200;
    const POLL_SECONDS = 2;
    // After one failure, two, and so on; the last goes on for ever.
    const POLL_AGAIN_AFTER = [5, 10, 30];
    // A worker that is free takes what waits within seconds; who starts one first finds the page still watching.
    const WATCH_SECONDS = 120;
    const REFRESH_SECONDS = 30;
    const TRY_AGAIN_SECONDS = 5;
    // A finger that moves no further has tapped.
    const STILL = 4;

    let told = null;
    let rows = [];
    let cursor = { row: 0, cell: 0 };
    let anchor = null;
    // What is selected, as it was previewed: rows change places as pairs come and go, names and times do not.
    let kept = null;
    let loading = null;
    let watchUntil = 0;
    let polling = null;
    let failures = 0;
    let isRefused = false;
    let wasRunning = false;
    let refreshing = null;

    // --- time ---

    const seconds = (text) => Date.parse(text) / 1000;
    const iso = (time) => new Date(time * 1000).toISOString().replace(".000", "");
    const inWords = (time) => {
        const text = new Date(time * 1000).toISOString().replace("T", " ");
        return time % DAY === 0 ? text.slice(0, 10) : text.slice(0, 16);
    };
    // Beside a moment of the same day midnight is one too.
    const inFull = (time) => (told.step_seconds < DAY ? new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ") : inWords(time));
    const startOf = (cell) => seconds(told.start) + cell * told.step_seconds;

    // --- asking ---

    // Only what is new: a screen reader tells a text again that is written again.
    const write = (name, text) => {
        if (find(name).textContent !== text) {
            find(name).textContent = text;
        }
    };
    // One sentence of the map and one of the runs: what one of them says stays while the other goes well.
    const said = { map: "", runs: "" };
    const say = (sentence, what = "map") => {
        said[what] = sentence;
        const both = [...new Set([said.map, said.runs])].filter(Boolean).join(" ");
        write("message", both);
        find("message").hidden = !both;
    };

    const asked = new URLSearchParams(location.search);
    const load = async ({ isQuiet = false } = {}) => {
        loading?.abort();
        loading = new AbortController();
        const mine = loading;
        if (!isQuiet) {
            frame.dataset.busy = "";
        }
        try {
            const found = await askJson(`${cellsUrl}?${asked}`, { signal: mine.signal });
            take(found, isQuiet);
            if (isRefused) {
                // Logged in again, elsewhere.
                isRefused = false;
                poll();
            }
        } catch (error) {
            if (error.name === "AbortError") {
                return;
            }
            say(error.message);
            if (error.isAway) {
                setTimeout(() => { if (mine === loading) { load({ isQuiet }); } }, TRY_AGAIN_SECONDS * 1000);
            } else if (!error.isRefused) {
                refreshLater();
            }
        } finally {
            if (mine === loading) {
                delete frame.dataset.busy;
            }
        }
    };

    const cellsOf = (text) =>
        [...text.matchAll(/([a-z])(\d+)/g)].reduce((found, [, letter, count]) => {
            const start = found.length ? found[found.length - 1].end : 0;
            found.push({ letter, start, end: start + Number(count) });
            return found;
        }, []);
    const letterAt = (row, cell) => row.runs.find((run) => cell < run.end)?.letter ?? "a";

    const take = (found, isQuiet) => {
        const isSame = told && told.start === found.start && told.end === found.end && told.page === found.page;
        const before = rows;
        told = found;
        rows = found.rows.map((row) => ({ ...row, runs: cellsOf(row.cells) }));
        const isStill = isQuiet && isSame;
        if (isStill) {
            stayWith(before);
        } else {
            cursor = { row: Math.min(cursor.row, Math.max(0, rows.length - 1)), cell: lastKnown() };
            letGo();
        }
        frame.hidden = find("table-section").hidden = rows.length === 0;
        const missed = rows.length ? "" : whatIsNotThere();
        find("nothing").hidden = rows.length > 0 || missed !== "";
        say(missed);
        if (!rows.length) {
            letGo();
        }
        showNames();
        showTable();
        showShown();
        showPages();
        draw();
        tell();
        // What is looked at stays where it is while time goes on.
        asked.set("start", found.start);
        asked.set("end", found.end);
        refreshLater();
        place.dataset.ready = `${found.step} ${rows.length}`;
        // A refresh would take away what is being typed.
        if (!isStill) {
            for (const [name, time] of [["start", found.start], ["end", found.end]]) {
                form.elements[name].value = time.slice(0, 16).replace("T", " ");
            }
        }
        if (runsUrl && !polling) {
            poll();
        }
    };

    // Of what was asked for; "" where it was everything.
    const whatIsNotThere = () => {
        const name = (asked.get("find") ?? "").trim();
        if (asked.get("show") === "holes") {
            return name ? `No pair with ${name} in its name has holes.` : "No pair has holes.";
        }
        return name ? `No pair here has ${name} in its name.` : "";
    };

    // The cursor and what is selected stay with their pairs; what is not there as it was is let go.
    const stayWith = (before) => {
        const isThere = [cursor, ...(anchor ? [anchor] : [])].map((point) => {
            const row = rowOf(before[point.row]?.symbol);
            point.row = Math.max(row, 0);
            return row >= 0;
        }).every(Boolean);
        if (!isThere || (kept && String(symbolsWithin(area())) !== String(kept.symbols))) {
            letGo();
        }
    };

    // While nobody looks, or a stretch is being drawn, the next turn has to do.
    const refreshLater = () => {
        clearTimeout(refreshing);
        refreshing = setTimeout(() => {
            if (pressed || document.hidden) {
                refreshLater();
            } else {
                load({ isQuiet: true });
            }
        }, REFRESH_SECONDS * 1000);
    };

    const lastKnown = () => {
        const known = Math.floor((seconds(told.now) - seconds(told.start)) / told.step_seconds);
        return Math.max(0, Math.min(told.cells - 1, known));
    };

    // --- the time shown ---

    const go = (start, end, isNew = true) => {
        const oldest = Math.min(seconds(told.oldest), seconds(told.start));
        const latest = (Math.floor(seconds(told.now) / DAY) + 1) * DAY;
        const width = Math.max(SHORTEST, Math.min(end - start, Math.max(latest - oldest, YEAR) + DAY));
        const last = Math.min(Math.max(end, start + width), Math.max(latest, oldest + width));
        asked.set("start", iso(last - width));
        asked.set("end", iso(last));
        history[isNew ? "pushState" : "replaceState"](null, "", `?${asked}`);
        load();
    };
    const span = () => [seconds(told.start), seconds(told.end)];
    const zoomAround = (moment, factor) => {
        const [start, end] = span();
        const share = (moment - start) / (end - start);
        const width = Math.max(SHORTEST, (end - start) * factor);
        go(moment - share * width, moment + (1 - share) * width);
    };
    const zoomIn = () => {
        if (kept) {
            go(kept.from, kept.to);
        } else {
            const start = startOf(cursor.cell);
            go(start, start + told.step_seconds);
        }
    };
    const zoomOut = () => {
        const [start, end] = span();
        zoomAround((start + end) / 2, 4);
    };
    const move = (share) => {
        const [start, end] = span();
        go(start + (end - start) * share, end + (end - start) * share);
    };
    const zoomTo = (days) => {
        if (days === "all") {
            go(seconds(told.oldest), seconds(told.now));
            return;
        }
        const width = Number(days) * DAY;
        const middle = kept ? (kept.from + kept.to) / 2 : startOf(cursor.cell);
        const now = seconds(told.now);
        if (width === DAY) {
            const midnight = Math.floor(Math.min(middle, now) / DAY) * DAY;
            go(midnight, midnight + DAY);
            return;
        }
        go(Math.min(middle, now - width / 2) - width / 2, Math.min(middle, now - width / 2) + width / 2);
    };
    const showShown = () => {
        const [start, end] = span();
        const STEPS = { "1m": "minutes", "5m": "5 minutes", "1h": "hours", "1d": "days", "1w": "weeks" };
        find("shown").textContent = `${inWords(start)} to ${inWords(end)} UTC, in ${STEPS[told.step]}`;
    };
    window.addEventListener("popstate", () => {
        const now = new URLSearchParams(location.search);
        for (const name of ["start", "end", "page"]) {
            if (now.get(name)) {
                asked.set(name, now.get(name));
            } else {
                asked.delete(name);
            }
        }
        load();
    });

    // --- drawing ---

    const colour = (name) => getComputedStyle(place).getPropertyValue(`--kd-map-${name}`).trim();

    const hatched = (context, ground, stroke) => {
        const tile = document.createElement("canvas");
        tile.width = tile.height = 6;
        const pen = tile.getContext("2d");
        pen.fillStyle = ground;
        pen.fillRect(0, 0, 6, 6);
        pen.strokeStyle = stroke;
        pen.lineWidth = 1;
        pen.beginPath();
        for (const shift of [-6, 0, 6]) {
            pen.moveTo(shift, 6);
            pen.lineTo(shift + 6, 0);
        }
        pen.stroke();
        return context.createPattern(tile, "repeat");
    };

    // Steps of the axis in seconds; months and years go by the calendar.
    const TICKS = [300, 900, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, "1mo", "3mo", "1y", "2y", "5y"];
    const lengthOf = (tick) =>
        typeof tick === "number" ? tick : Number(tick.match(/\d+/)[0]) * (tick.endsWith("mo") ? 30.4 : 365.25) * DAY;
    const ticks = (start, end, width) => {
        const most = Math.max(1, Math.floor(width / TICK_WIDTH));
        const fitting = TICKS.findIndex((each) => (end - start) / lengthOf(each) <= most);
        const place = fitting < 0 ? TICKS.length - 1 : fitting;
        const found = momentsOf(TICKS[place], start, end);
        // A few months on a narrow screen have no turn of the year among them.
        return found.length || place === 0 ? found : momentsOf(TICKS[place - 1], start, end);
    };
    const momentsOf = (tick, start, end) => {
        const found = [];
        if (typeof tick === "number") {
            for (let time = Math.ceil(start / tick) * tick; time < end; time += tick) {
                found.push([time, time % DAY === 0 ? inWords(time).slice(5) : inWords(time).slice(11, 16)]);
            }
            return found;
        }
        const months = Number(tick.match(/\d+/)[0]) * (tick.endsWith("mo") ? 1 : 12);
        const first = new Date(start * 1000);
        let month = first.getUTCFullYear() * 12 + first.getUTCMonth();
        month -= month % months;
        for (let time = 0; time < end; month += months) {
            time = Date.UTC(Math.floor(month / 12), month % 12, 1) / 1000;
            if (time >= start && time < end) {
                found.push([time, inWords(time).slice(0, months < 12 ? 7 : 4)]);
            }
        }
        return found;
    };

    const draw = () => {
        if (!told || frame.hidden) {
            return;
        }
        const width = surface.clientWidth;
        const height = AXIS_HEIGHT + rows.length * ROW_HEIGHT + 4;
        const scale = window.devicePixelRatio || 1;
        canvas.width = Math.round(width * scale);
        canvas.height = Math.round(height * scale);
        canvas.style.height = `${height}px`;
        const context = canvas.getContext("2d");
        context.setTransform(scale, 0, 0, scale, 0, 0);
        const colours = Object.fromEntries(Object.entries(STATES).map(([letter, [name]]) => [letter, colour(name)]));
        colours.m = hatched(context, colours.m, colour("stroke"));
        const x = (cell) => (cell / told.cells) * width;

        const [start, end] = span();
        context.font = "11px system-ui, sans-serif";
        context.textBaseline = "middle";
        for (const [time, text] of ticks(start, end, width)) {
            const left = ((time - start) / (end - start)) * width;
            context.fillStyle = colour("line");
            context.fillRect(left, 0, 1, height);
            context.fillStyle = colour("ink");
            if (left + context.measureText(text).width + 6 < width) {
                context.fillText(text, left + 4, AXIS_HEIGHT / 2);
            }
        }
        rows.forEach((row, place) => {
            const top = AXIS_HEIGHT + place * ROW_HEIGHT;
            // What is missing comes last, and is never too narrow to be seen.
            for (const run of [...row.runs].sort((one, other) => (one.letter === "m") - (other.letter === "m"))) {
                const left = x(run.start);
                const wide = x(run.end) - left;
                context.fillStyle = colours[run.letter];
                context.fillRect(left, top, run.letter === "m" ? Math.max(wide, 2) : wide, ROW_HEIGHT - ROW_GAP);
            }
        });
        drawChosen(context, x);
    };

    const drawChosen = (context, x) => {
        const { top, bottom, first, last } = area();
        if (!rows.length) {
            return;
        }
        const left = x(first);
        const wide = Math.max(x(last + 1) - left, 3);
        const high = (bottom - top + 1) * ROW_HEIGHT - ROW_GAP;
        const y = AXIS_HEIGHT + top * ROW_HEIGHT;
        context.strokeStyle = colour("cursor");
        context.lineWidth = kept ? 2 : 1.5;
        context.strokeRect(left - 0.5, y - 1, wide + 1, high + 2);
    };

    new ResizeObserver(draw).observe(surface);
    // unfold changes between light and dark by a class of the page.
    new MutationObserver(draw).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });

    // --- names, tables, words ---

    const element = (name, text, attributes = {}) => {
        const made = document.createElement(name);
        made.textContent = text;
        for (const [key, value] of Object.entries(attributes)) {
            made.setAttribute(key, value);
        }
        return made;
    };
    const cell = (...children) => {
        const made = document.createElement("td");
        made.append(...children);
        return made;
    };
    const linkTo = (row) => element("a", row.symbol, { href: row.address, class: "kd-link", title: row.symbol });

    const showNames = () => {
        names.replaceChildren(...rows.map((row) => {
            const item = document.createElement("li");
            item.append(linkTo(row));
            return item;
        }));
    };
    const head = (titles) => {
        const line = document.createElement("tr");
        line.append(...titles.map(([title, isFigure]) =>
            element("th", title, { scope: "col", ...(isFigure ? { class: "kd-right" } : {}) })));
        const made = document.createElement("thead");
        made.append(line);
        return made;
    };
    const showTable = () => {
        const body = document.createElement("tbody");
        const known = (row) => SHOWN_IN_TABLE.reduce((sum, letter) => sum + row.counts[STATES[letter][0]], 0);
        for (const row of rows) {
            const line = document.createElement("tr");
            const title = document.createElement("th");
            title.scope = "row";
            title.append(linkTo(row));
            line.append(title);
            for (const letter of SHOWN_IN_TABLE) {
                const count = row.counts[STATES[letter][0]];
                const share = known(row) ? (100 * count) / known(row) : 0;
                // A little is never rounded to nothing, nor almost all to all.
                const percent = share === 0 || share === 100 ? share.toFixed(0) : Math.min(99.9, Math.max(0.1, share)).toFixed(1);
                line.append(element("td", count ? `${percent}%` : "–", { class: "kd-right kd-figure" }));
            }
            body.append(line);
        }
        find("table").replaceChildren(
            head([["Pair"], ...SHOWN_IN_TABLE.map((letter) => [STATES[letter][1], true])]), body);
    };
    const showStretches = () => {
        const row = rows[cursor.row];
        find("stretches-section").hidden = !row;
        if (!row) {
            return;
        }
        find("stretches-title").textContent = `${row.symbol}, stretch by stretch`;
        const of = `${row.symbol} ${told.start} ${told.end} ${row.cells}`;
        if (find("stretches").dataset.of === of) {
            return;
        }
        find("stretches").dataset.of = of;
        const body = document.createElement("tbody");
        for (const run of row.runs.filter(({ letter }) => letter !== "a").reverse().slice(0, STRETCHES_SHOWN)) {
            const line = document.createElement("tr");
            const [from, to] = [startOf(run.start), Math.min(startOf(run.end), seconds(told.end))];
            const choose = element("button", "Select", {
                type: "button", class: "kd-map-plain",
                "aria-label": `Select ${STATES[run.letter][1]}, ${inFull(from)} to ${inFull(to)}`,
            });
            choose.addEventListener("click", () => select(rowOf(row.symbol), run.start, run.end - 1));
            line.append(
                element("td", inFull(from), { class: "kd-figure" }), element("td", inFull(to), { class: "kd-figure" }),
                element("td", STATES[run.letter][1]), cell(choose));
            body.append(line);
        }
        find("stretches").replaceChildren(head([["From (UTC)"], ["To (UTC)"], ["State"], ["Choose"]]), body);
    };
    const showPages = () => {
        find("pages").hidden = told.pages < 2;
        find("page").textContent = `page ${told.page} of ${told.pages}, ${told.pairs.toLocaleString("en")} pairs`;
        place.querySelector("[data-do=previous]").disabled = told.page <= 1;
        place.querySelector("[data-do=next]").disabled = told.page >= told.pages;
    };
    const turnTo = (page) => {
        asked.set("page", String(page));
        history.pushState(null, "", `?${asked}`);
        cursor.row = 0;
        load();
    };

    // Say what the cursor is on.
    const tell = () => {
        const row = rows[cursor.row];
        [...names.children].forEach((item, place) => item.toggleAttribute("data-here", place === cursor.row));
        if (!row) {
            write("cell", "");
            showStretches();
            return;
        }
        const start = startOf(cursor.cell);
        const when = told.step === "1d" ? inWords(start) : `${inFull(start)} to ${inFull(start + told.step_seconds)}`;
        write("cell", `${row.symbol}, ${when}: ${STATES[letterAt(row, cursor.cell)][1].toLowerCase()}`);
        showStretches();
    };

    // --- selecting ---

    const area = () => {
        const from = anchor ?? cursor;
        return {
            top: Math.min(from.row, cursor.row), bottom: Math.max(from.row, cursor.row),
            first: Math.min(from.cell, cursor.cell), last: Math.max(from.cell, cursor.cell),
        };
    };
    const rowOf = (symbol) => rows.findIndex((row) => row.symbol === symbol);
    const symbolsWithin = ({ top, bottom }) => rows.slice(top, bottom + 1).map((row) => row.symbol);
    const question = ({ symbols, from, to }) =>
        new URLSearchParams([...symbols.map((each) => ["symbol", each]), ["start", iso(from)], ["end", iso(to)]]);
    const letGo = () => {
        anchor = null;
        kept = null;
        find("selection").hidden = true;
        find("started").textContent = "";
    };
    const select = (row, first, last) => {
        anchor = { row, cell: first };
        cursor = { row, cell: last };
        chosen();
    };
    const deedButtons = [...place.querySelectorAll("[data-deed]")];
    let previewing = null;
    const chosen = async () => {
        anchor ??= { ...cursor };
        const { first, last } = area();
        kept = { symbols: symbolsWithin(area()), from: startOf(first), to: startOf(last + 1) };
        draw();
        tell();
        const { symbols, from, to } = kept;
        const who = symbols.length === 1 ? symbols[0] : `${symbols.length} pairs, ${symbols[0]} to ${symbols[symbols.length - 1]}`;
        find("selected").textContent = `${who}: ${inFull(from)} to ${inFull(to)} UTC`;
        find("preview").textContent = "What it takes is looked up…";
        find("audit").textContent = find("started").textContent = "";
        find("gone").hidden = true;
        find("selection").hidden = false;
        deedButtons.forEach((button) => { button.disabled = true; });
        previewing?.abort();
        previewing = new AbortController();
        try {
            const found = await askJson(`${previewUrl}?${question(kept)}`, { signal: previewing.signal });
            find("preview").textContent = found.backfill;
            find("audit").textContent = found.audit;
            find("gone").textContent = found.gone;
            find("gone").hidden = !found.gone;
            for (const button of deedButtons) {
                button.disabled = button.dataset.deed === "backfill" && !found.gaps;
            }
            find("selection").dataset.gaps = String(found.gaps);
        } catch (error) {
            if (error.name !== "AbortError") {
                find("preview").textContent = error.message;
            }
        }
    };

    // --- mouse and touch ---

    const at = (event) => {
        const box = surface.getBoundingClientRect();
        const cellAt = Math.floor(((event.clientX - box.left) / box.width) * told.cells);
        const rowAt = Math.floor((event.clientY - box.top - AXIS_HEIGHT) / ROW_HEIGHT);
        return {
            row: Math.max(0, Math.min(rows.length - 1, rowAt)), cell: Math.max(0, Math.min(told.cells - 1, cellAt)),
        };
    };
    const pointers = new Map();
    let pressed = null;
    let pinch = null;
    const distance = () => {
        const [one, other] = [...pointers.values()];
        return Math.max(1, Math.abs(one.clientX - other.clientX));
    };
    surface.addEventListener("pointerdown", (event) => {
        if (!told || !rows.length || (event.pointerType === "mouse" && event.button !== 0)) {
            return;
        }
        pointers.set(event.pointerId, event);
        surface.setPointerCapture(event.pointerId);
        if (pointers.size === 2) {
            pressed = null;
            letGo();
            pinch = { distance: distance(), middle: startOf(at(event).cell), factor: 1 };
            return;
        }
        surface.focus({ preventScroll: true });
        if (event.shiftKey) {
            anchor ??= { ...cursor };
        } else {
            letGo();
            anchor = at(event);
        }
        pressed = { x: event.clientX, y: event.clientY, isTap: !event.shiftKey };
        cursor = at(event);
        draw();
        tell();
    });
    surface.addEventListener("pointermove", (event) => {
        if (!pointers.has(event.pointerId)) {
            return;
        }
        pointers.set(event.pointerId, event);
        if (pinch) {
            if (pointers.size === 2) {
                pinch.factor = pinch.distance / distance();
            }
            return;
        }
        if (pressed && (Math.abs(event.clientX - pressed.x) > STILL || Math.abs(event.clientY - pressed.y) > STILL)) {
            pressed.isTap = false;
        }
        const here = at(event);
        if (pressed && !pressed.isTap && (here.row !== cursor.row || here.cell !== cursor.cell)) {
            cursor = here;
            draw();
            tell();
        }
    });
    surface.addEventListener("pointerup", (event) => {
        if (!pointers.delete(event.pointerId)) {
            return;
        }
        if (pinch) {
            if (!pointers.size) {
                zoomAround(pinch.middle, pinch.factor);
                pinch = null;
            }
            return;
        }
        if (pressed) {
            pressed = null;
            chosen();
        }
    });
    surface.addEventListener("pointercancel", (event) => {
        // The browser took it over, to scroll the page.
        pointers.delete(event.pointerId);
        [pressed, pinch] = [null, null];
        letGo();
        draw();
    });
    surface.addEventListener("dblclick", zoomIn);
    let turned = 0;
    let turning = null;
    surface.addEventListener("wheel", (event) => {
        const isZoom = event.ctrlKey || event.metaKey;
        if (!told || (!isZoom && !event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY))) {
            return;
        }
        event.preventDefault();
        turned += isZoom ? event.deltaY : event.deltaX || event.deltaY;
        const moment = startOf(at(event).cell);
        clearTimeout(turning);
        turning = setTimeout(() => {
            if (isZoom) {
                zoomAround(moment, 1.004 ** turned);
            } else {
                move(turned / surface.clientWidth);
            }
            turned = 0;
        }, 120);
    }, { passive: false });

    // --- keys and buttons ---

    const DEEDS = {
        earlier: () => move(-0.5), later: () => move(0.5), in: zoomIn, out: zoomOut,
        clear: () => { letGo(); draw(); surface.focus(); },
        previous: () => turnTo(told.page - 1), next: () => turnTo(told.page + 1),
    };
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const KEYS = {
        Enter: zoomIn, "+": zoomIn, "=": zoomIn, Backspace: zoomOut, "-": zoomOut,
        PageUp: DEEDS.earlier, PageDown: DEEDS.later, Escape: DEEDS.clear, " ": () => chosen(),
        Home: () => walk(cursor.row, 0), End: () => walk(cursor.row, lastKnown()),
    };
    const walk = (row, cell, isSelecting = false) => {
        const to = { row: Math.max(0, Math.min(rows.length - 1, row)), cell: Math.max(0, Math.min(told.cells - 1, cell)) };
        if (isSelecting) {
            anchor ??= { ...cursor };
            cursor = to;
            chosen();
            return;
        }
        letGo();
        cursor = to;
        draw();
        tell();
    };
    surface.addEventListener("keydown", (event) => {
        if (!told || !rows.length || event.altKey || event.metaKey) {
            return;
        }
        const step = steps[event.key];
        if (step) {
            event.preventDefault();
            // With Ctrl to where the state changes next.
            const far = event.ctrlKey && step[1] ? nextChange(step[1]) : cursor.cell + step[1];
            walk(cursor.row + step[0], far, event.shiftKey);
        } else if (KEYS[event.key] && !event.ctrlKey) {
            event.preventDefault();
            KEYS[event.key]();
        }
    });
    const nextChange = (by) => {
        const run = rows[cursor.row].runs.find((each) => cursor.cell < each.end);
        return by > 0 ? run.end : (run.start === cursor.cell ? run.start - 1 : run.start);
    };
    place.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (!told || !button || button.disabled) {
            return;
        }
        if (button.dataset.do) {
            DEEDS[button.dataset.do]();
        } else if (button.dataset.zoom) {
            zoomTo(button.dataset.zoom);
        } else if (button.dataset.deed) {
            start(button.dataset.deed);
        }
    });

    // --- deeds and their progress ---

    const start = async (deed) => {
        const body = question(kept);
        body.set("deed", deed);
        deedButtons.forEach((button) => { button.disabled = true; });
        try {
            const headers = {
                Accept: "application/json", "X-CSRFToken": place.querySelector("[name=csrfmiddlewaretoken]").value,
            };
            const found = await askJson(startUrl, { method: "POST", body, headers });
            find("started").textContent = found.sentence;
            watchUntil = Date.now() + WATCH_SECONDS * 1000;
            poll();
        } catch (error) {
            find("started").textContent = error.message;
            deedButtons.forEach((button) => { button.disabled = false; });
        }
    };

    const jobOf = (run) => {
        const item = document.createElement("li");
        const title = element("a", `${run.kind.replace("_", " ")} of ${run.symbols.slice(0, 3).join(", ")}${run.symbols.length > 3 ? " …" : ""}`, { href: run.address, class: "kd-link" });
        const tone = { running: "busy", done: "good", failed: "bad", interrupted: "bad" }[run.state] ?? "quiet";
        item.append(title, " ", element("span", run.state, { class: `kd-chip kd-${tone}` }), " ", element("span", run.told, { class: "kd-quiet-text kd-figure" }));
        if (run.is_running) {
            const bar = element("progress", "", { class: "kd-progress", max: "100", "aria-label": "Progress" });
            if (run.percent !== null) {
                bar.value = run.percent;
            }
            item.append(bar);
        }
        if (run.error) {
            item.append(element("pre", run.error, { class: "kd-raw kd-error" }));
        }
        return item;
    };

    const pollIn = (seconds) => {
        clearTimeout(polling);
        polling = setTimeout(poll, seconds * 1000);
    };
    const poll = async () => {
        clearTimeout(polling);
        polling = null;
        if (!runsUrl || !rows.length || isRefused) {
            return;
        }
        if (document.hidden) {
            pollIn(POLL_SECONDS);
            return;
        }
        try {
            const asks = new URLSearchParams(rows.map((row) => ["symbol", row.symbol]));
            showRuns((await askJson(`${runsUrl}?${asks}`)).runs);
            failures = 0;
            say("", "runs");
        } catch (error) {
            // What was known of the runs stays.
            isRefused = Boolean(error.isRefused);
            say(error.message, "runs");
            if (!isRefused) {
                pollIn(POLL_AGAIN_AFTER[Math.min(failures, POLL_AGAIN_AFTER.length - 1)]);
                failures += 1;
            }
        }
    };
    const showRuns = (runs) => {
        find("jobs").hidden = runs.length === 0;
        find("job-list").replaceChildren(...runs.map(jobOf));
        const isRunning = runs.some((run) => run.is_running);
        place.dataset.running = String(runs.filter((run) => run.is_running).length);
        if ((isRunning || wasRunning || Date.now() < watchUntil) && !pressed && !frame.hasAttribute("data-busy")) {
            // The map shows what comes in.
            load({ isQuiet: true });
        }
        wasRunning = isRunning;
        if (isRunning || Date.now() < watchUntil) {
            pollIn(POLL_SECONDS);
        }
    };

    load();
})();
