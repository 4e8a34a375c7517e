"""Whether programs can be isolated where the tests run."""

import pytest

from trulysafe.common.errors import UserError
from trulysafe.sandbox.run import check


def _reason() -> str:
    try:
        check()
    except UserError as error:
        return str(error).splitlines()[0]
    return ""


needs_isolation = pytest.mark.skipif(bool(_reason()), reason=_reason())
