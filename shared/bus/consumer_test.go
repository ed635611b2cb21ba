package bus_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A handler always gets a time that can be written again, whatever clock the record's producer has.
func TestEventWithoutTimeHasItsRecords(t *testing.T) {
	happened := time.Date(2026, 11, 23, 6, 54, 21, 0, time.UTC)
	for what, c := range map[string]struct {
		record time.Time
		data   string
		want   events.Time
	}{
		"the record's":             {time.Unix(1e9, 5e6), `,"timestamp":"2026-11-23T06:54:21Z"`, events.At(time.Unix(1e9, 5e6))},
		"none, as Kafka writes it": {time.UnixMilli(-1), "", events.At(time.UnixMilli(-1))},
		"in nanoseconds":           {time.UnixMilli(happened.UnixNano()), `,"timestamp":"2026-11-23T06:54:21Z"`, events.At(happened)},
		"largest, no other":        {time.UnixMilli(math.MaxInt64), "", events.Time{}},
		"smallest, no other":       {time.UnixMilli(math.MinInt64), "", events.Time{}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got events.Time
				r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
					got = e.Metadata.Timestamp
					return nil
				})
				record := moved(0, "a1")
				record.Timestamp = c.record
				record.Value = []byte(`{"eventId":"e","eventType":"moved","data":{"id":"a","seq":1` + c.data + `}}`)
				r.deliver(record)
				r.allHandled(1)
				assert.Equal(t, c.want, got)
				_, err := got.MarshalText()
				require.NoError(t, err)
			})
		})
	}
}

func TestStepsEndWithTheFirstError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var steps []string
		step := func(name string, err error) bus.Handler[Moved] {
			return func(context.Context, event) error {
				steps = append(steps, name)
				return err
			}
		}
		r := newRig(t, bus.Options{}, nil)
		no := events.Wrap(events.Invalid, errors.New("no"), "no")
		c := bus.NewConsumer("g", step("project", nil), step("react", no), step("never", nil))
		p := bus.NewEngine(c, writer{r}, bus.Options{}).Open(t.Context(), 0, time.Time{}, nil)
		p.Deliver(batch(0, "a1"))
		require.NoError(t, p.Wait(t.Context()))
		require.NoError(t, p.Close(t.Context()))
		assert.Equal(t, []string{"project", "react"}, steps)
		assert.Equal(t, 1, r.rejected())
	})
}
