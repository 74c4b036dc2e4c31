import pytest

from bench.micro import STAGES, Stage


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_still_works_with_the_parts_it_measures(stage: Stage) -> None:
    """They are used here as nowhere else, and nobody runs the benchmark with each change of them."""
    with stage.prepare() as handle:
        handle()
        handle()
