// What unfold leaves to the mouse, for the keyboard and for screen readers: what it lets be clicked becomes a button,
// what has only an icon gets a name, icons are not read out, and a page says where its content is.
// Loaded before Alpine, and done before Alpine begins.
"use strict";

(() => {
    const ICON = ".material-symbols-outlined";
    // These already are what a keyboard reaches.
    const REACHED = "a[href], button, input, select, textarea, summary, [tabindex]";
    const CLICKED = ["a", "div", "span", "h2", "h3"].map((name) => `${name}[x-on\\:click]`).join(", ");
    const NAMES = {
        add: "Add", arrow_back: "Back", candlestick_chart: "Home", chevron_right: "Details", close: "Close",
        dock_to_right: "Menu", search: "Search",
    };
    // Of what has no icon before Alpine has begun: by what a click does.
    const NAMES_OF_DEEDS = {
        filterOpen: "Close the filters", openTheme: "Light or dark", openUserLinks: "Account", showPassword: "Show the password",
    };

    const wordsOf = (element) => {
        if (element.matches(ICON)) {
            return "";
        }
        const copy = element.cloneNode(true);
        copy.querySelectorAll(ICON).forEach((icon) => icon.remove());
        return copy.textContent.trim() || copy.querySelector("img[alt]")?.alt || "";
    };

    const nameOf = (element) => {
        const deed = element.getAttribute("x-on:click") ?? "";
        const told = Object.keys(NAMES_OF_DEEDS).find((word) => deed.includes(word));
        const icon = (element.matches(ICON) ? element : element.querySelector(ICON))?.textContent.trim() ?? "";
        return element.title || NAMES_OF_DEEDS[told] || NAMES[icon] || icon.replaceAll("_", " ");
    };

    // A heading stays one: the button is in it, and what is clicked there comes by the heading.
    const within = (heading) => {
        const inside = document.createElement("span");
        inside.className = "flex flex-row grow items-center";
        inside.append(...heading.childNodes);
        heading.append(inside);
        return inside;
    };

    const makeButton = (clicked) => {
        const button = /^H\d$/.test(clicked.tagName) ? within(clicked) : clicked;
        button.setAttribute("role", "button");
        button.tabIndex = 0;
        const [, opened] = /^(\w+) = !\1$/.exec(clicked.getAttribute("x-on:click").trim()) ?? [];
        if (opened) {
            button.setAttribute("x-bind:aria-expanded", opened);
        }
        button.addEventListener("keydown", (event) => {
            if (event.target === button && (event.key === "Enter" || event.key === " ")) {
                event.preventDefault();
                button.click();
            }
        });
    };

    document.addEventListener("alpine:init", () => {
        for (const clicked of document.querySelectorAll(CLICKED)) {
            if (!clicked.matches(REACHED) && !clicked.querySelector(REACHED)) {
                makeButton(clicked);
            }
        }
        for (const button of document.querySelectorAll("a[href], button, [role=button]")) {
            if (!button.hasAttribute("aria-label") && !wordsOf(button) && nameOf(button)) {
                button.setAttribute("aria-label", nameOf(button));
            }
        }
        for (const icon of document.querySelectorAll(ICON)) {
            if (!icon.hasAttribute("role")) {
                icon.setAttribute("aria-hidden", "true");
            }
        }
        // On the pages before the login there is no #main.
        (document.getElementById("main") ?? document.getElementById("page"))?.setAttribute("role", "main");
        document.getElementById("nav-sidebar-inner")?.setAttribute("aria-label", "Menu");
        // simplebar calls whatever scrolls the same.
        for (const scrolled of document.querySelectorAll("[data-simplebar]")) {
            const isMenu = scrolled.id === "nav-sidebar-apps";
            const name = isMenu ? "Pages" : scrolled.closest("#changelist-filter") ? "Filters" : "List";
            scrolled.setAttribute("data-simplebar-aria-label", name);
        }
    });

    // Django's lists of what is there and what is chosen make themselves once all is loaded, their hints too: pictures
    // with a name.
    window.addEventListener("load", () => setTimeout(() => {
        for (const hint of document.querySelectorAll(".search-label-icon[aria-label]")) {
            hint.setAttribute("role", "img");
        }
    }));

    // --- what htmx asks for ---

    document.addEventListener("htmx:beforeSwap", (event) => {
        // A button that is being pressed must not be replaced under the finger: the next turn does it.
        if (event.detail.target.matches(":active")) {
            event.detail.shouldSwap = false;
        }
        // The login has ended: its page in the place of a fragment would say nothing.
        if (new URL(event.detail.xhr.responseURL, location).pathname.endsWith("/login/")) {
            event.detail.shouldSwap = false;
            location.reload();
        }
    });
    for (const name of ["htmx:responseError", "htmx:sendError"]) {
        document.addEventListener(name, (event) => {
            // What follows by itself asks again; what is asked for once would wait for ever.
            if (event.detail.elt.getAttribute("hx-trigger") === "load") {
                event.detail.elt.textContent = "This could not be loaded. Load the page again.";
            }
        });
    }
})();
