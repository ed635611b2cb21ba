package faults

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// stuckHistory is a good history, but for its end, which comes before that of the last handling.
func stuckHistory() *history {
	h := good()
	last := h.hits[h.hitOf("notification", 0, 4, "worker-3/1", "ended")]
	h.states[0].T = last.T - 2
	h.states[1] = state{when{T: last.T - 1}, "stuck", "lag 1"}
	h.items, h.demands, h.rebuilt = nil, nil, nil // they may be read at any time
	h.effects = append(h.effects, effect{when: last.when, Sink: "smtp", EventID: "", Behaviour: "ok", Delivered: true})
	return h
}

// A run that does not converge is red for that alone. What was wrong before its end still counts.
func TestOnlyI14IsRedIfARunDoesNotConverge(t *testing.T) {
	v := reread(t, stuckHistory())
	assert.Equal(t, []string{"I14"}, v.red(), "%s", strings.Join(texts(v), "\n"))
	var table bytes.Buffer
	v.print(&table, "history.jsonl")
	assert.Regexp(t, `(?m)^I2 .* 0 +what is not handled yet is not judged: the run did not converge$`, table.String())
	assert.Regexp(t, `(?m)^I7 .* 0 +not judged: the run did not converge$`, table.String())

	early := stuckHistory()
	early.commits[early.commitAt("notification", 0, 5)].T = early.states[0].T - 2*ms
	v = reread(t, early)
	assert.Equal(t, []string{"I2", "I3", "I14"}, v.red(), "%s", strings.Join(texts(v), "\n"))
}
