package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/bus"
)

func TestRecordOfAnyTimeIsShown(t *testing.T) {
	for at, want := range map[int64]string{
		1764000000123:             "2025-11-24T16:00:00.123Z",
		-1:                        "1969-12-31T23:59:59.999Z",
		1_764_000_000_000_000_000: "55900904-09-22T16:00:00Z",
	} {
		var out bytes.Buffer
		require.NoError(t, (&app{stdout: &out, json: true}).showRecord(bus.Record{Timestamp: time.UnixMilli(at)}))
		assert.Contains(t, out.String(), `"timestamp":"`+want+`"`)
	}
}

func TestJSONShowsRepeatedHeaders(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, (&app{stdout: &out, json: true}).showRecord(bus.Record{Headers: []bus.Header{
		{Key: "why", Value: []byte("first")}, {Key: "a", Value: nil}, {Key: "why", Value: []byte("again")},
	}}))
	assert.Contains(t, out.String(), `"headers":{"a":[""],"why":["first","again"]}`)
}

func TestControlsInRecordsAreNotShown(t *testing.T) {
	for value, shown := range map[string]string{
		"Grüße \U0001f469": "Grüße \U0001f469", "": "-",
		"a\tb\u0085\r\nc": "a b c", "\x1b[2J": "[2J", "\xff": "\ufffd", "a\u202eb": "a b",
	} {
		assert.Equal(t, shown, printable([]byte(value)))
	}
}

func TestTailShowsWhyADeadLetterWasRejected(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	require.NoError(t, a.showRecord(bus.Record{Timestamp: time.UnixMilli(0), Key: []byte("k"), Value: []byte("{}"),
		Headers: []bus.Header{
			{Key: bus.HeaderClass, Value: []byte("invalid")}, {Key: bus.HeaderReason, Value: []byte("/name is\nmissing")},
		}}))
	assert.Equal(t, "0\t0\t1970-01-01T00:00:00Z\tk\tinvalid: /name is missing\t{}\n", out.String())
}

func TestTailCutsLongTextsButNotJSON(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	long := bytes.Repeat([]byte("ä"), 500_000)
	require.NoError(t, a.showRecord(bus.Record{Key: long, Value: long}))
	assert.Less(t, out.Len(), 20_000)
	out.Reset()
	a.json = true
	require.NoError(t, a.showRecord(bus.Record{Key: long, Value: long}))
	assert.Greater(t, out.Len(), 2_000_000)
}

// A value is shown as JSON if it is that within an object, which is one level deeper.
func TestTailJSONShowsEveryValue(t *testing.T) {
	nested := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for value, want := range map[string]string{
		"": `""`, "{}": "{}", "[1] [2]": `"[1] [2]"`, `{"a":1,"a":2}`: `"{\"a\":1,\"a\":2}"`, nested: `"` + nested + `"`,
	} {
		var out bytes.Buffer
		require.NoError(t, (&app{stdout: &out, json: true}).showRecord(bus.Record{Value: []byte(value)}))
		assert.Contains(t, out.String(), `"value":`+want+"}\n")
	}
}

func TestTailEndsWhenItsOutputFails(t *testing.T) {
	full := errors.New("disk full")
	for _, json := range []bool{true, false} {
		require.ErrorIs(t, (&app{stdout: failing{full}, json: json}).showRecord(bus.Record{}), full)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestTailJSONEscapesTerminalControls(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, json: true}
	require.NoError(t, a.showRecord(bus.Record{Key: []byte("\u009b2J"), Value: []byte("{\"a\":\"\u009b2J\u007f\"}")}))
	assert.NotContains(t, out.String(), "\u009b")
	assert.Contains(t, out.String(), `{"a":"\u009b2J\u007f"}`)
}
