"use strict";
// The inspector's page. All that others wrote is put into the page as text, and drawn so that no
// character of theirs changes how the rest reads.
(() => {
  const $ = (id) => document.getElementById(id);
  const most = 1000; // rows of the list, and frames
  const shownFor = 10_000; // ms that a secret is seen
  const keyName = "key";

  const state = {
    key: "", revision: 0, filter: "", paused: false, selected: "", part: "request", before: "",
    rows: new Map(), // id to {x, element}
    held: new Set(), // ids that have come while the list stands still
    detail: null, shownAt: 0, frame: 0, form: "pretty", revealed: new Map(), loading: 0, over: false, refilled: 0,
  };

  // visible escapes what controls or formats text. Line ends stay where a text has lines.
  const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\ufffd]/gu;
  const visible = (text, lines) => String(text ?? "").replace(unsafe, (c) => {
    if (lines && (c === "\n" || c === "\t")) return c;
    if (lines && c === "\r") return "";
    const n = c.codePointAt(0);
    return n === 10 ? "\\n" : n === 13 ? "\\r" : n === 9 ? "\\t" : n < 256 ? "\\x" + n.toString(16).padStart(2, "0") : "\\u{" + n.toString(16) + "}";
  });

  // make makes an element of a name, classes, text and children.
  const make = (name, classes, text, ...children) => {
    const e = document.createElement(name);
    if (classes) e.className = classes;
    if (text !== undefined && text !== null) e.textContent = text;
    e.append(...children);
    return e;
  };
  const button = (text, title, act) => {
    const b = make("button", "", text);
    b.type = "button";
    if (title) b.title = title;
    b.addEventListener("click", act);
    return b;
  };
  // put sets a text only if it is another one.
  const put = (e, text) => { if (e.textContent !== text) e.textContent = text; };

  const two = (n) => String(n).padStart(2, "0");
  const clock = (time, ms) => {
    const d = new Date(time);
    return isNaN(d) ? "" : two(d.getHours()) + ":" + two(d.getMinutes()) + ":" + two(d.getSeconds()) + (ms ? "." + String(d.getMilliseconds()).padStart(3, "0") : "");
  };
  const took = (ms) => {
    if (ms < 0.05) return "0 ms";
    if (ms < 10) return ms.toFixed(1).replace(/\.0$/, "") + " ms";
    if (ms < 1000) return Math.round(ms) + " ms";
    const s = ms / 1000;
    if (s < 60) return s.toFixed(1) + " s";
    const m = Math.floor(s / 60);
    return m < 60 ? m + " m " + two(Math.floor(s % 60)) : Math.floor(m / 60) + " h " + two(m % 60);
  };
  const size = (n) => n < 1000 ? n + " B" : n < 1e6 ? (n / 1000).toFixed(1) + " kB" : (n / 1e6).toFixed(1) + " MB";

  let silence = 0;
  const say = (text) => {
    put($("said"), text);
    clearTimeout(silence);
    silence = setTimeout(() => put($("said"), ""), 4000);
  };
  const problem = (text) => put($("problem"), text);

  // gone ends the page: its run is over.
  const gone = (text) => {
    state.over = true;
    put($("live"), "○ ended");
    $("live").className = "bad";
    problem(text);
  };

  const get = async (path, query) => {
    const q = new URLSearchParams();
    for (const [name, value] of Object.entries(query ?? {})) if (value !== "" && value !== 0 && value !== undefined) q.append(name, value);
    const text = q.toString();
    const response = await fetch("/v1/requests" + path + (text ? "?" + text : ""), { headers: { "Mezu-Inspector-Key": state.key }, redirect: "error", cache: "no-store" });
    if (response.ok) return response;
    const said = await response.text();
    let told = said;
    try { told = JSON.parse(said).detail || said; } catch { /* it is no problem document */ }
    const error = new Error(visible(told));
    error.status = response.status;
    throw error;
  };
  const json = async (path, query) => (await get(path, query)).json();
  const at = (id, rest) => "/" + encodeURIComponent(id) + (rest ?? "");

  // failed tells of what went wrong, and reports whether the page goes on.
  const failed = (error) => {
    if (error.status === 403) return gone("This page has ended. mezu requests web opens it again.");
    if (error.status === undefined) {
      put($("live"), "○ away");
      $("live").className = "bad";
      return problem("The daemon does not answer. If it has ended, mezu requests web opens the page again.");
    }
    problem(error.message);
  };

  // ---- the list

  const statusOf = (x) => {
    if (x.grpc_status !== undefined) return [String(x.grpc_status), x.grpc_status === 0 ? "good" : "bad"];
    if (!x.status) return [x.open ? "…" : "–", x.open ? "quiet" : "bad"];
    return [String(x.status), x.status >= 500 ? "bad" : x.status >= 400 ? "warn" : x.status >= 300 ? "quiet" : "good"];
  };
  const methodOf = (x) => ({ ws: "WS", grpc: "gRPC", sse: "SSE" })[x.kind] ?? x.method;
  const signs = (x) => (x.open ? "●" : "") + (x.pinned ? "★" : "") + (x.replay_of ? "↻" : "");

  const draw = (row) => {
    const x = row.x, e = row.element, [status, colour] = statusOf(x);
    put(e.children[0], clock(x.started_at));
    put(e.children[1], visible(methodOf(x)));
    put(e.children[2], status);
    e.children[2].className = colour;
    put(e.children[3], took(x.duration_ms));
    put(e.children[4], visible(x.path + (x.query ?? "")));
    put(e.children[5].children[0], signs(x));
    put(e.children[5].children[1], [x.open ? "under way" : "", x.pinned ? "pinned" : "", x.replay_of ? "a replay" : "", x.code ?? x.cause ?? ""].filter(Boolean).join(", "));
    e.title = x.code || x.cause ? visible([x.code || x.cause, x.message].filter(Boolean).join(": ")) : "";
  };
  const newRow = (x) => {
    const e = make("div", "", null, make("span", "at quiet"), make("span"), make("span"), make("span", "took quiet"), make("span"), make("span", "quiet", null, make("span"), make("span", "unseen")));
    e.children[5].children[0].setAttribute("aria-hidden", "true");
    e.setAttribute("role", "option");
    e.setAttribute("aria-selected", "false");
    e.id = "row-" + x.sequence;
    e.dataset.id = x.id;
    const row = { x, element: e };
    draw(row);
    return row;
  };
  const list = () => $("rows");

  // place puts a row where its sequence says, newest first.
  const place = (row) => {
    let next = list().firstElementChild;
    while (next && state.rows.get(next.dataset.id)?.x.sequence > row.x.sequence) next = next.nextElementSibling;
    list().insertBefore(row.element, next);
  };
  const drop = (id) => {
    state.rows.get(id)?.element.remove();
    state.rows.delete(id);
  };

  // follows reports whether the list takes up what is new: it stands still under a selection.
  const follows = () => !state.selected && list().scrollTop < 8;

  const take = (page, complete) => {
    if (complete) {
      const ids = new Set(page.items.map((x) => x.id));
      for (const id of [...state.rows.keys()]) if (!ids.has(id)) drop(id);
      state.held.clear();
    }
    for (const x of page.items.toReversed()) {
      const row = state.rows.get(x.id);
      if (row) {
        row.x = x;
        draw(row);
      } else if (complete || follows()) {
        const made = newRow(x);
        state.rows.set(x.id, made);
        place(made);
      } else {
        state.held.add(x.id);
      }
    }
    for (const [id, { x }] of state.rows) if (!x.open && !x.pinned && x.revision < page.oldest_revision && id !== state.selected) drop(id);
    while (state.rows.size > most) drop(list().lastElementChild.dataset.id);
    state.revision = page.revision;
    count(page);
  };
  const count = (page) => {
    const tunnels = new Set();
    for (const { x } of state.rows.values()) tunnels.add(x.tunnel);
    put($("tunnel"), tunnels.size === 1 ? "· " + visible([...tunnels][0]) : tunnels.size > 1 ? "· " + tunnels.size + " tunnels" : "");
    put($("count"), (state.filter ? state.rows.size + " of " + page.kept : String(page.kept)) + " requests" +
      (page.depth === "heads" ? ", without bodies at this rate" : page.depth === "none" ? ", only failures at this rate" : "") + (page.left_out ? ", " + page.left_out + " left out" : ""));
    $("newer").hidden = state.held.size === 0;
    put($("newer"), "▲ " + state.held.size + " new");
    $("empty").hidden = state.rows.size > 0 || state.filter !== "" || state.held.size > 0;
    if (state.over || state.paused) return;
    put($("live"), "● live");
    $("live").className = "good";
  };

  // fill reads the list anew.
  const fill = async () => {
    const filter = state.filter;
    const page = await json("", { filter, page_size: most });
    if (filter !== state.filter) return;
    problem("");
    state.refilled = Date.now();
    take(page, true);
    select(state.rows.has(state.selected) ? state.selected : "", false);
  };

  const poll = async () => {
    const known = state.rows.size + state.held.size;
    const page = await json("", { filter: state.filter, page_size: most, changed_after: state.revision || undefined });
    if (state.paused) return;
    problem("");
    if (page.revision < state.revision || page.next_page_token || (!state.filter && !state.held.size && page.kept < Math.min(known, most) && page.items.length === 0)) return fill();
    const changed = page.revision !== state.revision;
    if (state.filter && changed && !state.selected && Date.now() - state.refilled > 2000) return fill(); // what has changed may not match any more
    take(page, false);
    if (changed && state.selected && page.items.some((x) => x.id === state.selected)) await open(state.selected, true);
  };

  const run = async () => {
    for (let n = 1; ; n++) {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      if (state.over) return;
      if (document.hidden || (state.paused && n % 60 !== 0)) continue; // a paused page is looked at, too
      try { await poll(); } catch (error) { failed(error); }
    }
  };

  // ---- the selected request

  const shortest = (id) => {
    for (let n = 4; n < id.length; n++) {
      const begin = id.slice(0, n);
      if (![...state.rows.keys()].some((other) => other !== id && other.startsWith(begin))) return begin;
    }
    return id;
  };

  const select = (id, opens = true) => {
    if (state.selected && state.selected !== id) state.before = state.selected;
    if (state.selected !== id) hideAll();
    for (const e of list().querySelectorAll("[aria-selected=true]")) e.setAttribute("aria-selected", "false");
    const row = state.rows.get(id);
    state.selected = row ? id : "";
    if (!row) {
      list().removeAttribute("aria-activedescendant");
      state.detail = null;
      $("shown").hidden = true;
      put($("title"), "No request is selected");
      document.body.classList.remove("one");
      return;
    }
    row.element.setAttribute("aria-selected", "true");
    list().setAttribute("aria-activedescendant", row.element.id);
    if (!opens) return;
    row.element.scrollIntoView({ block: "nearest" });
    state.form = "pretty";
    state.frame = 0;
    if (state.part === "frames" && !row.x.frames) state.part = "request";
    open(id, false).catch(failed);
  };

  // open reads all of a request, and draws it.
  const open = async (id, again) => {
    const loading = ++state.loading;
    const detail = await json(at(id));
    if (loading !== state.loading || state.selected !== id) return;
    state.detail = detail;
    const [status] = statusOf(detail);
    put($("title"), visible(methodOf(detail) + " " + detail.path + (detail.query ?? "")) + "  " + status + "  " + took(detail.duration_ms));
    put($("replay"), "mezu requests replay " + shortest(id));
    $("shown").hidden = false;
    $("tab-frames").hidden = !detail.frames;
    if (again && state.part !== "timing" && state.part !== "frames" && !detail.open && state.shownAt === detail.revision) return;
    state.shownAt = detail.revision;
    await drawPart();
  };

  const drawPart = async () => {
    const d = state.detail, id = d.id, part = state.part;
    for (const tab of document.querySelectorAll("[role=tab]")) {
      const is = tab.dataset.part === part;
      tab.setAttribute("aria-selected", String(is));
      tab.tabIndex = is ? 0 : -1;
      if (is) $("panel").setAttribute("aria-labelledby", tab.id);
    }
    const parts = part === "request" ? message("request", d.request, d) : part === "response" ? message("response", d.response ?? d.returned, d) : part === "timing" ? timing(d) : await frames(d);
    if (state.selected !== id || state.part !== part) return;
    const top = $("panel").scrollTop;
    $("panel").replaceChildren(...parts);
    $("panel").scrollTop = top;
  };

  // reveal shows the value of a path for a while, or until another request is selected. What shows
  // it is found anew: the part may have been drawn again meanwhile.
  const reveal = (path, value, masked, lines) => {
    const id = state.selected;
    const shows = (text) => { for (const e of $("panel").querySelectorAll("[data-shows]")) if (e.dataset.shows === path) put(e, visible(text, lines)); };
    clearTimeout(state.revealed.get(path)?.timer);
    const timer = setTimeout(() => {
      if (state.selected !== id || !state.revealed.delete(path)) return;
      shows(masked);
    }, shownFor);
    state.revealed.set(path, { value, timer });
    shows(value);
  };
  const hideAll = () => {
    for (const { timer } of state.revealed.values()) clearTimeout(timer);
    state.revealed.clear();
  };
  // masking makes an element that shows what is masked of a path, and its button.
  const masking = (element, masked, path) => {
    const id = state.selected;
    element.dataset.shows = path;
    put(element, visible(state.revealed.get(path)?.value ?? masked));
    return button("show", "u", async () => {
      try {
        const { value } = await json(at(id, path));
        if (state.selected === id) reveal(path, value, masked);
      } catch (error) { failed(error); }
    });
  };

  const fields = (side, all) => {
    const out = make("dl", "fields");
    all.forEach((f, i) => {
      const value = make("span", "value", visible(f.value));
      const dd = make("dd", "", null, value);
      if (f.masked) {
        const b = masking(value, f.value, "/value/" + side + "/" + i);
        b.setAttribute("aria-label", "show " + visible(f.name));
        dd.append(" ", b);
      }
      out.append(make("dt", "", visible(f.name)), dd);
    });
    return out;
  };

  const message = (side, m, d) => {
    if (!m) return [make("p", "quiet", d.open ? "There is no answer yet." : "No answer came from the workload.")];
    const line = make("span", "", visible(m.line));
    const out = [make("p", "line", null, line)];
    const about = side === "request"
      ? [d.client && "from " + d.client, "id " + d.id.slice(0, 8), d.edge, d.user && "as " + d.user, d.route && "route " + d.route]
      : [d.upstream && "from " + d.upstream, d.code, d.cause, d.message];
    const text = about.filter(Boolean).map((t) => visible(t)).join(" · ");
    if (text) out.push(make("p", d.code && side === "response" ? "bad" : "quiet", text));
    if (m.line.includes("••••••")) {
      const b = masking(line, m.line, "/value/" + side + "/line");
      b.setAttribute("aria-label", "show the first line");
      out[0].append(" ", b);
    }
    out.push(fields(side, m.fields));
    if (m.trailers) out.push(make("h3", "quiet", "Trailers"), fields(side + "-trailers", m.trailers));
    const other = side === "request" ? d.sent : d.response && d.returned;
    if (other) {
      const name = side === "request" ? "sent" : "returned";
      out.push(make("details", "", null, make("summary", "", side === "request" ? "as it went to the workload" : "as it went back"), make("p", "line", visible(other.line)), fields(name, other.fields)));
    }
    if (m.body) out.push(...body(side, m.body, d));
    return out;
  };

  const names = { json: "JSON", form: "form", multipart: "multipart", xml: "XML", text: "text", binary: "binary" };
  const body = (side, b, d) => {
    if (b.form === "empty" || b.form === "frames") return [];
    const head = make("div", "head", null, make("h3", "quiet", "body " + size(b.size) + ", " + (names[b.form] ?? b.form) + (b.encoding ? ", " + visible(b.encoding) : "") + (b.kept < b.size ? ", the first " + size(b.kept) : "")));
    const text = make("pre"), path = "/body/" + side;
    text.dataset.shows = path;
    const note = make("p", "quiet");
    note.hidden = true;
    const load = async (form, unmask) => {
      const response = await get(at(d.id, path), { form, unmask: unmask ? "true" : "" });
      const bytes = new Uint8Array(await response.arrayBuffer());
      let got;
      try { got = new TextDecoder("utf-8", { fatal: true }).decode(bytes); } catch {
        if (form === "hex") throw new Error("The body could not be shown.");
        return load("hex", unmask);
      }
      const masked = Number(response.headers.get("Mezu-Masked"));
      return { got, masked, problem: response.headers.get("Mezu-Problem") };
    };
    const fill = async () => {
      try {
        const { got, masked, problem: why } = await load(state.form, false);
        put(text, visible(state.revealed.get(path)?.value ?? got, true));
        note.hidden = !why;
        put(note, visible(why ?? ""));
        show.hidden = masked === 0;
        show.onclick = async () => {
          try {
            const whole = await load(state.form, true);
            if (state.selected === d.id) reveal(path, whole.got, got, true);
          } catch (error) { failed(error); }
        };
      } catch (error) { failed(error); }
    };
    const show = button("show", "u");
    show.setAttribute("aria-label", "show what is masked in the body");
    show.hidden = true;
    const raw = button("raw", "x", () => {
      state.form = state.form === "pretty" ? "decoded" : "pretty";
      hideAll();
      raw.setAttribute("aria-pressed", String(state.form !== "pretty"));
      fill();
    });
    raw.setAttribute("aria-pressed", String(state.form !== "pretty"));
    const save = button("save", "w", async () => {
      try { download(await (await get(at(d.id, path))).arrayBuffer(), d.id.slice(0, 8) + "-" + side + ".bin"); } catch (error) { failed(error); }
    });
    head.append(show, raw, save);
    fill();
    return [head, note, text];
  };

  const timing = (d) => {
    const t = d.timing, out = make("dl", "times"), total = Math.max(t.end_ms || 0, d.duration_ms, 0.001);
    for (const [name, ms] of [["queued", t.queued_ms], [t.reused ? "connect (reused)" : "connect", t.connect_ms], ["head sent", t.sent_ms], ["body sent", t.uploaded_ms], ["first byte", t.first_byte_ms], ["end", t.end_ms]]) {
      const bar = make("progress");
      bar.max = total;
      bar.value = ms || 0;
      bar.setAttribute("aria-label", name);
      out.append(make("dt", "", name), make("dd", "", ms ? took(ms) : "–"), make("dd", "", null, bar));
    }
    return [make("p", "quiet", "After the head of the request was there, " + clock(d.started_at, true) + (d.open ? "; it is under way" : "") + "."), out];
  };

  const frames = async (d) => {
    const first = await json(at(d.id, "/frames"), { page_size: most, after: Math.max(0, d.frames - most) });
    const content = make("pre");
    const head = make("div", "head", null, make("h3", "quiet", "frame"));
    head.hidden = true;
    const table = make("table"), top = make("tr"), rows = make("tbody");
    for (const [name, width] of [["#", "c-n"], ["time", "c-t"], ["", "c-d"], ["kind", "c-k"], ["size", "c-s"], ["data", ""]]) {
      const th = make("th", width, name);
      if (!name) th.append(make("span", "unseen", "direction"));
      th.scope = "col";
      top.append(th);
    }
    table.append(make("thead", "", null, top), rows);
    const chosen = async (f, row) => {
      try {
        state.frame = f.number;
        for (const r of rows.children) r.removeAttribute("aria-selected");
        row.setAttribute("aria-selected", "true");
        const text = await (await get(at(d.id, "/frames/" + f.number), { form: "pretty" })).text();
        head.hidden = false;
        put(head.firstElementChild, "frame " + f.number + (f.out ? ", from the workload, " : ", to the workload, ") + size(f.size));
        put(content, visible(text, true));
      } catch (error) { failed(error); }
    };
    for (const f of first.items) {
      const row = make("tr");
      const open = button(String(f.number), "", () => chosen(f, row));
      open.setAttribute("aria-label", "frame " + f.number);
      const direction = make("td", "c-d", f.out ? "←" : "→");
      direction.append(make("span", "unseen", f.out ? "from the workload" : "to the workload"));
      row.append(make("td", "c-n", null, open), make("td", "c-t quiet", clock(f.time, true)), direction, make("td", "c-k", f.kind), make("td", "c-s quiet", size(f.size)),
        make("td", "", visible((f.name ? f.name + "  " : "") + f.text + (f.problem ? "  (" + f.problem + ")" : ""))));
      rows.append(row);
      if (f.number === state.frame) chosen(f, row);
    }
    const missing = first.total - first.items.length;
    return [make("p", "quiet", first.total + " frames" + (missing > 0 ? ", the last " + first.items.length : "")), table, head, content];
  };

  // ---- what is copied and saved

  const copy = async (text, what) => {
    try {
      await navigator.clipboard.writeText(text);
      say("copied: " + what);
    } catch {
      say("The browser does not let the page copy. " + (text.length < 200 ? text : ""));
    }
  };
  const download = (data, name) => {
    const url = URL.createObjectURL(new Blob([data], { type: "application/octet-stream" }));
    const a = make("a");
    a.href = url;
    a.download = name;
    a.click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    say("saved: " + name);
  };
  const command = (verb) => { if (state.selected) copy("mezu requests " + verb + " " + shortest(state.selected), "mezu requests " + verb + " " + shortest(state.selected)); };
  const curl = async () => {
    if (!state.selected) return;
    try { copy(await (await get(at(state.selected, "/curl"))).text(), "curl"); } catch (error) { failed(error); }
  };
  const har = async () => {
    if (!state.selected) return;
    try { download(await (await get("/har", { id: state.selected })).arrayBuffer(), "mezu-" + state.selected.slice(0, 8) + ".har"); } catch (error) { failed(error); }
  };
  const diff = () => {
    const ids = [...list().children].map((e) => e.dataset.id);
    const other = state.rows.has(state.before) ? state.before : ids[ids.indexOf(state.selected) + 1];
    if (state.selected && other) copy("mezu requests diff " + shortest(other) + " " + shortest(state.selected), "mezu requests diff " + shortest(other) + " " + shortest(state.selected));
  };

  // ---- keys and pointers

  const step = (n) => {
    const all = [...list().children];
    if (all.length === 0) return;
    const i = all.findIndex((e) => e.dataset.id === state.selected);
    const next = n === -Infinity ? 0 : n === Infinity ? all.length - 1 : i < 0 ? 0 : Math.min(all.length - 1, Math.max(0, i + n));
    select(all[next].dataset.id);
  };
  const turn = (n) => {
    const all = [...document.querySelectorAll("[role=tab]:not([hidden])")];
    const i = all.findIndex((e) => e.dataset.part === state.part);
    const to = all[(i + n + all.length) % all.length];
    state.part = to.dataset.part;
    if (document.activeElement?.getAttribute("role") === "tab") to.focus();
    drawPart().catch(failed);
  };
  const full = () => {
    if (!state.selected) return step(-Infinity);
    document.body.classList.add("one");
    $("panel").focus();
  };
  const back = () => {
    if (document.activeElement !== list() && (document.body.classList.contains("one") || $("detail").contains(document.activeElement))) {
      document.body.classList.remove("one");
      list().focus();
    } else if (state.selected) {
      select("");
      newer();
    } else if (state.filter) {
      $("filter").value = "";
      search();
    }
  };
  const newer = () => fill().catch(failed);
  const pause = () => {
    state.paused = !state.paused;
    $("pause").setAttribute("aria-pressed", String(state.paused));
    put($("live"), state.paused ? "‖ paused" : "● live");
    $("live").className = state.paused ? "warn" : "good";
    if (!state.paused) newer();
  };
  let typing = 0;
  const search = () => {
    clearTimeout(typing);
    const filter = $("filter").value.trim();
    if (filter === state.filter) return;
    state.filter = filter;
    state.selected = "";
    newer();
  };
  const press = (of) => [...$("panel").querySelectorAll("button")].find((b) => b.title === of && !b.hidden && b.checkVisibility())?.click();

  const keys = [
    ["↑↓ jk", "request above, below", { ArrowUp: () => step(-1), ArrowDown: () => step(1), k: () => step(-1), j: () => step(1) }],
    ["g G", "newest, oldest", { g: () => step(-Infinity), Home: () => step(-Infinity), G: () => step(Infinity), End: () => step(Infinity) }],
    ["enter", "whole request", { Enter: full }],
    ["esc", "back; then clear selection and filter", { Escape: back }],
    ["←→", "part of the request", { ArrowLeft: () => turn(-1), ArrowRight: () => turn(1) }],
    ["/", "filter", { "/": () => $("filter").focus() }],
    ["space", "pause what moves", { " ": pause }],
    ["u", "show a masked value", { u: () => press("u") }],
    ["x", "raw body", { x: () => press("x") }],
    ["w", "save the body", { w: () => press("w") }],
    ["y", "copy as curl", { y: curl }],
    ["H", "save as HAR", { H: har }],
    ["R e P d", "copy the command that sends it again, edits, pins or compares it", { R: () => command("replay"), e: () => command("edit"), P: () => command("pin"), d: diff }],
    ["?", "these keys", { "?": () => $("keys").showModal() }],
  ];
  const actions = Object.assign({}, ...keys.map((k) => k[2]));
  for (const [name, does] of keys) $("keylist").append(make("dt", "", name), make("dd", "", does));

  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing || $("keys").open) return;
    const target = e.target;
    if (target === $("filter")) {
      if (e.key === "Escape" || e.key === "Enter" || e.key === "ArrowDown") {
        if (e.key === "Escape") $("filter").value = "";
        search();
        list().focus();
        e.preventDefault();
      }
      return;
    }
    const presses = target.localName === "button" || target.localName === "summary";
    if (presses && (e.key === "Enter" || e.key === " ")) return;
    if ((e.key === "ArrowUp" || e.key === "ArrowDown" || e.key === "Home" || e.key === "End") && $("detail").contains(target)) return; // it scrolls
    const act = actions[e.key];
    if (!act) return;
    e.preventDefault();
    act();
  });
  list().addEventListener("click", (e) => {
    const row = e.target.closest("[role=option]");
    if (!row) return;
    select(row.dataset.id);
    if (matchMedia("(max-width: 719px)").matches) full();
  });
  list().addEventListener("dblclick", full);
  $("filter").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(search, 300);
  });
  $("search").addEventListener("submit", (e) => e.preventDefault());
  $("pause").addEventListener("click", pause);
  $("help").addEventListener("click", () => $("keys").showModal());
  $("newer").addEventListener("click", () => {
    select("");
    list().scrollTop = 0;
    newer();
  });
  $("back").addEventListener("click", back);
  $("curl").addEventListener("click", curl);
  $("har").addEventListener("click", har);
  $("replay").addEventListener("click", () => command("replay"));
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.addEventListener("click", () => {
      state.part = tab.dataset.part;
      drawPart().catch(failed);
    });
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !state.over && !state.paused) poll().catch(failed);
  });

  // ---- how it begins

  const begin = async () => {
    const token = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
    state.key = sessionStorage.getItem(keyName) ?? "";
    if (token) {
      const response = await fetch("/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }), redirect: "error" });
      if (response.ok) {
        state.key = (await response.json()).key;
        sessionStorage.setItem(keyName, state.key);
      } else if (!state.key) {
        return gone(visible((await response.text()).trim()));
      }
    }
    if (!state.key) return gone("This address was not opened by mezu requests web.");
    await fill();
    list().focus();
  };
  // A newer address in the same tab is another beginning.
  addEventListener("hashchange", () => { if (location.hash) location.reload(); });
  begin().catch(failed).finally(run);
})();
