"""What the gate's benchmark can be asked about."""

from dataclasses import replace

import pytest

from gate import refuse_several_targets
from recdistill.data.prepared import PreparedData


def test_several_validation_targets_of_a_user_are_refused(data: PreparedData) -> None:
    refuse_several_targets(data)
    ends = data.train_ends.copy()
    ends[3] -= 1
    with pytest.raises(SystemExit, match="several validation targets") as refused:
        refuse_several_targets(replace(data, train_ends=ends))
    assert "\n" not in str(refused.value)
