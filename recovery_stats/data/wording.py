"""English words that betray what a column is for. They only suggest; nothing is decided by them.

Each entry is a role with patterns for whole column names and for parts of variable labels,
case ignored. Names are tried as they are, so `t_relapse` needs a pattern that covers all of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

_ID = r"_?(id|nr|no|num\w*|code)"
_DAY = r"_?(day|date|dt)"


@dataclass(frozen=True, slots=True)
class Wording:
    """Patterns of names and of labels for one role."""

    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


WORDING: Mapping[str, Wording] = {
    "person": Wording(
        (
            rf"(p|person|patient|participant|subj(ect)?|resp\w*|client|u|case){_ID}",
            r"id|who|person|patient|participant|subject|idnum|caseno",
        ),
        (
            r"(person|patient|participant|subject|respondent|client)('s)? (id|number|code|key)",
            r"^(person|participant|patient)$",
            r"^identification",
        ),
    ),
    "wave": Wording(
        (r"wave\d?", r"visit(_?n\w*)?", r"week(_?n\w*)?", r"occasion|timepoint|round|assess\w*"),
        (
            r"^(interview |assessment |survey |study )?(wave|visit|occasion|time ?point)\b",
            r"^week (after|since|of|number)",
        ),
    ),
    "time": Wording(
        (
            r"(t|time|days?|dur\w*|surv\w*)(_?(to_?)?(relapse|rel|event|lapse|use))?",
            r"follow_?up(_?days)?|survtime|time_?to_\w+",
        ),
        (
            r"(time|days?|weeks?|months?) (from [\w ]+ )?(to|until|till) ",
            r"(follow.?up|survival) (time|days)",
        ),
    ),
    "event": Wording(
        (
            r"(relapsed?|event|status|lapse|failure|censor(ed)?|cens|delta)"
            r"(_?(ind\w*|flag|yn|status))?",
        ),
        (r"^relapsed?\b(?!.*(day|date|time))", r"(event|censoring|relapse) (indicator|flag)"),
    ),
    "entry": Wording(
        (r"(t_?)?entry|late_?entry|t0|tstart",),
        (r"(delayed|late) entry", r"left.truncat", r"day observation began"),
    ),
    "entry_date": Wording(
        (rf"(entry|enrol\w*|admit|admission|intake|baseline|start|consent){_DAY}",),
        (r"(date|day) (of|at) (\w+ )?(entry|enrol\w*|admission|intake|baseline|consent)",),
    ),
    "exit_date": Wording(
        (rf"(exit|end|last|discharge|leave|dropout|censor){_DAY}",),
        (r"(date|day) (of|at) (\w+ )?(exit|end|discharge|censoring)", r"end of observation"),
    ),
    "cause": Wording(
        (r"((e|event|end)_?)?(type|cause)", r"cause\w*"),
        (r"(type|cause|kind) of (event|end|failure)", r"^(first )?event( type)?$"),
    ),
    "arm": Wording(
        (r"(arm|treat\w*|trt\w*|group|grp|condition|rand)(_\w+)?",),
        (r"\b(treatment|study|housing) (arm|group|condition)\b", r"randomi[sz]ed (to|arm|group)"),
    ),
    "frequency": Wording(
        (
            r"(meet\w*|mtg\w*|attend\w*)_?(freq\w*|per_?w\w*|pw|wk|week\w*|base\w*|0|grp|cat)?",
            r"freq\w*",
        ),
        (r"meetings? (a|per|each) (week|month)", r"(frequency|number) of (\w+ )?meetings?"),
    ),
    "site": Wording(
        (rf"(site|centre|center|clinic|hospital)({_ID})?",),
        (
            r"^(treatment |study )?(site|centre|center|clinic)"
            r"( (id\w*|number|code|name))?( \(.*\))?$",
        ),
    ),
    "house": Wording(
        (rf"(house|residence|dwelling)({_ID})?",),
        (r"^(house|residence)( (id\w*|number|code|at .*|first .*))?$", r"current house"),
    ),
    "outcome": Wording(
        (
            r"outcome\w*|(pacs|crav)\w*?(_?(tot\w*|sum|score))?|pda|(days_?)?abst\w*",
            r"qol\w*|whoqol\w*|phq9?\w*|use_?days|(any_?)?use\d*(_\d+)?",
        ),
        (
            r"craving|days? abstinent|abstinen|quality of life|percent days",
            r"days of .*\buse\b|any use\b",
        ),
    ),
    "satisfaction": Wording(
        (r"(ras|csi|das|rel_?sat|sat)(_?(tot\w*|sum|score|mean))?|\w*satisf\w*",),
        (r"relationship (satisfaction|quality)", r"satisfaction with (the |your )?(rel|partner)"),
    ),
    "partnered": Wording(
        (r"partner(ed)?(_?(yn|status|now))?|has_?partner|in_?relationship|cohab\w*",),
        (r"\b(has|lives with) (a )?partner\b|\bpartnered\b|in a relationship",),
    ),
    "day": Wording(
        (rf"(e|s|int|interview|visit|event|study){_DAY}", r"day|date|day_?(int|of_?\w+)?"),
        (r"(day|date) of (the )?(interview|event|assessment|visit)", r"study day"),
    ),
    "meeting_day": Wording(
        (rf"(m|meeting|meet|mtg|s|att\w*){_DAY}", r"day|date", r"week"),
        (r"(day|date|week) of (the )?(meeting|attendance|session)", r"study day"),
    ),
    "kind": Wording((r"m?_?(type|kind)|meeting_?(type|kind)",), (r"(type|kind) of meeting",)),
    "count": Wording(
        (r"(n|num|count|times)_?(meet\w*|mtg\w*|att\w*|visits?)?|visits|meetings",),
        (r"number of meetings|times attended|(meetings|visits) attended",),
    ),
    "start": Wording(
        (rf"(in|start|from|move_?in|entry|begin)({_DAY})?",),
        (r"(day|date) (of )?(mov\w+ in|start|entry|admission)", r"first day"),
    ),
    "stop": Wording(
        (rf"(out|stop|end|to|move_?out|exit|leave|left)({_DAY})?",),
        (r"(day|date) (of )?(mov\w+ out|end|exit|leaving|discharge)", r"last day"),
    ),
    "reason": Wording(
        (r"(exit|end|leave|left|stop)(_?(reason|type|why|by))?|reason\w*",),
        (r"reason", r"(why|how) .*(left|ended)"),
    ),
    "weights": Wording(
        (r"(w|wt|wgt|weights?|pweight|sampw\w*|finalwt)(_\w+)?",),
        (r"(sampling|survey|analysis|final) weight", r"^weight$"),
    ),
    "adjust": Wording(
        (
            r"age(_\w+)?|sex|gender|female|male|race|ethnic\w*|hispanic|educ\w*",
            r"sev(erity)?(_\w+)?|employ(ed)?0?|job|marital\w*|prior_?(tx|treat\w*)|ndt|ivhx|motiv\w*",
        ),
        (
            r"^age\b|\b(sex|gender|race|ethnicity|education|severity|marital status)\b",
            r"(prior|earlier|previous) (drug )?treatment|at (baseline|admission|intake|entry)",
        ),
    ),
    "diary_from": Wording((r"diary_?(from|start|first|begin)",), (r"first day of the diary",)),
    "diary_to": Wording((r"diary_?(to|end|last|stop)",), (r"last day of the diary",)),
}

BEFORE = re.compile(r"\bat (baseline|admission|intake|entry)\b", re.IGNORECASE)
HOUSING = re.compile(r"hous|home|resid|living|sober|oxford", re.IGNORECASE)
WEEK = re.compile(r"week|\bwk", re.IGNORECASE)
SYNTHETIC = re.compile(r"synthetic|simulated", re.IGNORECASE)
NOT_APPLICABLE = re.compile(r"not applicable|inapplicable|does not apply|^n/?a$", re.IGNORECASE)
CENSORED = re.compile(r"censor|\bno\b|\bnot\b|none|abstin|lost|alive", re.IGNORECASE)


@cache
def patterns(role: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """The compiled patterns of names and labels for `role`; they match nothing for others."""
    words = WORDING.get(role, Wording())
    never = r"(?!)"
    return (
        re.compile("|".join(words.names) or never, re.IGNORECASE),
        re.compile("|".join(words.labels) or never, re.IGNORECASE),
    )
