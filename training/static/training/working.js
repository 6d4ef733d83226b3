// Long work says so: the words of the form's data-working, and where it tells its progress, a bar.
"use strict";

const SECOND = 1000;
const number = new Intl.NumberFormat(document.documentElement.lang);

function follow(form) {
    const bar = form.querySelector("progress");
    const words = form.querySelector(".tp-working");
    const ask = async () => {
        const answer = await fetch(form.dataset.progress, { headers: { Accept: "application/json" } });
        if (!answer.ok) return;
        const { done, of } = await answer.json();
        bar.hidden = false;
        bar.max = of;
        bar.value = done;
        words.textContent = `${form.dataset.working} ${number.format(done)} / ${number.format(of)}`;
    };
    setInterval(() => ask().catch(() => {}), SECOND);
}

function show(form, isWorking) {
    const words = form.querySelector(".tp-working");
    words.textContent = isWorking ? form.dataset.working : "";
    words.hidden = !isWorking;
    for (const button of form.querySelectorAll("button")) button.disabled = isWorking;
}

const forms = document.querySelectorAll("form[data-working]");
for (const form of forms) {
    form.addEventListener("submit", () => {
        show(form, true);
        if (form.dataset.progress) follow(form);
    });
}
// Whoever comes back with the browser's button finds the form as it was.
window.addEventListener("pageshow", (event) => {
    if (event.persisted) for (const form of forms) show(form, false);
});

// unfold writes the name of a chosen file into a text field beside it; ours have none, and show the name.
for (const input of document.querySelectorAll("input[type=file]")) input.hasChangeListener = true;
