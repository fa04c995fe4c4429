// What lets unfold run under a content policy without 'unsafe-eval' (docs/explanation/security.md).
//
// Alpine makes functions of the texts in x-… attributes, which the policy forbids. This reads the few forms of
// expression that unfold writes, and works them out itself: names, members, calls, operators, assignments, arrows,
// if. Of the window it offers what unfold's texts name and nothing else; the page itself is within reach, so that this
// is no defence against markup that slipped into a page. Loaded before Alpine, after htmx.
"use strict";

(() => {
    // --- reading: a text becomes a function of a scope ---

    const TOKEN = /\s*(?:(\d+(?:\.\d+)?)|([A-Za-z_$][\w$]*)|'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|(=>|===|!==|==|!=|<=|>=|&&|\|\||\?\?|\?\.|\+=|-=|\+\+|--|[-+*/%<>=!?:.,;(){}[\]]))/y;

    const tokensOf = (text) => {
        const tokens = [];
        TOKEN.lastIndex = 0;
        const end = text.trimEnd().length;
        while (TOKEN.lastIndex < end) {
            const found = TOKEN.exec(text);
            if (!found) {
                throw new SyntaxError(`not understood: ${text}`);
            }
            const [, number, name, single, double, sign] = found;
            const quoted = single ?? double;
            if (quoted !== undefined) {
                tokens.push({ kind: "value", value: quoted.replace(/\\(.)/g, (_, sign) => ({ n: "\n", t: "\t" })[sign] ?? sign) });
            } else if (number !== undefined) {
                tokens.push({ kind: "value", value: +number });
            } else {
                tokens.push(name === undefined ? { kind: "sign", text: sign } : { kind: "name", text: name });
            }
        }
        return tokens;
    };

    const WORDS = { true: true, false: false, null: null, undefined: undefined };
    // The ways from any value to a function made of text, or to what all values share.
    const SHUT = new Set(["constructor", "__proto__", "prototype", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"]);
    const OPERATORS = [
        { "??": (a, b) => a() ?? b(), "||": (a, b) => a() || b() },
        { "&&": (a, b) => a() && b() },
        { "===": (a, b) => a() === b(), "!==": (a, b) => a() !== b(), "==": (a, b) => a() == b(), "!=": (a, b) => a() != b() },
        { "<": (a, b) => a() < b(), ">": (a, b) => a() > b(), "<=": (a, b) => a() <= b(), ">=": (a, b) => a() >= b() },
        { "+": (a, b) => a() + b(), "-": (a, b) => a() - b() },
        { "*": (a, b) => a() * b(), "/": (a, b) => a() / b(), "%": (a, b) => a() % b() },
    ];

    const member = (name) => {
        if (SHUT.has(String(name))) {
            throw new TypeError(`${String(name)} is not offered`);
        }
        return name;
    };

    // A node has `get(scope)`; what can be assigned to has `set(scope, value)`, a member has `owner(scope)`.
    class Reader {
        constructor(text) {
            this.tokens = tokensOf(text);
            this.at = 0;
        }

        is(text, ahead = 0) {
            const token = this.tokens[this.at + ahead];
            return token !== undefined && token.kind !== "value" && token.text === text;
        }

        take(text) {
            const is = this.is(text);
            this.at += is ? 1 : 0;
            return is;
        }

        need(text) {
            if (!this.take(text)) {
                throw new SyntaxError(`${text} is missing`);
            }
        }

        name() {
            const token = this.tokens[this.at++];
            if (token?.kind !== "name") {
                throw new SyntaxError("a name is missing");
            }
            return token.text;
        }

        // Statements up to the end or a closing brace; their value is the first one's, as Alpine has it.
        statements() {
            const all = [];
            while (this.at < this.tokens.length && !this.is("}")) {
                if (!this.take(";")) {
                    all.push(this.is("if") ? this.condition() : this.expression());
                }
            }
            return { get: (scope) => all.map((each) => each.get(scope))[0] };
        }

        condition() {
            this.need("if");
            this.need("(");
            const test = this.expression();
            this.need(")");
            const yes = this.block();
            const no = this.take("else") ? this.block() : { get: () => undefined };
            return { get: (scope) => { (test.get(scope) ? yes : no).get(scope); } };
        }

        block() {
            if (!this.take("{")) {
                return this.is("if") ? this.condition() : this.expression();
            }
            const inside = this.statements();
            this.need("}");
            return inside;
        }

        expression() {
            return this.arrow() ?? this.assignment();
        }

        arrow() {
            const start = this.at;
            const names = [];
            if (this.take("(")) {
                while (this.tokens[this.at]?.kind === "name") {
                    names.push(this.name());
                    this.take(",");
                }
                if (!(this.take(")") && this.take("=>"))) {
                    this.at = start;
                    return undefined;
                }
            } else if (this.tokens[start]?.kind === "name" && this.is("=>", 1)) {
                names.push(this.name());
                this.need("=>");
            } else {
                return undefined;
            }
            const body = this.expression();
            return { get: (scope) => (...given) => body.get(within(scope, Object.fromEntries(names.map((name, n) => [name, given[n]])))) };
        }

        assignment() {
            const left = this.choice();
            for (const [sign, sum] of [["=", (_, b) => b], ["+=", (a, b) => a + b], ["-=", (a, b) => a - b]]) {
                if (this.take(sign)) {
                    const right = this.expression();
                    return this.setting(left, (scope) => sum(sign === "=" ? undefined : left.get(scope), right.get(scope)));
                }
            }
            return left;
        }

        setting(left, value) {
            if (!left.set) {
                throw new SyntaxError("that cannot be assigned to");
            }
            return { get: (scope) => left.set(scope, value(scope)) };
        }

        choice() {
            const test = this.operation(0);
            if (!this.take("?")) {
                return test;
            }
            const yes = this.expression();
            this.need(":");
            const no = this.expression();
            return { get: (scope) => (test.get(scope) ? yes : no).get(scope) };
        }

        operation(level) {
            if (level === OPERATORS.length) {
                return this.unary();
            }
            let left = this.operation(level + 1);
            for (;;) {
                const sign = Object.keys(OPERATORS[level]).find((each) => this.take(each));
                if (!sign) {
                    return left;
                }
                const [one, other, work] = [left, this.operation(level + 1), OPERATORS[level][sign]];
                left = { get: (scope) => work(() => one.get(scope), () => other.get(scope)) };
            }
        }

        unary() {
            for (const [sign, work] of [["!", (value) => !value], ["-", (value) => -value]]) {
                if (this.take(sign)) {
                    const inner = this.unary();
                    return { get: (scope) => work(inner.get(scope)) };
                }
            }
            const value = this.postfix();
            for (const [sign, step] of [["++", 1], ["--", -1]]) {
                if (this.take(sign)) {
                    return { get: (scope) => { const before = value.get(scope); value.set(scope, before + step); return before; } };
                }
            }
            return value;
        }

        postfix() {
            let node = this.primary();
            for (;;) {
                if (this.take(".")) {
                    node = this.memberOf(node, this.constantly(this.name()), false);
                } else if (this.take("?.")) {
                    node = this.memberOf(node, this.constantly(this.name()), true);
                } else if (this.take("[")) {
                    const key = this.expression();
                    this.need("]");
                    node = this.memberOf(node, key, false);
                } else if (this.take("(")) {
                    node = this.callOf(node, this.list(")"));
                } else {
                    return node;
                }
            }
        }

        memberOf(node, key, isOptional) {
            const of = (owner, name) => (isOptional && owner == null ? undefined : owner[member(name)]);
            return {
                owner: (scope) => node.get(scope),
                get: (scope) => of(node.get(scope), key.get(scope)),
                of: (owner, scope) => of(owner, key.get(scope)),
                set: (scope, value) => { node.get(scope)[member(key.get(scope))] = value; return value; },
            };
        }

        callOf(node, given) {
            return {
                get: (scope) => {
                    // The owner is worked out once: it may be a call itself.
                    const owner = node.owner ? node.owner(scope) : scope;
                    const deed = node.of ? node.of(owner, scope) : node.get(scope);
                    return deed.apply(owner, given.map((each) => each.get(scope)));
                },
            };
        }

        list(end) {
            const all = [];
            while (!this.take(end)) {
                all.push(this.expression());
                if (!this.is(end)) {
                    this.need(",");
                }
            }
            return all;
        }

        constantly(value) {
            return { get: () => value };
        }

        primary() {
            if (this.take("(")) {
                const inner = this.expression();
                this.need(")");
                return inner;
            }
            if (this.take("[")) {
                const all = this.list("]");
                return { get: (scope) => all.map((each) => each.get(scope)) };
            }
            if (this.take("{")) {
                return this.object();
            }
            if (this.take("new")) {
                const made = this.name();
                this.need("(");
                const given = this.list(")");
                return { get: (scope) => Reflect.construct(scope[made], given.map((each) => each.get(scope))) };
            }
            const token = this.tokens[this.at];
            if (token?.kind === "value") {
                this.at += 1;
                return this.constantly(token.value);
            }
            const name = member(this.name());
            if (Object.hasOwn(WORDS, name)) {
                return this.constantly(WORDS[name]);
            }
            return { get: (scope) => scope[name], set: (scope, value) => { scope[name] = value; return value; } };
        }

        object() {
            const all = [];
            while (!this.take("}")) {
                const token = this.tokens[this.at++];
                const name = member(token.kind === "value" ? token.value : token.text);
                const value = this.take(":") ? this.expression() : { get: (scope) => scope[name] };
                all.push([name, value]);
                if (!this.is("}")) {
                    this.need(",");
                }
            }
            return { get: (scope) => Object.fromEntries(all.map(([key, value]) => [key, value.get(scope)])) };
        }
    }

    const read = (text) => {
        const reader = new Reader(text);
        const whole = reader.statements();
        if (reader.at < reader.tokens.length) {
            throw new SyntaxError(`not understood: ${text}`);
        }
        return whole;
    };

    // Names that `names` has come first, for reading and for writing.
    const within = (scope, names) => new Proxy(scope, {
        has: (_, name) => Object.hasOwn(names, name) || Reflect.has(scope, name),
        get: (_, name) => (Object.hasOwn(names, name) ? names[name] : scope[name]),
        set: (_, name, value) => Reflect.set(Object.hasOwn(names, name) ? names : scope, name, value),
    });

    const known = new Map();
    const compiled = (text) => {
        if (!known.has(text)) {
            known.set(text, read(text));
        }
        return known.get(text);
    };

    if (typeof document === "undefined") {
        module.exports = { compiled, within };
        return;
    }

    // --- what unfold's texts name of the browser, and its own functions, looked up when they are called ---

    const OFFERED = {
        Date, localStorage,
        window: { get location() { return { pathname: location.pathname, search: location.search }; } },
        get theme() { return theme; },
        get searchForm() { return searchForm; },
        get searchDropdown() { return searchDropdown; },
        get searchCommand() { return searchCommand; },
        get getCurrentTab() { return getCurrentTab; },
        get sortRecords() { return sortRecords; },
        get moveRecords() { return moveRecords; },
    };
    const offered = (scope) => new Proxy(scope, {
        get: (_, name) => (Reflect.has(scope, name) || typeof name === "symbol" || !Object.hasOwn(OFFERED, name) ? scope[name] : OFFERED[name]),
        set: (_, name, value) => Reflect.set(scope, name, value),
    });

    document.addEventListener("alpine:init", () => {
        const { closestDataStack, mergeProxies } = window.Alpine;

        const pass = (receive, value, scope, params) => {
            const result = typeof value === "function" ? value.apply(scope, params) : value;
            if (result instanceof Promise) {
                result.then(receive);
            } else {
                receive(result);
            }
        };

        window.Alpine.setEvaluator((element, expression) => {
            const own = {
                $el: element,
                $dispatch: (name, detail = {}) =>
                    element.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable: true })),
            };
            const stack = [own, ...closestDataStack(element)];
            return (receive = () => {}, { scope = {}, params = [] } = {}) => {
                const all = mergeProxies([scope, ...stack]);
                if (typeof expression === "function") {
                    pass(receive, expression.apply(all, params), all, params);
                    return;
                }
                let value;
                try {
                    value = compiled(expression).get(offered(all));
                } catch (error) {
                    // As Alpine does: told, and the rest of the page goes on.
                    setTimeout(() => { throw new Error(`${error.message} in: ${expression}`, { cause: error }); });
                    return;
                }
                pass(receive, value, all, params);
            };
        });

        // A style as text would become an attribute, which the policy forbids; as an object it does not.
        for (const element of document.querySelectorAll("[x-bind\\:style=\"'width: ' + changeListWidth + 'px'\"]")) {
            element.setAttribute("x-bind:style", "{ width: changeListWidth + 'px' }");
        }
    });

    if (window.htmx) {
        // Its own style element has no place in the policy: admin.css has these rules.
        Object.assign(window.htmx.config, { allowEval: false, includeIndicatorStyles: false });
    }
})();
