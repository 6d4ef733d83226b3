/* unfold draws the charts. This gives them the colours of the page's theme, a line at zero, and a way to
   the list behind each bar and point: the links of the chart's own table. */
"use strict";

function themed() {
    const style = getComputedStyle(document.documentElement);
    const isDark = document.documentElement.classList.contains("dark");
    Chart.defaults.color = style.getPropertyValue(isDark ? "--color-base-300" : "--color-base-600").trim();
}

function linkBehind(event, chart) {
    const [nearest] = chart.getElementsAtEventForMode(event, "nearest", { intersect: true }, false);
    if (!nearest) {
        return null;
    }
    const row = chart.canvas.closest("figure").querySelectorAll("tbody tr")[nearest.index];
    return row.cells[nearest.datasetIndex + 1].querySelector("a") || row.cells[0].querySelector("a");
}

Chart.defaults.set("scale.grid", { lineWidth: (context) => (context.tick?.value === 0 ? 2 : 0.5) });
Chart.defaults.onClick = (event, _elements, chart) => linkBehind(event, chart)?.click();
Chart.defaults.onHover = (event, _elements, chart) => {
    chart.canvas.style.cursor = linkBehind(event, chart) ? "pointer" : "default";
};

window.addEventListener("load", () => {
    themed(); // before unfold draws: this file comes before its own
    new MutationObserver(themed).observe(document.documentElement, { attributeFilter: ["class"] });
});
