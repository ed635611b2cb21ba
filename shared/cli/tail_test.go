package cli

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/bus"
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
		assert.Equal(t, shown, printable([]byte(value)))
	}
	assert.Equal(t, "-", printable(nil))
}
