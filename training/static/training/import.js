// Long work says so: the words of the form's data-working, and where it tells its progress, a bar.
"use strict";

const SECOND = 1000;

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
        words.textContent = `${form.dataset.working} ${done.toLocaleString(document.documentElement.lang)} / ${of.toLocaleString(document.documentElement.lang)}`;
    };
    setInterval(() => ask().catch(() => {}), SECOND);
}

for (const form of document.querySelectorAll("form[data-working]")) {
    form.addEventListener("submit", () => {
        const words = form.querySelector(".tp-working");
        words.textContent = form.dataset.working;
        words.hidden = false;
        for (const button of form.querySelectorAll("button")) button.disabled = true;
        if (form.dataset.progress) follow(form);
    });
}

// unfold writes the name of a chosen file into a text field beside it; ours have none, and show the name.
for (const input of document.querySelectorAll("input[type=file]")) input.hasChangeListener = true;
