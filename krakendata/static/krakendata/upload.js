// The page of uploads: sends an archive in chunks, each with its CRC-32, from where the server's bytes end.
"use strict";

(() => {
    const form = document.getElementById("upload");
    if (!form) {
        return;
    }
    const part = (name) => form.querySelector(`[data-${name}]`);
    const [sending, bar, told, stop, message] = ["sending", "progress", "told", "stop", "message"].map(part);
    const chosen = form.querySelector("[type=file]");
    const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
    // Seconds; the last one goes on for ever.
    const RETRY_AFTER = [1, 2, 5, 10, 30];
    // Of the first and the last bytes, by which the same file is known again.
    const FINGERPRINT_BYTES = 64 * 1024;
    const DAMAGED = 422, BEHIND = 409, NO_ROOM = 507;
    // A line that damages a chunk so often damages the next try as well.
    const DAMAGES_BORNE = 5;
    let work = null;
    // Or unfold would show the file's name in a field beside it, which is not there (its app.js).
    chosen.hasChangeListener = true;

    // --- CRC-32, as zlib has it ---

    const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
        for (let bit = 0; bit < 8; bit++) {
            n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
        }
        return n;
    });
    const crcOf = (buffer) => {
        let crc = 0xffffffff;
        for (const byte of new Uint8Array(buffer)) {
            crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
        }
        return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0");
    };

    const fingerprintOf = async (file) => {
        const ends = [file.slice(0, FINGERPRINT_BYTES), file.slice(-FINGERPRINT_BYTES)];
        const sums = await Promise.all(ends.map(async (end) => crcOf(await end.arrayBuffer())));
        return `${sums.join("-")}-${file.lastModified}`;
    };

    // --- what is said ---

    const say = (text, isWrong = false) => {
        message.textContent = text;
        message.classList.toggle("kd-wrong", isWrong);
    };
    const sizeOf = (bytes) => {
        const units = ["B", "kB", "MB", "GB"];
        let n = 0;
        for (; bytes >= 1000 && n < units.length - 1; n++) {
            bytes /= 1000;
        }
        return `${bytes.toFixed(n && 1)} ${units[n]}`;
    };
    const show = (done, size) => {
        sending.hidden = false;
        bar.value = size ? done / size : 0;
        told.textContent = `${sizeOf(done)} of ${sizeOf(size)}`;
    };

    // --- asking the server ---

    class Refused extends Error {}

    const ask = async (address, body, signal) => {
        const answer = await fetch(address, {
            method: "POST", body, signal, credentials: "same-origin",
            headers: { "X-CSRFToken": token, "Content-Type": "application/octet-stream" },
        });
        const isJson = (answer.headers.get("Content-Type") || "").includes("json");
        const facts = isJson ? await answer.json() : {};
        // A session that has ended leads to the login's page, which is no answer either.
        return { status: isJson ? answer.status : answer.ok ? 403 : answer.status, ...facts };
    };

    const pause = (seconds, signal) => new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, seconds * 1000);
        signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
    });

    // Who is away comes back: a broken line, a server that restarts, a disk that is full for a while.
    const askPatiently = async (address, body, signal) => {
        for (let failures = 0; ; failures++) {
            let why = "The server does not answer";
            try {
                const answer = await ask(address, body, signal);
                if (answer.status < 500) {
                    return answer;
                }
                why = answer.status === NO_ROOM && answer.error ? answer.error : why;
            } catch (error) {
                if (signal.aborted) {
                    throw error;
                }
            }
            const seconds = RETRY_AFTER[Math.min(failures, RETRY_AFTER.length - 1)];
            say(`${why}; trying again in ${seconds} s.`, true);
            await pause(seconds, signal);
        }
    };

    // --- one file ---

    const send = async (file, signal) => {
        say(`Looking what is there of ${file.name}.`);
        const facts = { name: file.name, size: file.size, fingerprint: await fingerprintOf(file), symbol: form.elements.symbol.value };
        const begun = await ask(form.dataset.begin, JSON.stringify(facts), signal);
        if (begun.status !== 200) {
            throw new Refused(begun.error || "You are not logged in any more, or may not upload.");
        }
        const address = form.dataset.begin.replace("begin/", `${begun.id}/`);
        let done = begun.received;
        let damages = 0;
        say(done ? `Going on with ${file.name} behind ${sizeOf(done)}.` : `Sending ${file.name}.`);
        show(done, file.size);
        while (done < file.size) {
            const bytes = await file.slice(done, done + begun.chunk_bytes).arrayBuffer();
            const answer = await askPatiently(`${address}chunk/?offset=${done}&crc=${crcOf(bytes)}`, bytes, signal);
            if (answer.status !== 200 && answer.status !== BEHIND && answer.status !== DAMAGED) {
                throw new Refused(answer.error || "You are not logged in any more; log in and choose the file again.");
            }
            damages = answer.status === DAMAGED ? damages + 1 : 0;
            if (damages > DAMAGES_BORNE) {
                throw new Refused(answer.error);
            }
            if (answer.status === BEHIND && answer.state !== "receiving") {
                throw new Refused("The upload was discarded meanwhile.");
            }
            done = answer.received ?? done;
            say(`Sending ${file.name}.`);
            show(done, file.size);
        }
        window.location.assign(`${address}change/`);
    };

    const begin = async (file) => {
        if (!file || work) {
            return;
        }
        if (file.size > Number(form.dataset.most)) {
            say(`${file.name} has ${sizeOf(file.size)}, more than is taken.`, true);
            return;
        }
        work = new AbortController();
        chosen.disabled = true;
        try {
            await send(file, work.signal);
        } catch (error) {
            const isStopped = work.signal.aborted;
            const why = error instanceof Refused ? error.message : `${file.name} cannot be read or sent (${error.message}).`;
            say(isStopped ? "Stopped. Choose the same file again, and it goes on." : why, !isStopped);
            sending.hidden = true;
        } finally {
            work = null;
            chosen.disabled = false;
            chosen.value = "";
        }
    };

    chosen.addEventListener("change", () => begin(chosen.files[0]));
    stop.addEventListener("click", () => work?.abort(new Error("stopped")));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("kd-over"); });
    form.addEventListener("dragleave", () => form.classList.remove("kd-over"));
    form.addEventListener("drop", (event) => {
        event.preventDefault();
        form.classList.remove("kd-over");
        begin(event.dataTransfer.files[0]);
    });
})();
