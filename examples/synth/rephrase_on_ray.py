"""Rephrase documents on a Ray cluster: a folder of files in, one file of rephrasings per file out.

    pip install -e ".[synth]" "datatrove>=0.10.1" orjson ray    # on every machine
    ray start --head                                             # on the first, `ray start --address` on the others
    python examples/synth/rephrase_on_ray.py documents rephrased --server http://gpu:8000/v1 --model Qwen/Qwen3-4B

Without a cluster, one of two workers is started on this machine. Input and output lie on a disk that all machines
share. Each file is a task, whatever the cluster's size, so that the output is that of one process bit for bit. After a
failure the same command goes on with the files that are missing.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor
from datatrove.pipeline.writers import JsonlWriter

from hf_muonclip.synth import CachedGenerator, GenerationError, Rephraser, ServerGenerator
from hf_muonclip.synth.datatrove_run import run_pipeline
from hf_muonclip.synth.datatrove_step import DocumentReader, RephraseStep
from hf_muonclip.synth.documents import document_files


def steps(arguments: argparse.Namespace) -> list:
    if arguments.server:
        generator = ServerGenerator(arguments.server, arguments.model)
    else:
        from hf_muonclip.synth import TransformersGenerator  # which imports torch

        generator = TransformersGenerator(*filter(None, [arguments.model]))  # each worker loads it
    rephraser = Rephraser(CachedGenerator(generator, arguments.cache), rephrasings=arguments.rephrasings)
    kept, dropped = (JsonlWriter(str(arguments.output / name), compression=None) for name in ("kept", "dropped"))
    return [DocumentReader([arguments.input]), RephraseStep(rephraser, exclusion_writer=dropped), kept]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, help="folder of JSON Lines, Parquet or text files")
    parser.add_argument("output", type=Path, help="folder of what is kept, of what is dropped, and of logs")
    parser.add_argument("--server", help="address of a server with OpenAI's API; without one each worker loads a model")
    parser.add_argument("--model", help="its name there, or on the Hub (SmolLM2-135M-Instruct)")
    parser.add_argument("--rephrasings", type=int, default=1, help="of each document (1)")
    parser.add_argument("--workers", type=int, default=2, help="tasks at a time (2)")
    parser.add_argument("--gpus-per-task", type=int, default=0, help="that Ray reserves (0)")
    parser.add_argument("--time", type=int, default=3600, help="seconds that a task may take (3600)")
    parser.add_argument("--here", action="store_true", help="in one process, without Ray")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(tempfile.gettempdir(), "rephrase_on_ray.sqlite"),
        help="file of answers on each machine's own disk: SQLite's locks fail on network disks (%(default)s)",
    )
    arguments = parser.parse_args()
    arguments.input, arguments.output = arguments.input.resolve(), arguments.output.resolve()
    tasks = len(document_files([arguments.input]))
    if arguments.server and not arguments.model:
        sys.exit("--server needs --model, the model's name there.")
    logs = str(arguments.output / "logs")
    if arguments.here:
        executor = LocalPipelineExecutor(steps(arguments), tasks=tasks, workers=1, logging_dir=logs)
    else:
        import ray

        try:
            ray.init("auto")
        except ConnectionError:
            ray.init("local", num_cpus=2, include_dashboard=False)
        executor = RayPipelineExecutor(
            steps(arguments),
            tasks=tasks,
            workers=arguments.workers,
            gpus_per_task=arguments.gpus_per_task,
            time=arguments.time,
            logging_dir=logs,
        )
    try:
        stats = run_pipeline(executor)
    except (GenerationError, OSError) as error:
        sys.exit(f"{error}\nRun the same command again to go on.")
    (found,) = [step.stats for step in stats.stats if "Rephrase" in step.name]
    print({name: counted.total for name, counted in found.items()})


if __name__ == "__main__":
    main()
