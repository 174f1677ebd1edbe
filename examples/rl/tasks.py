"""The rows of the recipes that need no network: sums, instructions and programs small enough for SmolLM2-135M."""

import random

import reasoning_gym
from datasets import Dataset


def sums(rows: int, seed: int) -> Dataset:
    """Return sums of two numbers of one digit, of reasoning-gym, with their answers."""
    entries = reasoning_gym.create_dataset("chain_sum", size=rows, seed=seed, max_terms=2, max_digits=1)
    asked = [f"What is {entry['metadata']['expression']}? Put the answer in \\boxed{{}}." for entry in entries]
    return Dataset.from_dict({"prompt": [chat(text) for text in asked], "answer": [e["answer"] for e in entries]})


def programs(rows: int, seed: int) -> Dataset:
    """Return functions to write, each with its unit tests and a solution that passes them."""
    generator, found = random.Random(seed), []
    for _ in range(rows):
        n = generator.randint(2, 30)
        name, argument, returned, solution, function, given = generator.choice(
            [
                ("add", "x", f"x plus {n}", f"x + {n}", lambda x, n=n: x + n, (0, 5, -7)),
                ("times", "x", f"x times {n}", f"x * {n}", lambda x, n=n: x * n, (1, 5, -7)),
                ("above", "x", f"whether x is greater than {n}", f"x > {n}", lambda x, n=n: x > n, (n, n + 1, -1)),
                ("first", "items", f"the first {n} items", f"items[:{n}]", lambda x, n=n: x[:n], (list("abcd"), [3])),
                ("repeat", "text", f"text, repeated {n} times", f"text * {n}", lambda x, n=n: x * n, ("ab", "x")),
            ]
        )
        name = f"{name}_{n}"
        asked = f"Write a Python function {name}({argument}) that returns {returned}. Reply with the code alone."
        found.append(
            {
                "prompt": chat(asked),
                "tests": [f"assert {name}({value!r}) == {function(value)!r}" for value in given],
                "gold": f"def {name}({argument}):\n    return {solution}\n",
            }
        )
    return Dataset.from_list(found)


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]
