"use strict";
// What pages do more with a script than without: they keep the fragment of the page to which the visit
// returns, take the token of a mailed link out of the address, show passwords, and send a form once.
(() => {
  const key = "mezu:fragment", longest = 2048, day = 864e5, again = 4000;
  const root = document.body, forms = [...document.forms];

  // The fragment waits here while the way back leads through a mail.
  const kept = (value) => {
    try {
      if (value === "") localStorage.removeItem(key);
      else if (value) localStorage.setItem(key, JSON.stringify({ fragment: value, to: root.dataset.to, at: Date.now() }));
      else {
        const was = JSON.parse(localStorage.getItem(key));
        if (was && Date.now() - was.at < day && (!root.dataset.to || was.to === root.dataset.to)) return was.fragment;
      }
    } catch { /* no storage: the page itself comes back, without its fragment */ }
    return "";
  };

  // The browser hands the fragment of an address on through redirects, and sends it to nobody.
  const carry = (fragment) => {
    for (const [query, name] of [["a[href^='/']", "href"], ["form", "action"], ["[formaction]", "formaction"]])
      for (const e of document.querySelectorAll(query)) e.setAttribute(name, e.getAttribute(name).split("#")[0] + fragment);
  };

  const mailed = forms.find((f) => "token" in f.dataset);
  if (mailed) {
    const token = location.hash.slice(1);
    if (token) {
      // It is in no field either: browsers keep what fields had, to open their tabs again.
      mailed.addEventListener("formdata", (e) => e.formData.set("token", token));
      mailed.elements.namedItem("token").closest(".field").hidden = true;
      history.replaceState(null, "", location.pathname + location.search);
    }
    carry(kept());
    addEventListener("hashchange", () => location.reload());
  } else {
    carry(location.hash);
    addEventListener("hashchange", () => carry(location.hash));
    if ("keep" in root.dataset && location.hash.length > 1 && location.hash.length <= longest) kept(location.hash);
  }

  for (const b of document.querySelectorAll(".reveal")) {
    const input = document.getElementById(b.getAttribute("aria-controls"));
    b.hidden = false;
    b.addEventListener("click", () => {
      const show = input.type === "password";
      input.type = show ? "text" : "password";
      b.setAttribute("aria-pressed", show);
    });
  }

  const sent = new Map();
  document.addEventListener("submit", (e) => {
    const form = e.target;
    if (Date.now() - (sent.get(form) || 0) < again) return e.preventDefault();
    sent.set(form, Date.now());
    form.setAttribute("aria-busy", "true");
    setTimeout(() => form.removeAttribute("aria-busy"), again);
    if ("forget" in root.dataset) kept("");
    for (const b of form.querySelectorAll(".reveal[aria-pressed=true]")) b.click();
  });
  addEventListener("pageshow", () => sent.clear());

  for (const t of document.querySelectorAll("time"))
    t.textContent = new Date(t.dateTime).toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
})();
