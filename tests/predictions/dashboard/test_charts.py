import json

from django.utils import translation

from predictions.dashboard.charts import PRIMARY, Cell, Chart, Column, address, count_cells, decimal_cells


def chart(**values: object) -> Chart:
    columns = [
        Column(label="errors", values=[0.5, None], cells=decimal_cells([0.5, None], 2), colour=PRIMARY),
        Column(label="rows", cells=count_cells([1234, 0], lambda n: f"/list/{n}")),
    ]
    rows = [Cell(text="<1>", url="/1/"), Cell(text="2")]
    given = {"name": "n", "title": "T", "finding": "F", "rows": rows, "columns": columns, "across": "version"}
    return Chart(**(given | values))  # type: ignore[arg-type]  # keys are the fields


def test_what_is_drawn_is_what_has_a_colour() -> None:
    assert json.loads(chart().data) == {
        "labels": ["<1>", "2"],
        "datasets": [
            {
                "label": "Errors",
                "data": [0.5, None],
                "borderColor": PRIMARY,
                "backgroundColor": PRIMARY,
                "borderDash": [],
                "pointStyle": "circle",
            }
        ],
    }


def test_the_table_has_all_of_it_escaped_and_linked() -> None:
    assert chart().head == ["Version", "Errors", "Rows"]
    assert chart().body == (
        '<tr><th scope="row"><a href="/1/">&lt;1&gt;</a></th><td>0.50</td>'
        '<td><a href="/list/0">1,234</a></td></tr>'
        '<tr><th scope="row">2</th><td>–</td><td>0</td></tr>'
    )


def test_a_verdict_has_its_word_on_its_colour() -> None:
    assert Cell(text="look", mark="watch").html == '<span class="tp-badge tp-watch">look</span>'


def test_axes_have_units_begin_at_zero_and_speak_the_language() -> None:
    with translation.override("fr"):
        options = json.loads(chart(unit="points", is_whole=True, is_stacked=True).options)
    assert options["locale"] == "fr"
    y = options["scales"]["y"]
    assert y["title"] == {"display": True, "text": "points"}
    assert (y["beginAtZero"], y["stacked"], y["ticks"]["precision"]) == (True, True, 0)
    assert options["plugins"]["legend"]["display"] is False


def test_an_address_with_and_without_filters() -> None:
    assert address("/list/", {}) == "/list/"
    assert address("/list/", {"a__lt": "2026-03-02T00:00:00+00:00"}) == (
        "/list/?a__lt=2026-03-02T00%3A00%3A00%2B00%3A00"
    )
