"""A judge that decides by a rule: it reads a question as a model would, and replies in the form asked for."""

import re
from collections.abc import Callable

Chat = list[dict[str, str]]
Rule = Callable[[dict[str, str], str], str]  # from the texts by name and the question to one of the two answers


class RuleJudge:
    """A ChatModel that answers by a rule.

    Args:
        rule: decides.
        reply: what it replies, with {code} and {verdict}.
    """

    def __init__(self, rule: Rule, reply: str = "I have looked at it.\nVERDICT {code}: {verdict}") -> None:
        self.rule, self.reply = rule, reply
        self.asked: list[dict[str, str]] = []

    def __call__(self, chats: list[Chat]) -> list[str]:
        return [self._answer(chat[-1]["content"]) for chat in chats]

    def _answer(self, request: str) -> str:
        code = re.search(r"hold the code (\w+)", request)[1]
        texts = dict(re.findall(rf"<(\w+) {code}>\n(.*?)\n</\1 {code}>", request, flags=re.DOTALL))
        question = re.search(r"^Question: (.*)$", request, flags=re.MULTILINE)[1]
        self.asked.append(texts)
        return self.reply.format(code=code, verdict=self.rule(texts, question))


def offered(chat: Chat) -> list[str]:
    """Return the two answers in the order in which they are offered."""
    return re.findall(r"^- ([A-Z]+): ", chat[-1]["content"], flags=re.MULTILINE)


def code_of(chat: Chat) -> str:
    return re.search(r"hold the code (\w+)", chat[-1]["content"])[1]
