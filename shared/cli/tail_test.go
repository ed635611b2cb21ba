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
