"""The recording around a program that nobody edited."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from memprof.config import Config
from memprof.record.imports import ImportWatch

if TYPE_CHECKING:
    from memprof.tracing import Tracing


class Recording:
    """Records from the moment at which the program has imported torch.

    Until then nothing of torch or numpy is imported, so that a program which first sets
    environment variables such as OMP_NUM_THREADS finds the libraries as it would alone.

    Attributes:
        output: the trace file; a program that gives itself a rank changes its name.
        problem: why nothing was recorded, "" where something was.
    """

    def __init__(
        self,
        output: Path,
        config: Config,
        *,
        force: bool,
        self_check: bool = False,
        quiet: bool = False,
    ) -> None:
        self.output = output
        self.problem = "the program never imported torch"
        self._config = config
        self._force = force
        self._self_check = self_check
        self._quiet = quiet
        self._tracing: Tracing | None = None
        self._watch = ImportWatch({"torch": self._begin})
        self._process = os.getpid()

    def begin(self) -> None:
        """Starts to wait for torch."""
        self._watch.start()

    def _begin(self, torch: ModuleType) -> None:
        """Starts to record; whatever goes wrong, the program's import of torch succeeds."""
        del torch
        if os.environ.get("MEMPROF") == "0":
            self.problem = "MEMPROF=0 is set"
        elif threading.current_thread() is not threading.main_thread():
            self.problem = "the program imported torch in a thread; import it in the main one too"
        else:
            self._start()

    def _start(self) -> None:
        from memprof.api import trace

        config = self._config
        try:
            tracing = trace(
                self.output,
                recorder=config.recorder,
                force=self._force,
                stack_bytes=config.stack_bytes,
                detail=config.detail,
                self_check=self._self_check,
                nvtx=config.nvtx,
            )
            tracing.quiet, tracing.summarised = self._quiet, True
            tracing.__enter__()
        except Exception as error:
            self.problem = " ".join(str(error).split()) or type(error).__name__
            print(f"memprof: not recording: {self.problem}", file=sys.stderr)
        else:
            self._tracing, self.problem = tracing, ""
            self.output = tracing.path or self.output

    @property
    def in_child(self) -> bool:
        """Whether this is a forked child, which must leave the parent's trace alone."""
        return os.getpid() != self._process

    def end(self, error: BaseException | None) -> None:
        """Ends the recording; `error` is what ended the program, if anything did."""
        self._watch.stop()
        if self._tracing is not None and not self.in_child:
            failure = None if isinstance(error, SystemExit) else error
            self._tracing.__exit__(type(failure) if failure else None, failure, None)
