"""How often a slow thing is done."""

from headtrain.training.pace import SHARE, Pace


def test_what_takes_long_is_due_again_only_when_it_took_a_small_share_of_the_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("headtrain.training.pace.time.monotonic", lambda: now[0])
    pace = Pace()
    assert pace.due
    with pace.kept():
        now[0] += 3
    now[0] += 3 / SHARE - 0.1
    assert not pace.due
    now[0] += 0.2
    assert pace.due
