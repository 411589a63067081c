"""What waits to be judged: the newest copies whose texts are kept, those with a label first."""

from __future__ import annotations

from collections import OrderedDict

from modelecology.api.live_records import Exchange, Feedback, LiveRecord, Preference

from .metrics import JudgeMetrics

_MOST_REMEMBERED = 200_000


class Docket:
    """A bounded line. What is taken, or was judged before, does not come again."""

    def __init__(self, judge: str, metrics: JudgeMetrics, *, most_waiting: int) -> None:
        self._judge = judge
        self._metrics = metrics
        self._most = most_waiting
        self._waiting: OrderedDict[str, Exchange] = OrderedDict()
        self._labelled: OrderedDict[str, None] = OrderedDict()  # of those that wait
        self._known: OrderedDict[str, None] = OrderedDict()  # labels of whatever requests
        self._done: OrderedDict[str, None] = OrderedDict()
        self.unreadable = 0
        """Copies that cannot be judged, as their texts were not kept."""

    def __len__(self) -> int:
        return len(self._waiting)

    def see(self, record: LiveRecord) -> None:
        """Take in a record."""
        if isinstance(record, Preference):
            if record.judge == self._judge:
                self._end(record.request_id)
        elif isinstance(record, Feedback):
            # Labels are few, and only where there is one it shows whether the judge is right.
            if record.label_sha256 is not None:
                self._label(record.request_id)
        elif isinstance(record, Exchange) and record.shadow is not None:
            self._consider(record)

    def take(self) -> Exchange | None:
        """Give the next one, or None."""
        request_id = next(iter(self._labelled or self._waiting), None)
        if request_id is None:
            return None
        found = self._waiting[request_id]
        self._end(request_id)
        return found

    def put_back(self, exchange: Exchange) -> None:
        """Let one wait again that could not be judged now."""
        self._done.pop(exchange.request_id, None)
        self._consider(exchange)

    def _label(self, request_id: str) -> None:
        # A label may come before its copy, or while that is judged.
        _remember(self._known, request_id)
        if request_id in self._waiting:
            self._labelled[request_id] = None

    def _consider(self, exchange: Exchange) -> None:
        if exchange.request_id in self._done or exchange.answer.error is not None:
            return
        # Also for a copy that failed: its like would be judged by failures alone.
        if exchange.prompt is None or exchange.answer.text is None:
            self.unreadable += 1
            self._metrics.passed_over("not_kept")
            return
        self._waiting[exchange.request_id] = exchange
        if exchange.request_id in self._known:
            self._labelled[exchange.request_id] = None
        while len(self._waiting) > self._most:
            # Which goes depends on when it came, and not on what it says.
            gone, _ = self._waiting.popitem(last=False)
            self._labelled.pop(gone, None)
            self._metrics.passed_over("too_many")

    def _end(self, request_id: str) -> None:
        self._waiting.pop(request_id, None)
        self._labelled.pop(request_id, None)
        _remember(self._done, request_id)


def _remember(known: OrderedDict[str, None], request_id: str) -> None:
    known[request_id] = None
    while len(known) > _MOST_REMEMBERED:
        known.popitem(last=False)
