/* The following card is there before it is needed: a decision shows it at once and is sent behind it.
   Decisions are sent one after the other; one that is refused, or does not arrive, comes again as the next card. */

(function () {
  "use strict";

  const STAYS = 3; // decisions for which a refusal stays in sight
  const upcoming = []; // cards that follow: fetched ahead, or come again
  const unsent = []; // decisions that are not answered yet, in the order in which they were made
  let chain = Promise.resolve(); // of requests

  const desk = () => document.getElementById("rv-desk");
  const card = () => document.getElementById("rv-card");
  const said = () => desk().querySelector(".rv-said");
  const form = (section) => section.querySelector("form");

  /** Of the anomaly on this card; nothing when none waits. */
  function keyOf(section) {
    return section.dataset.name === undefined ? null : form(section).elements.anomaly.value;
  }

  // --- What is seen ---------------------------------------------------------------------------------

  function show(next) {
    card().replaceWith(next);
    next.wasShown = true;
    if (next.said) tell(next.said);
    next.said = null;
    document.dispatchEvent(new Event("review:shown"));
  }

  /** What happened. Refusals stay for some decisions more, so that nobody who is fast misses them. */
  function tell(sentences) {
    const refusals = [...said().children].filter((sentence) => sentence.stays > 0);
    const texts = sentences.map((sentence) => sentence.textContent);
    said().replaceChildren(...sentences, ...refusals.filter((old) => !texts.includes(old.textContent)));
    for (const sentence of sentences) if (!sentence.matches(".rv-success")) sentence.stays = STAYS;
  }

  /** The next card at once, if it is there. */
  function advance(decision) {
    while (upcoming.length && !upcoming[0].wasShown && upcoming[0].until < Date.now()) upcoming.shift();
    const next = upcoming.shift();
    if (!next) return;
    for (const sentence of said().children) sentence.stays -= 1;
    tell([]);
    takeProgress(next, card(), decision.counts);
    show(next);
  }

  /** "7 of 30" as on the other card, or further; what can be undone follows from it. */
  function takeProgress(section, other, further) {
    const [to, from] = [section, other].map((one) => one.querySelector(".rv-progress"));
    if (!to || !from) return;
    to.innerHTML = from.innerHTML;
    const number = to.querySelector(".rv-number");
    number.textContent = Number(number.textContent) + further;
    const undo = other.querySelector("[value=undo]");
    section.querySelector("[value=undo]").disabled = undo.disabled && !unsent.length;
  }

  // --- What is asked --------------------------------------------------------------------------------

  /** The keys of what is here and not decided by `decision`, that on the screen first. */
  function kept(decision) {
    const sections = [card(), ...upcoming, ...unsent.map((other) => other.section)];
    const decided = decision && decision.kind !== "undo" ? decision.section : null;
    return new Set(sections.filter((section) => section !== decided).map(keyOf).filter(Boolean));
  }

  /** The card of the answer and what it says; null when none comes: no network, an error, a login page. */
  async function ask(address, keys, options) {
    const url = new URL(address, window.location.href);
    for (const key of keys.size ? keys : [""]) url.searchParams.append("after", key);
    const answer = document.createElement("template");
    try {
      const response = await fetch(url, options);
      answer.innerHTML = response.ok ? await response.text() : "";
    } catch (error) {
      console.warn(error);
    }
    const found = answer.content.querySelector(".rv-card");
    if (!found) return null;
    const section = document.importNode(found, true);
    section.until = Date.now() + 1000 * Number(section.dataset.lease);
    return { section, sentences: [...answer.content.querySelectorAll(".rv-said > p")] };
  }

  function lookAhead() {
    chain = chain.then(async () => {
      if (upcoming.length || !keyOf(card())) return;
      const answer = await ask(form(card()).getAttribute("action"), kept(null), {});
      if (answer) putLast(answer.section);
    });
  }

  function putLast(section) {
    if (keyOf(section) && !upcoming.length) upcoming.push(section);
  }

  // --- What is decided ------------------------------------------------------------------------------

  function decide(sent, button) {
    const section = card();
    if (section.ariaBusy === "true") return;
    const data = new FormData(sent);
    data.set(button.name, button.value);
    const kind = button.value;
    const decision = {
      section, data, kind,
      address: sent.getAttribute("action"),
      counts: kind === "approve" || kind === "reject" ? 1 : 0,
      // What the server is sure to refuse stays on the screen.
      isSure: kind === "reject" ? data.get("reason").trim() !== "" : kind !== "undo",
    };
    unsent.push(decision);
    if (decision.isSure) advance(decision);
    if (card() === section) section.ariaBusy = "true";
    count();
    chain = chain.then(() => send(decision));
  }

  async function send(decision) {
    if (decision.isSure && card() === decision.section) advance(decision); // it came meanwhile
    const answer = await ask(decision.address, kept(decision), { method: "POST", body: decision.data });
    unsent.shift();
    decision.section.ariaBusy = null;
    if (answer) place(answer.section, answer.sentences, decision);
    else comeAgain(decision);
    count();
  }

  function place(section, sentences, decision) {
    const where = section.dataset.place;
    if (where === "again") typeAgain(section, decision.data);
    tell(sentences);
    const onScreen = card();
    if (onScreen === decision.section && (decision.kind !== "undo" || where === "now" || !keyOf(onScreen))) {
      if (decision.kind === "undo" && keyOf(onScreen)) upcoming.unshift(onScreen);
      show(section);
    } else if (where === "again") {
      section.said = sentences.map((sentence) => sentence.cloneNode(true));
      upcoming.unshift(section);
    } else {
      putLast(section);
    }
    takeProgress(card(), section, unsent.reduce((sum, other) => sum + other.counts, 0));
    if (keyOf(section) && !upcoming.length && !unsent.length) lookAhead();
  }

  /** No answer: nothing is known to be stored. */
  function comeAgain(decision) {
    const { section, kind } = decision;
    const comes = card() !== section && kind !== "undo";
    const sentence = document.createElement("p");
    sentence.className = "rv-error";
    const words = [desk().dataset.failed, ...(comes ? [desk().dataset.again] : [])].join(" ");
    sentence.textContent = kind === "undo" ? words : `${section.dataset.name}: ${words}`;
    tell([sentence]);
    if (!comes) return;
    takeProgress(card(), card(), -decision.counts);
    section.said = [sentence.cloneNode(true)];
    upcoming.unshift(section);
  }

  /** The scores and the reason that were given before. */
  function typeAgain(section, data) {
    for (const field of form(section).elements) {
      if (field.type === "radio") field.checked = field.value === data.get(field.name);
      if (field.name === "reason") field.value = data.get("reason");
    }
  }

  function count() {
    desk().dataset.unsent = unsent.length;
  }

  document.addEventListener("submit", (event) => {
    if (!card()?.contains(event.target)) return;
    event.preventDefault();
    decide(event.target, event.submitter);
  });
  window.addEventListener("beforeunload", (event) => unsent.length && event.preventDefault());
  card().wasShown = true;
  lookAhead();
})();
