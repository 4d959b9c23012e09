"""The steps of an operation, each carried out as a Prefect task: with its name, its retries and its own log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, as_completed
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from engine.errors import ItemGone, PlatformOpsError
from engine.steps import Broken, Step, Then
from tasks.running import DROPPED, known, logged_progress, worth_retrying

Made = TypeVar("Made")


class _Work:
    """A step on its way to its task: Prefect looks into lists and dataclasses for futures, and into this not."""

    def __init__(self, step: Step[Any]) -> None:
        self.step = step


class _Result:
    """What a step made: a step may make nothing, which Prefect's state of a thing that is gone looks like too."""

    def __init__(self, value: Any) -> None:
        self.value = value


@task(cache_policy=NO_CACHE, persist_result=False)
def carry_out(work: _Work) -> Any:
    """One step. Of a thing that is gone by now its task is called Dropped, and is no failure."""
    try:
        return _Result(work.step.work(logged_progress()))
    except ItemGone as error:
        get_run_logger().warning("%s", error)
        return Completed(name=DROPPED, message=str(error))


class AsTasks:
    """See `engine.steps.Steps`."""

    def run(self, step: Step[Made]) -> Made:
        return cast(Made, _task(step)(_Work(step)).value)

    def tried(self, step: Step[Made]) -> Made | PlatformOpsError:
        state = cast(State[Any], _task(step)(_Work(step), return_state=True))
        return _made(state.result(raise_on_failure=False), step)

    def each(self, steps: Sequence[Step[Made]], at_once: int, then: Then[Made], broken: Broken) -> None:
        with ThreadPoolTaskRunner[Any](max_workers=at_once) as runner:
            try:
                running: dict[PrefectFuture[Any], int] = {
                    runner.submit(_task(step), {"work": _Work(step)}): number for number, step in enumerate(steps)
                }
                for future in as_completed(list(running)):
                    number = running[future]
                    then(number, _made(future.result(raise_on_failure=False), steps[number]))
            except BaseException as error:
                broken(error)  # now: a run that is cancelled is killed while it waits for what still runs
                raise


def _task(step: Step[Any]) -> Any:
    return carry_out.with_options(
        name=step.title,
        task_run_name=step.title.replace("{", "(").replace("}", ")"),  # Prefect would fill them in
        retries=step.retries,
        retry_delay_seconds=step.pause_seconds,
        retry_condition_fn=worth_retrying,
    )


def _made(result: Any, step: Step[Made]) -> Made | PlatformOpsError:
    if isinstance(result, _Result):
        return cast(Made, result.value)
    return ItemGone(f"{step.title}: it was dropped.") if result is None else known(result)
