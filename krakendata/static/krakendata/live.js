// The live page: follows the live socket (docs/reference/live-socket.md) and draws what it says.
"use strict";

(() => {
    const place = document.getElementById("live");
    if (!place) {
        return;
    }
    const { symbol, interval, history, socket } = place.dataset;
    const INCOMPLETE_AFTER = 10;

    const facts = Object.fromEntries([...place.querySelectorAll("[data-fact]")].map((each) => [each.dataset.fact, each]));
    const states = Object.fromEntries([...place.querySelectorAll("[data-state]")].map((each) => [each.dataset.state, each]));
    const message = place.querySelector("[data-message]");
    const frame = place.querySelector("[data-chart]");

    // --- the chart, in the page's colours ---

    const { colour, colours, candleColours } = krakendata.chartColours(frame);

    const chart = LightweightCharts.createChart(frame, {
        autoSize: true,
        ...colours(),
        timeScale: { ...colours().timeScale, timeVisible: !["1d", "1w"].includes(interval), secondsVisible: false, rightOffset: 4 },
    });
    const candles = chart.addSeries(LightweightCharts.CandlestickSeries, candleColours());
    const volumes = chart.addSeries(LightweightCharts.HistogramSeries, {
        priceScaleId: "", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
    });
    volumes.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    candles.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.24 } });

    // --- rows, by their start: what a row says of a candle stands for all it said before ---

    const rows = new Map();
    let newest = -Infinity;
    let newestKey = "";

    const timeOf = (row) => Date.parse(row.timestamp) / 1000;
    const bar = (row) => ({ time: timeOf(row), open: +row.open, high: +row.high, low: +row.low, close: +row.close });
    const volumeBar = (row) => ({
        time: timeOf(row), value: +row.volume, color: colour(+row.close < +row.open ? "down-faint" : "up-faint"),
    });

    let precision = -1;
    const showPrecisionOf = (some) => {
        const most = krakendata.decimalsOf(some, precision);
        if (most !== precision) {
            precision = most;
            candles.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
        }
    };

    const drawAll = () => {
        const sorted = [...rows.values()].sort((a, b) => timeOf(a) - timeOf(b));
        showPrecisionOf(sorted);
        candles.setData(sorted.map(bar));
        volumes.setData(sorted.map(volumeBar));
        const last = sorted[sorted.length - 1];
        newest = last ? timeOf(last) : -Infinity;
        newestKey = last ? last.timestamp : "";
    };

    const drawOne = (row) => {
        const time = timeOf(row);
        showPrecisionOf([row]);
        const isOlder = time < newest;
        candles.update(bar(row), isOlder);
        volumes.update(volumeBar(row), isOlder);
        if (!isOlder) {
            newest = time;
            newestKey = row.timestamp;
        }
    };

    // Trades that the feed has told and not written yet are here within seconds: no word about those.
    let incompleteSoon = null;
    const showComplete = (isComplete) => {
        if (isComplete) {
            clearTimeout(incompleteSoon);
            incompleteSoon = null;
            states.complete.hidden = true;
        } else {
            incompleteSoon ??= setTimeout(() => { states.complete.hidden = false; }, INCOMPLETE_AFTER * 1000);
        }
    };

    const showNewest = () => {
        const row = rows.get(newestKey);
        if (!row) {
            return;
        }
        for (const [name, element] of Object.entries(facts)) {
            element.textContent = row[name] ?? "–";
        }
        facts.close.classList.toggle("kd-up", +row.close >= +row.open);
        facts.close.classList.toggle("kd-down", +row.close < +row.open);
        showComplete(row.complete);
        place.dataset.newest = `${row.timestamp} ${row.last_id}`;
    };

    const take = (told) => {
        if (told.type === "snapshot") {
            rows.clear();
        }
        // A candle between two that are drawn (of a quiet time, told late) is no update to the chart.
        const isBetween = told.data.some((row) => timeOf(row) < newest && !rows.has(row.timestamp));
        for (const row of told.data) {
            rows.set(row.timestamp, row);
        }
        if (told.type === "snapshot" || isBetween) {
            drawAll();
        } else {
            told.data.forEach(drawOne);
        }
        showNewest();
        say(rows.size === 0 ? `No candles of ${symbol} yet. They appear here as they come.` : "");
    };

    // --- the socket ---

    const say = (sentence) => {
        message.textContent = sentence;
        message.hidden = !sentence;
    };

    const showState = (state) => {
        const [text, kind] = krakendata.feedStates[state];
        states.feed.textContent = text;
        states.feed.className = `kd-chip kd-${kind}`;
        place.dataset.feed = state;
    };

    // unfold changes between light and dark by a class of the page.
    new MutationObserver(() => {
        chart.applyOptions(colours());
        candles.applyOptions(candleColours());
        drawAll();
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });

    krakendata.followCandles({ socket, symbol, interval, history, take, showState, say });
})();
