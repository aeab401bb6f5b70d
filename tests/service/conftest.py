"""What the tests of the service's inner parts share."""

from __future__ import annotations

import pytest
from tiny_service import hosting_options, make_workspace

from irploc.service.hosting import Hosting
from irploc.service.loading import load_hosting


@pytest.fixture(scope="module")
def hosting(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: None) -> Hosting:
    home = make_workspace(tmp_path_factory.mktemp("workspace"))
    return load_hosting(hosting_options(home)).hosting
