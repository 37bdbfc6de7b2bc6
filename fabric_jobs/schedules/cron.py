"""Cron expressions in time zones: at which moments a schedule is due (docs/howto/schedules.md).

The moments are a pure function of expression and zone: whoever asks, and whenever, gets the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from fabric_jobs.errors import InvalidInput

NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
LONGEST = 200  # characters of an expression
FIELDS = 5
GUARD = timedelta(hours=6)  # longer than any change of a zone's clocks that goes back
MINUTE = timedelta(minutes=1)
HINT = "Write minute, hour, day of month, month and day of week, such as '30 2 * * *', or @hourly, @daily, @weekly, @monthly."


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression of five fields in an IANA time zone.

    If minute or hour begins with `*`, every moment counts whose wall-clock time matches. Otherwise the times are fixed, as
    in Debian's cron: one that is skipped when clocks go forward comes right after the gap, one that is repeated when they
    go back comes once.
    """

    expression: str
    zone: str = "UTC"

    def check(self, now: float) -> None:
        """Raise InvalidInput if the expression or the zone is wrong, or no time after `now` matches."""
        _zone(self.zone)
        _fields(self.expression)
        if self.after(now) is None:
            raise InvalidInput(f"'{self.expression}' matches no time in the next 50 years.", hint=HINT)

    def after(self, now: float) -> float | None:
        """Return the first moment after `now`, in seconds since 1970; None if there is none within 50 years."""
        return next(self.moments(now), None)

    def moments(self, now: float) -> Iterator[float]:
        """Yield the moments after `now`, in order."""
        ready: list[
            float
        ] = []  # seen, and maybe not the next ones: a repeated hour has two moments for a wall-clock time
        last = now
        for first, moments in self._walls(now):
            while ready and ready[0] < first:
                last = ready.pop(0)
                yield last
            ready = sorted({*ready, *(moment for moment in moments if moment > last)})
        yield from ready

    def newest(self, after: float, until: float, limit: int) -> list[float]:
        """Return the newest moments after `after`, up to and including `until`, in order."""
        reach = 3600.0
        while True:
            begin = max(after, until - reach)
            found: list[float] = []
            for moment in self.moments(begin):
                if moment > until:
                    break
                found.append(moment)
            if begin == after or len(found) >= limit:
                return found[-limit:]
            reach *= 4

    def shown(self, at: float) -> str:
        """Return a moment as the clocks of the zone show it."""
        return datetime.fromtimestamp(at, UTC).astimezone(_zone(self.zone)).isoformat(timespec="seconds")

    def _walls(self, now: float) -> Iterator[tuple[float, tuple[float, ...]]]:
        """Yield, for each matching wall-clock time from some hours before `now` on, its first moment and all of them."""
        from cronsim import CronSim  # late: only owners with schedules need it

        zone, expression = _zone(self.zone), _fields(self.expression)
        minute, hour = expression.split()[:2]
        is_fixed = not (minute.startswith("*") or hour.startswith("*"))
        for wall in CronSim(expression, _start(now, zone)):
            moments = _moments(wall, zone, is_fixed=is_fixed)
            if moments:
                yield moments[0], moments


def _start(now: float, zone: tzinfo) -> datetime:
    """Return the wall-clock time after which all times have to be seen: earlier than `now` where clocks change near it."""
    at = datetime.fromtimestamp(now, UTC)
    before, here, behind = ((at + shift).astimezone(zone) for shift in (-GUARD, timedelta(0), GUARD))
    start = here if before.utcoffset() == here.utcoffset() == behind.utcoffset() else before
    return start.replace(tzinfo=None, fold=0)


def _moments(wall: datetime, zone: tzinfo, *, is_fixed: bool) -> tuple[float, ...]:
    """Return the moments at which clocks show a time."""
    first, second = wall.replace(tzinfo=zone), wall.replace(tzinfo=zone, fold=1)
    if _is_skipped(first):
        if not is_fixed:
            return ()
        while _is_skipped(first):
            first += MINUTE
        return (first.timestamp(),)
    if is_fixed or first.utcoffset() == second.utcoffset():
        return (first.timestamp(),)
    return (first.timestamp(), second.timestamp())


def _is_skipped(wall: datetime) -> bool:
    return wall.astimezone(UTC).astimezone(wall.tzinfo).replace(tzinfo=None, fold=0) != wall.replace(
        tzinfo=None, fold=0
    )


@lru_cache(maxsize=256)
def _fields(text: str) -> str:
    """Return an expression as five fields; raise InvalidInput."""
    from cronsim import CronSim, CronSimError

    wanted = text.strip()
    if wanted.startswith("@"):
        if wanted.lower() not in NAMED:
            raise InvalidInput(f"'{wanted[:LONGEST]}' is not a cron expression.", hint=HINT)
        return NAMED[wanted.lower()]
    parts = wanted.split()
    if len(wanted) > LONGEST or len(parts) != FIELDS:
        raise InvalidInput(f"'{wanted[:LONGEST]}' is not a cron expression of five fields.", hint=HINT)
    try:
        CronSim(wanted, datetime(2000, 1, 1))
    except CronSimError as error:
        raise InvalidInput(f"'{wanted}' is not a cron expression: {_reason(error)}.", hint=HINT) from None
    return " ".join(parts)


def _reason(error: Exception) -> str:
    return str(error).replace("Bad ", "there is something wrong in ", 1)


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name; raise InvalidInput."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        from fabric_jobs.names import nearest

        near = nearest(name, available_timezones()) if name.isascii() and len(name) < LONGEST else ""
        hint = near if near.startswith("Did") else "Give an IANA name such as Europe/Berlin or UTC."
        raise InvalidInput(f"there is no time zone '{name[:LONGEST]}'.", hint=hint) from None
