package faults

import (
	"fmt"
)

// invariant is a property that every history must have.
type invariant struct {
	id, title string
	check     func(*facts, *findings)
}

var invariants = []invariant{
	{"I1", "what was accepted is on its topic, byte for byte, and nothing else is", accepted},
	{"I2", "each record ends, in one way, and not again once it is committed", ended},
	{"I3", "no offset is committed before everything below it has ended", committedBehind},
	{"I4", "events of one key are handled one after the other, in order", ordered},
	{"I5", "a partition has one owner, and none after it was revoked", owners},
	{"I6", "each notification reaches each receiver once", effectsOnce},
	{"I7", "the read model is the fold of the topics", folded},
	{"I8", "the dead letters are the rejected records, unchanged", rejected},
	{"I9", "committed offsets never go back", forward},
	{"I10", "what was answered with 503 or not at all has one effect or none", unknown},
	{"I11", "requests with one Idempotency-Key are one event", idempotent},
	{"I12", "memory is bounded", bounded},
	{"I13", "the program's counters are true", counted},
	{"I14", "when it is quiet, everything is handled and owned", converged},
}

// The kinds of violation that the table sums up.
const (
	lost  = "lost"
	twice = "twice"
	order = "out of order"
	stuck = "stuck"
	wrong = "wrong"
)

type violation struct {
	Kind string     `json:"kind"`
	Text string     `json:"text"`
	T    int64      `json:"t"`
	At   []position `json:"at,omitzero"`
}

// findings are what the check of an invariant found.
type findings struct {
	Examined   int         `json:"examined"` // 0 = nothing was shown
	Violations []violation `json:"violations"`
	NotJudged  string      `json:"notJudged,omitzero"` // what of it was not, and why
}

func (r *findings) bad(kind string, t int64, at []position, format string, args ...any) {
	r.Violations = append(r.Violations, violation{kind, fmt.Sprintf(format, args...), t, at})
}

// unfinished is why what is final only in the end is not judged.
const unfinished = "the run did not converge"

func positions(at ...position) []position { return at }
