from __future__ import annotations

import pytest

from inference.recovery import Recovery


class Model:
    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.renewals: list[str | None] = []

    def renew(self, provider: str | None = None) -> None:
        self.renewals.append(provider)
        self.provider = provider or self.provider


def fail(recovery: Recovery, times: int) -> list[bool]:
    return [recovery.failed("no memory") for _ in range(times)]


def renew(recovery: Recovery) -> None:
    recovery.renew()
    recovery.renewed()


def test_one_bad_run_changes_nothing() -> None:
    recovery = Recovery([Model("cuda")])
    for _ in range(10):
        assert fail(recovery, 2) == [False, False]
        recovery.worked()


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_three_failures_in_a_row_move_every_model_to_the_cpu_and_say_so(provider: str) -> None:
    told: list[int] = []
    models = [Model(provider), Model(provider), Model("cpu")]
    recovery = Recovery(models, lambda: told.append(1))
    assert fail(recovery, 5) == [False, False, True, False, False], "asked for once"
    renew(recovery)
    assert [model.provider for model in models] == ["cpu"] * 3 and told == [1]
    assert recovery.told == (
        f"{provider} failed (no memory); recognition runs on the CPU, slower, until the restart",
    )


def test_on_the_cpu_the_models_are_loaded_anew_once() -> None:
    model = Model("cpu")
    recovery = Recovery([model])
    assert fail(recovery, 3)[-1]
    renew(recovery)
    assert model.renewals == [None]
    assert not any(fail(recovery, 9)), "a model that is simply broken is left to the operator"
    recovery.worked()
    assert fail(recovery, 3)[-1], "it worked in between: worth another try"


def test_a_run_that_did_not_come_back_costs_the_session_not_the_provider() -> None:
    model = Model("cuda")
    recovery = Recovery([model])
    assert recovery.stuck() and not recovery.stuck()
    renew(recovery)
    assert (model.provider, model.renewals) == ("cuda", [None])
    assert recovery.told == ("the models were loaded anew after a failure (a run did not come back)",)
    assert recovery.stuck()
