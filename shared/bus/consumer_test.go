package bus_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEventWithoutTimeHasItsRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got events.Time
		r := newRig(t, bus.Options{}, func(_ context.Context, e event) error {
			got = e.Metadata.Timestamp
			return nil
		})
		record := moved(0, "a1")
		record.Timestamp = time.Unix(1e9, 5e6)
		r.deliver(record)
		r.allHandled(1)
		assert.Equal(t, events.At(record.Timestamp), got)
	})
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
		p := bus.NewEngine(c, writer{r}, bus.Options{}).Open(0, nil)
		p.Deliver(batch(0, "a1"))
		require.NoError(t, p.Wait(t.Context()))
		require.NoError(t, p.Close(t.Context()))
		assert.Equal(t, []string{"project", "react"}, steps)
		assert.Equal(t, 1, r.rejected())
	})
}
