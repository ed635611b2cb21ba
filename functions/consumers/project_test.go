package consumers_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

func TestProjectIsSafeToRepeat(t *testing.T) {
	w := newWorld(t)
	on := consumers.OnRequestCreated{Consumers: w.Consumers}
	e := read("a", events.RequestCreated{Base: base("r-1"), Request: events.Request{
		Name: "Grace", City: "Berlin", Country: "Germany", MachineID: "m-1", DrinksList: []string{"Mate", "Tea", "Mate"},
	}})
	for range 3 {
		require.NoError(t, on.Project(t.Context(), e))
	}
	item, err := w.model.Get(t.Context(), "request-created", "r-1")
	require.NoError(t, err)
	assert.Equal(t, "e-1", item.EventID)
	assert.True(t, noon.Equal(item.CreatedAt), "when the event was made")
	data, err := events.DecodePayload[events.RequestCreated](item.Data)
	require.NoError(t, err)
	assert.Equal(t, e.Data, data)

	labels := store.Labels{City: "Berlin", Country: "Germany", MachineID: "m-1"}
	found, err := w.model.List(t.Context(), store.Query{Type: e.Type, Limit: 10, Match: labels})
	require.NoError(t, err)
	assert.Equal(t, []store.Item{item}, found.Items)
	page, err := w.model.Demand(t.Context(), store.DemandQuery{Limit: 10})
	require.NoError(t, err)
	require.Len(t, page.Items, 2)
	for _, d := range page.Items {
		assert.EqualValues(t, 1, d.Count, d.Drink)
	}
	assert.Empty(t, w.topic.published, "Project has no effects")
	assert.Empty(t, w.notifier.messages)
}

func TestTheFirstEventOfAnIdIsKept(t *testing.T) {
	w := newWorld(t)
	record := func(event, name, at string) []byte {
		return fmt.Appendf(nil, `{"eventId":%q,"eventType":"contact-created","data":{"id":"c-1","name":%q,"timestamp":%q}}`, event,
			name, at)
	}
	assert.Equal(t, bus.Done, w.deliver(t, "contact-created", record("e-1", "Ada", "2026-11-23T06:54:21.123Z")).Outcome)
	assert.Equal(t, bus.Done, w.deliver(t, "contact-created", record("e-2", "Ada", "2026-11-23T07:00:00.000Z")).Outcome,
		"a repeat, timestamp aside")
	assert.Equal(t, bus.Rejected, w.deliver(t, "contact-created", record("e-3", "Bob", "2026-11-23T06:54:21.123Z")).Outcome)
	require.Len(t, w.deadLetters, 1)
	assert.Equal(t, bus.Conflicting, w.deadLetters[0].Class)
	item, err := w.model.Get(t.Context(), "contact-created", "c-1")
	require.NoError(t, err)
	assert.Equal(t, "e-1", item.EventID)
	assert.Len(t, w.topic.published, 2, "a conflict is not announced")
}

func TestEachSampleIsProjectedAndAReplayHasNoEffects(t *testing.T) {
	for _, d := range events.Catalogue() {
		t.Run(d.Topic, func(t *testing.T) {
			w := newWorld(t)
			sample, err := d.Sample()
			require.NoError(t, err)
			e, err := d.Decode(sample)
			require.NoError(t, err)
			assert.Equal(t, bus.Done, w.run(t, w.function(t, d.Topic).Replay, sample).Outcome)
			assert.Empty(t, w.topic.published)
			assert.Empty(t, w.notifier.messages)
			_, err = w.model.Get(t.Context(), d.Topic, e.ResourceID())
			assert.NoError(t, err)
			report := w.deliver(t, d.Topic, sample)
			assert.Equal(t, bus.Done, report.Outcome, "%v", report.Err)
			assert.Equal(t, 1, len(w.topic.published)+len(w.notifier.messages), "an announcement, or a message")
		})
	}
}
