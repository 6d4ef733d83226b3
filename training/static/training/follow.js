/* Keeps the part of a page that says how far a training is up to date; without it the page reloads itself. */
(() => {
    const WAIT = 1500; // milliseconds between looks

    const follow = (place) => {
        const look = async () => {
            try {
                const answer = await fetch(place.dataset.follow, {credentials: "same-origin"});
                if (answer.redirected || answer.headers.get("X-Session-Ended")) {
                    window.location.reload();
                    return;
                }
                if (answer.ok) {
                    refresh(place, await answer.text());
                }
            } catch {
                // The server does not answer just now: the training goes on, and so does the looking.
            }
            setTimeout(look, WAIT);
        };
        setTimeout(look, WAIT);
    };

    const refresh = (place, html) => {
        const fresh = new DOMParser().parseFromString(html, "text/html");
        for (const slot of fresh.querySelectorAll("[data-slot]")) {
            const shown = place.querySelector(`[data-slot="${slot.dataset.slot}"]`);
            if (shown === null) {
                continue;
            }
            if (shown.innerHTML !== slot.innerHTML) {
                shown.innerHTML = slot.innerHTML;
            }
            if (slot instanceof HTMLProgressElement) {
                shown.value = slot.value;
            }
        }
    };

    document.addEventListener("DOMContentLoaded", () => {
        document.querySelectorAll("[data-follow]").forEach(follow);
    });
})();
