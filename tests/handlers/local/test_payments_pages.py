from __future__ import annotations

from handlers.local.payments_pages import payment_page


def test_the_page_shows_the_amount_and_its_buttons_and_runs_no_script() -> None:
    page = payment_page("Stripe", "20.00 USD", {"pay": "Pay", "decline": "Decline"}, "<script>alert(1)</script>")
    text = page.body.decode()
    assert "20.00 USD" in text
    assert text.count("<button") == 2
    assert "<script>" not in text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<input" not in text  # no field for a card number


def test_there_is_nothing_to_press_when_nothing_is_left_to_do() -> None:
    assert b"<button" not in payment_page("Stripe", "1.00 USD", {}, "Paid.").body
