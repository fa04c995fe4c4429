// The desk: follows the live socket's channel "desk" (docs/reference/live-socket.md) and shows each part that has changed.
"use strict";

(() => {
    const place = document.getElementById("desk");
    if (!place) {
        return;
    }
    // Seconds; the last one goes on for ever.
    const RETRY_AFTER = [1, 2, 5, 10, 30];
    const REFUSED_RETRY_AFTER = 30;
    // The desk is told every three seconds: a line that is silent for so long is dead, whatever the browser thinks.
    const SILENT_AFTER = 10;
    const NOT_LOGGED_IN = 4401;
    const NOT_ALLOWED = 4403;

    const state = place.querySelector("[data-state]");
    const message = place.querySelector("[data-message]");
    const asOf = place.querySelector("[data-as-of]");

    // Only what is new: a screen reader tells a text again that is written again.
    const write = (element, text) => {
        if (element.textContent !== text) {
            element.textContent = text;
        }
    };
    const showState = (text, kind, sentence = "") => {
        write(state, text);
        state.className = `kd-chip kd-${kind}`;
        write(message, sentence);
        place.dataset.feed = text;
    };

    // --- parts: one that is as it was stays, with whatever is selected in it ---

    const shown = new Map([...place.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part.outerHTML]));
    // A button that is being pressed must not be replaced under the finger.
    let isPressed = false;
    place.addEventListener("pointerdown", () => { isPressed = true; });
    for (const end of ["pointerup", "pointercancel"]) {
        window.addEventListener(end, () => { isPressed = false; });
    }

    const sameAs = (focused) => (each) =>
        ["href", "formaction", "value"].every((name) => each.getAttribute(name) === focused.getAttribute(name));

    const replace = (old, part) => {
        const focused = old.contains(document.activeElement) ? document.activeElement : null;
        const scrolled = [...old.querySelectorAll(".kd-scroll")].map((each) => each.scrollLeft);
        // The part itself stays: a screen reader tells what changes within what it knows.
        old.replaceChildren(...part.childNodes);
        old.querySelectorAll(".kd-scroll").forEach((each, n) => { each.scrollLeft = scrolled[n] || 0; });
        if (focused) {
            [...old.querySelectorAll("a, button, .kd-scroll")].find(sameAs(focused))?.focus();
        }
    };

    const show = (told) => {
        if (isPressed) {
            return;
        }
        const fresh = document.createElement("template");
        fresh.innerHTML = told.html;
        for (const part of fresh.content.querySelectorAll("[data-part]")) {
            const name = part.dataset.part;
            const text = part.outerHTML;
            const old = place.querySelector(`[data-part="${name}"]`);
            if (old && shown.get(name) !== text) {
                shown.set(name, text);
                replace(old, part);
            }
        }
        asOf.textContent = told.data.now.slice(11, 19);
    };

    // --- the socket ---

    let tries = 0;

    const hear = (line, text) => {
        const told = JSON.parse(text);
        if (told.channel === "desk" && told.type === "update") {
            tries = 0;
            show(told);
            showState("live", "good");
        } else if (told.channel === "desk" && told.type === "away") {
            showState(told.state, "bad", told.error);
        } else if (told.error) {
            message.textContent = told.error;
            // The database was away, or a permission: subscribe again, on a new line, later and later.
            if (told.success === false) {
                line.close();
            }
        }
    };

    const connect = () => {
        const scheme = location.protocol === "https:" ? "wss:" : "ws:";
        const line = new WebSocket(`${scheme}//${location.host}${place.dataset.socket}`);
        let silence = null;
        const end = (state, code) => {
            clearTimeout(silence);
            line.onclose = line.onmessage = null;
            showState(state, "bad", message.textContent);
            const isRefused = [NOT_LOGGED_IN, NOT_ALLOWED].includes(code);
            const wait = isRefused ? REFUSED_RETRY_AFTER : RETRY_AFTER[Math.min(tries, RETRY_AFTER.length - 1)];
            tries += 1;
            setTimeout(connect, wait * 1000);
        };
        const expectMore = () => {
            clearTimeout(silence);
            silence = setTimeout(() => {
                // Over a dead line nobody answers a goodbye: it is not waited for.
                end("not heard");
                line.close();
            }, SILENT_AFTER * 1000);
        };
        line.onopen = () => {
            line.send(JSON.stringify({ method: "subscribe", params: { channel: "desk" } }));
            expectMore();
        };
        line.onmessage = (event) => {
            expectMore();
            hear(line, event.data);
        };
        line.onclose = (event) => end("disconnected", event.code);
    };

    connect();
})();
