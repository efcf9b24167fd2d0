from meshwarden.control.supervision.restarts import RestartPolicy, Restarts, next_restart

POLICY = RestartPolicy(first_s=0.1, factor=2, cap_s=1, quiet_s=30)


def delays(runs_s: list[float]) -> list[float]:
    found, state = [], Restarts()
    for ran_s in runs_s:
        state, delay_s = next_restart(state, POLICY, ran_s=ran_s)
        found.append(delay_s)
    return found


def test_each_end_without_a_quiet_run_doubles_the_wait_up_to_the_cap() -> None:
    assert delays([0, 1, 29.9, 0, 0, 0]) == [0.1, 0.2, 0.4, 0.8, 1, 1]


def test_a_quiet_run_makes_the_next_end_a_first_one() -> None:
    assert delays([0, 0, 30, 0]) == [0.1, 0.2, 0.1, 0.2]


def test_a_program_that_ends_for_ever_never_waits_longer_than_the_cap() -> None:
    assert delays([0.0] * 5000)[-1] == 1
