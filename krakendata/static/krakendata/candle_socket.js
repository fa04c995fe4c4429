// One pair's candles over the live socket (docs/reference/live-socket.md), connected again whenever it was lost.
"use strict";

window.krakendata = window.krakendata || {};

// Asks `socket` for `symbol`, `interval` and `history`; `take` is given each message about candles, `showState` the feed's state
// (connecting, live, silent, away), `say` a sentence. Gives what ends it.
window.krakendata.followCandles = ({ socket, symbol, interval, history, take, showState, say }) => {
    // Seconds; the last one goes on for ever.
    const RETRY_AFTER = [1, 2, 5, 10, 30];
    // A subscription that is refused will be refused again, unless somebody logs in or the pair appears.
    const REFUSED_RETRY_AFTER = 30;
    // Candles may be quiet for long; a line that does not answer a ping until the next one is dead.
    const PING_SECONDS = 10;
    const NOT_LOGGED_IN = 4401;
    const NOT_ALLOWED = 4403;

    let tries = 0;
    let line = null;
    let waiting = null;
    let pinging = null;
    let isHeard = true;
    let isEnded = false;

    const ping = () => {
        if (!isHeard) {
            // Over a dead line nobody answers a goodbye: it is not waited for.
            const dead = line;
            dead.onclose({});
            dead.onclose = dead.onmessage = null;
            dead.close();
            return;
        }
        isHeard = false;
        line.send(JSON.stringify({ method: "ping" }));
    };

    const hear = (text) => {
        const told = JSON.parse(text);
        if (told.channel === "candles") {
            tries = 0;
            take(told);
        } else if (told.type === "feed") {
            showState(told.state);
        } else if (told.error) {
            say(told.error);
            // The database was away: subscribe again, on a new line, later and later.
            if (told.success === false && told.error.includes("Try again")) {
                line.close();
            }
        }
    };

    const connect = () => {
        const scheme = location.protocol === "https:" ? "wss:" : "ws:";
        line = new WebSocket(`${scheme}//${location.host}${socket}`);
        line.onopen = () => {
            const params = { channel: "candles", symbol: [symbol], interval, history: +history };
            line.send(JSON.stringify({ method: "subscribe", params }));
            isHeard = true;
            pinging = setInterval(ping, PING_SECONDS * 1000);
        };
        line.onmessage = (event) => {
            isHeard = true;
            if (!isEnded) {
                hear(event.data);
            }
        };
        line.onclose = (event) => {
            clearInterval(pinging);
            if (isEnded) {
                return;
            }
            showState("away");
            const isRefused = [NOT_LOGGED_IN, NOT_ALLOWED].includes(event.code);
            const wait = isRefused ? REFUSED_RETRY_AFTER : RETRY_AFTER[Math.min(tries, RETRY_AFTER.length - 1)];
            tries += 1;
            waiting = setTimeout(connect, wait * 1000);
        };
    };

    connect();
    return () => {
        isEnded = true;
        clearTimeout(waiting);
        clearInterval(pinging);
        line.close();
    };
};

// How a chip tells the feed's state: its text and its tone.
window.krakendata.feedStates = {
    connecting: ["connecting", "quiet"],
    live: ["live", "good"],
    silent: ["feed silent", "bad"],
    away: ["disconnected", "bad"],
};
