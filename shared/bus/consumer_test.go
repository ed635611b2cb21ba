package bus_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a handler is told can always be written again, whatever clock the producer of the record has.
func TestAnEventWithoutATimeHasItsRecords(t *testing.T) {
	happened := time.Date(2026, 11, 23, 6, 54, 21, 0, time.UTC)
	for what, c := range map[string]struct {
		record time.Time
		data   string
		made   events.Time
	}{
		"its own":                   {time.Unix(1e9, 5e6), `,"timestamp":"2026-11-23T06:54:21Z"`, events.At(time.Unix(1e9, 5e6))},
		"none, as Kafka writes it":  {time.UnixMilli(-1), "", events.At(time.UnixMilli(-1))},
		"in nanoseconds":            {time.UnixMilli(happened.UnixNano()), `,"timestamp":"2026-11-23T06:54:21Z"`, events.At(happened)},
		"the largest, and no other": {time.UnixMilli(math.MaxInt64), "", events.Time{}},
		"the least, and no other":   {time.UnixMilli(math.MinInt64), "", events.Time{}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told events.Time
				r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
					told = e.Metadata.Timestamp
					return nil
				})
				record := moved(0, "a1")
				record.Timestamp = c.record
				record.Value = []byte(`{"eventId":"e","eventType":"moved","data":{"id":"a","seq":1` + c.data + `}}`)
				r.deliver(record)
				r.allHandled(1)
				assert.Equal(t, c.made, told)
				_, err := told.MarshalText()
				require.NoError(t, err)
			})
		})
	}
}
