"""A generator that rewrites by rule: as cheap as can be, the same in every process, with every number and name kept.

It answers as a model would: from what a chat shows alone. It can be told to misbehave as models do.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hf_muonclip.synth.generator import Chat, Generated, OnAnswer

_FILLERS = ("indeed", "quite", "so to say", "as told", "of course", "in fact", "here", "then", "by the way", "surely")
Misbehaves = Callable[[str, str, random.Random], str | None]


@dataclass
class RuleGenerator:
    """Puts fillers between words, drawn by the seed.

    Attributes:
        misbehaves: from passage, text before and random numbers to another answer; None where it behaves.
        most_words: of an answer, which is cut there.
        log: all batches of chats, where it is a list.
    """

    misbehaves: Misbehaves | None = None
    most_words: int = 100_000
    log: list[list[Chat]] | None = field(default=None)
    identity: str = "rule"

    def generate(
        self, chats: Sequence[Chat], seeds: Sequence[int], on_answer: OnAnswer | None = None
    ) -> list[Generated]:
        """Return the answer to each chat."""
        if self.log is not None:
            self.log.append([[dict(turn) for turn in chat] for chat in chats])
        answers = []
        for place, (chat, seed) in enumerate(zip(chats, seeds, strict=True)):
            answers.append(self._answer(chat, seed))
            if on_answer is not None:
                on_answer(place, answers[-1])
        return answers

    def _answer(self, chat: Chat, seed: int) -> Generated:
        draw = random.Random(seed)
        passage, before = passage_of(chat), before_of(chat)
        text = self.misbehaves(passage, before, draw) if self.misbehaves else None
        text = rewritten(passage, draw) if text is None else text
        words = text.split(" ")
        prompt_tokens = sum(len(turn["content"].split()) for turn in chat)
        kept = words[: self.most_words]
        return Generated(" ".join(kept), prompt_tokens, len(kept), finished=len(kept) == len(words))


def rewritten(passage: str, draw: random.Random) -> str:
    """Return a passage with a filler after every second word: no three words in a row stay as they were.

    So it is with the characters of Chinese.
    """
    passage = re.sub(r"([\u4e00-\u9fff]{2})", lambda pair: pair[0] + draw.choice("\u561b\u5440\u5427\u5462"), passage)
    words = passage.split(" ")
    for place in range(len(words) - len(words) % 2, 0, -2):
        words.insert(place, draw.choice(_FILLERS))
    return " ".join(words)


def passage_of(chat: Chat) -> str:
    """Return what a chat asks to rewrite."""
    found = re.search(r"<(passage_*)>\n(.*)\n</\1>\Z", chat[-1]["content"], re.DOTALL)
    assert found, chat
    return found[2]


def before_of(chat: Chat) -> str:
    """Return what a chat shows of the text before; "" where it shows none."""
    found = re.search(r"<(before_*)>\n(.*)\n</\1>\n\n", chat[-1]["content"], re.DOTALL)
    return found[2] if found else ""


def echo(passage: str, before: str, draw: random.Random) -> str:
    return passage.upper().replace(".", "!")


def loop(passage: str, before: str, draw: random.Random) -> str:
    return " ".join([passage[:60]] * 20)


def stammer(passage: str, before: str, draw: random.Random) -> str:
    return rewritten(passage, draw) + "ha" * 500


def say_it_again(passage: str, before: str, draw: random.Random) -> str | None:
    return before + " " + rewritten(passage, draw) if before else None


def say_nothing(passage: str, before: str, draw: random.Random) -> str:
    return " \n"


def copy_tags(passage: str, before: str, draw: random.Random) -> str:
    return f"<passage>\n{rewritten(passage, draw)}"


def wrap_in_tags(passage: str, before: str, draw: random.Random) -> str:
    return f"\n<passage>\n{rewritten(passage, draw)}\n</passage>\n"


def write_no_unicode(passage: str, before: str, draw: random.Random) -> str:
    return rewritten(passage, draw) + " \ud800"


def change_numbers(passage: str, before: str, draw: random.Random) -> str:
    return re.sub(r"\d+", "0", rewritten(passage, draw))


def say_one_thing(passage: str, before: str, draw: random.Random) -> str:
    return rewritten(passage, random.Random(0))
