"""The template that a test reads: template.yaml, and the one without SAM that .ci/release makes of it."""

import pytest
from stack import TEMPLATES, Stack


@pytest.fixture(params=TEMPLATES)
def template(request, monkeypatch):
    """Lets `Stack` read each template in turn."""
    monkeypatch.setattr(Stack, "template", TEMPLATES[request.param])
    return Stack.template
