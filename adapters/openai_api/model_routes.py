"""GET /models: the assistants by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.openai_api.callers import Callers
from adapters.openai_api.directory import AssistantDirectory
from adapters.openai_api.models import check_model, model_body, models_body
from adapters.openai_api.settings import PREFIX
from gateway.web.api.routes import HttpRequest, HttpResponse, Route, json_response


@dataclass(frozen=True, slots=True)
class ModelRoutes:
    callers: Callers
    directory: AssistantDirectory

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", f"{PREFIX}/models", self.list_all),
            Route("GET", f"{PREFIX}/models/<model>", self.show),
        )

    async def list_all(self, request: HttpRequest) -> HttpResponse:
        caller = self.callers.reader(request)
        return json_response(models_body([each.name for each in self.directory.configured(caller)]))

    async def show(self, request: HttpRequest) -> HttpResponse:
        caller, name = self.callers.reader(request), request.path_values["model"]
        check_model(name, self.directory, caller)
        return json_response(model_body(name))
