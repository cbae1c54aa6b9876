"""What ``zero-export simulate`` can be asked, and what its columns mean."""

from __future__ import annotations

import argparse
from pathlib import Path

TEXT = """\
Runs this controller and those of other projects in the same simulated houses, in virtual time, and compares what they
export with what they give up. Nobody is told the dead time of the inverters. Equal seeds give equal figures."""
LEGEND = """\
  export    Wh per hour that went into the grid while that was not wanted
  missed    Wh per hour of sun that could have been used, and was not
  /ref      the same over that of the deadbeat reference: perfect reaction, after meter, radio and dead time
  exc/h     excursions per hour: more than 50 W exported for more than 5 s
  longest   s; the longest stretch above 50 W in any trial
  p99       W; the export exceeded 1 % of the time
  settle    s from a load step until within 25 W of where it should be; "never" counts the steps that did not settle
  over      W; how far it went beyond after a load step
  cmd/h     limits sent per hour
  radio     share of the time in which the radio was busy with limits
  won       in how many seeds we were cheaper than every peer, with an exported Wh costing as much as one missed, and
            three times as much; differences below 1 % or 0.1 Wh/h count as none
  starved   Wh per hour that a battery did not get, of those that the house left and it would have taken
  swings/h  how often the battery turned round by 150 W or more beyond what the house did
  growing   the most of those swings in a row that grew by a tenth each, while the house did nothing
  all-knowing
            beside a battery: no product, but a law that is told what the house takes and what the battery would take,
            and sends its limits over the same radio
The first table of each dead time has means over its scenarios without a battery: of energies, over those in which
export is never wanted (those without a *). A scenario's second row is the peer that wastes least there, both energies
together."""

EPILOG = f"""\
what the columns mean:
{LEGEND}

examples:
  zero-export simulate                                      everything; minutes on two cores
  zero-export simulate --scenario hob drum --dead-time 3    two scenarios, one dead time
  zero-export simulate --short                              ours alone, ten minutes of most scenarios
  zero-export simulate --scenario kettle --seed 7 --plot kettle.png --window 0 10
  zero-export simulate --load house.csv --pv roof.csv --hours 24
                                                            recorded: rows of t_s,load_w and of t_s,pv_pu
"""


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options."""
    add = parser.add_argument
    add("--list", action="store_true", help="show the scenarios and the laws, and stop")
    add("--scenario", nargs="+", metavar="NAME", help="some of the scenarios (default: all)")
    add("--dead-time", nargs="+", type=_positive, metavar="S", help="seconds from limit to effect (default: 1 3 10)")
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seeds", type=_count, metavar="N", help="seeds 1 to N (default: 5)")
    seeds.add_argument("--seed", nargs="+", type=int, metavar="N", help="these seeds")
    add("--law", nargs="+", metavar="NAME", help="some of the laws (default: all)")
    add("--load", type=Path, metavar="FILE.csv", help="a recorded household load: rows of seconds and watts")
    add("--pv", type=Path, metavar="FILE.csv", help="a recorded sun: rows of seconds and shares of full sun")
    add(
        "--hours", type=_hours, metavar="H", help="length of each trial (default: half an hour; of files all, up to 24)"
    )
    add("--short", action="store_true", help="10 minutes of most scenarios, seeds 1 and 2, this controller alone")
    add("--jobs", type=_count, metavar="N", help="processes at once (default: one for each core)")
    add("--all", action="store_true", help="show every law in every scenario, and what was not won")
    add("--json", action="store_true", help="print one JSON document, with every trial")
    add("--plot", type=Path, metavar="FILE.png", help="draw the first scenario, dead time and seed of those given")
    add("--window", nargs=2, type=float, metavar="MIN", help="draw from this minute to that (default: the worst ten)")


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _hours(text: str) -> float:
    hours = _positive(text)
    if hours < 1.0 / 60.0:
        raise argparse.ArgumentTypeError(f"{text!r} is less than a minute")
    return hours


def _count(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)
