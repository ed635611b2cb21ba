package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
)

// A record that some producer's clock put into another age is one to be seen, and not the end of what is shown.
func TestARecordOfAnyTimeIsShown(t *testing.T) {
	for at, want := range map[int64]string{
		1764000000123:             "2025-11-24T16:00:00.123Z",
		-1:                        "1969-12-31T23:59:59.999Z",
		1_764_000_000_000_000_000: "55900904-09-22T16:00:00Z",
	} {
		var out bytes.Buffer
		a := &app{stdout: &out}
		require.NoError(t, a.showRecordJSON(bus.Record{Topic: "t", Timestamp: time.UnixMilli(at)}))
		var shown struct{ Timestamp string }
		require.NoError(t, json.Unmarshal(out.Bytes(), &shown))
		assert.Equal(t, want, shown.Timestamp)
		require.NoError(t, a.showRecord(bus.Record{Timestamp: time.UnixMilli(at)}))
	}
}

// What a dead letter was rejected for is told each time that it was.
func TestRepeatedHeadersAreShown(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	require.NoError(t, a.showRecordJSON(bus.Record{Headers: []bus.Header{{Key: "why", Value: []byte("first")}, {Key: "a", Value: nil}, {Key: "why", Value: []byte("again")}}}))
	var shown struct{ Headers map[string][]string }
	require.NoError(t, json.Unmarshal(out.Bytes(), &shown))
	assert.Equal(t, map[string][]string{"why": {"first", "again"}, "a": {""}}, shown.Headers)
}

func TestNoRecordMovesTheCursorOrForgesALine(t *testing.T) {
	for value, shown := range map[string]string{
		"Grüße \U0001f469\u200d\U0001f4bb": "Grüße \U0001f469\u200d\U0001f4bb", "a\tb": `"a\tb"`, "\x1b[2J": `"\x1b[2J"`, "\xff": `"\xff"`, "\u0085": `"\u0085"`,
		"a\u202eb": `"a\u202eb"`, "a\u2066b": `"a\u2066b"`, "a\u2028b": `"a\u2028b"`, "": "",
	} {
		assert.Equal(t, shown, printable([]byte(value), 100))
	}
	assert.Equal(t, "-", printable(nil, 100))
}

func TestTailShowsWhyADeadLetterWasRejected(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	require.NoError(t, a.showRecord(bus.Record{Timestamp: time.UnixMilli(0), Key: []byte("k"), Value: []byte("{}"), Headers: []bus.Header{
		{Key: bus.HeaderClass, Value: []byte("invalid")}, {Key: bus.HeaderReason, Value: []byte("/name is\nmissing")},
	}}))
	assert.Equal(t, "0\t0\t1970-01-01T00:00:00Z\tk\tinvalid: \"/name is\\nmissing\"\t{}\n", out.String())
}

func TestTailCutsLongTextsButNotJSON(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	long := bytes.Repeat([]byte("ä"), 500_000)
	require.NoError(t, a.showRecord(bus.Record{Key: long, Value: long}))
	assert.Less(t, out.Len(), 10_000)
	assert.Contains(t, out.String(), "… (1000000 bytes)")
	out.Reset()
	require.NoError(t, a.showRecordJSON(bus.Record{Key: long, Value: long}))
	assert.Greater(t, out.Len(), 2_000_000)
}

func TestTailJSONEscapesTerminalControls(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	require.NoError(t, a.showRecordJSON(bus.Record{Key: []byte("\u009b2J"), Value: []byte("{\"a\":\"\u009b2J\u007f\"}")}))
	assert.NotContains(t, out.String(), "\u009b")
	assert.Contains(t, out.String(), `{"a":"\u009b2J\u007f"}`)
}

func TestTailSelectsByKeyAndCount(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	read := func(_ context.Context, show func(bus.Record) error) error {
		for i := range 10 {
			if err := show(bus.Record{Offset: int64(i), Key: []byte{"ab"[i%2]}}); err != nil {
				return err
			}
		}
		return nil
	}
	require.NoError(t, a.tail(t.Context(), read, tailing{key: []byte("b"), count: 3}))
	assert.Regexp(t, `^0\t1\t.*\n0\t3\t.*\n0\t5\t.*\n$`, out.String())
}

func TestTailFlags(t *testing.T) {
	now := time.Now()
	for since, want := range map[string]time.Time{"2026-11-27T08:00:00Z": time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC), "2h": now.Add(-2 * time.Hour)} {
		var s tailing
		require.NoError(t, s.check(since))
		assert.WithinDuration(t, want, s.options.Since, time.Minute)
	}
	for says, s := range map[string]tailing{
		"one --partition":   {options: kafka.TailOptions{HasOffset: true}},
		"0 or more":         {options: kafka.TailOptions{HasOffset: true, Offset: -1, Partitions: []int32{1}}},
		"exclude each":      {options: kafka.TailOptions{HasOffset: true, FromStart: true, Partitions: []int32{1}}},
		"not be negative":   {count: -1},
		"nor a duration":    {},
		"--since: \"-1h\" ": {},
	} {
		since := map[string]string{"nor a duration": "yesterday", "--since: \"-1h\" ": "-1h"}[says]
		assert.ErrorContains(t, s.check(since), says)
	}
}

func TestDidYouMean(t *testing.T) {
	for typed, want := range map[string]string{
		"contacts": "; did you mean contact-created?", "notifcation": "; did you mean notification?", "contact-created": "", "": "", "orders": "",
	} {
		assert.Equal(t, want, didYouMean(typed, tailTopics()), typed)
	}
}
