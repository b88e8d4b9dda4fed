"""Talks with an agent while it runs: records what it tells, hands it what people say."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from sqlalchemy import Row

from db import agents, approvals, inbox, spending
from db.engine import Database
from db.errors import DatabaseUnavailable
from db.inbox import Inbox
from db.types import ApprovalStatus, InputKind, Stream
from runners.adapter import (
    Agent,
    Asked,
    Despaired,
    Effect,
    Identified,
    Printed,
    Progressed,
    Spent,
    Told,
    Took,
    Withdrew,
)
from runners.fence import written
from runners.process import Process
from runners.stops import Stop

POLL_SECONDS = 2.0
ANSWERED = (ApprovalStatus.ALLOWED, ApprovalStatus.DENIED)
RECORDS: Mapping[type, Callable[[Any], tuple[Any, ...]]] = {
    Identified: lambda name: (agents.identify, name.session_id, name.model),
    Progressed: lambda progress: (agents.advance, progress.percentage),
    Spent: lambda spent: (spending.record, spent.spendings),
    Withdrew: lambda withdrawn: (approvals.withdraw, withdrawn.request_id),
}
"""How the record takes what an agent tells."""


class Conversation:
    """An agent of one run, at the other end of its standard input and output."""

    def __init__(
        self,
        database: Database,
        run: Row[Any],
        agent: Agent,
        process: Process,
        *,
        approval_seconds: float,
        stop: Callable[[Stop], None],
    ) -> None:
        self._database = database
        self._run = run
        self._agent = agent
        self._process = process
        self._approval_seconds = approval_seconds
        self._stop = stop
        self._news = database.bus.listen(f"inbox:{run.id}")
        self._sent: dict[str, int] = {}
        self._asked: set[str] = set()
        self._telling = asyncio.Lock()
        self._told = run.agent_event_seq
        self._heard_at = asyncio.get_running_loop().time()
        self._is_to_be_interrupted = False

    async def heard(
        self, pieces: AsyncIterator[tuple[str, bytes]]
    ) -> AsyncIterator[tuple[str, bytes]]:
        """What people are to see of all that it prints. Raises `Fenced`."""
        async for stream, data in pieces:
            self._heard_at = asyncio.get_running_loop().time()
            for effect in self._agent.read(Stream(stream), data):
                if isinstance(effect, Printed):
                    yield effect.stream, effect.text.encode()
                else:
                    await self._act_on(effect)
            if self._agent.is_resting():
                self._news.wake()

    async def speak(self) -> None:
        """Say all that there is to say; hang up when it rests or was interrupted.

        Raises `Fenced`.
        """
        try:
            with self._news:
                await self._process.write(self._agent.opening())
                while not await self._has_said_all():
                    await self._news.wait(POLL_SECONDS)
            self._process.close_stdin()
        except BrokenPipeError:
            pass  # It has ended, or hears nothing more.

    async def watch(self) -> None:
        """Have it stopped when it is silent for longer than it should be."""
        loop = asyncio.get_running_loop()
        while True:
            patience = self._agent.patience_seconds()
            silent = loop.time() - self._heard_at
            if patience is not None and silent >= patience:
                self._stop(Stop.STUCK)
                return
            left = POLL_SECONDS if patience is None else patience - silent
            await asyncio.sleep(min(left, POLL_SECONDS))

    def interrupt(self) -> None:
        """Ask it to stop what it is at, and to end."""
        self._is_to_be_interrupted = True
        self._news.wake()

    async def _act_on(self, effect: Effect) -> None:
        match effect:
            case Asked():
                await self._put_to_people(effect.request)
            case Told():
                await self._tell(effect.kind, effect.data)
            case Took():
                if seq := self._sent.get(effect.message_id):
                    await self._write(inbox.take, seq)
            case Despaired():
                self._stop(Stop.DESPAIRED)
            case Withdrew() if self._is_to_be_interrupted:
                pass  # When the run goes on elsewhere, it asks for that again.
            case _:
                await self._write(*RECORDS[type(effect)](effect))

    async def _put_to_people(self, request: approvals.Request) -> None:
        asked = await self._write(approvals.ask, request, self._approval_seconds, self._asked)
        self._asked.add(asked.id)
        await self._tell("permission_request", {"approval_id": asked.id})
        if asked.status in ANSWERED:
            self._news.wake()  # When it asked before it was started once more.

    async def _has_said_all(self) -> bool:
        if self._is_to_be_interrupted:
            await self._process.write(self._agent.interruption())
            return True
        try:
            await self._pass_on_answers()
            await self._pass_on_messages()
        except DatabaseUnavailable:
            return False
        return self._agent.is_resting() and await self._is_inbox_closed()

    async def _pass_on_answers(self) -> None:
        for asked in await self._database.rows(approvals.decided(self._run.id)):
            allowed = asked.status == ApprovalStatus.ALLOWED
            answer = self._agent.answer(asked.request_id, allow=allowed, reason=asked.reason)
            if answer is not None:
                await self._process.write(answer)
                await self._tell("permission_answer", {"approval_id": asked.id})
            elif asked.status in ANSWERED:
                continue  # It will ask again, and then it is known.
            await self._write(approvals.deliver, asked.id)

    async def _pass_on_messages(self) -> None:
        for said in await self._database.rows(inbox.waiting(self._run.id)):
            message_id = str(uuid.uuid5(uuid.UUID(self._run.id), str(said.seq)))
            if message_id in self._sent:
                continue
            self._sent[message_id] = said.seq
            if said.kind == InputKind.INTERRUPT and said.text is None:
                await self._write(inbox.take, said.seq)
                self._stop(Stop.INTERRUPTED)
                return
            if said.kind == InputKind.INTERRUPT:
                await self._process.write(self._agent.interruption())
            told = {"role": "user", "text": said.text, "user_id": said.user_id}
            await self._tell("message", told)
            await self._process.write(self._agent.message(message_id, said.text))

    async def _is_inbox_closed(self) -> bool:
        return await self._write(inbox.close) is Inbox.CLOSED

    async def _tell(self, kind: str, data: Mapping[str, Any]) -> None:
        # One after the other: who has seen one has seen those before it.
        async with self._telling:
            self._told += 1
            await self._write(agents.tell, self._told, kind, data)

    async def _write(self, unit: Callable[..., Any], *args: Any) -> Any:
        return await written(self._database, unit, self._run.id, self._run.fence, *args)
