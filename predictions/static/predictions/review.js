/* The keys of the review screen. Everything they do, a button or a radio does too. */

(function () {
  "use strict";

  const card = () => document.getElementById("rv-card");
  const rows = () => [...card().querySelectorAll(".rv-row")];
  const focusedRow = () => Math.max(0, rows().findIndex((row) => row.contains(document.activeElement)));
  const chosen = (row) => row.querySelector("input:checked");

  function focusRow(index) {
    const row = rows()[Math.min(Math.max(index, 0), rows().length - 1)];
    if (row) (chosen(row) || row.querySelector("input")).focus();
  }

  function choose(row, score) {
    const key = row.querySelector(`input[value="${score}"]`);
    if (!key) return;
    key.checked = true;
    key.focus();
    key.dispatchEvent(new Event("change", { bubbles: true }));
  }

  /** Shows the reasons of the focused score, and the sum of the three. */
  function refresh() {
    const scores = card().querySelector(".rv-scores");
    if (!scores) return;
    card().dataset.target = rows()[focusedRow()].dataset.target;
    const given = rows().map((row) => chosen(row)).filter(Boolean).map((input) => Number(input.value));
    const sum = document.getElementById("rv-sum");
    const band = document.getElementById("rv-band");
    sum.value = band.value = "";
    band.className = "tp-badge";
    if (given.length < 3) return;
    const total = given.reduce((a, b) => a + b, 0);
    const criticality = scores.dataset.mirrored ? 18 - total : total;
    const bands = [...scores.querySelectorAll("data.rv-band")];
    const reached = bands.findLastIndex((data) => Number(data.value) <= criticality);
    sum.value = criticality;
    band.value = bands[reached].textContent;
    band.classList.add(["tp-good", "tp-watch", "tp-bad"][reached]);
  }

  function press(name) {
    const button = card().querySelector(`[data-key="${name}"]`);
    if (button && !button.disabled) button.click();
  }

  function decide() {
    const button = card().querySelector('[value="approve"]');
    if (button) button.click();
  }

  const MOVES = {
    ArrowUp: () => focusRow(focusedRow() - 1),
    ArrowDown: () => focusRow(focusedRow() + 1),
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    Enter: decide,
    s: () => press("s"),
    u: () => press("u"),
    r: () => card().querySelector("[name=reason]")?.focus(),
    "?": () => document.getElementById("rv-help").showModal(),
  };

  function step(by) {
    const row = rows()[focusedRow()];
    const now = chosen(row);
    if (now) choose(row, Number(now.value) + by);
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (card().ariaBusy === "true") return event.preventDefault(); // it is decided, its answer is awaited
    const at = event.target;
    if (at.matches("[name=reason]")) {
      if (event.key === "Enter") { event.preventDefault(); if (!event.repeat) press("r"); }
      if (event.key === "Escape") { at.value = ""; focusRow(0); }
      return;
    }
    if (at.matches("input:not([type=radio]), textarea, select, summary, a")) return;
    if (at.matches("button") && event.key === "Enter") return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (/^[1-5]$/.test(key) && rows().length) {
      event.preventDefault();
      const index = focusedRow();
      choose(rows()[index], key);
      focusRow(index + 1);
    } else if (MOVES[key]) {
      event.preventDefault();
      if (!event.repeat || key.startsWith("Arrow")) MOVES[key](); // a key held down decides once
    }
  }

  /** The report first: on a phone the keys lie below it. */
  function start() {
    const row = rows()[0];
    if (row) (chosen(row) || row.querySelector("input")).focus({ preventScroll: true });
    const desk = document.getElementById("rv-desk");
    if (desk.getBoundingClientRect().top < 0) desk.scrollIntoView();
    refresh();
  }

  document.addEventListener("keydown", onKey);
  document.addEventListener("change", (event) => event.target.closest(".rv-row") && refresh());
  document.addEventListener("focusin", (event) => event.target.closest(".rv-row") && refresh());
  document.addEventListener("click", (event) => event.target.closest('[data-key="?"]') && MOVES["?"]());
  document.addEventListener("review:shown", start);
  document.addEventListener("DOMContentLoaded", start);
  if (document.readyState !== "loading") start();
})();
