"""A server that speaks what TRL's asynchronous trainer asks of vLLM, over HTTP, with a model of transformers behind it.

It samples one token after another and tells the log-probability of each at the temperature asked for. Weights come as a
safetensors file in the body of a request, which vLLM takes over NCCL.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import requests
import torch
from safetensors.torch import load, save

LONGEST = 64  # tokens of a prompt and its completion


class Sampled(NamedTuple):
    """A prompt, its completion, and the log-probabilities that the server told; the temperature asked for."""

    prompt: list[int]
    completion: list[int]
    logprobs: list[float]
    temperature: float


class SamplingServer:
    """Serves a model from its construction to `close()`.

    Args:
        model: of transformers.
        logprobs_mode: as vLLM's setting of the name.

    Attributes:
        url: where it listens.
        sampled: everything that it sampled, in order.
        updates: how often it was given weights.
    """

    def __init__(self, model: Any, logprobs_mode: str = "processed_logprobs") -> None:
        self.model, self.logprobs_mode = model.eval(), logprobs_mode
        self.sampled: list[Sampled] = []
        self.updates = 0
        self.lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"serving": self}))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def sample(self, asked: dict[str, Any]) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(asked["seed"])
        ids, logprobs = list(asked["prompt"]), []
        ends = self.model.generation_config.eos_token_id
        with self.lock, torch.no_grad():
            while len(logprobs) < asked["max_tokens"] and not (logprobs and ids[-1] in ends):
                scores = self.model(input_ids=torch.tensor([ids])).logits[0, -1].double() / asked["temperature"]
                of_all = torch.log_softmax(scores, dim=-1)
                ids.append(int(torch.multinomial(of_all.exp(), 1, generator=generator)))
                logprobs.append(float(of_all[ids[-1]]))
            completion = ids[len(asked["prompt"]) :]
            self.sampled.append(Sampled(asked["prompt"], completion, logprobs, asked["temperature"]))
        return {"choices": [{"token_ids": completion, "logprobs": {"token_logprobs": logprobs}}]}

    def load(self, body: bytes) -> dict[str, Any]:
        with self.lock:
            missing, unknown = self.model.load_state_dict(load(body), strict=False)
            assert not unknown
            assert not any("weight" in name for name in missing)
            self.updates += 1
        return {}


class _Handler(BaseHTTPRequestHandler):
    serving: SamplingServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        model = {"dtype": "torch.float32", "logprobs_mode": self.serving.logprobs_mode}
        answers = {
            "/health": {},
            "/v1/models": {"data": [{"max_model_len": LONGEST}]},
            "/server_info": {"vllm_config": {"model_config": model}},
        }
        self._answer(answers.get(self.path.partition("?")[0]))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        if path == "/v1/completions":
            self._answer(self.serving.sample(json.loads(body)))
        elif path == "/weights":
            self._answer(self.serving.load(body))
        else:
            self._answer({} if path in ("/pause", "/resume") else None)

    def _answer(self, found: dict[str, Any] | None) -> None:
        content = json.dumps(found or {}).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class WeightsOverHTTP:
    """What TRL calls to bring weights to the server, for machines without NCCL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def init_weight_transfer(self) -> None:
        requests.get(f"{self.url}/health", timeout=10).raise_for_status()

    def pause(self) -> None:
        requests.post(f"{self.url}/pause", params={"mode": "keep"}, timeout=10).raise_for_status()

    def send_weights(self, iterator: Any) -> None:
        weights = {name: tensor.detach().clone().contiguous() for name, tensor in iterator}
        requests.post(f"{self.url}/weights", data=save(weights), timeout=60).raise_for_status()

    def resume(self) -> None:
        requests.post(f"{self.url}/resume", timeout=10).raise_for_status()

    def destroy(self) -> None:
        """Nothing is held."""
