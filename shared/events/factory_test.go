package events_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

// fixed is a factory with a fixed clock and counted ids.
func fixed() events.Factory {
	n := 0
	return events.Factory{
		Now:   func() time.Time { return noon.In(time.FixedZone("", 3600)) },
		NewID: func() string { n++; return fmt.Sprintf("id-%d", n) },
	}
}

func TestNewBeginsAChainWithNewIDs(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	e, err := events.New(events.ContactCreated{Contact: contact()})
	require.NoError(t, err)
	for _, id := range []string{e.ID, e.Data.ID} {
		assert.Equal(t, uuid.Version(7), uuid.MustParse(id).Version())
	}
	assert.NotEqual(t, e.ID, e.Data.ID, "the event and the resource are two")
	assert.WithinRange(t, e.Data.Timestamp.Time(), before, time.Now())
	assert.Equal(t, events.Metadata{Timestamp: e.Data.Timestamp, Producer: "sipeat-api", CorrelationID: e.ID}, e.Metadata)

	again, err := events.New(events.ContactCreated{Contact: contact()})
	require.NoError(t, err)
	assert.NotEqual(t, e.ID, again.ID)
	assert.NotEqual(t, e.Data.ID, again.Data.ID)
}

func TestMakeUsesTheFactory(t *testing.T) {
	e, err := events.Make(fixed(), events.MachineCreated{Machine: machine()})
	require.NoError(t, err)
	assert.Equal(t, []string{"id-1", "id-1", "id-2"}, []string{e.Key(), e.ResourceID(), e.EventID()})
	assert.Equal(t, "2026-11-23T12:00:00.123Z", e.Metadata.Timestamp.String(), "UTC, in whole milliseconds")
	assert.Equal(t, "2026-11-23T12:00:00.123Z", e.Data.Timestamp.String())
}

func TestMakeKeepsGivenValues(t *testing.T) {
	given := events.RequestCreated{Base: events.Base{ID: "r-7", Timestamp: events.At(noon.AddDate(-1, 0, 0))}, Request: request()}
	for _, options := range [][]events.Option{nil, {events.DerivedFrom("seed")}} {
		e, err := events.Make(fixed(), given, options...)
		require.NoError(t, err)
		assert.Equal(t, given, e.Data)
		assert.Equal(t, events.At(noon), e.Metadata.Timestamp, "made now, though it happened earlier")
		assert.NotEqual(t, "r-7", e.ID)
	}
}

func TestDerivedFrom(t *testing.T) {
	made := func(seed string) events.Event[events.ContactCreated] {
		e, err := events.Make(events.Factory{}, events.ContactCreated{Contact: contact()}, events.DerivedFrom(seed))
		require.NoError(t, err)
		return e
	}
	// Frozen: a retry may meet an event that an older program wrote.
	assert.Equal(t, "83496030-804e-55ac-ac20-2a51d2bb7106", made("seed").ID)
	assert.Equal(t, "ee720015-6e10-5633-b635-c4edba418a7d", made("seed").Data.ID)
	assert.NotEqual(t, made("seed").ID, made("seed2").ID)
	assert.NotEqual(t, made("").ID, made("").ID, "an empty seed changes nothing")
}

func TestCausedBy(t *testing.T) {
	cause, err := events.Make(fixed(), events.RequestCreated{Request: request()})
	require.NoError(t, err)
	effect := func(f events.Factory, purpose string) events.Event[events.Notification] {
		e, err := events.Make(f, events.Notification{Notice: notice()}, events.CausedBy(cause, purpose))
		require.NoError(t, err)
		return e
	}
	first, again, other := effect(events.Factory{}, "notification"), effect(fixed(), "notification"), effect(fixed(), "reminder")
	assert.Equal(t, [2]string{"1e5b73d9-8a08-550f-83b2-7bfe3d6a2d4c", "8d69f79f-e191-5bec-b866-1d0671494c65"},
		[2]string{first.ID, first.Data.ID}, "frozen")
	assert.Equal(t, [2]string{first.ID, first.Data.ID}, [2]string{again.ID, again.Data.ID}, "by any factory, at any time")
	assert.NotEqual(t, first.ID, other.ID)
	assert.NotEqual(t, first.Data.ID, other.Data.ID)

	assert.Equal(t, [2]string{cause.ID, cause.ID}, [2]string{first.Metadata.CausationID, first.Metadata.CorrelationID})
	third, err := events.New(events.Notification{Notice: notice()}, events.CausedBy(first, "escalation"))
	require.NoError(t, err)
	assert.Equal(t, first.ID, third.Metadata.CausationID, "the link before")
	assert.Equal(t, cause.ID, third.Metadata.CorrelationID, "the first of the chain")
}

func TestNewRefusesInvalidFields(t *testing.T) {
	c := contact()
	c.Name, c.Email = "", "\xff@example.com"
	for want, given := range map[string]events.ContactCreated{
		"/name /email": {Contact: c},
		"/id":          {Base: events.Base{ID: "an id"}, Contact: contact()},
		"/timestamp":   {Base: events.Base{Timestamp: events.At(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC))}, Contact: contact()},
	} {
		e, err := events.New(given)
		var invalid *events.Error
		require.ErrorAs(t, err, &invalid)
		assert.Equal(t, events.Invalid, invalid.Kind)
		assert.Equal(t, want, strings.Join(pointersOf(invalid.Fields), " "))
		assert.Zero(t, e)
	}
}

func TestDefinitionMakesEvents(t *testing.T) {
	d, ok := events.Lookup("notification")
	require.True(t, ok)
	payload := d.Payload()
	payload.(*events.Notification).Notice = notice()
	e, err := d.Event(fixed(), payload, events.DerivedFrom("seed"))
	require.NoError(t, err)
	assert.Equal(t, "notification", e.Topic())
	assert.Equal(t, "r-1", e.Key(), "notifications about one subject stay in order")
	assert.Zero(t, payload.(*events.Notification).ID, "the payload is the caller's")

	_, ok = events.Lookup("no-such-topic")
	assert.False(t, ok)
	_, err = d.Event(fixed(), d.Payload())
	assert.Equal(t, events.Invalid, events.KindOf(err))
}
