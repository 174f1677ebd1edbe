"""Serves a counter as a NeMo-Gym resource server, as `python nemo_gym_server.py PORT KIND`.

Built on nemo-gym's own classes where the interpreter has them (NEMO_GYM_PYTHON, see test_nemo_gym.py), else on FastAPI
with the same paths, schemas, statuses and session cookie, as nemo-gym 0.4 and 0.7 were seen to have.
"""

import asyncio
import os
import sys
import uuid
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

try:
    import nemo_gym
except ImportError:
    nemo_gym = None

counters: dict[str, int] = {}
LATE = 3.0  # seconds


class Increment(BaseModel):
    count: int


class Seed(BaseModel):
    model_config = ConfigDict(extra="allow")
    initial_count: int = 0
    fault: str = ""


async def seed(session: str, body: Any) -> None:
    if body.fault == "seed is late":
        await asyncio.sleep(LATE)
    if body.fault == "seed raises":
        raise RuntimeError("no database")
    counters[session] = body.initial_count


async def increment(session: str, body: Increment) -> dict[str, Any]:
    if body.count == 13:
        raise RuntimeError("no database")
    if body.count == 14:
        await asyncio.sleep(LATE)
    if body.count == 15:
        os._exit(1)
    counters[session] += body.count
    return {"success": True, "now": [counters[session]]}


async def verdict(session: str, body: Any) -> dict[str, Any]:
    """What stands in the answer of /verify beside the request."""
    if body.fault == "verify is late":
        await asyncio.sleep(LATE)
    said = "".join(part.text for item in body.response.output if item.type == "message" for part in item.content)
    calls = [item for item in body.response.output if item.type == "function_call"]
    results = [item for item in body.response.output if item.type == "function_call_output"]
    assert [item.call_id for item in results] == [item.call_id for item in calls[: len(results)]]
    reward = float(counters.pop(session) == body.expected_count) + 0.5 * ("done" in said)
    if body.fault == "no number":
        return {"reward": None}
    return {"reward": reward, "calls": len(calls), "mask_sample": body.fault == "mask"}


def with_nemo_gym() -> FastAPI:
    from nemo_gym.base_resources_server import (
        BaseResourcesServerConfig,
        BaseSeedSessionResponse,
        BaseVerifyRequest,
        BaseVerifyResponse,
        SimpleResourcesServer,
    )
    from nemo_gym.config_types import BaseServerConfig
    from nemo_gym.server_utils import SESSION_ID_KEY, ServerClient
    from omegaconf import OmegaConf

    class VerifyRequest(BaseVerifyRequest):
        expected_count: int
        fault: str = ""

    class VerifyResponse(BaseVerifyResponse):
        model_config = ConfigDict(extra="allow")

    class Counter(SimpleResourcesServer):
        def setup_webserver(self) -> FastAPI:
            app = super().setup_webserver()
            app.post("/increment_counter")(self.increment)
            app.post("/reset")(self.zero)
            return app

        async def seed_session(self, request: Request, body: Seed) -> BaseSeedSessionResponse:
            await seed(request.session[SESSION_ID_KEY], body)
            return BaseSeedSessionResponse()

        async def increment(self, request: Request, body: Increment) -> dict[str, Any]:
            return await increment(request.session[SESSION_ID_KEY], body)

        async def zero(self, request: Request) -> dict[str, Any]:
            counters[request.session[SESSION_ID_KEY]] = 0
            return {"success": True}

        async def verify(self, request: Request, body: VerifyRequest) -> Any:
            if body.fault == "judge":
                from nemo_gym.judge import JudgeError  # 0.7

                raise JudgeError("no judge")
            found = await verdict(request.session[SESSION_ID_KEY], body)
            if found["reward"] is None:
                return JSONResponse({**body.model_dump(mode="json"), **found})
            return VerifyResponse(**body.model_dump(), **found)

    server = Counter(
        config=BaseResourcesServerConfig(name="counter", host="127.0.0.1", port=port, entrypoint="app.py"),
        server_client=ServerClient(
            head_server_config=BaseServerConfig(host="127.0.0.1", port=11000),
            global_config_dict=OmegaConf.create({}),
        ),
    )
    app = server.setup_webserver()
    server.setup_exception_middleware(app)
    return app


def with_fastapi() -> FastAPI:
    app = FastAPI()

    class Part(BaseModel):
        type: str
        text: str
        annotations: list[Any]

    class FunctionTool(BaseModel):
        type: str
        name: str
        parameters: dict[str, Any] | None
        strict: bool

    class Item(BaseModel):
        type: str
        id: str | None = None
        role: str = "assistant"
        content: list[Part] = []
        call_id: str = ""
        name: str = ""
        arguments: str = ""
        output: str = ""

    class Completion(BaseModel):
        id: str
        created_at: float
        model: str
        object: str
        output: list[Item]
        parallel_tool_calls: bool
        tool_choice: str
        tools: list[FunctionTool]

    class VerifyRequest(BaseModel):
        responses_create_params: dict[str, Any]
        response: Completion
        expected_count: int
        fault: str = ""

    @app.middleware("http")
    async def sessions(request: Request, call_next: Any) -> Response:
        request.state.session = request.cookies.get("Counter___counter", str(uuid.uuid4()))
        try:
            response: Response = await call_next(request)
        except Exception:
            return JSONResponse("An unknown error occurred", 500)
        response.set_cookie("Counter___counter", request.state.session, httponly=True, samesite="lax")
        return response

    @app.post("/seed_session")
    async def seed_session(request: Request, body: Seed) -> dict[str, Any]:
        await seed(request.state.session, body)
        return {}

    @app.post("/increment_counter")
    async def increment_counter(request: Request, body: Increment) -> dict[str, Any]:
        return await increment(request.state.session, body)

    @app.post("/reset")
    async def zero(request: Request) -> dict[str, Any]:
        counters[request.state.session] = 0
        return {"success": True}

    @app.post("/verify")
    async def verify(request: Request, body: VerifyRequest) -> Any:
        if body.fault == "judge":
            failed = {"reward": 0.0, "_ng_failure_class": "judge_failed", "_ng_failure_judge_error": "no judge"}
            return JSONResponse({**body.model_dump(mode="json"), **failed})
        found = await verdict(request.state.session, body)
        return JSONResponse({**body.model_dump(mode="json"), **found})

    return app


def gymnasium() -> FastAPI:
    """A server of NeMo-Gym's kind that answers the model's replies as a user would."""
    app = FastAPI()

    @app.post("/reset")
    @app.post("/step")
    async def step() -> dict[str, Any]:
        return {"observation": None}

    return app


if __name__ == "__main__":
    port, kind = int(sys.argv[1]), sys.argv[2]
    make = gymnasium if kind == "gymnasium" else with_fastapi if nemo_gym is None else with_nemo_gym
    uvicorn.run(make(), host="127.0.0.1", port=port, log_level="error")
