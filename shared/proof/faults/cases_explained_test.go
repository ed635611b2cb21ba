package faults

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestWhatAFaultExplains has histories that would be red without the fault.
func TestWhatAFaultExplains(t *testing.T) {
	zombie := func(kind, process string) func(*history) { // worker-2/1 was not killed, and goes on when its partition is another's
		return func(h *history) {
			h.faults = []fault{{when: h.faults[0].when, Kind: kind, Process: process}}
			h.run.Schedule = nil
			begun := h.hits[h.hitOf("notification", 0, 4, "worker-2/1", "effect-begun")]
			begun.T, begun.Stage = h.hits[h.hitOf("notification", 0, 4, "worker-3/1", "effect-done")].T+ms, "effect-done"
			h.hits = append(h.hits, begun)
		}
	}
	expelled := func(kind, process string, before int64) func(*history) {
		return func(h *history) {
			h.owned = append(h.owned, owned{when{T: h.faults[0].T + ms/2}, "revoked", "worker-2/1", "notification", []int32{0}})
			h.faults, h.run.Schedule = []fault{{when: when{T: h.faults[0].T - before}, Kind: kind, Process: process}}, nil
		}
	}
	without := func(kind string) func(*history) {
		return func(h *history) {
			h.faults = slices.DeleteFunc(h.faults, func(x fault) bool { return x.Kind == kind })
		}
	}
	for _, c := range []struct {
		name    string
		explain func(*history)
		remove  func(*history)
		want    []string
	}{
		{"a zombie is counted apart", zombie("F2", "worker-2/1"), without("F2"), []string{"I4", "I5", "I6"}},
		{"so is one whose coordinator was killed", func(h *history) {
			zombie("F7", "")(h)
			for i := range h.effects { // which explains the second one
				h.effects[i].Behaviour = "timeout-after-delivery"
			}
		}, without("F7"), []string{"I4", "I5"}},
		{"the process of the first ended and was started again", func(h *history) {
			h.faults, h.run.Schedule = []fault{{Kind: "F4"}}, nil
			h.owned = append(h.owned, owned{h.states[1].when, "assigned", "worker-2/2", "request-created", nil})
		}, func(h *history) { h.owned = h.owned[:len(h.owned)-1] }, []string{"I6"}},
		{"a store that is down while a claim is completed", func(h *history) {
			h.faults[0].Kind, h.faults[0].Process, h.faults[0].Stage, h.run.Schedule = "F11", "", "", nil
		}, without("F11"), []string{"I6"}},
		{"the first lost its coordinator, and so the partition", expelled("F7", "", 0), without("F7"), []string{"I6"}},
		{"the first had been stopped, and lost the partition", expelled("F2", "worker-2/1", 50*ms), without("F2"), []string{"I6"}},
		{"the receiver did not confirm the first", func(h *history) {
			h.effects = append(h.effects, h.effects[0])
			h.effects[0].Behaviour = "timeout-after-delivery"
		}, func(h *history) { h.effects[0].Behaviour = "ok" }, []string{"I6"}},
		{"another partition's record of the id came first", func(h *history) {
			at := position{"contact-created", 0, 4}
			again := h.records[pick(h.records, func(r record) bool { return r.position == position{at.Topic, 1, 0} })]
			again.position, again.Value = at, bytes.ReplaceAll(again.Value, []byte("06:54:21"), []byte("06:54:22"))
			h.records = append(h.records, again)
			h.produced = append(h.produced, produced{position: at, What: "duplicate", Value: again.Value})
			begin := hit{when{T: h.states[0].T - 9*ms}, at, "worker-1/1", "decoded", groupOf[at.Topic], "e-t-1", ""}
			end := begin
			end.T, end.Stage, end.Outcome = begin.T+ms, "ended", "done"
			h.hits = append(h.hits, begin, end)
			h.counters[1].count(end, 1)
			h.commits = append(h.commits, commit{when{T: end.T + ms}, position{at.Topic, 0, 5}, groupOf[at.Topic]})
			h.rebuilt[0] = rebuilt{Output: `contact-created "t-1" differs: event "e-t-1" (1) and event "e-t-1" (2)`}
		}, func(h *history) { h.rebuilt[0].Output = strings.ReplaceAll(h.rebuilt[0].Output, "t-1", "c-1") }, []string{"I7"}},
		{"the receiver refuses the recipient", func(h *history) {
			e := &h.effects[pick(h.effects, func(e effect) bool { return e.EventID == "e-n-c-3" })]
			e.Behaviour, e.Delivered = "refused-recipient", false
			h.rejects(position{"notification", 0, 3}, "worker-2/1")
		}, func(h *history) {
			h.effects = slices.DeleteFunc(h.effects, func(e effect) bool { return e.Behaviour == "refused-recipient" })
		}, []string{"I8"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := good()
			c.explain(h)
			v := reread(t, h)
			assert.True(t, v.Green, "%s", strings.Join(texts(v), "\n"))
			c.remove(h)
			assert.Equal(t, c.want, reread(t, h).red())
		})
	}
}
