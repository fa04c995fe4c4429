// What the charts of candles share: the page's colours, and how many decimals their prices have.
"use strict";

window.krakendata = window.krakendata || {};

(() => {
    const MAX_DECIMALS = 10;

    // The colours of the chart in `frame`, read anew each time: a page turns dark.
    krakendata.chartColours = (frame) => {
        const colour = (name) => getComputedStyle(frame).getPropertyValue(`--kd-chart-${name}`).trim();
        return {
            colour,
            colours: () => ({
                layout: { background: { type: "solid", color: colour("ground") }, textColor: colour("text"), attributionLogo: true },
                grid: { vertLines: { color: colour("line") }, horzLines: { color: colour("line") } },
                rightPriceScale: { borderColor: colour("line") },
                timeScale: { borderColor: colour("line") },
            }),
            candleColours: () => ({
                upColor: colour("up"), wickUpColor: colour("up"), borderUpColor: colour("up"),
                downColor: colour("down"), wickDownColor: colour("down"), borderDownColor: colour("down"),
            }),
        };
    };

    // The most decimals of any price of the rows, and `least` at the least. Without needless zeros: REST writes 75.10000.
    krakendata.decimalsOf = (rows, least) => {
        const texts = rows.flatMap((row) => [row.open, row.high, row.low, row.close]);
        const lengths = texts.map((text) => (String(text).split(".")[1] || "").replace(/0+$/, "").length);
        return Math.min(Math.max(least, 0, ...lengths), MAX_DECIMALS);
    };
})();
