// A pair's chart: candles page by page from the past, the newest one by the live socket; holes shaded, quiet times as dots.
"use strict";

(() => {
    const place = document.getElementById("pair-chart");
    if (!place) {
        return;
    }
    const { symbol, socket, candlesUrl } = place.dataset;
    const frame = place.querySelector("[data-chart]");
    const facts = Object.fromEntries([...place.querySelectorAll("[data-fact]")].map((each) => [each.dataset.fact, each]));
    const feed = place.querySelector("[data-state=feed]");
    const message = place.querySelector("[data-message]");
    const spoken = place.querySelector("[data-spoken]");
    // Bars left of what is seen, at which the page before is asked for.
    const AHEAD = 200;
    const SHOWN_AT_FIRST = 150;
    const TRY_AGAIN_SECONDS = 5;
    const FEWEST_SHOWN = 10;

    let interval = place.dataset.interval;
    let step = 0;
    // By their start in seconds: what was traded, and quiet ones (synthetic, no trades).
    let rows = new Map();
    let holes = [];
    let provisional = [];
    // Stretches of time that are loaded, oldest first, and every bucket's start in them.
    let loaded = [];
    let times = [];
    let older = null;
    let isLoading = false;
    // Answers to questions of an interval that is not shown any more are dropped.
    let turn = 0;
    let stop = () => {};
    let pointed = null;

    // --- the chart, in the page's colours ---

    const { colour, colours, candleColours } = krakendata.chartColours(frame);

    const chart = LightweightCharts.createChart(frame, {
        autoSize: true,
        ...colours(),
        // A finger that moves up and down scrolls the page.
        handleScroll: { vertTouchDrag: false },
        timeScale: { ...colours().timeScale, secondsVisible: false, rightOffset: 4, minBarSpacing: 0.2 },
    });
    const wholeHeight = { autoscaleInfoProvider: () => ({ priceRange: { minValue: 0, maxValue: 1 } }) };
    const shade = chart.addSeries(LightweightCharts.HistogramSeries, {
        priceScaleId: "shade", lastValueVisible: false, priceLineVisible: false, ...wholeHeight,
    });
    const volumes = chart.addSeries(LightweightCharts.HistogramSeries, {
        priceScaleId: "", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
    });
    const candles = chart.addSeries(LightweightCharts.CandlestickSeries, candleColours());
    // Quiet times have no candle: a dot says where the price stood.
    const quiet = chart.addSeries(LightweightCharts.LineSeries, {
        lineVisible: false, pointMarkersVisible: true, pointMarkersRadius: 1.2, color: colour("quiet"),
        lastValueVisible: false, priceLineVisible: false, crosshairMarkerVisible: false,
    });
    shade.priceScale().applyOptions({ scaleMargins: { top: 0, bottom: 0 } });
    volumes.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    candles.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.24 } });

    // --- from rows to bars ---

    const isWithin = (stretches, time) => stretches.some(([start, end]) => start < time + step && time < end);
    // The same for times that only grow, without looking through the stretches again for each.
    const sweep = (stretches) => {
        let at = 0;
        return (time) => {
            while (at < stretches.length && stretches[at][1] <= time) {
                at += 1;
            }
            return at < stretches.length && stretches[at][0] < time + step;
        };
    };
    const isReal = (row) => Boolean(row) && row.trade_count > 0;
    const bar = (row) => ({ time: row.time, open: +row.open, high: +row.high, low: +row.low, close: +row.close });
    const volumeBar = (row) => ({
        time: row.time, value: +row.volume, color: colour(+row.close < +row.open ? "down-faint" : "up-faint"),
    });
    let precision = -1;
    const showPrecisionOf = (some) => {
        const most = krakendata.decimalsOf(some.filter(isReal), precision);
        if (most !== precision) {
            precision = most;
            const priceFormat = { type: "price", precision, minMove: 10 ** -precision };
            candles.applyOptions({ priceFormat });
            quiet.applyOptions({ priceFormat });
        }
    };

    const bucketTimes = () => {
        const found = [];
        for (const [start, end] of loaded) {
            for (let time = start; time < end; time += step) {
                found.push(time);
            }
        }
        return found;
    };

    const drawAll = () => {
        times = bucketTimes();
        // Asked once: thousands of bars have four colours.
        const [up, down] = [colour("up-faint"), colour("down-faint")];
        const [hole, doubt] = [colour("hole"), colour("provisional")];
        const [isHole, isDoubt] = [sweep(holes), sweep(provisional)];
        const bars = [];
        const sums = [];
        const dots = [];
        const shades = [];
        for (const time of times) {
            const row = rows.get(time);
            if (isReal(row)) {
                bars.push(bar(row));
                sums.push({ time, value: +row.volume, color: +row.close < +row.open ? down : up });
            } else {
                bars.push({ time });
                if (row && row.close !== null) {
                    dots.push({ time, value: +row.close });
                }
            }
            const isDoubtful = isDoubt(time);
            if (isHole(time)) {
                shades.push({ time, value: 1, color: hole });
            } else if (isDoubtful) {
                shades.push({ time, value: 1, color: doubt });
            }
        }
        candles.setData(bars);
        volumes.setData(sums);
        quiet.setData(dots);
        shade.setData(shades);
        place.dataset.loaded = String(times.length);
        place.dataset.shaded = String(shades.length);
        place.dataset.quiet = String(dots.length);
    };

    // --- pages of the past ---

    // Of the pages and of the live line; a page that cannot be loaded stays so while candles come.
    const said = { pages: "", line: "" };
    const say = (of, sentence) => {
        said[of] = sentence;
        const text = said.pages || said.line;
        // A screen reader tells a text again that is written again.
        if (message.textContent !== text) {
            message.textContent = text;
        }
        message.hidden = !text;
    };

    const ask = (before) => {
        const query = new URLSearchParams({ symbol, interval, ...(before ? { before } : {}) });
        return krakendata.askJson(`${candlesUrl}?${query}`);
    };

    // What the socket has told meanwhile is newer, but for what it told before it was away: up to `last`.
    const takeRows = (told, last = -Infinity) => {
        for (const [time, open, high, low, close, volume, trade_count] of told.rows) {
            if (time <= last || !rows.has(time)) {
                rows.set(time, { time, open, high, low, close, volume, trade_count });
            }
        }
        showPrecisionOf([...rows.values()]);
    };
    const takePage = (told) => {
        step = told.step_seconds;
        takeRows(told);
        holes = [...told.holes, ...holes];
        provisional = [...told.provisional, ...provisional];
        loaded = [[told.start, told.end], ...loaded];
        older = told.older;
        drawAll();
        place.dataset.oldest = String(older === null);
    };

    const load = async (before) => {
        const mine = turn;
        isLoading = true;
        try {
            const told = await ask(before);
            if (mine !== turn) {
                return;
            }
            takePage(told);
            say("pages", "");
        } catch (error) {
            if (mine !== turn) {
                return;
            }
            say("pages", error.message);
            if (error.isAway) {
                setTimeout(() => { if (mine === turn) { load(before); } }, TRY_AGAIN_SECONDS * 1000);
                return;
            }
            older = null;
        }
        isLoading = false;
    };

    // The newest page again, from `last` on, where the live line was away and has told less than was missed.
    const takeMissed = (told, last) => {
        takeRows(told, last);
        const beforeIt = ([start, end]) => (start < told.start ? [[start, Math.min(end, told.start)]] : []);
        holes = [...holes.flatMap(beforeIt), ...told.holes];
        provisional = [...provisional.flatMap(beforeIt), ...told.provisional];
        const piece = loaded[loaded.length - 1];
        piece[1] = Math.max(piece[1], told.end);
        drawAll();
    };
    const loadMissed = async (last) => {
        const mine = turn;
        try {
            const told = await ask(null);
            if (mine !== turn) {
                return;
            }
            say("pages", "");
            if (told.start > last) {
                begin();
            } else {
                takeMissed(told, last);
            }
        } catch (error) {
            if (mine !== turn) {
                return;
            }
            say("pages", error.message);
            if (error.isAway) {
                setTimeout(() => { if (mine === turn) { loadMissed(last); } }, TRY_AGAIN_SECONDS * 1000);
            }
        }
    };

    const loadOlder = async () => {
        const range = chart.timeScale().getVisibleLogicalRange();
        if (older && !isLoading && range && range.from < AHEAD) {
            await load(older);
            // Where nothing was traded for long, or the screen is wide, one page is not enough.
            setTimeout(loadOlder, 0);
        }
    };
    chart.timeScale().subscribeVisibleLogicalRangeChange(loadOlder);

    // --- one bucket in words ---

    const shownTime = (time) => {
        const text = new Date(time * 1000).toISOString().replace("T", " ");
        return step >= 86400 ? text.slice(0, 10) : `${text.slice(0, 16)} UTC`;
    };
    const kindOf = (time, row) => {
        if (isWithin(holes, time)) {
            return isReal(row) ? "a part is missing" : "missing: not collected";
        }
        if (!isReal(row)) {
            return row ? "quiet: no trade" : "";
        }
        return isWithin(provisional, time) ? "provisional" : row.state || "";
    };
    const newestReal = () => {
        for (let place = times.length - 1; place >= 0; place -= 1) {
            if (isReal(rows.get(times[place]))) {
                return times[place];
            }
        }
        return times[times.length - 1] ?? null;
    };
    const showFacts = (time) => {
        if (time === null) {
            return;
        }
        const row = rows.get(time);
        for (const [name, element] of Object.entries(facts)) {
            element.textContent = isReal(row) ? row[name] ?? "–" : "–";
        }
        facts.time.textContent = shownTime(time);
        facts.kind.textContent = kindOf(time, row);
        facts.close.classList.toggle("kd-up", isReal(row) && +row.close >= +row.open);
        facts.close.classList.toggle("kd-down", isReal(row) && +row.close < +row.open);
    };
    chart.subscribeCrosshairMove((moved) => showFacts(moved.time ?? pointed ?? newestReal()));

    const speak = (time) => {
        const row = rows.get(time);
        const kind = kindOf(time, row);
        const prices = isReal(row)
            ? `open ${row.open}, high ${row.high}, low ${row.low}, close ${row.close}, volume ${row.volume}` : "";
        spoken.textContent = [shownTime(time), prices, kind].filter(Boolean).join(": ");
    };

    // --- keys ---

    const seen = () => chart.timeScale().getVisibleLogicalRange();
    const show = (from, to) => chart.timeScale().setVisibleLogicalRange({ from, to });
    const zoom = (factor) => {
        const range = seen();
        if (range) {
            const width = Math.max((range.to - range.from) * factor, FEWEST_SHOWN);
            const middle = (range.from + range.to) / 2;
            show(middle - width / 2, middle + width / 2);
        }
    };
    const pan = (share) => {
        const range = seen();
        if (range) {
            const by = (range.to - range.from) * share;
            show(range.from + by, range.to + by);
        }
    };
    const point = (time) => {
        pointed = time;
        const at = times.indexOf(time);
        const range = seen();
        if (range && (at < range.from + 1 || at > range.to - 1)) {
            const half = (range.to - range.from) / 2;
            show(at - half, at + half);
        }
        const row = rows.get(time);
        const price = row && row.close !== null ? +row.close : +(rows.get(newestReal()) || { close: 0 }).close;
        chart.setCrosshairPosition(price, time, candles);
        showFacts(time);
        speak(time);
    };
    const goBy = (by) => {
        const at = pointed === null ? times.length - 1 - (by < 0 ? 0 : 1) : times.indexOf(pointed) + by;
        if (times.length) {
            point(times[Math.max(0, Math.min(times.length - 1, at))]);
        }
    };
    const newest = () => {
        pointed = null;
        chart.clearCrosshairPosition();
        chart.timeScale().scrollToRealTime();
        showFacts(newestReal());
    };
    const KEYS = {
        ArrowLeft: () => goBy(-1), ArrowRight: () => goBy(1), PageUp: () => pan(-0.9), PageDown: () => pan(0.9),
        "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1.4), End: newest, Escape: newest,
        Home: () => { if (times.length) { point(times[0]); } },
    };
    frame.addEventListener("keydown", (event) => {
        const deed = KEYS[event.key];
        if (deed && !event.ctrlKey && !event.metaKey && !event.altKey) {
            event.preventDefault();
            deed();
        }
    });
    const DEEDS = { in: () => zoom(0.7), out: () => zoom(1.4), newest };
    for (const button of place.querySelectorAll("[data-do]")) {
        button.addEventListener("click", DEEDS[button.dataset.do]);
    }

    // --- the live bar ---

    const showState = (state) => {
        const [text, kind] = krakendata.feedStates[state];
        feed.textContent = text;
        feed.className = `kd-chip kd-${kind}`;
        place.dataset.feed = state;
    };

    const noCandles = `No candles of ${symbol} yet. They appear here as they come.`;
    const takeLive = (told) => {
        let isAll = false;
        const known = times[times.length - 1];
        const [oldest] = told.data.map((row) => Date.parse(row.timestamp) / 1000);
        if (told.type === "snapshot" && oldest > known) {
            // The line was away: the last bucket may have gone on, and there were others behind it.
            loadMissed(known);
        }
        for (const row of told.data) {
            const time = Date.parse(row.timestamp) / 1000;
            const last = times[times.length - 1];
            if (!loaded.length || time < loaded[0][0]) {
                continue;
            }
            rows.set(time, { ...row, time });
            if (last !== undefined && time > last) {
                const piece = loaded[loaded.length - 1];
                piece[1] = time + step;
                // Buckets that were quiet in between have a place too.
                isAll ||= time > last + step || !isReal(row);
                times.push(time);
            } else if (!isReal(row) || time !== last) {
                isAll = true;
            }
            if (!isAll) {
                showPrecisionOf([row]);
                candles.update(bar({ ...row, time }));
                volumes.update(volumeBar({ ...row, time }));
            }
            if (row.complete) {
                holes = holes.filter(([start, end]) => !(start >= time && end <= time + step));
            }
        }
        if (isAll) {
            showPrecisionOf(told.data);
            drawAll();
        }
        say("line", rows.size || older || !loaded.length ? "" : noCandles);
        const time = newestReal();
        if (time !== null && pointed === null) {
            showFacts(time);
        }
        const row = rows.get(time);
        if (row) {
            place.dataset.newest = `${time} ${row.close}`;
        }
    };

    // --- an interval, from its newest candle on ---

    const begin = async () => {
        turn += 1;
        const mine = turn;
        stop();
        [rows, holes, provisional, loaded, times, older, pointed, precision] = [new Map(), [], [], [], [], null, null, -1];
        chart.applyOptions({ timeScale: { timeVisible: !["1d", "1w"].includes(interval) } });
        for (const button of place.querySelectorAll("[data-set-interval]")) {
            button.setAttribute("aria-pressed", String(button.dataset.setInterval === interval));
        }
        place.dataset.interval = interval;
        await load(null);
        if (mine !== turn) {
            return;
        }
        say("line", rows.size || older || said.pages ? "" : noCandles);
        show(Math.max(0, times.length - SHOWN_AT_FIRST), times.length + 4);
        showFacts(newestReal());
        showState("connecting");
        stop = krakendata.followCandles({ socket, symbol, interval, history: 2, take: takeLive, showState, say: (sentence) => say("line", sentence) });
        loadOlder();
    };

    for (const button of place.querySelectorAll("[data-set-interval]")) {
        button.addEventListener("click", () => {
            interval = button.dataset.setInterval;
            const query = new URLSearchParams(location.search);
            query.set("interval", interval);
            history.replaceState(null, "", `?${query}`);
            begin();
        });
    }

    // unfold changes between light and dark by a class of the page.
    new MutationObserver(() => {
        chart.applyOptions(colours());
        candles.applyOptions(candleColours());
        quiet.applyOptions({ color: colour("quiet") });
        drawAll();
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });

    begin();
})();
