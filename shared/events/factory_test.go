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
		Producer: "a-test",
		Now:      func() time.Time { return noon.In(time.FixedZone("", 3600)) },
		NewID:    func() string { n++; return fmt.Sprintf("id-%d", n) },
	}
}

func TestNew(t *testing.T) {
	before := time.Now().Truncate(time.Millisecond)
	e, err := events.New(events.ContactCreated{Contact: contact()})
	require.NoError(t, err)

	assert.Equal(t, "contact-created", e.Type)
	assert.Equal(t, "contact-created", e.Topic())
	assert.Equal(t, contact(), e.Data.Contact)
	assert.Equal(t, uuid.Version(7), uuid.MustParse(e.ID).Version())
	assert.Equal(t, uuid.Version(7), uuid.MustParse(e.Data.ID).Version())
	assert.NotEqual(t, e.ID, e.Data.ID, "the event and the resource are two")
	assert.Equal(t, e.Data.ID, e.Key())
	assert.Equal(t, e.Data.ID, e.ResourceID())
	assert.Equal(t, e.ID, e.EventID())
	assert.Equal(t, "sipeat-api", e.Metadata.Producer)
	assert.Equal(t, e.ID, e.Metadata.CorrelationID, "it begins a chain")
	assert.Empty(t, e.Metadata.CausationID)
	assert.Equal(t, e.Metadata.Timestamp, e.Data.Timestamp)
	assert.WithinRange(t, e.Data.Timestamp.Time(), before, time.Now())

	again, err := events.New(events.ContactCreated{Contact: contact()})
	require.NoError(t, err)
	assert.NotEqual(t, e.ID, again.ID)
	assert.NotEqual(t, e.Data.ID, again.Data.ID)
}

func TestMakeUsesTheFactory(t *testing.T) {
	e, err := events.Make(fixed(), events.MachineCreated{Machine: machine()})
	require.NoError(t, err)
	assert.Equal(t, "id-1", e.Data.ID)
	assert.Equal(t, "id-2", e.ID)
	assert.Equal(t, "a-test", e.Metadata.Producer)
	assert.Equal(t, "2026-11-23T12:00:00.123Z", e.Metadata.Timestamp.String(), "UTC, in whole milliseconds")
	assert.Equal(t, "2026-11-23T12:00:00.123Z", e.Data.Timestamp.String())
}

func TestMakeKeepsGivenValues(t *testing.T) {
	happened := events.At(noon.AddDate(-1, 0, 0))
	given := events.RequestCreated{Base: events.Base{ID: "r-7", Timestamp: happened}, Request: request()}
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
		e, err := events.Make(events.Factory{Now: func() time.Time { return noon }}, events.ContactCreated{Contact: contact()},
			events.DerivedFrom(seed))
		require.NoError(t, err)
		return e
	}
	assert.Equal(t, made("seed"), made("seed"))
	for _, id := range []string{made("seed").ID, made("seed").Data.ID} {
		assert.Equal(t, uuid.Version(5), uuid.MustParse(id).Version())
	}
	assert.NotEqual(t, made("seed").ID, made("seed").Data.ID)
	assert.NotEqual(t, made("seed").ID, made("seed2").ID)
	assert.NotEqual(t, made("seed").Data.ID, made("seed2").Data.ID)
	assert.NotEqual(t, made("").ID, made("").ID, "an empty seed is none")
	// Frozen: a retry may meet an event that an older program wrote.
	assert.Equal(t, "83496030-804e-55ac-ac20-2a51d2bb7106", made("seed").ID)
	assert.Equal(t, "ee720015-6e10-5633-b635-c4edba418a7d", made("seed").Data.ID)
}

func TestCausedBy(t *testing.T) {
	cause, err := events.Make(fixed(), events.RequestCreated{Request: request()})
	require.NoError(t, err)
	effect := func(f events.Factory, purpose string) events.Event[events.Notification] {
		e, err := events.Make(f, events.Notification{Notice: notice()}, events.CausedBy(cause, purpose))
		require.NoError(t, err)
		return e
	}
	first := effect(events.Factory{}, "notification")
	assert.Equal(t, cause.ID, first.Metadata.CausationID)
	assert.Equal(t, cause.ID, first.Metadata.CorrelationID)
	assert.Equal(t, uuid.Version(5), uuid.MustParse(first.ID).Version())

	again := effect(fixed(), "notification")
	assert.Equal(t, []string{first.ID, first.Data.ID}, []string{again.ID, again.Data.ID}, "by any factory, at any time")
	other := effect(fixed(), "reminder")
	assert.NotEqual(t, first.ID, other.ID)
	assert.NotEqual(t, first.Data.ID, other.Data.ID)

	third, err := events.New(events.Notification{Notice: notice()}, events.CausedBy(first, "escalation"))
	require.NoError(t, err)
	assert.Equal(t, first.ID, third.Metadata.CausationID, "the link before")
	assert.Equal(t, cause.ID, third.Metadata.CorrelationID, "the first of the chain")
}

func TestCausedByShortensLongIDs(t *testing.T) {
	var cause events.Event[events.ContactCreated]
	cause.ID, cause.Metadata.CorrelationID = strings.Repeat("i", 900_000), strings.Repeat("c", 900_000)
	e, err := events.New(events.Notification{Notice: notice()}, events.CausedBy(cause, "notification"))
	require.NoError(t, err)
	assert.Len(t, e.Metadata.CausationID, 36)
	assert.Len(t, e.Metadata.CorrelationID, 36)
	assert.NotEqual(t, e.Metadata.CausationID, e.Metadata.CorrelationID)
}

func TestNewRefuses(t *testing.T) {
	c := contact()
	c.Name, c.Email = "", "\xff@example.com"
	given := events.ContactCreated{Contact: c}
	e, err := events.New(given)
	assert.Equal(t, []string{"/name", "/email"}, pointers(t, err))
	assert.Zero(t, e)
	assert.Equal(t, events.ContactCreated{Contact: c}, given)

	for pointer, thing := range map[string]events.Base{
		"/id":        {ID: "an id"},
		"/timestamp": {Timestamp: events.At(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC))},
	} {
		_, err := events.New(events.ContactCreated{Base: thing, Contact: contact()})
		assert.Equal(t, []string{pointer}, pointers(t, err))
	}
	_, err = events.New(events.ContactCreated{Base: events.Base{Timestamp: events.At(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC))},
		Contact: contact()})
	assert.NoError(t, err, "long ago is possible")
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
