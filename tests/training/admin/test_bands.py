from training.admin.bands import badge


def test_the_badge_has_the_number_and_the_word() -> None:
    assert badge(None) is None
    whole, fraction = badge(9), badge(7.5)
    assert "9 · critical" in str(whole)
    assert "7.5 · high" in str(fraction)
