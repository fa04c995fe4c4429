// What our server answers a page's script (admin/answers.py): an object, or a sentence that says why there is none.
"use strict";

window.krakendata = window.krakendata || {};

// A refusal (`isRefused`) stays one until the page is loaded again; who is away (`isAway`) comes back by itself.
window.krakendata.askJson = async (address, options = {}) => {
    // The first and the last are a proxy's, while the server behind it starts again.
    const AWAY = [502, 503, 504];
    let answer;
    try {
        answer = await fetch(address, { headers: { Accept: "application/json" }, ...options });
    } catch (error) {
        throw error.name === "AbortError" ? error : Object.assign(new Error("The server does not answer."), { isAway: true });
    }
    if (answer.status === 403) {
        throw Object.assign(new Error("You may not do that."), { isRefused: true });
    }
    const isAway = AWAY.includes(answer.status);
    const isJson = (answer.headers.get("Content-Type") || "").includes("json");
    if (answer.status >= 500 && !isJson) {
        throw Object.assign(new Error("The server failed; its log says why."), { isAway });
    }
    if (answer.redirected || !isJson) {
        throw Object.assign(new Error("You are logged out: load the page again."), { isRefused: true });
    }
    const object = await answer.json();
    if (!answer.ok) {
        throw Object.assign(new Error(object.error), { isAway });
    }
    return object;
};
